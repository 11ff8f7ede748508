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
    """The vocabulary, which tells the bindings of a device with ``*`` for two entities apart."""

    def get_property(self, type_name: str, name: str, /) -> object:
        """Raises NotFound when the type has no such property."""
