"""The load generator, a process of its own: ``python -m gulou.cli.bench``.

Reads one JSON ``Roster`` from standard input, connects, then answers each ``StepOrder`` line with a ``StepResult``
line. Sender and receiver of a probe are this one process, so both ends of a duration are read from one clock.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import deque
from typing import cast

import msgspec

from gulou.cli.bench import frames
from gulou.cli.bench.model import Roster, RosterGateway, Spread, StepOrder, StepResult
from gulou.kernel.clock import to_rfc3339

_TURN_S = 0.002
_CONNECT_WITHIN_S = 30.0
_GRACE_S = 10.0
_AFTERMATH_S = 60.0
_LOW, _HIGH = 0.5, 3.0
_WRITE_LIMIT = 4 * 2**20
_IDS = 65_535
_ROSTER_BYTES = 64 * 2**20


class Tally:
    """What one period has seen so far; times are ``perf_counter_ns``."""

    def __init__(self) -> None:
        self.sent = self.acked = self.probes = self.commands = 0
        self.ack_ms: list[float] = []
        self.loop_ms: list[float] = []


class Connection(asyncio.Protocol):
    """One gateway's connection."""

    def __init__(self, gateway: RosterGateway) -> None:
        self.gateway = gateway
        self.tally = Tally()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unacked = 0
        self._buffer = bytearray()
        self._sent_ns = [0] * (_IDS + 1)
        self._next_id = 0
        self._topics = itertools.cycle([frames.topic_bytes(f"gulou/{name}/readings") for name in gateway.sensors])
        self._probes = deque(gateway.probes)
        self._crossed_ns: dict[str, int] = {}
        self._probe_of = {pump: probe for probe, pump in gateway.probes}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of its own classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(frames.connect(self.gateway.id, self.gateway.id, self.gateway.secret))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionError("refused"))

    def data_received(self, data: bytes) -> None:
        now_ns = time.perf_counter_ns()
        self._buffer += data
        for kind, flags, body in frames.split(self._buffer):
            if kind == frames.PUBACK:
                self._note_ack(int.from_bytes(body[:2], "big"), now_ns)
            elif kind == frames.PUBLISH:
                self._obey(*frames.read_publish(flags, body), now_ns)
            elif kind == frames.CONNACK:
                self._after_connack(body)
            elif kind == frames.SUBACK and not self.ready.done():
                self.ready.set_result(None)

    def _after_connack(self, body: bytes) -> None:
        if body[1] != 0:
            self.ready.set_exception(ConnectionError(f"CONNACK {body[1]}"))
            return
        pumps = [f"gulou/{pump}/commands" for pump in self._probe_of]
        self._transport.write(frames.subscribe(_IDS, pumps))

    def _note_ack(self, packet_id: int, now_ns: int) -> None:
        sent_ns, self._sent_ns[packet_id] = self._sent_ns[packet_id], 0
        if sent_ns:
            self.unacked -= 1
            self.tally.acked += 1
            self.tally.ack_ms.append((now_ns - sent_ns) / 1e6)

    def _obey(self, topic: str, packet_id: bytes | None, payload: bytes, now_ns: int) -> None:
        """Note a command, acknowledge it, and let the probe fall below the limit again."""
        pump = topic.split("/")[1]
        if packet_id is not None:
            self._transport.write(frames.puback(packet_id))
        command_id = msgspec.json.decode(payload)["id"]
        answer = msgspec.json.encode({"id": command_id, "ok": True, "detail": ""})
        self._transport.write(frames.publish(frames.topic_bytes(f"gulou/{pump}/acks"), self._take_id(), answer))
        probe = self._probe_of[pump]
        crossed_ns = self._crossed_ns.pop(probe, 0)
        if crossed_ns:
            self.tally.commands += 1
            self.tally.loop_ms.append((now_ns - crossed_ns) / 1e6)
            self._transport.write(self._reading(frames.topic_bytes(f"gulou/{probe}/readings"), _LOW))
            self._probes.append((probe, pump))

    def begin(self) -> None:
        """Begin a period: count from zero, and forget what was never answered in the last one."""
        self.tally = Tally()
        if self.unacked:
            self._sent_ns = [0] * (_IDS + 1)
            self.unacked = 0
        pumps = {probe: pump for pump, probe in self._probe_of.items()}
        for probe in list(self._crossed_ns):
            self._crossed_ns.pop(probe)
            self._probes.append((probe, pumps[probe]))

    def send(self, count: int) -> int:
        """Send so many readings in one write; fewer when the server does not keep up. Returns how many."""
        room = min(count, _IDS - 1 - self.unacked)
        if room <= 0 or self._transport.get_write_buffer_size() > _WRITE_LIMIT:
            return 0
        self._transport.write(b"".join([self._reading(next(self._topics), _LOW) for _ in range(room)]))
        return room

    def probe(self) -> bool:
        """Let one probe cross the limit; False when all are still waiting for their commands."""
        if not self._probes:
            return False
        name, _ = self._probes.popleft()
        frame = self._reading(frames.topic_bytes(f"gulou/{name}/readings"), _HIGH)
        self._crossed_ns[name] = time.perf_counter_ns()
        self._transport.write(frame)
        self.tally.probes += 1
        return True

    @property
    def waiting_probes(self) -> int:
        """Probes whose command has not come."""
        return len(self._crossed_ns)

    def _reading(self, topic: bytes, level_m: float) -> bytes:
        packet_id = self._take_id()
        self._sent_ns[packet_id] = time.perf_counter_ns()
        self.unacked += 1
        self.tally.sent += 1
        observed_at = to_rfc3339(time.time_ns() // 1_000)
        payload = f'{{"waterLevel":{level_m + (packet_id % 100) / 1000:.3f},"observedAt":"{observed_at}"}}'
        return frames.publish(topic, packet_id, payload.encode())

    def _take_id(self) -> int:
        """Return a packet id that is not waiting for its acknowledgement."""
        while True:
            self._next_id = self._next_id % (_IDS - 1) + 1
            if not self._sent_ns[self._next_id]:
                return self._next_id


class Load:
    """All connections together."""

    def __init__(self, connections: list[Connection]) -> None:
        self._connections = connections
        self._turns = itertools.cycle(connections)

    async def step(self, order: StepOrder) -> StepResult:
        """Send for a while at a rate; wait for what is missing; say what was seen."""
        await self._settle(_AFTERMATH_S)
        for connection in self._connections:
            connection.begin()
        started = time.perf_counter()
        sent, probed = 0, 0
        while (elapsed := time.perf_counter() - started) < order.seconds:
            sent += self._send(int(order.rate_per_s * elapsed) - sent)
            if order.probes_per_s * elapsed > probed and next(self._turns).probe():
                probed += 1
            await asyncio.sleep(_TURN_S)
        elapsed = time.perf_counter() - started
        waiting = sum(connection.unacked for connection in self._connections)
        acked_in_time = sum(connection.tally.acked for connection in self._connections)
        await self._settle(_GRACE_S)
        return self._result(order, elapsed, waiting, acked_in_time)

    def _send(self, due: int) -> int:
        """Divide what is due among the connections."""
        share, rest = divmod(max(due, 0), len(self._connections))
        if not share:
            return sum(next(self._turns).send(1) for _ in range(rest))
        return sum(connection.send(share) for connection in self._connections)

    async def _settle(self, within_s: float) -> None:
        """Wait for what is missing, but not for ever."""
        deadline = time.perf_counter() + within_s
        for connection in self._connections:
            while time.perf_counter() < deadline and (connection.unacked or connection.waiting_probes):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def _result(self, order: StepOrder, elapsed_s: float, waiting: int, acked_in_time: int) -> StepResult:
        tallies = [connection.tally for connection in self._connections]
        missing = sum(connection.unacked + connection.waiting_probes for connection in self._connections)
        return StepResult(
            asked_per_s=order.rate_per_s,
            rate_per_s=round(acked_in_time / elapsed_s, 1),
            sent=sum(tally.sent for tally in tallies),
            acked=sum(tally.acked for tally in tallies),
            waiting=waiting,
            probes=sum(tally.probes for tally in tallies),
            commands=sum(tally.commands for tally in tallies),
            unanswered=missing,
            loop_ms=Spread.of([value for tally in tallies for value in tally.loop_ms]),
            ack_ms=Spread.of([value for tally in tallies for value in tally.ack_ms]),
        )


async def connect_all(roster: Roster) -> Load:
    """Connect every gateway; raises OSError when one is refused."""
    loop = asyncio.get_running_loop()
    connections = []
    for gateway in roster.gateways:
        _, connection = await loop.create_connection(
            lambda gateway=gateway: Connection(gateway),  # type: ignore[misc]
            roster.host,
            roster.port,
        )
        connections.append(connection)
    async with asyncio.timeout(_CONNECT_WITHIN_S):
        await asyncio.gather(*(connection.ready for connection in connections))
    return Load(connections)


async def serve() -> None:
    """Obey the lines of standard input until it ends."""
    orders = asyncio.StreamReader(limit=_ROSTER_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    load = await connect_all(msgspec.json.decode(await orders.readuntil(), type=Roster))
    _answer(b"{}")
    while line := await orders.readline():
        _answer(msgspec.json.encode(await load.step(msgspec.json.decode(line, type=StepOrder))))


def _answer(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
