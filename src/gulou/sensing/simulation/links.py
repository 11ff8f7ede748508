"""What every link of a simulated device shares: a bounded buffer, counters, waiting longer after each failure."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gulou.kernel.clock import to_rfc3339
from gulou.sensing.simulation.world import Outcome, Utterance

BUFFER_MESSAGES = 5_000
"""A device without a connection keeps so many messages; then the oldest go."""
_REMEMBERED_COMMANDS = 256
_BACK_OFF_MAX_S = 30.0

CommandHandler = Callable[[str, str, Mapping[str, Any]], Outcome]
"""Takes device id, command name and parameters; the world carries it out."""


@dataclass
class LinkCounts:
    """What a link did so far; ``lost`` are messages that its buffer had no room for, ``refused`` those that the
    platform will never take."""

    sent_messages: int = 0
    sent_readings: int = 0
    lost_readings: int = 0
    refused_readings: int = 0
    connects: int = 0
    commands: int = 0


@dataclass(frozen=True)
class Message:
    """One message of a device, ready for the wire."""

    device_id: str
    payload: bytes
    readings: int

    @classmethod
    def from_utterance(cls, said: Utterance, stamp_us: int) -> Message:
        """Write what a device says, at the time that its own clock shows, in the platform's JSON form."""
        body = {"observedAt": to_rfc3339(stamp_us), **said.channels}
        payload = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return cls(said.device.id, payload, len(said.channels))


class Link(Protocol):
    """One connection, or the connections of one kind; runs until it is cancelled."""

    counts: LinkCounts

    def offer(self, message: Message) -> None:
        """Take a message to send; never blocks."""

    async def run(self) -> None:
        """Connect, send, obey; connect again after a failure."""


class Buffer:
    """Messages that wait; when it is full the oldest go, and are counted."""

    def __init__(self, counts: LinkCounts, bound: int = BUFFER_MESSAGES) -> None:
        self._waiting: deque[Message] = deque()
        self._bound = bound
        self._counts = counts

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Message) -> None:
        if len(self._waiting) >= self._bound:
            self._counts.lost_readings += self._waiting.popleft().readings
        self._waiting.append(message)

    def take(self, most: int) -> list[Message]:
        """Return up to ``most`` of the oldest."""
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def give_back(self, messages: list[Message]) -> None:
        """Put unsent messages back to the front, in their order."""
        self._waiting.extendleft(reversed(messages))


class BackOff:
    """Seconds to wait before the next try: doubling, up to half a minute."""

    def __init__(self, first_s: float = 0.5) -> None:
        self._first_s = first_s
        self._next_s = first_s

    def next_s(self) -> float:
        wait_s, self._next_s = self._next_s, min(self._next_s * 2, _BACK_OFF_MAX_S)
        return wait_s

    def reset(self) -> None:
        """It worked: begin small again."""
        self._next_s = self._first_s


class CommandDesk:
    """Reads commands, has them carried out once, and words the answer; a repeated id gets the same answer again."""

    def __init__(self, handler: CommandHandler, counts: LinkCounts) -> None:
        self._handler = handler
        self._counts = counts
        self._answered: OrderedDict[tuple[str, str], Outcome] = OrderedDict()

    def answer(self, device_id: str, raw: bytes | bytearray | str | Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the acknowledgement ``{"id", "ok", "detail"}``; None when it is no command at all."""
        try:
            command = raw if isinstance(raw, Mapping) else json.loads(raw)
            command_id, name = str(command["id"]), str(command["name"])
            parameters = command.get("parameters") or {}
        except (ValueError, KeyError, TypeError):
            return None
        key = (device_id, command_id)
        outcome = self._answered.get(key)
        if outcome is None:
            self._counts.commands += 1
            given = parameters if isinstance(parameters, Mapping) else {}
            outcome = self._answered[key] = self._handler(device_id, name, given)
            if len(self._answered) > _REMEMBERED_COMMANDS:
                self._answered.popitem(last=False)
        return {"id": command_id, "ok": outcome.ok, "detail": outcome.detail}
