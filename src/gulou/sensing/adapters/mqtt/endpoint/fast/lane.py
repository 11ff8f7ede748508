"""One connection's two ways up, and their order: rows by the kernel, everything else by the connection's uplink."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from gulou.sensing.adapters.mqtt.endpoint.fast.part import Entry, Part
from gulou.sensing.adapters.mqtt.endpoint.reading import Answer
from gulou.sensing.adapters.mqtt.endpoint.uplink import Message, Uplink


class Collector(Protocol):
    """Where a lane's bytes and rows go."""

    def receive(self, lane: Lane, data: bytes) -> None:
        """Take bytes; they are read when the loop's turn ends."""

    def turn(self) -> None:
        """Read what has come now."""

    def carry(self, part: Part) -> None:
        """Give the intake rows that had to wait."""

    def flush(self) -> None:
        """Send what waits, unless something is under way."""


class Line(Protocol):
    """What a lane needs of its connection."""

    version: int

    def is_open(self) -> bool:
        """Tell whether the conversation goes on."""

    def room(self) -> int:
        """Return how many more messages may come before the peer has broken its word."""

    def take_frames(self, data: bytes) -> None:
        """Take whole frames, or the beginning of one that is refused, the general way."""

    def taken(self, count: int) -> None:
        """Note that the bytes that came are worked off, ``count`` messages of them by the kernel."""

    def write_acks(self, data: bytes) -> None:
        """Send PUBACKs."""

    def made_room(self) -> None:
        """Note that messages have been finished."""


@dataclass(slots=True, eq=False)
class _General:
    """A message that waits for the uplink until the rows before it are acknowledged."""

    message: Message
    after: int


@dataclass(slots=True, eq=False)
class _Kept:
    """Rows that wait until so many general messages are durable."""

    part: Part
    barrier: int


class Lane:
    """Keeps a connection's messages in order. Lives on the endpoint's loop.

    - Rows reach the log after the readings of general messages before them, and before those of general messages
      behind them. Answers to commands hold up no rows.
    - Acknowledgements leave in the order of the messages. Source: MQTT 5.0 §4.6.0

    Attributes:
        incoming: bytes that came since the last turn, from the beginning of a frame on.
        gone: the connection is closed.
        waiting_bytes: of messages that the kernel took and that are not yet durable.
    """

    def __init__(self, gatherer: Collector, line: Line, uplink: Uplink, device_id: str) -> None:
        self.line = line
        self.device_id = device_id
        self.incoming = b""
        self.rest = b""
        self.large: bytearray | None = None
        self.large_needs = 0
        self.gone = False
        self._gatherer = gatherer
        self._uplink = uplink
        self._queue: deque[_Kept | _General] = deque()
        self._queued_generals = 0
        self._queued_parts = 0
        self._generals = 0
        self._barrier = 0
        self.waiting_bytes = 0
        self._taken = 0
        self._acknowledged = 0
        self._held: deque[Entry] = deque()
        self._out: list[bytes] = []
        self._idle: asyncio.Future[None] | None = None

    @property
    def unfinished(self) -> int:
        """Messages that are not yet durable and acknowledged, but for those in the uplink."""
        return self._taken - self._acknowledged + self._queued_generals

    @property
    def generals(self) -> int:
        """How many messages have gone the general way."""
        return self._generals

    @property
    def is_free(self) -> bool:
        """Tell whether rows may go to the log at once."""
        return not self._queued_parts and self._generals_done() >= self._barrier

    def receive(self, data: bytes) -> None:
        """Take bytes; they are read at the end of the loop's turn, with those of all others."""
        self._gatherer.receive(self, data)

    def put(self, message: Message) -> None:
        """Take a message the general way, behind all that came before it."""
        self._generals += 1
        if not isinstance(message.content, Answer):
            self._barrier = self._generals
        if not self._queue and self._acknowledged == self._taken:
            self._uplink.put(message)
        else:
            self._queue.append(_General(message, self._taken))
            self._queued_generals += 1

    def count(self, messages: int, size: int) -> None:
        """Note messages that the kernel took, and their bytes."""
        self._taken += messages
        self.waiting_bytes += size

    def hold_back(self, part: Part) -> None:
        """Keep rows until the general messages before them are durable."""
        self._queue.append(_Kept(part, self._barrier))
        self._queued_parts += 1

    def done(self, entry: Entry) -> None:
        """Note that messages are durable, or given up."""
        if self._held or entry.behind > self._generals_done():
            self._held.append(entry)
        else:
            self._settle(entry)

    def acknowledge(self) -> None:
        """Send the acknowledgements that are due, in one write, and go on with what waits."""
        if self._out:
            self.line.write_acks(b"".join(self._out) if len(self._out) > 1 else self._out[0])
            self._out.clear()
        if self._queue:
            self._advance()
        if self._idle is not None and not self.unfinished:
            self._idle.set_result(None)
            self._idle = None
        self.line.made_room()

    def went_on(self) -> None:
        """Note that the uplink has finished messages."""
        done = self._generals_done()
        while self._held and self._held[0].behind <= done:
            self._settle(self._held.popleft())
        self.acknowledge()
        self._gatherer.flush()

    def leave(self) -> None:
        """Note that the connection is gone; what it sent before is read."""
        while self.incoming:
            self._gatherer.turn()
        self.gone = True

    async def finish(self) -> None:
        """Wait until all that has come is durable and acknowledged."""
        while self.incoming:
            self._gatherer.turn()
        while self.unfinished:
            if self._idle is None:
                self._idle = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._idle)

    def _settle(self, entry: Entry) -> None:
        self._acknowledged += entry.count
        self.waiting_bytes -= entry.size
        if entry.acks:
            self._out.append(entry.acks)

    def _generals_done(self) -> int:
        return self._generals - self._queued_generals - self._uplink.unfinished

    def _advance(self) -> None:
        """Let go what no longer has to wait."""
        while self._queue:
            head = self._queue[0]
            if isinstance(head, _Kept):
                if self._generals_done() < head.barrier:
                    return
                self._queued_parts -= 1
                self._gatherer.carry(head.part)
            else:
                if self._acknowledged < head.after:
                    return
                self._queued_generals -= 1
                self._uplink.put(head.message)
                self._uplink.flush()
            self._queue.popleft()
