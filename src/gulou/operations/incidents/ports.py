"""What warnings and incidents need of others; wired together in ``cli/wire.py``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from sqlalchemy import Connection

from gulou.access import AuditDraft, Principal
from gulou.connectivity.commands import Command, CommandRequest
from gulou.hub.rules import Detection


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


class DetectionRecord(Protocol):
    """What rules have found, durable and in order."""

    def keep(self) -> None:
        """Have what was found until now written to the record, where that can be done for now."""

    def newest(self) -> int:
        """Return the number of the newest detection, 0 where there is none."""

    def after(self, number: int, limit: int) -> list[tuple[int, Detection]]:
        """Return what has a greater number, in order, each with its number."""

    def number_of(self, detection: Detection) -> int | None:
        """Return the number of a detection, None while it is not in the record."""
