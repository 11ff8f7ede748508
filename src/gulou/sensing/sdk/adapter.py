"""What an adapter is, and what it is given. Everything that an adapter may import is in this package."""

from __future__ import annotations

from collections.abc import Mapping as Environment
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from gulou.connectivity.commands.model import Command
from gulou.connectivity.intake import Intake
from gulou.kernel.clock import Clock, SystemClock
from gulou.sensing.sdk.counters import Counters
from gulou.sensing.sdk.manifest import Manifest
from gulou.sensing.sdk.mapping import MappingRegistry
from gulou.sensing.sdk.ports import CommandDesk, CredentialCheck, DeviceDirectory, TokenCheck
from gulou.vocabulary import Vocabulary

HealthState = Literal["up", "degraded", "down"]


class Health(msgspec.Struct, frozen=True):
    """How an adapter is, for the operations page.

    Args:
        detail: message code of what is wrong, empty when nothing is.
        params: values for that message.
        addresses: where it listens, ``{"mqtt": "127.0.0.1:1883"}``.
    """

    state: HealthState
    detail: str = ""
    params: dict[str, str | int] = {}
    addresses: dict[str, str] = {}


@dataclass(frozen=True)
class AdapterContext:
    """What the composition root gives an adapter.

    Args:
        programs: None where no program may send (tests, a bare device endpoint).
        commands: None where no commands exist; then acknowledgements are refused.
        directory: where an adapter keeps what must outlive the process, in files of its own name; made when first
            used. None: nothing is kept.
        vocabulary: tells which properties are numbers, so that they may travel as columns; None: all go as objects.
    """

    intake: Intake
    devices: DeviceDirectory
    credentials: CredentialCheck
    mappings: MappingRegistry = field(default_factory=MappingRegistry)
    programs: TokenCheck | None = None
    commands: CommandDesk | None = None
    clock: Clock = field(default_factory=SystemClock)
    environment: Environment[str, str] = field(default_factory=dict)
    directory: Path | None = None
    vocabulary: Vocabulary | None = None


@runtime_checkable
class Adapter(Protocol):
    """One protocol. Made by its manifest's ``entry``: ``create(settings, context) -> Adapter``.

    An adapter has its own event loop or threads; it never blocks another's. It is started once and stopped once.
    """

    manifest: Manifest
    counters: Counters

    def start(self) -> None:
        """Open sockets; returns when devices can connect.

        Raises:
            Unavailable: ``adapter.port_in_use``.
            Invalid: the settings name something that is not there.
        """

    def stop(self, timeout_s: float = 10.0) -> None:
        """Take nothing more, finish what was taken, close. Idempotent."""

    def health(self) -> Health:
        """Tell how it is; cheap, any thread."""

    def send(self, command: Command) -> bool:
        """Try to hand a command to its device now; see ``connectivity.commands.CommandSender``. False where it
        has no way down."""
