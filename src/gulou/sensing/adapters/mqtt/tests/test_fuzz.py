"""Whatever bytes come: a rejected record, a protocol error to that client alone, or a closed connection.

The bytes are conversations that make sense, changed by chance (cut, doubled, swapped, flipped, with lengths that lie),
and packets that make sense in an order that does not. At the end nothing is left of any of them.
"""

from __future__ import annotations

import logging
import random
import socket
from contextlib import suppress

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gulou.sensing.adapters.mqtt import MqttAdapter, MqttSettings
from gulou.sensing.adapters.mqtt.codec import (
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    PingReq,
    PubAck,
    Publish,
    Qos2Step,
    Subscribe,
    SubscriptionRequest,
    Unsubscribe,
    Will,
    encode,
)
from gulou.sensing.adapters.mqtt.tests.conftest import Rooms
from gulou.sensing.adapters.mqtt.tests.mqtt_peer import MqttPeer
from gulou.sensing.sdk.contract import DEVICE, OTHER, OTHER_SECRET, SECRET, eventually

pytestmark = pytest.mark.integration
READINGS = f"gulou/{DEVICE}/readings"
ROUNDS = 150


def conversation(version):
    """Return what a device says that uses everything there is."""
    rich = {"user_property": [("a", "b")], "topic_alias": 1, "content_type": "x", "message_expiry_interval": 9}
    will = Will("rooms/w", b"gone", 2, True, {"will_delay_interval": 1} if version == 5 else {})
    opening = {"session_expiry_interval": 1, "receive_maximum": 5, "topic_alias_maximum": 3}
    packets = [
        Connect("fuzz", version, False, 30, DEVICE, SECRET.encode(), will, opening if version == 5 else {}),
        Subscribe(1, (SubscriptionRequest(f"gulou/{DEVICE}/commands", 1), SubscriptionRequest("rooms/#", 2))),
        Publish(READINGS, b'{"level": 1.5}', 1, 2),
        Publish(READINGS, b'{"level": 1.5, "observedAt": "2026-07-01T08:00:00Z"}', 1, 3),
        Publish(READINGS, b'[{"level": 1}, {"level": 2}]', 0),
        Publish("rooms/1", b"x" * 300, 2, 4, True, False, rich if version == 5 else {}),
        Qos2Step(6, 4),
        Publish("rooms/2", b"y", 1, 5, True),
        Publish(f"gulou/{DEVICE}/acks", b'{"id": "cmd-1", "ok": true}', 1, 6),
        PubAck(1),
        Qos2Step(5, 2),
        Qos2Step(7, 2),
        PingReq(),
        Unsubscribe(7, ("rooms/#", "never")),
        Disconnect(4 if version == 5 else 0),
    ]
    return [encode(packet, version) for packet in packets]


def mutated(frames, chance):
    """Change a conversation in one of the ways in which bytes go wrong."""
    frames = list(frames)
    kept = 1 if chance.random() < 0.8 else 0  # mostly past the sign-in
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(kept, len(frames))
        frame = bytearray(frames[at] or b"\x00")
        way = chance.randrange(8)
        if way == 0:
            frame[chance.randrange(len(frame))] = chance.randrange(256)
        elif way == 1:
            frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
        elif way == 2:
            del frame[chance.randrange(len(frame)) :]
        elif way == 3:
            frame[1:2] = chance.choice([b"\xff\xff\xff\x7f", b"\x80\x00", b"\xff\xff\xff\xff\xff", b"\x00"])
        elif way == 4:
            place = chance.randrange(len(frame))
            frame[place:place] = chance.randbytes(chance.randint(1, 40))
        elif way == 5:
            other = chance.randrange(kept, len(frames))
            frames[at], frames[other] = frames[other], bytes(frame)
            continue
        elif way == 6:
            frame *= chance.randint(2, 50)
        else:
            frame = bytearray(chance.randbytes(chance.randint(1, 200)))
        frames[at] = bytes(frame)
    return b"".join(frames)


@pytest.fixture(params=[True, False], ids=["fast", "general"])
def place(request, tmp_path, caplog):
    """A house and its endpoint; at the end nothing may be left of anybody, and nothing may have gone wrong inside."""
    caplog.set_level(logging.ERROR)
    rooms = Rooms(tmp_path)
    labels = {"mqtt.subscribe": "rooms/#", "mqtt.publish": "rooms/#"}
    rooms.devices.add(msgspec.structs.replace(rooms.devices.find_device(DEVICE), labels=labels), SECRET)
    limits = {"max_queued": 50, "connections_per_s": 100_000, "failed_sign_ins_per_min": 1_000_000}
    adapter = MqttAdapter(MqttSettings(port=0, fast=request.param, session_expiry_s=1, **limits), rooms.context())
    rooms.commands.send = adapter.send
    adapter.start()
    other = MqttPeer(adapter.addresses["mqtt"], OTHER, OTHER_SECRET)
    yield rooms, adapter
    assert other.send({"level": 1.0})
    other.close()
    endpoint = adapter._endpoint
    assert eventually(lambda: adapter.counters.values().connections == 0)
    assert eventually(lambda: len(endpoint._sessions) == len(endpoint._wills) == 0)
    left = [endpoint._connections, endpoint._checking, endpoint._leaving, endpoint._buckets, endpoint.exchange._tree]
    assert [len(one) for one in left] == [0] * len(left)
    assert endpoint.exchange.queued_bytes == 0
    assert rooms.devices.online == {DEVICE: False, OTHER: False} or DEVICE not in rooms.devices.online
    adapter.stop()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def talk(adapter, data, pieces=1):
    """Send bytes, read until the other side has had its say, and go."""
    step = max(1, len(data) // pieces)
    with socket.create_connection(adapter.addresses["mqtt"], 10) as raw:
        raw.settimeout(0.02)
        with suppress(OSError):
            for begin in range(0, len(data), step):
                raw.sendall(data[begin : begin + step])
            while raw.recv(65_536):
                pass


@pytest.mark.parametrize("version", [4, 5])
def test_changed_conversations(place, version):
    _, adapter = place
    chance = random.Random(version)
    frames = conversation(version)
    for _ in range(ROUNDS):
        talk(adapter, mutated(frames, chance), chance.choice([1, 2, 7]))


@pytest.mark.parametrize("version", [4, 5])
def test_the_conversation_itself_is_understood(place, version):
    """Otherwise the changed ones would show nothing."""
    rooms, adapter = place
    talk(adapter, b"".join(conversation(version)))
    assert eventually(lambda: adapter.counters.values().connections == 1)
    assert adapter.counters.values().protocol_errors == 0
    assert eventually(lambda: len(rooms.intake.readings) == 4)
    assert adapter.counters.values().relayed >= 2
    assert rooms.intake.codes() == ["command.unknown"]


TOPICS = st.sampled_from([READINGS, f"gulou/{DEVICE}/senml", f"gulou/{OTHER}/readings", "rooms/1", "x", "gulou/", "$x"])
FILTERS = st.sampled_from(["#", "rooms/+", f"gulou/{DEVICE}/commands", "$share/g/rooms/#", "a/#/b", "", "$share/", "+"])
PAYLOADS = st.sampled_from(
    [b"", b'{"level": 1}', b'{"level": 1e999}', b"[[[[", b"\xff" * 20, b'{"level": "x"}', b"null"]
)
IDS = st.integers(1, 3)


@st.composite
def publishes(draw):
    qos = draw(st.integers(0, 2))
    properties = draw(
        st.fixed_dictionaries(
            {}, optional={"topic_alias": st.integers(0, 70), "response_topic": TOPICS, "content_type": st.text("ab")}
        )
    )
    number = draw(IDS) if qos else None
    topic = "" if draw(st.booleans()) and "topic_alias" in properties else draw(TOPICS)
    return Publish(
        topic, draw(PAYLOADS), qos, number, draw(st.booleans()), bool(qos) and draw(st.booleans()), properties
    )


requests = st.builds(SubscriptionRequest, FILTERS, st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 2))
packets = st.one_of(
    publishes(),
    st.builds(PubAck, IDS),
    st.builds(Qos2Step, st.integers(5, 7), IDS, st.sampled_from([0, 0x80, 0x92])),
    st.builds(Subscribe, IDS, st.lists(requests, min_size=1, max_size=3).map(tuple)),
    st.builds(Unsubscribe, IDS, st.lists(FILTERS, min_size=1, max_size=2).map(tuple)),
    st.sampled_from([PingReq(), ConnAck(0), Auth(), Disconnect(), Connect("again", 5)]),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(packets, max_size=12), st.booleans())
def test_packets_in_an_order_that_makes_no_sense(place, sequence, clean):
    _, adapter = place
    opening = Connect("fuzz", 5, clean, 30, DEVICE, SECRET.encode(), None, {"session_expiry_interval": 1})
    talk(adapter, b"".join(encode(packet, 5) for packet in [opening, *sequence]))
