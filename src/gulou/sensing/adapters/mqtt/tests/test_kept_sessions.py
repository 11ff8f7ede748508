"""Sessions outlive the endpoint: subscriptions, commands and messages that were not confirmed, retained messages."""

from __future__ import annotations

import sqlite3
from itertools import pairwise

import pytest

from gulou.kernel.errors import Fault
from gulou.sensing.adapters.mqtt.codec import (
    PUBCOMP,
    PUBREC,
    PUBREL,
    PubAck,
    Publish,
    Qos2Step,
    SubAck,
    Subscribe,
    SubscriptionRequest,
)
from gulou.sensing.adapters.mqtt.endpoint.keeping import SessionStore
from gulou.sensing.adapters.mqtt.endpoint.sessions import Outgoing, Session, Subscription
from gulou.sensing.adapters.mqtt.tests.mqtt_peer import MqttPeer
from gulou.sensing.sdk.contract import DEVICE, SECRET, eventually

STAY = {"clean_start": False, "properties": {"session_expiry_interval": 600}}


@pytest.fixture
def again(serve):
    """Stop an adapter and start the next one on the same directory."""

    def make(adapter, **settings):
        adapter.stop()
        return serve(**settings)

    return make


def hear(peer, topic_filter, qos=2):
    peer.put(Subscribe(peer.new_id(), (SubscriptionRequest(topic_filter, qos),)))
    assert peer.expect(SubAck).reasons == (qos,)


@pytest.mark.integration
def test_an_unconfirmed_command_and_its_subscription_outlive_the_endpoint(rooms, serve, again):
    adapter = serve()
    peer = MqttPeer(adapter.addresses["mqtt"], DEVICE, SECRET, version=5, **STAY)
    rooms.commands.request(rooms.command())
    first = peer.expect(Publish)
    adapter = again(adapter)
    back = MqttPeer(adapter.addresses["mqtt"], DEVICE, SECRET, version=5, subscribe=False, **STAY)
    second = back.expect(Publish)
    assert back.connack.session_present
    assert (second.packet_id, second.duplicate, second.payload) == (first.packet_id, True, first.payload)
    back.put(PubAck(second.packet_id))
    rooms.commands.request(rooms.command(2))
    assert back.next_command(10) == "cmd-2"
    back.close()
    peer.close()


@pytest.mark.integration
def test_waiting_and_retained_messages_outlive_the_endpoint(serve, again, enter):
    adapter = serve()
    hear(enter(adapter, "lamp", **STAY), "rooms/#")
    adapter = again(adapter)
    door = enter(adapter, "door")
    for number in range(3):
        door.publish("rooms/7", b"%d" % number, retain=True)
        assert door.expect(PubAck).reason == 0
    adapter = again(adapter)
    lamp = enter(adapter, "lamp", **STAY)
    assert [lamp.expect(Publish).payload for _ in range(3)] == [b"0", b"1", b"2"]
    bell = enter(adapter, "bell")
    hear(bell, "rooms/#")
    assert bell.expect(Publish).payload == b"2"


@pytest.mark.integration
def test_qos_2_counts_once_over_the_end_of_the_endpoint(rooms, serve, again):
    adapter = serve()
    message = Publish(f"gulou/{DEVICE}/readings", b'{"level": 1}', 2, 9)
    peer = MqttPeer(adapter.addresses["mqtt"], DEVICE, SECRET, version=5, **STAY)
    peer.put(message)
    assert peer.expect(Qos2Step) == Qos2Step(PUBREC, 9)
    adapter = again(adapter)
    back = MqttPeer(adapter.addresses["mqtt"], DEVICE, SECRET, version=5, **STAY)
    back.put(Publish(message.topic, message.payload, 2, 9, duplicate=True))
    assert back.expect(Qos2Step) == Qos2Step(PUBREC, 9)
    back.put(Qos2Step(PUBREL, 9))
    assert back.expect(Qos2Step) == Qos2Step(PUBCOMP, 9)
    assert (len(rooms.intake.readings), rooms.intake.rejected) == (1, [])
    for one in (peer, back):
        one.close()


@pytest.mark.integration
def test_a_session_that_was_over_does_not_come_back(serve, again, enter):
    adapter = serve()
    lamp = enter(adapter, "lamp", **STAY)
    hear(lamp, "rooms/#")
    lamp.close()
    enter(adapter, "lamp", clean_start=True).close()
    enter(adapter, "bell", clean_start=False, properties={"session_expiry_interval": 1}).close()
    assert eventually(lambda: adapter.counters.values().connections == 0)
    adapter = again(adapter)
    assert not enter(adapter, "lamp", **STAY).connack.session_present
    assert eventually(lambda: len(adapter._endpoint._sessions) == 1)
    assert not enter(adapter, "bell", **STAY).connack.session_present


@pytest.mark.integration
def test_the_bound_on_sessions_holds_over_the_end_of_the_endpoint(serve, again, enter):
    adapter = serve(max_sessions=3)
    for number in range(6):
        peer = enter(adapter, "lamp", client_id=f"c{number}", **STAY)
        peer.close()
        assert eventually(lambda: adapter.counters.values().connections == 0)
    adapter = again(adapter, max_sessions=2)
    joining = [enter(adapter, "lamp", client_id=f"c{number}", **STAY) for number in (5, 4, 3, 0)]
    assert [peer.connack.session_present for peer in joining] == [True, True, False, False]


@pytest.mark.integration
def test_a_file_that_is_none_is_named(rooms, serve):
    rooms.directory.mkdir()
    (rooms.directory / "mqtt-sessions.db").write_bytes(b"no database, but long enough to be taken for one" * 100)
    with pytest.raises(Fault, match=r"adapter\.store_broken"):
        serve()


# --- the store alone


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deep" / "sessions.db"


def opened(file):
    store = SessionStore(file)
    store.open()
    return store, *store.load()


def test_everything_comes_back_as_it_was(file):
    store, *nothing = opened(file)
    assert nothing == [[], []]
    session = Session("lamp", "c", 600)
    session.ended_at_us = 7
    wanted = (Subscription("a/+", 2, True, True, 9), Subscription("$share/g/b", 1))
    for one in wanted:
        session.subscribe(one)
    session.received = {5: True, 6: False}
    store.session(session)
    waiting = Outgoing("a/1", b"x", 1, False, {"user_property": [("a", "b")], "correlation_data": b"\x00"}, 99)
    sent = Outgoing("a/2", b"", 2, packet_id=3, released=True)
    for message in (waiting, sent, Outgoing("a/3", b"not kept", 0)):
        store.message(session, message)
    store.retained("a/9", Outgoing("a/9", b"kept", 1, True))
    store.close()

    store, (back,), (retained,) = opened(file)
    assert (back.key, back.expiry_s, back.ended_at_us) == (("lamp", "c"), 600, 7)
    assert tuple(back.subscriptions.values()) == wanted
    assert back.received == {5: True}
    (again,) = back.queue
    assert (again.topic, again.payload, again.expires_at_us, again.number) == ("a/1", b"x", 99, waiting.number)
    assert [tuple(pair) for pair in again.properties["user_property"]] == [("a", "b")]
    assert again.properties["correlation_data"] == b"\x00"
    assert {number: one.released for number, one in back.outbound.items()} == {3: True}
    assert (retained.topic, retained.payload) == ("a/9", b"kept")
    fresh = Outgoing("a/4", b"", 1)
    store.message(back, fresh)
    assert fresh.number > sent.number
    store.close()


def test_what_is_over_leaves_nothing_in_the_file(file):
    store, *_ = opened(file)
    session = Session("lamp", "c", 600)
    store.session(session)
    messages = [Outgoing("a", b"x", 1) for _ in range(5)]
    for message in messages:
        store.message(session, message)
        session.queue.append(message)
    store.retained("a", messages[0])
    store.kept().result(10)
    store.confirmed(messages[0])
    store.forget(session)
    store.retained("a", None)
    store.close()
    with sqlite3.connect(file) as database:
        counts = [database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES]
    database.close()
    assert counts == [0, 0, 0]


TABLES = ("sessions", "messages", "retained")


def test_kept_means_that_another_reader_sees_it(file):
    store, *_ = opened(file)
    session = Session("lamp", "c", 600)
    store.session(session)
    numbers = []
    for _ in range(20):
        message = Outgoing("a", b"x", 1)
        store.message(session, message)
        store.kept().result(10)
        database = sqlite3.connect(file)
        numbers.append(database.execute("SELECT max(number) FROM messages").fetchone()[0])
        database.close()
        assert numbers[-1] == message.number
    assert all(later > former for former, later in pairwise(numbers))
    store.close()


def test_a_full_disk_keeps_those_waiting_who_wait_and_loses_nothing(file, monkeypatch):
    store, *_ = opened(file)
    write, failing = store._write, [True]

    def full(notes):
        if failing:
            raise sqlite3.OperationalError("database or disk is full")
        write(notes)

    monkeypatch.setattr(store, "_write", full)
    session = Session("lamp", "c", 600)
    store.session(session)
    kept = store.kept()
    with pytest.raises(TimeoutError):
        kept.result(0.2)
    failing.clear()
    kept.result(10)
    store.close()
    store, sessions, _ = opened(file)
    assert [one.key for one in sessions] == [("lamp", "c")]
    store.close()


def test_without_a_file_nobody_waits():
    store = SessionStore(None)
    store.open()
    assert store.load() == ([], [])
    session = Session("lamp", "c", 600)
    store.session(session)
    message = Outgoing("a", b"", 1)
    store.message(session, message)
    assert (store.kept(), message.number) == (None, 0)
    store.close()
