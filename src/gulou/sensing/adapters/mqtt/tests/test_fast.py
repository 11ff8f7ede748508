"""The quick way and the general way have the same outcome, whatever comes and however it is cut."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some

from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.intake import Flaw
from gulou.kernel.clock import VirtualClock, from_rfc3339
from gulou.kernel.errors import Invalid, Unavailable
from gulou.sensing.adapters.mqtt import MqttSettings
from gulou.sensing.adapters.mqtt.codec import (
    V5,
    Connect,
    Disconnect,
    Framer,
    PingReq,
    PubAck,
    Publish,
    Reason,
    Subscribe,
    SubscriptionRequest,
    encode,
)
from gulou.sensing.adapters.mqtt.endpoint import Endpoint
from gulou.sensing.adapters.mqtt.endpoint.connection import Connection
from gulou.sensing.adapters.mqtt.endpoint.fast import gatherer as gatherer_module
from gulou.sensing.adapters.mqtt.endpoint.fast import kernel, survey
from gulou.sensing.sdk import AdapterContext, Counters
from gulou.sensing.sdk.columns import ByteTable
from gulou.sensing.sdk.contract import builtin_vocabulary
from gulou.sensing.sdk.memory import MemoryDevices, MemoryIntake

NOW = from_rfc3339("2026-07-01T08:00:00Z")
KIND = "WaterLevelObserved"
LEVEL = {"waterLevel": 1.25}


class CheckedIntake(MemoryIntake):
    """Asks the vocabulary as the real one does, answers late if told so, and counts how numbers came."""

    def __init__(self, devices, late_s=0.0):
        super().__init__(devices)
        self.late_s = late_s
        self.by_columns = 0
        self.most = 10**9

    def submit(self, submission):
        if not self.late_s:
            return super().submit(submission)
        made = super().submit(submission)
        future = type(made)()
        asyncio.get_running_loop().call_later(self.late_s, lambda: future.set_result(made.result()))
        return future

    def submit_columns(self, submission):
        if len(submission.columns) > self.most:
            raise Invalid("intake.too_large", readings=len(submission.columns), limit=self.most)
        self.by_columns += len(submission.columns)
        return super().submit_columns(submission)

    def _take_reading(self, payload, reading):
        try:
            builtin_vocabulary().check(reading.entity_type, reading.property, reading.value, reading.unit_code)
        except Invalid as error:
            self.rejected.append((payload, Flaw(error.code, error.params)))
            return
        value = builtin_vocabulary().check(reading.entity_type, reading.property, reading.value, reading.unit_code)
        super()._take_reading(
            payload, type(reading)(*(*key_of(reading), value, reading.observed_at_us, None, None, reading.device_id))
        )


def key_of(reading):
    return reading.entity_id, reading.entity_type, reading.property


class Transport(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.written = bytearray()
        self.closed = self.paused = False
        self.writes = 0

    def get_extra_info(self, name, default=None):
        return ("127.0.0.1", 1) if name == "peername" else default

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def write(self, data):
        self.writes += 1
        self.written += data

    def write_eof(self):
        pass

    def get_write_buffer_size(self):
        return 0

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def close(self):
        self.closed = True

    abort = close


def make_devices():
    devices = MemoryDevices()

    def bound(id_, *bindings, **more):
        devices.add(Device(id=id_, name=id_, adapter="mqtt", bindings=bindings, **more), "secret")

    def urn(name):
        return f"urn:ngsi-ld:{KIND}:{name}"

    bound("gateway", kind="gateway")
    bound("star", Binding(urn("star"), KIND), gateway_id="gateway")
    bound("feet", Binding(urn("feet"), KIND, "level", "waterLevel", "[ft_i]"), gateway_id="gateway")
    bound("水", Binding(urn("zh"), KIND, "水位", "waterLevel"), gateway_id="gateway")
    bound(
        "twice",
        Binding(urn("twice"), KIND, "a", "waterLevel"),
        Binding(urn("twice"), KIND, "b", "waterLevel"),
        gateway_id="gateway",
    )
    bound("off", Binding(urn("off"), KIND), gateway_id="gateway", enabled=False)
    bound("mapped", Binding(urn("mapped"), KIND), gateway_id="gateway", mapping="none-such")
    bound("stranger", Binding(urn("stranger"), KIND))
    bound("pump", Binding("urn:ngsi-ld:Pump:p", "Pump"), gateway_id="gateway")
    return devices


class Bench:
    """One connection of a gateway, without a socket; ``fast`` or not."""

    def __init__(self, fast, version=4, late_s=0.0, **more):
        self.loop = asyncio.new_event_loop()
        self.clock = VirtualClock(NOW)
        self.devices = make_devices()
        self.intake = CheckedIntake(self.devices, late_s)
        context = AdapterContext(
            self.intake, self.devices, self.devices, clock=self.clock, vocabulary=builtin_vocabulary()
        )
        self.endpoint = Endpoint(MqttSettings(fast=fast, **more), context, Counters(), ("mqtt", "mqtt/1"))
        self.endpoint._loop = self.loop
        self.endpoint.store.open()
        self.endpoint.gather_on(self.loop)
        self.version = version
        self.connection, self.transport = self.join("gateway")

    def join(self, device_id):
        connection, transport = Connection(self.endpoint), Transport()

        async def open_it():
            connection.connection_made(transport)
            connection.state, connection.version = "checking", self.version
            connection._framer.version = self.version
            connect = Connect(device_id, self.version, username=device_id, password=b"secret")
            connection.admitted(connect, device_id, Reason.SUCCESS)

        self.loop.run_until_complete(open_it())
        transport.written.clear()
        return connection, transport

    def feed(self, *chunks, settle=True):
        async def run():
            for chunk in chunks:
                if not self.transport.closed:
                    self.connection.data_received(chunk)
                if settle:
                    await self.quiet()
            await self.quiet()

        self.loop.run_until_complete(run())

    async def quiet(self):
        for _ in range(5):
            await asyncio.sleep(0)
        while self.connection.unfinished:
            await asyncio.sleep(0.0005)
        for _ in range(5):
            await asyncio.sleep(0)

    def packets(self):
        return list(Framer(10**7, self.version).feed(bytes(self.transport.written)))

    def acks(self):
        return [packet.packet_id for packet in self.packets() if isinstance(packet, PubAck)]

    def outcome(self):
        rejected = [(p.raw, p.address, p.device_id, flaw.code, str(flaw.params)) for p, flaw in self.intake.rejected]
        return {
            "readings": [
                (r.entity_id, r.property, r.value, r.observed_at_us, r.device_id) for r in self.intake.readings
            ],
            "rejected": sorted(rejected, key=str),
            "acks": self.acks(),
            # A client that uses an id again before it was acknowledged cannot tell whose refusal it reads.
            "reasons": sorted((p.packet_id, p.reason) for p in self.packets() if isinstance(p, PubAck)),
            "other": [packet for packet in self.packets() if not isinstance(packet, PubAck)],
            "closed": self.transport.closed,
            "counted": self.endpoint.counters.values().accepted,
        }

    def close(self):
        self.endpoint._gate.shutdown(wait=True)
        self.endpoint._desk.shutdown(wait=True)
        self.endpoint.store.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


@pytest.fixture
def benches():
    made = []

    def make(*arguments, **more):
        made.append(Bench(*arguments, **more))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


def publish(device, values, number=1, qos=1, leaf="readings", **more):
    payload = values if isinstance(values, bytes) else json.dumps(values).encode()
    return Publish(f"gulou/{device}/{leaf}", payload, qos, number if qos else None, **more)


# --- what may come -------------------------------------------------------------------------------------------------

blanks = some.sampled_from(["", "", "", " ", "\n\t", "\r\n  "])
texts = some.sampled_from(
    [
        "1",
        "1.5",
        "-0.0",
        "-0",
        "0",
        "12.25",
        "1e2",
        "1E-3",
        "2e400",
        "1e-400",
        "NaN",
        "Infinity",
        "01",
        "1.",
        ".5",
        "+1",
        "9007199254740993",
        "123456789012345678901",
        "0.1234567890123456789",
        "null",
        "true",
        '"text"',
        '""',
        "{}",
        "[]",
        '{"value": 1}',
        "[1]",
        "1 2",
        "-",
        "",
    ]
)
numbers = some.one_of(some.floats(0, 20).map(repr), some.integers(0, 50).map(str), some.floats().map(repr), texts)
channels = some.sampled_from(
    [
        '"waterLevel"',
        '"waterLevel"',
        '"level"',
        '"水位"',
        '"a"',
        '"b"',
        '"activePower"',
        '"temperature"',
        '"nothing"',
        '"water\\u004cevel"',
        '"wa\\"ter"',
        '""',
        "waterLevel",
        '"water',
        '"location"',
        '"powerState"',
    ]
)
moments = some.sampled_from(
    [
        '"2026-07-01T07:59:00Z"',
        '"2026-07-01T07:58:00.5Z"',
        '"2026-07-01T15:59:30+08:00"',
        '"2026-07-01 07:57:00Z"',
        '"2026-07-01T07:59:00"',
        '"yesterday"',
        "null",
        "5",
        '"2026-02-30T00:00:00Z"',
        '"2026-07-01T07:56Z"',
        '""',
    ]
)
members = some.one_of(
    some.tuples(channels, numbers), some.tuples(channels, numbers), some.tuples(some.just('"observedAt"'), moments)
)


@some.composite
def objects(draw):
    pairs = draw(some.lists(members, max_size=4))
    space = draw(blanks)
    inside = f"{space},{space}".join(f"{space}{key}{space}:{space}{value}{space}" for key, value in pairs)
    return f"{space}{{{inside}}}{space}" + draw(some.sampled_from(["", "", "", ",", "x", "{}"]))


good = some.builds(
    lambda value, at: json.dumps({"waterLevel": value, "observedAt": f"2026-07-01T07:{at:02}:00Z"}),
    some.floats(0, 20),
    some.integers(0, 59),
)
payloads = some.one_of(
    good.map(str.encode),
    good.map(str.encode),
    objects().map(str.encode),
    some.lists(objects(), max_size=2).map(lambda parts: f"[{','.join(parts)}]".encode()),
    some.binary(max_size=20),
)
devices = some.sampled_from(
    ["star"] * 4 + ["feet", "水", "twice", "off", "mapped", "stranger", "pump", "gateway", "unknown"]
)
leaves = some.sampled_from(["readings"] * 8 + ["senml", "acks", "commands", "readings/x"])
publishes = some.builds(
    lambda device, leaf, payload, qos, number, dup, retain, properties: Publish(
        f"gulou/{device}/{leaf}", payload, qos, number if qos else None, retain, dup and qos > 0, properties
    ),
    devices,
    leaves,
    payloads,
    some.sampled_from([0, 1, 1, 1]),
    some.integers(1, 65_534),
    some.booleans(),
    some.sampled_from([False] * 15 + [True]),
    some.sampled_from([{}] * 8 + [{"content_type": "application/json"}, {"topic_alias": 3}]),
)
easy = some.builds(
    lambda device, channel, value, at, qos, number: publish(
        device, {channel: value, "observedAt": f"2026-07-01T07:{at:02}:00Z"}, number, qos
    ),
    some.sampled_from(["star", "feet"]),
    some.sampled_from(["waterLevel", "level"]),
    some.floats(0, 20),
    some.integers(0, 59),
    some.sampled_from([0, 1, 1]),
    some.integers(1, 65_534),
)
packets = some.one_of(
    easy,
    easy,
    easy,
    easy,
    publishes,
    publishes,
    publishes,
    publishes,
    some.just(PingReq()),
    some.builds(PubAck, some.integers(1, 9)),
    some.just(Subscribe(7, (SubscriptionRequest("gulou/+/commands", 1),))),
    some.just(Publish("gulou/star/readings", b'{"waterLevel": 1}', 2, 65_535)),
)


@some.composite
def streams(draw):
    version = draw(some.sampled_from([4, V5]))
    data = b"".join(encode(packet, version) for packet in draw(some.lists(packets, min_size=1, max_size=12)))
    data += draw(
        some.sampled_from(
            [b""] * 6 + [b"\x00", b"\x32\xff\xff\xff\xff", b"\x30\x01\x00", b"\xe0\x00", b"\x32\x90\x4e\x00"]
        )
    )
    cuts = sorted(draw(some.lists(some.integers(0, len(data)), max_size=5)))
    chunks = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
    return version, chunks, draw(some.booleans())


@given(stream=streams(), late_s=some.sampled_from([0.0, 0.0005]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(stream=(4, [encode(publish("star", b'{"waterLevel":1,"waterLevel":2}'), 4)], True), late_s=0.0)
@example(stream=(4, [encode(publish("star", b'{"waterLevel":1}'), 4) * 3], True), late_s=0.0)
def test_both_ways_have_the_same_outcome(stream, late_s):
    version, chunks, settle = stream
    outcomes = []
    for fast in (True, False):
        bench = Bench(fast, version, late_s)
        bench.feed(*chunks, settle=settle)
        outcomes.append(bench.outcome())
        bench.close()
    assert outcomes[0] == outcomes[1]


# --- what is behind it ---------------------------------------------------------------------------------------------


def level(minute, value=1.25):
    return {"waterLevel": value, "observedAt": f"2026-07-01T07:{minute:02}:00Z"}


def test_numbers_go_as_columns_and_many_are_acknowledged_by_one_write(benches):
    bench = benches(True)
    bench.feed(b"".join(encode(publish("star", level(n), n + 1), 4) for n in range(50)))
    assert bench.intake.by_columns == 50
    assert bench.acks() == list(range(1, 51))
    assert bench.transport.writes - 1 <= 1 + 1  # CONNACK came before
    assert len(bench.intake.submissions) == 1


def test_with_it_off_everything_goes_as_objects(benches):
    bench = benches(False)
    bench.feed(encode(publish("star", level(1)), 4))
    assert (bench.intake.by_columns, len(bench.intake.readings)) == (0, 1)


def test_what_comes_while_the_log_syncs_gathers_from_all_connections(benches):
    bench = benches(True)
    other, _ = bench.join("stranger")
    bench.intake.hold()

    async def run():
        bench.connection.data_received(encode(publish("star", level(0)), 4))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for minute in range(1, 5):
            bench.connection.data_received(encode(publish("star", level(minute), minute + 1), 4))
            other.data_received(encode(publish("stranger", level(minute), minute), 4))
            await asyncio.sleep(0)
        assert bench.intake.held == 2
        bench.intake.release()
        await bench.quiet()

    bench.loop.run_until_complete(run())
    assert [len(one.payloads) for one in bench.intake.submissions] == [1, 2, 6]
    assert bench.acks() == [1, 2, 3, 4, 5]


def test_a_general_message_keeps_its_place_among_rows(benches):
    bench = benches(True, late_s=0.001)
    frames = [
        encode(publish("star", level(1), 1), 4),
        encode(publish("star", [level(2)], 2), 4),
        encode(publish("star", level(3), 3), 4),
        encode(publish("star", b"?", 4), 4),
        encode(publish("star", level(5), 5), 4),
    ]
    bench.feed(b"".join(frames))
    assert [reading.observed_at_us for reading in bench.intake.readings] == [
        from_rfc3339(f"2026-07-01T07:{minute:02}:00Z") for minute in (1, 2, 3, 5)
    ]
    assert bench.acks() == [1, 2, 3, 4, 5]
    assert bench.intake.by_columns == 3


def test_an_answer_to_a_command_holds_up_no_rows_but_their_acknowledgements(benches):
    bench = benches(True)
    waiting = bench.endpoint._desk.submit
    held = []
    bench.endpoint._desk.submit = lambda *call: held.append((bench.loop.create_future(), call)) or asyncio_future(held)

    async def run():
        bench.connection.data_received(encode(publish("star", b'{"id": "cmd-1"}', 1, leaf="acks"), 4))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.connection.data_received(encode(publish("star", level(1), 2), 4))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(bench.intake.readings) == 1
        assert bench.acks() == []
        bench.endpoint._desk.submit = waiting
        for future in pending:
            future.set_result(None)
        await bench.quiet()

    pending = []

    def asyncio_future(_held):
        from concurrent.futures import Future

        pending.append(Future())
        return pending[-1]

    bench.loop.run_until_complete(run())
    assert bench.acks() == [1, 2]


def test_a_device_that_changes_is_looked_up_anew(benches):
    bench = benches(True)
    bench.feed(encode(publish("star", level(1)), 4))
    moved = Binding("urn:ngsi-ld:WaterLevelObserved:elsewhere", KIND)
    bench.devices.add(Device(id="star", name="star", adapter="mqtt", bindings=(moved,), gateway_id="gateway"))
    bench.feed(encode(publish("star", level(2), 2), 4))
    bench.devices.add(Device(id="star", name="star", adapter="mqtt", bindings=(moved,), gateway_id="stranger"))
    bench.feed(encode(publish("star", level(3), 3), 4))
    assert [reading.entity_id.rpartition(":")[2] for reading in bench.intake.readings] == ["star", "elsewhere"]
    assert bench.intake.codes() == ["payload.topic_denied"]
    assert bench.intake.by_columns == 2


def test_a_changed_gateway_still_speaks_for_its_devices(benches):
    bench = benches(True)
    bench.feed(encode(publish("star", level(1)), 4))
    bench.devices.add(Device(id="gateway", name="new name", adapter="mqtt", kind="gateway"), "secret")
    bench.feed(encode(publish("star", level(2), 2), 4))
    assert bench.intake.by_columns == 2


def test_a_series_of_another_device_goes_as_objects(benches):
    bench = benches(True)
    bench.intake.series.number_of(f"urn:ngsi-ld:{KIND}:star", KIND, "waterLevel", "another")
    bench.feed(encode(publish("star", level(1)), 4))
    assert (bench.intake.by_columns, len(bench.intake.readings)) == (0, 1)


def test_who_has_sent_is_told_to_the_registry(benches):
    bench = benches(True)
    bench.feed(encode(publish("star", level(1)), 4))
    bench.endpoint._hand_over_presence()
    bench.endpoint._hand_over_presence()
    bench.endpoint._desk.shutdown(wait=True)
    assert bench.devices.heard == {"star"}


def test_unavailable_drops_qos_0_and_tries_qos_1_again(benches):
    bench = benches(True)
    bench.intake.unavailable = Unavailable("intake.full", waiting=1, limit=1)
    frames = [
        encode(publish("star", level(1), 1), 4),
        encode(publish("star", level(2), qos=0), 4),
        encode(publish("star", level(3), 3), 4),
    ]

    async def run():
        bench.connection.data_received(b"".join(frames))
        for _ in range(5):
            await asyncio.sleep(0)
        assert bench.intake.dropped == {"intake.full": 1}
        assert bench.acks() == []
        bench.intake.unavailable = None
        await bench.quiet()

    bench.loop.run_until_complete(run())
    assert bench.acks() == [1, 3]
    assert len(bench.intake.readings) == 2
    assert bench.endpoint.counters.values().dropped == 1


def test_what_a_lost_connection_had_sent_is_stored_if_there_is_room(benches):
    bench = benches(True)

    async def run():
        bench.connection.data_received(encode(publish("star", level(1), 1), 4))
        bench.connection.connection_lost(None)
        await bench.quiet()

    bench.loop.run_until_complete(run())
    assert len(bench.intake.readings) == 1
    assert bench.acks() == []


def test_what_a_lost_connection_had_sent_is_given_up_if_there_is_none(benches):
    bench = benches(True)
    bench.intake.unavailable = Unavailable("intake.full", waiting=1, limit=1)

    async def run():
        bench.connection.data_received(encode(publish("star", level(1), 1), 4))
        bench.connection.connection_lost(None)
        await bench.quiet()

    bench.loop.run_until_complete(run())
    assert bench.intake.readings == []
    assert bench.intake.dropped == {}


def test_a_submission_that_is_too_large_goes_in_pieces(benches):
    bench = benches(True)
    bench.intake.most = 3
    bench.feed(b"".join(encode(publish("star", level(n), n + 1), 4) for n in range(10)))
    assert bench.acks() == list(range(1, 11))
    assert [reading.observed_at_us for reading in bench.intake.readings] == [
        from_rfc3339(f"2026-07-01T07:{minute:02}:00Z") for minute in range(10)
    ]


def test_reading_pauses_when_too_much_is_unfinished_and_goes_on_later(benches):
    bench = benches(True, max_inflight=5)
    bench.intake.hold()

    async def run():
        bench.connection.data_received(b"".join(encode(publish("star", level(n), n + 1), 4) for n in range(6)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert bench.transport.paused
        bench.intake.release()
        await bench.quiet()

    bench.loop.run_until_complete(run())
    assert not bench.transport.paused


def test_the_receive_maximum_of_version_5_holds(benches):
    bench = benches(True, V5, max_inflight=5)
    bench.intake.hold()

    async def run():
        bench.connection.data_received(b"".join(encode(publish("star", level(n), n + 1), V5) for n in range(6)))
        for _ in range(5):
            await asyncio.sleep(0)
        assert bench.packets() == [Disconnect(Reason.RECEIVE_MAXIMUM_EXCEEDED)]
        bench.intake.release()
        await bench.quiet()

    bench.loop.run_until_complete(run())
    assert len(bench.intake.readings) == 5


@pytest.mark.parametrize("fast", [True, False])
def test_a_large_message_in_small_pieces_costs_no_more_than_its_bytes(benches, fast):
    bench = benches(fast)
    rows = [{"waterLevel": 1.0, "observedAt": f"2026-07-01T{n // 60:02}:{n % 60:02}:00Z"} for n in range(480)]
    data = encode(publish("star", rows), 4) + encode(publish("star", level(1, 7.0), 2), 4)
    bench.feed(*[data[at : at + 7] for at in range(0, len(data), 7)], settle=False)
    assert bench.acks() == [1, 2]
    assert len(bench.intake.readings) == 481


def test_the_kernel_stops_when_its_room_is_full_and_goes_on(benches, monkeypatch):
    monkeypatch.setattr(gatherer_module, "_MOST_ROWS", 100)
    bench = benches(True)
    bench.feed(b"".join(encode(publish("star", level(n), n + 1), 4) for n in range(59)) * 3)
    assert len(bench.acks()) == 177


def test_a_rejected_row_brings_its_own_bytes(benches):
    bench = benches(True)
    frames = [encode(publish("star", level(n, value), n + 1), 4) for n, value in enumerate([1.0, 1e9, 2.0, 1e8])]
    bench.feed(b"".join(frames))
    assert [(p.raw, p.address, p.device_id) for p, _ in bench.intake.rejected] == [
        (json.dumps(level(n, value)).encode(), "gulou/star/readings", "star") for n, value in ((1, 1e9), (3, 1e8))
    ]


# --- the kernel itself ---------------------------------------------------------------------------------------------


def run_kernel(function, data, version):
    topics, channels = ByteTable(), ByteTable()
    topics.put(b"gulou/star/readings", 1)
    channels.put(b"waterLevel", 0, 1)
    channels.put(b"level", 1, 1)
    pieces = np.zeros((1, kernel.PIECE_COLUMNS), np.int64)
    pieces[0, :5] = (0, len(data), 0, version, 1_000)
    out = (
        np.zeros(999, np.int32),
        np.zeros(999, np.int64),
        np.zeros(999),
        np.zeros((99, 5), np.int64),
        np.zeros(999, np.uint8),
    )
    seen = np.zeros(4, np.int64)
    made = function(
        np.frombuffer(data, np.uint8),
        pieces,
        1,
        NOW,
        10_000,
        topics.slots,
        topics.keys,
        channels.slots,
        channels.keys,
        np.array([-1, 0, -1, -1]),
        seen,
        np.array([5, 6], np.int32),
        np.array([1.0, 0.3048]),
        np.array([0.0, 1.0]),
        *out,
    )
    return [int(one) for one in made], pieces.tolist(), [one.tolist() for one in out], seen.tolist()


@given(stream=streams())
@settings(max_examples=100, deadline=None)
def test_compiled_and_plain_read_alike(stream):
    version, chunks, _ = stream
    data = b"".join(chunks)
    plain = getattr(kernel.read_pieces, "py_func", kernel.read_pieces)
    assert run_kernel(kernel.read_pieces, data, version) == run_kernel(plain, data, version)


def test_without_the_compiler_the_outcome_is_the_same():
    file = __file__
    code = (
        "import runpy, sys\n"
        f"names = runpy.run_path({file!r})\n"
        "bench = names['Bench'](True)\n"
        "bench.feed(*[names['encode'](names['publish']('star', names['level'](n), n + 1), 4) for n in range(3)])\n"
        "print(bench.intake.by_columns, bench.acks())\n"
        "bench.close()\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"GULOU_COMPILED": "0"},
        check=True,
    )
    assert made.stdout.strip() == "3 [1, 2, 3]"


def test_many_new_devices_in_one_packet_are_learned_in_one_go(benches, monkeypatch):
    bench = benches(True)
    calls = []
    real = gatherer_module.read_pieces
    monkeypatch.setattr(gatherer_module, "read_pieces", lambda *given: calls.append(1) or real(*given))
    frames = []
    for number in range(200):
        binding = Binding(f"urn:ngsi-ld:{KIND}:new-{number}", KIND)
        device = Device(id=f"new-{number}", name="new", adapter="mqtt", bindings=(binding,), gateway_id="gateway")
        bench.devices.add(device)
        frames.append(encode(publish(device.id, level(number % 60), number + 1), 4))
    bench.feed(b"".join(frames))
    assert (bench.intake.by_columns, len(calls)) == (200, 2)


def test_learning_lets_others_have_a_turn(benches, monkeypatch):
    monkeypatch.setattr(gatherer_module, "_LONGEST_TURN_S", -1.0)
    bench = benches(True)
    scheduled = []
    call_soon = bench.loop.call_soon

    def note(callback, *arguments, **options):
        scheduled.append(getattr(callback, "__name__", ""))
        return call_soon(callback, *arguments, **options)

    monkeypatch.setattr(bench.loop, "call_soon", note)
    frames = []
    for number in range(50):
        binding = Binding(f"urn:ngsi-ld:{KIND}:new-{number}", KIND)
        bench.devices.add(
            Device(id=f"new-{number}", name="new", adapter="mqtt", bindings=(binding,), gateway_id="gateway")
        )
        frames.append(encode(publish(f"new-{number}", level(number), number + 1), 4))
    bench.feed(b"".join(frames))
    assert scheduled.count("turn") == 2  # what was learned in the first is read in the second
    assert bench.acks() == list(range(1, 51))


def test_what_is_unknown_is_found_the_same_way_compiled_and_plain():
    frames = [
        encode(publish("known", b'{"waterLevel":1.5,"new":2}', 1), 4),
        encode(publish("other", b' {"a" : 1, "observedAt":"2026-07-01T08:00:00Z" , "b":-2e3}', 2), 4),
        encode(publish("other", b'{"text":"no number","c":1}'), 4),
        encode(publish("other", b'{"d":1,"e\\n":2,"f":3}'), 4),
        encode(publish("other", b"{"), 4),
        encode(PingReq(), 4),
    ]
    topics, channels = ByteTable(), ByteTable()
    topics.put(b"gulou/known/readings", 3)
    channels.put(b"waterLevel", 0, 3)
    data = b"".join(frames)
    for function in {survey.find_unknown, getattr(survey.find_unknown, "py_func", survey.find_unknown)}:
        for most in (0, 2, 20):
            found = np.zeros((most, survey.FOUND_COLUMNS), np.int64)
            array = np.frombuffer(data, np.uint8)
            count = function(array, 0, len(data), 4, topics.slots, topics.keys, channels.slots, channels.keys, found)
            names = [
                (data[topic:topic_end], data[key:key_end], owner)
                for topic, topic_end, key, key_end, owner in found.tolist()
            ]
            wanted = [(b"known", b"new", 3), (b"other", b"a", -1), (b"other", b"b", -1), (b"other", b"d", -1)]
            assert (
                names[:count] == [(b"gulou/%s/readings" % device, key, owner) for device, key, owner in wanted][:most]
            )


@given(data=some.binary(max_size=80))
def test_whatever_comes_is_surveyed_within_its_bounds(data):
    table, found = ByteTable(), np.zeros((4, survey.FOUND_COLUMNS), np.int64)
    array = np.frombuffer(data, np.uint8)
    plain = getattr(survey.find_unknown, "py_func", survey.find_unknown)
    for version in (4, 5):
        count = plain(array, 0, len(data), version, table.slots, table.keys, table.slots, table.keys, found)
        assert 0 <= found[:count, :4].min(initial=0) <= found[:count, :4].max(initial=0) <= len(data)
