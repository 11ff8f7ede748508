"""How a command leaves the house."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from sqlalchemy import Connection

from gulou.access import AuditDraft, Principal
from gulou.connectivity.commands.model import Command
from gulou.connectivity.devices import Device


class AuditEntries(Protocol):
    """Records who asked for what."""

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
        """Record many in an open transaction."""


class CommandSender(Protocol):
    """An adapter that can reach devices; registered under the adapter's name in ``cli/wire.py``."""

    def send(self, command: Command) -> bool:
        """Try to hand the command to its device now. False: the device is not reachable at this moment (it stays
        ``requested`` and is tried again when the device connects, until it expires). Must not block; any thread."""


class DeviceBook(Protocol):
    """What the command service asks of the registry."""

    def find_device(self, device_id: str) -> Device | None: ...

    def get_device(self, device_id: str) -> Device:
        """Raises NotFound ``device.unknown``."""

    def children(self, gateway_id: str) -> tuple[str, ...]: ...
