"""What one connection has sent up: at most one submission under way, the rest waits and goes together in the next.

So batches form by themselves while the log syncs, and acknowledgements leave in the order of the messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future

import msgspec

from gulou.connectivity.intake import Flaw, Intake, Payload, Receipt, Submission
from gulou.kernel.errors import Invalid, Unavailable
from gulou.sensing.adapters.mqtt.endpoint.reading import Answer, PublishReader
from gulou.sensing.sdk import Counters

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0
_MOST_IN_ONE = 2_000
_MOST_READINGS = 20_000


class Relayed(msgspec.Struct, frozen=True):
    """A message to other devices: acknowledged once it is kept for those that are away.

    Args:
        kept: None when it need not be kept.
        payload: what it is besides, when a mapping reads it too.
    """

    raw: bytes
    kept: Future[None] | None = None
    payload: Payload | None = None


class Message(msgspec.Struct, frozen=True):
    """One publish at work; ``packet_id`` is None at QoS 0, whose messages nobody waits for."""

    packet_id: int | None
    content: Payload | Answer | Relayed
    came_at_s: float


class Uplink:
    """The way up of one connection. Lives on the endpoint's loop.

    Args:
        acknowledge: called with the packet ids of messages that are durable, in order.
        ready: called when room has become free.
        give_up: called with the packet ids of messages that could not be made durable when their sender was gone.
    """

    def __init__(
        self,
        intake: Intake,
        reader: PublishReader,
        desk: Executor,
        counters: Counters,
        names: tuple[str, str],
        acknowledge: Callable[[list[int]], None],
        ready: Callable[[], None],
        give_up: Callable[[list[int]], None],
    ) -> None:
        self._intake = intake
        self._reader = reader
        self._desk = desk
        self._counters = counters
        self._source, self._adapter = names
        self._acknowledge = acknowledge
        self._ready = ready
        self._give_up = give_up
        self._bytes = 0
        self._waiting: list[Message] = []
        self._under_way = 0
        self._gone = False
        self._task: asyncio.Task[None] | None = None

    @property
    def unfinished(self) -> int:
        """Messages that are not yet durable."""
        return len(self._waiting) + self._under_way

    @property
    def waiting_bytes(self) -> int:
        """Payload bytes of messages that are not yet durable."""
        return self._bytes

    def put(self, message: Message) -> None:
        """Take one message; ``flush`` sends it on its way."""
        self._waiting.append(message)
        self._bytes += len(message.content.raw)

    def flush(self) -> None:
        """Start work on what waits, unless work is going on."""
        if self._waiting and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._work())

    def leave(self) -> None:
        """Note that the connection is gone: what has come is still stored, unless the intake has no room for it now.

        Then the sender, who was told nothing, sends it again.
        """
        self._gone = True
        self.flush()

    async def finish(self) -> None:
        """Wait until everything taken is durable."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})
            self.flush()

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_IN_ONE], self._waiting[_MOST_IN_ONE:]
            self._under_way = len(batch)
            lost = await self._carry(batch)
            self._under_way = 0
            self._bytes -= sum(len(message.content.raw) for message in batch)
            numbers = [message.packet_id for message in batch if message.packet_id is not None]
            if lost:
                self._give_up([number for number in numbers if number in lost])
                numbers = [number for number in numbers if number not in lost]
            if numbers:
                self._acknowledge(numbers)
            self._ready()

    async def _carry(self, batch: list[Message]) -> set[int]:
        """Make a batch durable; returns the packet ids of what was given up because the sender is gone."""
        payloads: list[tuple[Message, Payload]] = []
        for message in batch:
            content: Payload | Answer | Relayed | None = message.content
            if isinstance(content, Answer):
                content = await self._settle(content)
            elif isinstance(content, Relayed):
                if content.kept is not None:
                    await asyncio.wrap_future(content.kept)
                content = content.payload
            if content is not None:
                payloads.append((message, content))
        lost: set[int] = set()
        for group in _groups(payloads):
            lost |= await self._persist(group, batch[0].came_at_s)
        return lost

    async def _persist(self, group: list[tuple[Message, Payload]], came_at_s: float) -> set[int]:
        """Submit until it is durable; only what nobody waits for may be given up, and anything once the sender is gone.

        Returns the packet ids of the latter.
        """
        wait_s = _FIRST_WAIT_S
        while group:
            try:
                await self._submit(group, came_at_s)
            except Unavailable as error:
                group = self._without_qos_0(group, error.code)
                if self._gone:
                    return {message.packet_id for message, _ in group if message.packet_id is not None}
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            except Invalid as error:  # the intake refuses the submission as such; find the one that is to blame
                if len(group) == 1:
                    return await self._persist_refused(*group[0], error, came_at_s)
                return set().union(*[await self._persist([one], came_at_s) for one in group])
            else:
                return set()
        return set()

    async def _persist_refused(self, message: Message, payload: Payload, error: Invalid, came_at_s: float) -> set[int]:
        flaw = Flaw(error.code, error.params)
        refused = Payload(payload.raw, payload.address, (), (flaw,), payload.device_id)
        if payload.flaws == (flaw,):
            self._drop(1, error.code)  # not even its refusal can be written
            return set()
        return await self._persist([(message, refused)], came_at_s)

    async def _settle(self, answer: Answer) -> Payload | None:
        self._counters.command_answered()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._desk, self._reader.settle, answer)

    async def _submit(self, payloads: list[tuple[Message, Payload]], came_at_s: float) -> Receipt:
        submission = Submission(self._source, self._adapter, tuple(payload for _, payload in payloads))
        receipt = await asyncio.wrap_future(self._intake.submit(submission))
        self._counters.took(receipt, asyncio.get_running_loop().time() - came_at_s)
        return receipt

    def _without_qos_0(self, payloads: list[tuple[Message, Payload]], code: str) -> list[tuple[Message, Payload]]:
        """Give up what nobody waits for: it would only make the congestion longer."""
        self._drop(sum(_size(payload) for message, payload in payloads if message.packet_id is None), code)
        return [(message, payload) for message, payload in payloads if message.packet_id is not None]

    def _drop(self, count: int, reason: str) -> None:
        if count:
            self._intake.drop(self._source, count, reason)
            self._counters.dropped(count)


def _groups(payloads: list[tuple[Message, Payload]]) -> list[list[tuple[Message, Payload]]]:
    """Cut into submissions of a size that the intake takes."""
    groups: list[list[tuple[Message, Payload]]] = [[]]
    size = 0
    for one in payloads:
        size += _size(one[1])
        if size > _MOST_READINGS and groups[-1]:
            groups.append([])
            size = _size(one[1])
        groups[-1].append(one)
    return [group for group in groups if group]


def _size(content: Payload | Answer) -> int:
    return len(content.readings) + len(content.flaws) if isinstance(content, Payload) else 0
