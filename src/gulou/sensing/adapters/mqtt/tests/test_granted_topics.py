"""Messages between devices: only what is granted, and all that MQTT says about delivering it."""

from __future__ import annotations

import pytest

from gulou.sensing.adapters.mqtt.codec import (
    PUBCOMP,
    PUBREC,
    PUBREL,
    Disconnect,
    PubAck,
    Publish,
    Qos2Step,
    Reason,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from gulou.sensing.sdk import Mapping
from gulou.sensing.sdk.contract import eventually

pytestmark = pytest.mark.integration
QUIET_S = 0.2


def hear(peer, *filters, qos=2, properties=None, **options):
    requests = tuple(SubscriptionRequest(one, qos, **options) for one in filters)
    peer.put(Subscribe(peer.new_id(), requests, properties or {}))
    return peer.expect(SubAck).reasons


def heard(peer, timeout_s=QUIET_S):
    """Return what came, answered as a device does."""
    got = []
    while (publish := peer.expect(Publish, timeout_s)) is not None:
        got.append(publish)
        if publish.qos == 1:
            peer.put(PubAck(publish.packet_id))
        if publish.qos == 2:
            peer.put(Qos2Step(PUBREC, publish.packet_id))
            peer.expect(Qos2Step)
            peer.put(Qos2Step(PUBCOMP, publish.packet_id))
    return got


def say(peer, topic, payload, qos=1, **more):
    """Publish, and go the whole way of the acknowledgement; returns its reason."""
    peer.publish(topic, payload, qos, **more)
    if qos == 1:
        return peer.expect(PubAck).reason
    if qos == 2:
        received = peer.expect(Qos2Step)
        peer.put(Qos2Step(PUBREL, received.packet_id))
        return peer.expect(Qos2Step).reason
    return None


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_reaches_who_is_granted_its_topic(rooms, serve, enter, version, qos):
    adapter = serve()
    lamp, door = enter(adapter, "lamp", version=version), enter(adapter, "door", version=version)
    assert hear(lamp, "rooms/+/door") == (2,)
    say(door, "rooms/7/door", b"open", qos)
    assert [(one.topic, one.payload, one.qos, one.retain) for one in heard(lamp)] == [
        ("rooms/7/door", b"open", qos, False)
    ]
    assert adapter.counters.values().relayed == 1
    assert rooms.intake.submissions == []


def test_a_stranger_neither_hears_nor_speaks(rooms, serve, enter):
    adapter = serve()
    lamp, stranger = enter(adapter, "lamp"), enter(adapter, "stranger")
    assert hear(stranger, "rooms/#", "#", "+/+") == (Reason.NOT_AUTHORISED, 2, Reason.NOT_AUTHORISED)
    hear(lamp, "rooms/#")
    say(lamp, "rooms/7", b"for lamps", retain=True)
    assert say(stranger, "rooms/7", b"from nobody") == Reason.NOT_AUTHORISED
    assert hear(stranger, "#") == (2,)
    assert heard(stranger) == []
    assert [one.payload for one in heard(lamp)] == [b"for lamps"]
    assert rooms.intake.codes() == ["payload.topic_unknown"]


def test_readings_and_commands_are_nobody_elses_whatever_is_granted(rooms, serve, enter):
    rooms.grant("ear", "#,gulou/#,gulou/lamp/readings", "#,gulou/#")
    adapter = serve()
    ear, lamp = enter(adapter, "ear"), enter(adapter, "lamp")
    assert hear(ear, "#", "gulou/lamp/readings") == (2, Reason.NOT_AUTHORISED)
    assert say(lamp, "gulou/lamp/readings", b'{"level": 1}') == 0
    assert say(ear, "gulou/lamp/commands", b"{}") == Reason.NOT_AUTHORISED
    assert heard(ear) == []


def test_a_grant_that_is_taken_back_counts_at_once(rooms, serve, enter):
    adapter = serve()
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    hear(lamp, "rooms/#")
    rooms.grant("lamp", "", "")
    say(door, "rooms/7", b"open")
    assert heard(lamp) == []


def test_several_labels_grant_together_and_nonsense_grants_nothing(rooms, serve, enter, caplog):
    rooms.grant("panel", "one/#, two", "")
    panel = rooms.devices.find_device("panel")
    panel.labels.update({"mqtt.subscribe.2": "three/+", "mqtt.subscribe.x": "bad/#/filter", "mqtt.subscriber": "four"})
    peer = enter(serve(), "panel")
    assert hear(peer, "one/a", "two", "three/b") == (2, 2, 2)
    assert hear(peer, "four", "bad/a") == (Reason.NOT_AUTHORISED,) * 2
    assert "bad/#/filter" in caplog.text


def test_one_copy_at_the_best_qos_with_all_identifiers(serve, enter):
    adapter = serve()
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    hear(lamp, "rooms/#", qos=0, properties={"subscription_identifier": 456_789})
    hear(lamp, "rooms/+", qos=1, properties={"subscription_identifier": 2})
    say(door, "rooms/7", b"x", 2)
    (publish,) = heard(lamp)
    assert publish.qos == 1
    assert sorted(publish.properties["subscription_identifier"]) == [2, 456_789]


def test_no_local(serve, enter):
    adapter = serve()
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    for peer in (lamp, door):
        hear(peer, "rooms/#", no_local=True)
    say(lamp, "rooms/7", b"x")
    assert (len(heard(lamp)), len(heard(door))) == (0, 1)


def test_request_and_response_with_everything_that_is_passed_on(serve, enter):
    adapter = serve()
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    hear(door, "rooms/ask")
    hear(lamp, "rooms/answer")
    properties = {
        "payload_format_indicator": 1,
        "content_type": "text/plain",
        "response_topic": "rooms/answer",
        "correlation_data": b"7",
        "user_property": [("a", "2"), ("a", "3")],
    }
    say(lamp, "rooms/ask", b"who?", properties=properties)
    (asked,) = heard(door)
    assert asked.properties == properties
    say(door, asked.properties["response_topic"], b"me", properties={"correlation_data": b"7"})
    assert [(one.payload, one.properties) for one in heard(lamp)] == [(b"me", {"correlation_data": b"7"})]


def test_retained_messages_go_to_who_is_granted_them_and_can_be_cleared(serve, enter):
    adapter = serve()
    lamp, door, stranger = (enter(adapter, name) for name in ("lamp", "door", "stranger"))
    for qos in (0, 1, 2):
        say(door, f"rooms/{qos}", b"kept", qos, retain=True)
    hear(stranger, "#")
    hear(lamp, "rooms/+")
    assert [(one.topic, one.qos, one.retain) for one in heard(lamp)] == [
        (f"rooms/{qos}", qos, True) for qos in (0, 1, 2)
    ]
    assert heard(stranger) == []
    say(door, "rooms/1", b"", retain=True)
    heard(lamp)
    hear(lamp, "rooms/+")
    assert sorted(one.topic for one in heard(lamp)) == ["rooms/0", "rooms/2"]


@pytest.mark.parametrize(("handling", "first", "second"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_retain_handling(serve, enter, handling, first, second):
    adapter = serve()
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    say(door, "rooms/7", b"kept", retain=True)
    hear(lamp, "rooms/+", retain_handling=handling)
    assert len(heard(lamp)) == first
    hear(lamp, "rooms/+", retain_handling=handling)
    assert len(heard(lamp)) == second


def test_retain_as_published(serve, enter):
    adapter = serve()
    lamp, door, bell = (enter(adapter, name) for name in ("lamp", "door", "bell"))
    hear(lamp, "rooms/#", retain_as_published=True)
    hear(bell, "rooms/#")
    say(door, "rooms/7", b"x", retain=True)
    assert [one.retain for one in heard(lamp) + heard(bell)] == [True, False]


def test_what_has_no_room_to_be_retained_is_delivered_and_counted(serve, enter):
    adapter = serve(max_retained=1)
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    say(door, "rooms/1", b"kept", retain=True)
    say(door, "rooms/2", b"not kept", retain=True)
    assert adapter.counters.values().relay_dropped == 1
    hear(lamp, "rooms/#")
    assert [one.topic for one in heard(lamp)] == ["rooms/1"]


def test_a_shared_subscription_gives_each_message_to_one(serve, enter):
    adapter = serve()
    lamp, bell, door, stranger = (enter(adapter, name) for name in ("lamp", "bell", "door", "stranger"))
    for peer in (lamp, bell):
        assert hear(peer, "$share/group/rooms/#") == (2,)
    assert hear(stranger, "$share/group/rooms/#") == (Reason.NOT_AUTHORISED,)
    for number in range(6):
        say(door, "rooms/7", b"%d" % number)
    assert sorted(len(heard(peer)) for peer in (lamp, bell)) == [3, 3]
    lamp.close()
    assert eventually(lambda: adapter.counters.values().connections == 3)
    say(door, "rooms/7", b"last")
    assert [one.payload for one in heard(bell)] == [b"last"]


def test_messages_wait_for_a_session_that_is_away(serve, enter):
    adapter = serve()
    stay = {"clean_start": False, "properties": {"session_expiry_interval": 60}}
    lamp, door = enter(adapter, "lamp", **stay), enter(adapter, "door")
    hear(lamp, "rooms/#")
    lamp.put(Disconnect())
    assert lamp.wait_closed(10)
    for qos in (0, 1, 2):
        say(door, "rooms/7", b"%d" % qos, qos)
    again = enter(adapter, "lamp", **stay)
    assert again.connack.session_present
    assert [(one.payload, one.qos) for one in heard(again)] == [(b"1", 1), (b"2", 2)]


def test_more_than_the_bound_does_not_wait_and_is_counted(serve, enter):
    adapter = serve(max_queued=3)
    stay = {"clean_start": False, "properties": {"session_expiry_interval": 60}}
    lamp, door = enter(adapter, "lamp", **stay), enter(adapter, "door")
    hear(lamp, "rooms/#")
    lamp.close()
    assert eventually(lambda: adapter.counters.values().connections == 1)
    for number in range(5):
        say(door, "rooms/7", b"%d" % number)
    assert [one.payload for one in heard(enter(adapter, "lamp", **stay))] == [b"0", b"1", b"2"]
    assert adapter.counters.values().relay_dropped == 2


def test_what_has_expired_is_not_delivered_and_what_is_left_of_the_time_is_said(serve, enter):
    adapter = serve()
    stay = {"clean_start": False, "properties": {"session_expiry_interval": 60}}
    lamp, door = enter(adapter, "lamp", **stay), enter(adapter, "door")
    hear(lamp, "rooms/#")
    lamp.close()
    assert eventually(lambda: adapter.counters.values().connections == 1)
    say(door, "rooms/7", b"over", properties={"message_expiry_interval": 0})
    say(door, "rooms/7", b"not yet", properties={"message_expiry_interval": 50})
    (publish,) = heard(enter(adapter, "lamp", **stay))
    assert publish.payload == b"not yet"
    assert 40 <= publish.properties["message_expiry_interval"] <= 50


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_not_confirmed_comes_again_with_its_identifier(serve, enter, qos):
    adapter = serve()
    stay = {"clean_start": False, "properties": {"session_expiry_interval": 60}}
    lamp, door = enter(adapter, "lamp", **stay), enter(adapter, "door")
    hear(lamp, "rooms/#")
    say(door, "rooms/7", b"x", qos)
    first = lamp.expect(Publish)
    lamp.close()
    again = enter(adapter, "lamp", **stay)
    second = again.expect(Publish)
    assert (second.packet_id, second.duplicate, second.payload) == (first.packet_id, True, b"x")


def test_an_exchange_of_qos_2_goes_on_where_it_stopped(serve, enter):
    adapter = serve()
    stay = {"clean_start": False, "properties": {"session_expiry_interval": 60}}
    lamp, door = enter(adapter, "lamp", **stay), enter(adapter, "door")
    hear(lamp, "rooms/#")
    say(door, "rooms/7", b"x", 2)
    first = lamp.expect(Publish)
    lamp.put(Qos2Step(PUBREC, first.packet_id))
    assert lamp.expect(Qos2Step) == Qos2Step(PUBREL, first.packet_id)
    lamp.close()
    again = enter(adapter, "lamp", **stay)
    assert again.expect(Qos2Step) == Qos2Step(PUBREL, first.packet_id)
    again.put(Qos2Step(PUBCOMP, first.packet_id))
    assert heard(again) == []


def test_steps_for_identifiers_that_nobody_knows_are_answered_so(serve, enter):
    lamp = enter(serve(), "lamp")
    lamp.put(Qos2Step(PUBREC, 77))
    assert lamp.expect(Qos2Step) == Qos2Step(PUBREL, 77, Reason.PACKET_ID_UNKNOWN)
    lamp.put(Qos2Step(PUBREL, 78))
    assert lamp.expect(Qos2Step) == Qos2Step(PUBCOMP, 78, Reason.PACKET_ID_UNKNOWN)


def test_the_devices_receive_maximum_is_kept_to(serve, enter):
    adapter = serve()
    lamp, door = enter(adapter, "lamp", properties={"receive_maximum": 2}), enter(adapter, "door")
    hear(lamp, "rooms/#")
    for number in range(4):
        say(door, "rooms/7", b"%d" % number)
    first, second = lamp.expect(Publish), lamp.expect(Publish)
    assert lamp.expect(Publish, QUIET_S) is None
    lamp.put(PubAck(first.packet_id))
    assert lamp.expect(Publish).payload == b"2"
    lamp.put(PubAck(second.packet_id))
    assert lamp.expect(Publish).payload == b"3"


def test_the_devices_maximum_packet_size_is_kept_to(serve, enter):
    adapter = serve()
    lamp, door = enter(adapter, "lamp", properties={"maximum_packet_size": 64}), enter(adapter, "door")
    hear(lamp, "rooms/#")
    for payload in (b"." * 60, b"." * 30):
        say(door, "rooms/7", payload)
    assert [len(one.payload) for one in heard(lamp)] == [30]


def test_topics_are_replaced_by_aliases_as_far_as_the_device_takes_them(serve, enter):
    adapter = serve()
    lamp, door = enter(adapter, "lamp", properties={"topic_alias_maximum": 1}), enter(adapter, "door")
    hear(lamp, "rooms/#")
    for topic in ("rooms/7", "rooms/7", "rooms/8"):
        say(door, topic, b"x")
    got = [(one.topic, one.properties.get("topic_alias")) for one in heard(lamp)]
    assert got == [("rooms/7", 1), ("", 1), ("rooms/8", None)]


def test_topics_with_a_dollar_are_not_for_wildcards(serve, enter):
    adapter = serve()
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    assert hear(lamp, "#", "+/7", "$rooms/7") == (2, 2, 2)
    say(door, "$rooms/7", b"x")
    (publish,) = heard(lamp)
    assert publish.properties == {}


def test_a_message_to_devices_is_a_reading_too_where_a_mapping_says_so(rooms, serve, enter):
    text = """
mapping: rooms
format: json
match: ["rooms/+room/level"]
entity: {type: WaterLevelObserved, id: "{room}"}
time: received
values: [{column: lvl, property: waterLevel}]
"""
    context = rooms.context()
    context.mappings.replace("test", [Mapping.parse(text, "f.yaml")])
    rooms.context = lambda: context
    adapter = serve()
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    hear(lamp, "rooms/#")
    assert say(door, "rooms/7/level", b'{"lvl": 1.5}') == 0
    assert len(heard(lamp)) == 1
    assert rooms.intake.codes() == ["device.not_bound"]
