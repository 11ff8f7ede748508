"""Wills: said when a device goes without a farewell, where it may speak; noted with its going in any case."""

from __future__ import annotations

import pytest

from gulou.sensing.adapters.mqtt.codec import Disconnect, Publish, Reason, Subscribe, SubscriptionRequest, Will
from gulou.sensing.adapters.mqtt.tests.mqtt_peer import MqttPeer
from gulou.sensing.sdk.contract import AT, DEVICE, SECRET, eventually

pytestmark = pytest.mark.integration
STAY = {"session_expiry_interval": 60}


def listen(peer, topic_filter):
    peer.put(Subscribe(peer.new_id(), (SubscriptionRequest(topic_filter, 1),)))


def test_a_will_on_a_granted_topic_is_published_and_noted(rooms, serve, enter):
    adapter = serve()
    lamp = enter(adapter, "lamp")
    listen(lamp, "rooms/#")
    properties = {"user_property": [("a", "2")], "content_type": "text/plain"}
    door = enter(adapter, "door", will=Will("rooms/7", b"gone", 1, False, properties))
    door.close()
    publish = lamp.expect(Publish)
    assert (publish.topic, publish.payload, publish.qos, publish.properties) == ("rooms/7", b"gone", 1, properties)
    assert eventually(lambda: rooms.devices.wills == ["rooms/7: gone"])
    assert adapter.counters.values().wills == 1


def test_a_farewell_takes_the_will_back(rooms, serve, enter):
    adapter = serve()
    door = enter(adapter, "door", will=Will("rooms/7", b"gone", 1, False))
    door.put(Disconnect())
    assert eventually(lambda: rooms.devices.online.get("door") is False)
    assert rooms.devices.wills == []


def test_a_farewell_may_ask_for_the_will(rooms, serve, enter):
    door = enter(serve(), "door", will=Will("rooms/7", b"gone", 1, False))
    door.put(Disconnect(Reason.DISCONNECT_WITH_WILL))
    assert eventually(lambda: rooms.devices.wills == ["rooms/7: gone"])


def test_a_will_that_is_a_reading_becomes_one(rooms, serve):
    adapter = serve()
    payload = b'{"level": 0, "observedAt": "%s"}' % AT.encode()
    will = Will(f"gulou/{DEVICE}/readings", payload, 1, False)
    MqttPeer(adapter.addresses["mqtt"], DEVICE, SECRET, will=will).close()
    assert eventually(lambda: rooms.intake.readings)
    assert (rooms.intake.readings[0].value, rooms.intake.readings[0].device_id) == (0, DEVICE)


@pytest.mark.parametrize("topic", ["weather/today", "gulou/lamp/readings", "gulou/door/acks", "gulou/door/status"])
def test_a_will_where_its_device_may_not_speak_is_only_noted(rooms, serve, enter, topic):
    adapter = serve()
    lamp = enter(adapter, "lamp")
    listen(lamp, "#")
    enter(adapter, "door", will=Will(topic, b"\xff\n gone", 1, True)).close()
    assert eventually(lambda: rooms.devices.wills == [f"{topic}: �· gone"])
    assert lamp.expect(Publish, 0.1) is None
    assert rooms.intake.submissions == []


def test_silence_is_a_death(rooms, serve, enter):
    enter(serve(), "door", keep_alive_s=1, will=Will("rooms/7", b"silent", 0, False))
    assert eventually(lambda: rooms.devices.wills == ["rooms/7: silent"])
    assert rooms.devices.reasons == ["keep_alive"]


def test_a_protocol_error_is_a_death(rooms, serve, enter):
    door = enter(serve(), "door", will=Will("rooms/7", b"confused", 0, False))
    door.write(b"\xff\xff\xff\xff\xff")
    assert eventually(lambda: rooms.devices.wills == ["rooms/7: confused"])


def test_who_comes_back_before_the_delay_is_over_has_not_died(rooms, serve, enter):
    adapter = serve()
    will = Will("rooms/7", b"gone", 1, False, {"will_delay_interval": 2})
    enter(adapter, "door", will=will, properties=STAY).close()
    assert eventually(lambda: rooms.devices.online.get("door") is False)
    enter(adapter, "door", clean_start=False, properties=STAY)
    assert eventually(lambda: rooms.devices.online.get("door"))
    assert not eventually(lambda: rooms.devices.wills, 3.0)


@pytest.mark.parametrize(("delay_s", "properties"), [(1, STAY), (60, {}), (60, {"session_expiry_interval": 1})])
def test_a_delayed_will_comes_with_its_delay_or_the_sessions_end(rooms, serve, enter, delay_s, properties):
    adapter = serve()
    lamp = enter(adapter, "lamp")
    listen(lamp, "rooms/#")
    will = Will("rooms/7", b"gone", 1, False, {"will_delay_interval": delay_s})
    enter(adapter, "door", will=will, properties=properties).close()
    publish = lamp.expect(Publish)
    assert (publish.payload, publish.properties) == (b"gone", {})
    assert eventually(lambda: rooms.devices.wills == ["rooms/7: gone"])


@pytest.mark.parametrize(("delay_s", "clean", "said"), [(0, False, 1), (0, True, 1), (9, False, 0), (9, True, 1)])
def test_a_takeover_ends_a_connection_and_only_a_clean_one_a_session(rooms, serve, enter, delay_s, clean, said):
    adapter = serve()
    lamp = enter(adapter, "lamp")
    listen(lamp, "rooms/#")
    enter(adapter, "door", will=Will("rooms/7", b"gone", 1, False, {"will_delay_interval": delay_s}), properties=STAY)
    enter(adapter, "door", clean_start=clean, properties=STAY)
    got = lamp.expect(Publish, 1.0)
    assert (0 if got is None else 1) == said
    assert rooms.devices.online["door"]


def test_the_end_of_the_endpoint_is_nobodys_death(rooms, serve, enter):
    adapter = serve()
    enter(adapter, "door", will=Will("rooms/7", b"gone", 1, False))
    adapter.stop()
    assert rooms.devices.wills == []
    assert adapter.counters.values().wills == 0
