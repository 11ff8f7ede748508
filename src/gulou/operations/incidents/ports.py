"""What warnings and incidents need of others; wired together in ``cli/wire.py``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from sqlalchemy import Connection

from gulou.access import AuditDraft, Principal
from gulou.connectivity.commands import Command, CommandRequest


class AuditTrail(Protocol):
    """The record of every change."""

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

    def record_all(self, entries: Iterable[AuditDraft], connection: Connection) -> None:
        """Record many in an open transaction, in order."""


class CommandDesk(Protocol):
    """Where approved commands are requested: the command service."""

    def request(self, request: CommandRequest, principal: Principal) -> Command: ...
