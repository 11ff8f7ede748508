"""The load generator, a process of its own: ``python -m gulou.cli.bench``.

Reads one JSON ``Roster`` from standard input, connects, then answers each ``StepOrder`` line with a ``StepResult``
line. Sender and receiver of a probe are this one process, so both ends of a duration are read from one clock. A message
counts as sent when it is due, also when the socket has no room for it yet.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from gulou.cli.bench import frames
from gulou.cli.bench.load_kernels import LONGEST_FRAME, build, take_acks
from gulou.cli.bench.model import Roster, Spread, StepOrder, StepResult
from gulou.kernel.clock import to_rfc3339

_TURN_NS = 1_000_000
_CONNECT_WITHIN_S = 60.0
_GRACE_S = 10.0
_AFTERMATH_S = 60.0
_LOW, _HIGH = 0, 3
_MOST_TOGETHER = 2_048
_LONGEST_QUEUE = 4 * 2**20
_RECEIVE = 262_144
_IDS_OF_FEW, _IDS_OF_MANY, _FEW = 60_000, 4_096, 32
_FIRST_ANSWER, _LAST_ANSWER = 60_001, 65_000
_SUBSCRIBE_ID = 65_535
_LONGEST_MICROS = 5_000_000


class Connection:
    """One gateway's connection."""

    def __init__(self, number: int, peer: socket.socket) -> None:
        self.number = number
        self.socket = peer
        self.ready = False
        self.rest = b""
        self.queue: deque[bytes] = deque()
        self.queued = 0

    def send(self, data: bytes | memoryview) -> None:
        """Send, or queue what the socket has no room for."""
        if not self.queue:
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
        self.queue.append(bytes(data))
        self.queued += len(data)

    def flush(self) -> None:
        """Send what is queued, as far as it goes."""
        while self.queue:
            head = self.queue[0]
            try:
                sent = self.socket.send(head)
            except BlockingIOError:
                return
            self.queued -= sent
            if sent < len(head):
                self.queue[0] = head[sent:]
                return
            self.queue.popleft()


class Load:
    """All connections together.

    Args:
        single: each message in a packet of its own.
    """

    def __init__(self, roster: Roster, peers: Sequence[socket.socket], *, single: bool = False) -> None:
        count = len(peers)
        self._single = single
        self._connections = [Connection(number, peer) for number, peer in enumerate(peers)]
        self._senders = [
            connection
            for connection, gateway in zip(self._connections, roster.gateways, strict=True)
            if gateway.sensors
        ]
        self._by_descriptor = {one.socket.fileno(): one for one in self._connections}
        self._poll = select.epoll()
        for descriptor in self._by_descriptor:
            self._poll.register(descriptor, select.EPOLLIN)
        ids = _IDS_OF_FEW if count <= _FEW else _IDS_OF_MANY
        self._next_id: NDArray[np.int64] = np.zeros(count, np.int64)
        self._unacked: NDArray[np.int64] = np.zeros(count, np.int64)
        self._sent_ns: NDArray[np.int64] = np.zeros((count, ids), np.int64)
        self._micros: NDArray[np.int64] = np.zeros(_LONGEST_MICROS, np.int64)
        self._lay_out_topics(roster)
        self._probes = deque(
            (number, probe, pump)
            for gateway, number in zip(roster.gateways, range(count), strict=True)
            for probe, pump in gateway.probes
        )
        self._probe_of = {
            pump: (number, probe)
            for gateway, number in zip(roster.gateways, range(count), strict=True)
            for probe, pump in gateway.probes
        }
        self._high: deque[tuple[int, str, str]] = deque()
        """Probes that could not be sent a low level yet."""
        self._crossed_ns: dict[str, int] = {}
        self._loop_ms: list[float] = []
        self._sent = self._acked = self._crossings = self._commands = self._answers = 0
        self._turn_of = 0
        self._out: NDArray[np.uint8] = np.zeros(_MOST_TOGETHER * LONGEST_FRAME, np.uint8)
        self._second = -1
        self._second_text: NDArray[np.uint8] = np.zeros(20, np.uint8)

    def _lay_out_topics(self, roster: Roster) -> None:
        """Put the topics of the sensors of each connection behind one another, then those of the probes."""
        names = [name for gateway in roster.gateways for name in gateway.sensors]
        probes = [probe for gateway in roster.gateways for probe, _ in gateway.probes]
        topics = [frames.topic_bytes(f"gulou/{name}/readings") for name in [*names, *probes]]
        self._topics = np.frombuffer(b"".join(topics), np.uint8)
        self._topic_at = np.cumsum([0, *map(len, topics)])
        ends = np.cumsum([len(gateway.sensors) for gateway in roster.gateways])
        self._last_topic: NDArray[np.int64] = ends.astype(np.int64)
        self._first_topic: NDArray[np.int64] = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        self._next_topic = self._first_topic.copy()
        self._topic_of = {probe: len(names) + index for index, probe in enumerate(probes)}

    # -- the conversation ----------------------------------------------------------------------------------------

    def open(self, roster: Roster) -> None:
        """Sign in everywhere, and subscribe to the pumps. Raises ConnectionError."""
        for connection, gateway in zip(self._connections, roster.gateways, strict=True):
            connection.send(frames.connect(gateway.id, gateway.id, gateway.secret))
        deadline = time.perf_counter() + _CONNECT_WITHIN_S
        while not all(connection.ready for connection in self._connections):
            if time.perf_counter() > deadline:
                raise ConnectionError("no CONNACK")
            self._hear(0.01)

    def _hear(self, wait_s: float) -> None:
        """Take what has come, and send what had to wait."""
        for descriptor, _ in self._poll.poll(wait_s):
            connection = self._by_descriptor[descriptor]
            try:
                data = connection.socket.recv(_RECEIVE)
            except BlockingIOError:
                continue
            if not data:
                raise ConnectionError("the server closed a connection")
            self._take(connection, connection.rest + data if connection.rest else data, time.perf_counter_ns())

    def _take(self, connection: Connection, data: bytes, now_ns: int) -> None:
        array = np.frombuffer(data, np.uint8)
        at = 0
        while True:
            at, taken = take_acks(array, at, connection.number, now_ns, self._unacked, self._sent_ns, self._micros)
            self._acked += taken
            if at == len(data) or (data[at] == 0x40 and at + 4 > len(data)):
                break
            found = frames.first(data, at)
            if found is None:
                break
            kind, flags, body, at = found
            self._follow(connection, kind, flags, body, now_ns)
        connection.rest = data[at:]

    def _follow(self, connection: Connection, kind: int, flags: int, body: bytes, now_ns: int) -> None:
        if kind == frames.PUBLISH:
            self._obey(connection, *frames.read_publish(flags, body), now_ns)
        elif kind == frames.CONNACK:
            if body[1] != 0:
                raise ConnectionError(f"CONNACK {body[1]}")
            pumps = [pump for pump, (number, _) in self._probe_of.items() if number == connection.number]
            if len(pumps) > 1:
                connection.send(frames.subscribe(_SUBSCRIBE_ID, ["gulou/+/commands"]))
            elif pumps:
                connection.send(frames.subscribe(_SUBSCRIBE_ID, [f"gulou/{pumps[0]}/commands"]))
            else:
                connection.ready = True
        elif kind == frames.SUBACK:
            connection.ready = True

    def _obey(self, connection: Connection, topic: str, packet_id: bytes | None, payload: bytes, now_ns: int) -> None:
        """Note a command, acknowledge it, and let the probe fall below the limit again."""
        pump = topic.split("/")[1]
        if packet_id is not None:
            connection.send(frames.puback(packet_id))
        answer = msgspec.json.encode({"id": msgspec.json.decode(payload)["id"], "ok": True, "detail": ""})
        self._answers = self._answers % (_LAST_ANSWER - _FIRST_ANSWER) + 1
        connection.send(frames.publish(frames.topic_bytes(f"gulou/{pump}/acks"), _FIRST_ANSWER + self._answers, answer))
        number, probe = self._probe_of[pump]
        crossed_ns = self._crossed_ns.pop(probe, 0)
        if crossed_ns:
            self._commands += 1
            self._loop_ms.append((now_ns - crossed_ns) / 1e6)
            self._lower(number, probe, pump)

    def _lower(self, number: int, probe: str, pump: str) -> None:
        """Let a probe fall below the limit; without room later, because only from there it can cross again."""
        if self._send_level(number, probe, _LOW):
            self._probes.append((number, probe, pump))
        else:
            self._high.append((number, probe, pump))

    def _lower_the_rest(self) -> None:
        for _ in range(len(self._high)):
            self._lower(*self._high.popleft())

    def _send_level(self, number: int, probe: str, whole: int) -> int:
        """Send one level of one probe; returns when, 0 when there was no room."""
        topic = self._topic_of[probe]
        kept = int(self._next_topic[number])
        self._next_topic[number] = topic
        now_ns = time.perf_counter_ns()
        sent = self._send_some(self._connections[number], 1, now_ns, whole)
        self._next_topic[number] = kept
        return now_ns if sent else 0

    def _send_some(self, connection: Connection, count: int, now_ns: int, whole: int = _LOW) -> int:
        """Send so many readings in one write; returns how many, fewer when the server does not keep up."""
        if connection.queued > _LONGEST_QUEUE:
            return 0
        end, made = self._build(0, connection.number, count, now_ns, whole)
        if made:
            connection.send(memoryview(self._out)[:end])  # type: ignore[arg-type]
        return made

    def _build(self, at: int, number: int, count: int, now_ns: int, whole: int = _LOW) -> tuple[int, int]:
        second, micros = divmod(time.time_ns() // 1_000, 1_000_000)
        if second != self._second:
            self._second = second
            text = to_rfc3339(second * 1_000_000)[:19] + "."
            self._second_text = np.frombuffer(text.encode(), np.uint8)
        end, made = build(
            self._out,
            at,
            number,
            count,
            self._next_id,
            self._unacked,
            self._sent_ns,
            self._next_topic,
            self._topics,
            self._topic_at,
            self._first_topic,
            self._last_topic,
            now_ns,
            self._second_text,
            micros,
            whole,
        )
        self._sent += made
        return end, made

    # -- periods -------------------------------------------------------------------------------------------------

    def step(self, order: StepOrder) -> StepResult:
        """Send for a while at a rate; wait for what is missing; say what was seen."""
        self._settle(_AFTERMATH_S)
        self._begin()
        start_ns = time.perf_counter_ns()
        end_ns = start_ns + int(order.seconds * 1e9)
        due_ns = start_ns
        while (now_ns := time.perf_counter_ns()) < end_ns:
            if now_ns >= due_ns:
                elapsed_s = (now_ns - start_ns) / 1e9
                self._send_due(int(order.rate_per_s * elapsed_s) - self._sent, now_ns)
                if order.probes_per_s * elapsed_s > self._crossings:
                    self._cross()
                due_ns = max(due_ns + _TURN_NS, now_ns)
                self._lower_the_rest()
            for connection in self._connections if not self._single else ():
                if connection.queue:
                    connection.flush()
            self._hear(max(0.0, (due_ns - time.perf_counter_ns()) / 1e9))
        elapsed_s = (time.perf_counter_ns() - start_ns) / 1e9
        waiting, acked = int(self._unacked.sum()), self._acked
        self._settle(_GRACE_S)
        return self._result(order, elapsed_s, waiting, acked)

    def _begin(self) -> None:
        """Count from zero, and forget what was never answered in the last period."""
        self._sent = self._acked = self._crossings = self._commands = 0
        self._loop_ms = []
        self._micros[:] = 0
        if self._unacked.any():
            self._sent_ns[:] = 0
            self._unacked[:] = 0
        for probe in list(self._crossed_ns):
            del self._crossed_ns[probe]
            self._probes += [(number, name, pump) for pump, (number, name) in self._probe_of.items() if name == probe]

    def _send_due(self, due: int, now_ns: int) -> None:
        """Divide what is due among the connections that have sensors."""
        count = len(self._senders)
        if not count:
            return
        if self._single:
            self._send_singles(min(due, _MOST_TOGETHER), now_ns)
            return
        share, rest = divmod(max(due, 0), count)
        for offset in range(count):
            wanted = share + (1 if offset < rest else 0)
            if wanted:
                connection = self._senders[(self._turn_of + offset) % count]
                self._send_some(connection, min(wanted, _MOST_TOGETHER), now_ns)
        self._turn_of = (self._turn_of + rest) % count

    def _send_singles(self, due: int, now_ns: int) -> None:
        """Send one reading a packet, the connections in turn."""
        count = len(self._senders)
        view = memoryview(self._out)  # type: ignore[arg-type]
        for _ in range(due):
            connection = self._senders[self._turn_of]
            self._turn_of = (self._turn_of + 1) % count
            end, made = self._build(0, connection.number, 1, now_ns)
            if made:
                connection.send(view[:end])
                if connection.queue:
                    connection.flush()

    def _cross(self) -> None:
        """Let one probe cross the limit, unless all are still waiting for their commands."""
        if not self._probes:
            return
        number, probe, pump = self._probes.popleft()
        crossed_ns = self._send_level(number, probe, _HIGH)
        if crossed_ns:
            self._crossed_ns[probe] = crossed_ns
            self._crossings += 1
        else:
            self._probes.append((number, probe, pump))

    def _settle(self, within_s: float) -> None:
        """Wait for what is missing, but not for ever."""
        deadline = time.perf_counter() + within_s
        while time.perf_counter() < deadline and (self._crossed_ns or self._high or self._unacked.any()):
            for connection in self._connections:
                connection.flush()
            self._lower_the_rest()
            self._hear(0.005)

    def _result(self, order: StepOrder, elapsed_s: float, waiting: int, acked_in_time: int) -> StepResult:
        return StepResult(
            asked_per_s=order.rate_per_s,
            rate_per_s=round(acked_in_time / elapsed_s, 1),
            sent=self._sent,
            acked=self._acked,
            waiting=waiting,
            probes=self._crossings,
            commands=self._commands,
            unanswered=int(self._unacked.sum()) + len(self._crossed_ns),
            loop_ms=Spread.of(self._loop_ms),
            ack_ms=Spread.of_micros(self._micros),
        )

    def close(self) -> None:
        """Close everything."""
        self._poll.close()
        for connection in self._connections:
            connection.socket.close()


def connect_all(roster: Roster) -> Load:
    """Connect all gateways. Raises OSError."""
    peers = []
    for _ in roster.gateways:
        peer = socket.create_connection((roster.host, roster.port), _CONNECT_WITHIN_S)
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setblocking(False)
        peers.append(peer)
    load = Load(roster, peers, single=roster.single)
    load.open(roster)
    return load


def serve() -> None:
    """Obey the lines of standard input until it ends."""
    load = connect_all(msgspec.json.decode(sys.stdin.buffer.readline(), type=Roster))
    _answer(b"{}")
    for line in sys.stdin.buffer:
        _answer(msgspec.json.encode(load.step(msgspec.json.decode(line, type=StepOrder))))


def _answer(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
