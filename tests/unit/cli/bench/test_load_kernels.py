"""The load generator's kernels, against the product's own reading of MQTT: compiled and plain."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from gulou.cli.bench import frames
from gulou.cli.bench.load_kernels import build, take_acks
from gulou.kernel.clock import from_rfc3339, to_rfc3339
from gulou.sensing.adapters.mqtt.codec import Framer, PubAck, Publish, encode

SECOND = "2026-07-01T08:00:00."
NOW_NS = 5_000_000


def plain(function):
    return getattr(function, "py_func", function)


class State:
    def __init__(self, names=("a", "bb", "x" * 90), ids=1_000):
        topics = [frames.topic_bytes(f"gulou/{name}/readings") for name in names]
        self.topics = np.frombuffer(b"".join(topics), np.uint8)
        self.topic_at = np.cumsum([0, *map(len, topics)])
        self.next_id, self.unacked = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self.sent_ns = np.zeros((1, ids), np.int64)
        self.next_topic, self.first, self.last = np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([len(names)])

    def build(self, function, count, micros=0, whole=0, room=100_000):
        out = np.zeros(room, np.uint8)
        second = np.frombuffer(SECOND.encode(), np.uint8)
        given = (self.next_id, self.unacked, self.sent_ns, self.next_topic, self.topics, self.topic_at)
        end, made = function(out, 0, 0, count, *given, self.first, self.last, NOW_NS, second, micros, whole)
        return out[:end].tobytes(), made


@pytest.mark.parametrize("function", [build, plain(build)])
@given(count=some.integers(0, 200), micros=some.integers(0, 999_000), whole=some.sampled_from([0, 3]))
def test_frames_are_what_the_product_reads(function, count, micros, whole):
    data, made = State().build(function, count, micros, whole)
    packets = list(Framer(10_000).feed(data))

    assert made == len(packets) == count
    names = ["a", "bb", "x" * 90]
    for index, packet in enumerate(packets):
        assert isinstance(packet, Publish)
        assert (packet.topic, packet.qos, packet.packet_id) == (f"gulou/{names[index % 3]}/readings", 1, index + 1)
        body = json.loads(packet.payload)
        at_us = from_rfc3339(SECOND[:-1] + "Z") + min(micros + index, 999_999)
        assert from_rfc3339(body["observedAt"]) == at_us
        assert to_rfc3339(at_us)
        assert whole + 0.5 <= body["waterLevel"] < whole + 0.6


def test_it_stops_when_the_room_or_the_ids_are_used_up():
    state = State(ids=11)
    assert state.build(build, 50)[1] == 10
    assert state.build(build, 50)[1] == 0
    assert State().build(build, 50, room=300)[1] == 1


@pytest.mark.parametrize("function", [take_acks, plain(take_acks)])
def test_acknowledgements_are_taken_once_and_timed(function):
    state, micros = State(), np.zeros(100, np.int64)
    state.build(build, 3)
    data = b"".join(encode(PubAck(number), 4) for number in (1, 2, 2, 900)) + b"\x40\x02\x00"
    array = np.frombuffer(data, np.uint8)

    assert function(array, 0, 0, NOW_NS + 7_000, state.unacked, state.sent_ns, micros) == (16, 2)
    assert (micros[7], micros.sum(), state.unacked[0]) == (2, 2, 1)
