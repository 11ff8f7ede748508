"""What a story is played on: the real services, in memory, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.commands import CommandService
from gulou.connectivity.devices import DeviceRegistry
from gulou.connectivity.intake import IntakeService, SqlRejectStore
from gulou.hub.context import ContextService
from gulou.hub.rules import RuleService
from gulou.kernel.clock import VirtualClock
from gulou.operations.incidents import IncidentService, WarningService


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The services that a story sees; built by the composition root, closed by the player."""

    clock: VirtualClock
    intake: IntakeService
    context: ContextService
    devices: DeviceRegistry
    commands: CommandService
    rules: RuleService
    warnings: WarningService
    incidents: IncidentService
    rejects: SqlRejectStore
    bus: MemoryBus
    close: Callable[[], object]

    def advance_to(self, at_us: int, tick_us: int) -> None:
        """Let time pass, timers running at every tick, up to and including ``at_us``."""
        while self.clock.now_us() < at_us:
            self.clock.set_us(min(self.clock.now_us() + tick_us, at_us))
            self._tick()
        self.settle()

    def settle(self) -> None:
        """Wait until all that was sent, and what followed from it, has been applied."""
        for _ in range(3):  # a derived reading may be judged by a rule that derives again
            self.intake.settle()
            self.bus.drain()

    def _tick(self) -> None:
        now_us = self.clock.now_us()
        for part in (self.devices, self.commands, self.rules, self.warnings, self.incidents, self.intake):
            part.tick(now_us)
