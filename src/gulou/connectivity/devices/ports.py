"""What the registry needs of access and of the vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from sqlalchemy import Connection

from gulou.access import Principal


class AuditTrail(Protocol):
    """Records who changed what."""

    def record(
        self,
        principal: Principal,
        action: str,
        object_type: str,
        object_id: str,
        details: dict[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> None: ...


class CredentialKeeper(Protocol):
    """Keeps the secrets of devices."""

    def issue_many(self, device_ids: Iterable[str], *, connection: Connection | None = None) -> dict[str, str]: ...

    def set_many(self, chosen: Mapping[str, str], *, connection: Connection | None = None) -> None: ...

    def revoke(self, device_id: str, *, connection: Connection | None = None) -> None: ...


class PropertyNames(Protocol):
    """The vocabulary: what may be bound, and which of two ``*`` bindings a channel belongs to."""

    def get_type(self, name: str, /) -> object:
        """Raises NotFound, with ``nearest``, when there is no such type."""

    def get_property(self, type_name: str, name: str, /) -> object:
        """Raises NotFound, with ``nearest``, when the type has no such property."""
