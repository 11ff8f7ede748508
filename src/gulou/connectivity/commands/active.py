"""The commands that have not ended, in memory, by what they wait for."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from gulou.connectivity.commands.awaited import AwaitedSeries
from gulou.connectivity.commands.model import Command
from gulou.kernel.clock import SECOND_US

_Effect = tuple[str, str]
_MOST_PAST = 4
_FEW = 1_000
"""So many moments are kept: four for each active command, and these."""


class ActiveCommands:
    """Indexes over active commands; used under the service's lock (``expects`` without it).

    Args:
        awaited: kept in step with the effects that commands expect.
    """

    def __init__(self, awaited: AwaitedSeries) -> None:
        self._awaited = awaited
        self._requested: dict[str, None] = {}
        self._due: list[tuple[int, str]] = []
        self._commands: dict[str, Command] = {}
        self._by_device: dict[str, dict[str, None]] = {}
        self._by_effect: dict[_Effect, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._commands)

    def get(self, command_id: str) -> Command | None:
        return self._commands.get(command_id)

    def requested(self) -> list[Command]:
        """Return the commands that could not be sent yet, the longest waiting first."""
        return [self._commands[command_id] for command_id in self._requested]

    def take_due(self, now_us: int) -> Iterator[Command]:
        """Yield the commands that have waited long enough for what they wait for now; others cost nothing."""
        if len(self._due) > _MOST_PAST * len(self._commands) + _FEW:
            self._forget_past()
        while self._due and self._due[0][0] <= now_us:
            due_us, command_id = heapq.heappop(self._due)
            command = self._commands.get(command_id)
            if command is not None and due_of(command) == due_us:
                yield command

    def _forget_past(self) -> None:
        """Leave out what nobody waits for any more: a command may end hours before it would have expired."""
        commands = self._commands
        self._due = [
            (due_us, command_id)
            for due_us, command_id in self._due
            if (command := commands.get(command_id)) is not None and due_of(command) == due_us
        ]
        heapq.heapify(self._due)

    def remind(self, command: Command) -> None:
        """Let ``take_due`` yield a command again that it has yielded in vain."""
        heapq.heappush(self._due, (due_of(command), command.id))

    def put(self, command: Command) -> None:
        """Add, or replace by a newer state; one that has ended is removed."""
        before = self._commands.get(command.id)
        if command.ended_at_us is not None:
            if before is not None:
                self._remove(command)
            return
        self._commands[command.id] = command
        if command.state == "requested":
            self._requested[command.id] = None
        else:
            self._requested.pop(command.id, None)
        due_us = due_of(command)
        if before is None or due_of(before) != due_us:
            heapq.heappush(self._due, (due_us, command.id))
        self._by_device.setdefault(command.device_id, {})[command.id] = None
        if command.effect is not None and before is None:
            key = (command.effect.entity_id, command.effect.property)
            self._awaited.expect(key)
            self._by_effect.setdefault(key, {})[command.id] = None

    def of_device(self, device_id: str) -> list[Command]:
        """Return a device's active commands, oldest first."""
        return [self._commands[command_id] for command_id in self._by_device.get(device_id, ())]

    def expects(self, entity_id: str, property_name: str) -> bool:
        """Say whether a reading of this property might be an expected effect; asked for every reading."""
        return (entity_id, property_name) in self._by_effect

    def expecting(self, entity_id: str, property_name: str) -> list[Command]:
        """Return the commands whose effect would show in this property."""
        return [self._commands[command_id] for command_id in self._by_effect.get((entity_id, property_name), ())]

    def any_effects(self) -> bool:
        return bool(self._by_effect)

    def _remove(self, command: Command) -> None:
        self._commands.pop(command.id, None)
        self._requested.pop(command.id, None)
        _discard(self._by_device, command.device_id, command.id)
        if command.effect is not None:
            key = (command.effect.entity_id, command.effect.property)
            self._awaited.leave(key)
            _discard(self._by_effect, key, command.id)


def due_of(command: Command) -> int:
    """Return when a command has waited long enough, µs since the Unix epoch, UTC."""
    if command.state == "sent" and command.sent_at_us is not None:
        return command.sent_at_us + round(command.acknowledge_within_s * SECOND_US)
    if command.state == "acknowledged" and command.acknowledged_at_us is not None:
        return command.acknowledged_at_us + round(command.effect_within_s * SECOND_US)
    return command.expires_at_us


def _discard(index: dict[Any, dict[str, None]], key: Any, command_id: str) -> None:
    ids = index.get(key)
    if ids is not None:
        ids.pop(command_id, None)
        if not ids:
            del index[key]
