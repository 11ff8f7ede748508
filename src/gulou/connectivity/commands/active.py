"""The commands that have not ended, in memory, by what they wait for."""

from __future__ import annotations

from typing import Any

from gulou.connectivity.commands.model import Command

_Effect = tuple[str, str]


class ActiveCommands:
    """Indexes over active commands; used under the service's lock (``expects`` without it)."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._by_device: dict[str, dict[str, None]] = {}
        self._by_effect: dict[_Effect, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._commands)

    def get(self, command_id: str) -> Command | None:
        return self._commands.get(command_id)

    def all(self) -> list[Command]:
        return list(self._commands.values())

    def put(self, command: Command) -> None:
        """Add, or replace by a newer state; one that has ended is removed."""
        if command.ended_at_us is not None:
            self._remove(command)
            return
        self._commands[command.id] = command
        self._by_device.setdefault(command.device_id, {})[command.id] = None
        if command.effect is not None:
            key = (command.effect.entity_id, command.effect.property)
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
        _discard(self._by_device, command.device_id, command.id)
        if command.effect is not None:
            _discard(self._by_effect, (command.effect.entity_id, command.effect.property), command.id)


def _discard(index: dict[Any, dict[str, None]], key: Any, command_id: str) -> None:
    ids = index.get(key)
    if ids is not None:
        ids.pop(command_id, None)
        if not ids:
            del index[key]
