"""Limits: who floods, knocks too often or does not read hurts nobody else, and is counted."""

from __future__ import annotations

import json
import socket
import time

import pytest

from gulou.sensing.adapters.mqtt.codec import (
    Connect,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    Reason,
    Subscribe,
    SubscriptionRequest,
    encode,
)
from gulou.sensing.adapters.mqtt.endpoint.limits import Bucket, DeviceBuckets, Doorkeeper
from gulou.sensing.adapters.mqtt.tests.mqtt_peer import MqttPeer
from gulou.sensing.sdk.contract import DEVICE, OTHER, OTHER_SECRET, SECRET, eventually

READINGS = f"gulou/{DEVICE}/readings"


def join(adapter, device=DEVICE, secret=SECRET, **more):
    return MqttPeer(adapter.addresses["mqtt"], device, secret, **more)


# --- arithmetic, on a clock of our own


def test_a_bucket_gives_its_burst_at_once_and_its_rate_after():
    bucket = Bucket(rate=10, burst=20, now_s=0)
    assert bucket.spend(20, 0) == 0
    assert bucket.spend(5, 0) == 0.5
    assert bucket.spend(0, 0.5) == 0
    assert bucket.left(100) == 20


def test_a_doorkeeper_counts_by_address():
    keeper = Doorkeeper(most_open=2, per_s=1, failures_per_min=2)
    assert [keeper.come("a", 0), keeper.come("a", 0), keeper.come("a", 0), keeper.come("b", 0)] == [
        True,
        True,
        False,
        True,
    ]
    keeper.go("a")
    assert keeper.come("a", 0)


def test_a_doorkeeper_slows_who_comes_and_goes():
    keeper = Doorkeeper(most_open=100, per_s=1, failures_per_min=2)
    let_in = 0
    for _ in range(50):
        if keeper.come("a", 0):
            let_in += 1
            keeper.go("a")
    assert let_in == 10
    assert keeper.come("a", 1.0)


def test_a_doorkeeper_stops_guessing_for_a_while():
    keeper = Doorkeeper(most_open=100, per_s=1, failures_per_min=2)
    for _ in range(2):
        assert keeper.may_sign_in("a", 0)
        keeper.failed("a", 0)
    assert not keeper.may_sign_in("a", 0)
    assert keeper.may_sign_in("b", 0)
    assert keeper.may_sign_in("a", 31)


def test_a_doorkeeper_forgets_quiet_addresses_before_it_grows(monkeypatch):
    monkeypatch.setattr("gulou.sensing.adapters.mqtt.endpoint.limits._MOST_ADDRESSES", 10)
    keeper = Doorkeeper(most_open=1, per_s=1, failures_per_min=2)
    assert keeper.come("here", 0)
    for number in range(100):
        assert keeper.come(f"a{number}", 0)
        keeper.go(f"a{number}")
    assert len(keeper) == 10
    assert not keeper.come("here", 0)


def test_all_connections_of_a_device_share_a_bucket():
    buckets = DeviceBuckets(10)
    first, second, other = buckets.take("a", 0), buckets.take("a", 0), buckets.take("b", 0)
    assert first is second
    assert first is not other
    for device_id in ("a", "a", "b"):
        buckets.give_back(device_id)
    assert len(buckets) == 0


# --- at the endpoint


@pytest.mark.integration
@pytest.mark.parametrize(("version", "code"), [(4, "code=3"), (5, "code=151")])
def test_a_device_has_so_many_connections_and_a_takeover_is_none_more(serve, version, code):
    adapter = serve(max_connections_per_device=2)
    peers = [join(adapter, client_id=name, version=version) for name in ("a", "b")]
    with pytest.raises(ConnectionError, match=code):
        join(adapter, client_id="c", version=version)
    peers += [join(adapter, client_id="b", version=version), join(adapter, OTHER, OTHER_SECRET, version=version)]
    assert peers[0].send({"level": 1.0})
    for peer in peers:
        peer.close()


@pytest.mark.integration
def test_an_address_has_so_many_connections(serve):
    adapter = serve(max_connections_per_address=2)
    peers = [join(adapter), join(adapter, OTHER, OTHER_SECRET)]
    with pytest.raises(ConnectionError):
        join(adapter, client_id="c")
    peers.pop().close()
    assert eventually(lambda: adapter.counters.values().connections == 1)
    peers.append(join(adapter, client_id="c"))
    assert adapter.counters.values().refused == 1
    for peer in peers:
        peer.close()


@pytest.mark.integration
def test_who_knocks_too_often_finds_the_door_shut(serve):
    adapter = serve(connections_per_s=0.1)
    join(adapter).close()
    with pytest.raises(ConnectionError):
        join(adapter)


@pytest.mark.integration
@pytest.mark.parametrize(("version", "code"), [(4, "code=3"), (5, f"code={int(Reason.CONNECTION_RATE_EXCEEDED)}")])
def test_after_too_many_wrong_secrets_even_the_right_one_is_not_asked(rooms, serve, monkeypatch, version, code):
    adapter = serve(failed_sign_ins_per_min=2)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            join(adapter, secret="wrong", version=version)
    asked = []
    monkeypatch.setattr(rooms.devices, "verify", lambda *who: asked.append(who) or True)
    with pytest.raises(ConnectionError, match=code):
        join(adapter, version=version)
    assert asked == []


@pytest.mark.integration
def test_a_flood_is_slowed_counted_and_wholly_taken_while_others_go_on(rooms, serve):
    adapter = serve(messages_per_s=100)
    flood, other = join(adapter), join(adapter, OTHER, OTHER_SECRET)
    times = [f"2026-07-01T08:{number // 60:02}:{number % 60:02}Z" for number in range(600)]
    flood.write(b"".join(flood.frame({"level": 1.0}, at) for at in times))
    assert eventually(lambda: adapter.counters.values().throttled)
    flood.write(flood.frame({"level": 2.0}, "2026-07-01T09:00:00Z"))  # its turn comes some seconds later
    assert other.send({"level": 3.0})
    assert 2.0 not in [reading.value for reading in rooms.intake.readings]
    assert all(flood.expect(PubAck) is not None for _ in range(601))
    assert len(rooms.intake.readings) == 602
    for peer in (flood, other):
        peer.close()


@pytest.mark.integration
def test_who_does_not_read_is_cut_off_by_the_amount(rooms, serve, enter):
    adapter = serve(max_write_bytes=4_096, messages_per_s=1e9)
    lamp = enter(adapter, "lamp", keep_alive_s=0)
    small_window(lamp)
    (connection,) = adapter._endpoint._connections
    connection._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    flood_of_pings(lamp)
    assert eventually(lambda: adapter.counters.values().cut_off == 1)
    assert eventually(lambda: rooms.devices.online["lamp"] is False)


@pytest.mark.integration
def test_who_does_not_read_is_cut_off_by_the_time(rooms, serve, enter):
    adapter = serve(write_timeout_s=0.5, max_queued=2)
    lamp, door = enter(adapter, "lamp"), enter(adapter, "door")
    small_window(lamp)
    lamp.put(Subscribe(1, (SubscriptionRequest("rooms/#", 0),)))
    for _ in range(1_000):  # the system takes some MB before anybody notices
        door.publish("rooms/7", b"x" * 60_000, 1)
        assert door.expect(PubAck) is not None
        if adapter.counters.values().relay_dropped:
            break
    assert eventually(lambda: adapter.counters.values().cut_off == 1)
    assert adapter.counters.values().relay_dropped > 0
    assert eventually(lambda: rooms.devices.online["lamp"] is False)
    door.put(PingReq())
    assert door.expect(PingResp) is not None


def small_window(peer):
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)


def flood_of_pings(peer):
    """Ask and never read the answers, until the other side has had enough."""
    peer.socket.settimeout(10)
    data = encode(PingReq(), 5) * 10_000
    try:
        for _ in range(2_000):
            peer.socket.sendall(data)
    except OSError:
        return


@pytest.mark.integration
def test_a_stranger_cannot_make_the_endpoint_wait_for_a_large_packet(serve):
    adapter = serve()
    raw = socket.create_connection(adapter.addresses["mqtt"], 10)
    raw.sendall(b"\x10\xff\xff\x7f")  # 2 MiB are allowed to nobody, and 64 KiB at most before the sign-in
    assert raw.recv(1) == b""
    raw.close()
    assert eventually(lambda: adapter.counters.values().protocol_errors == 1)


@pytest.mark.integration
def test_a_stranger_cannot_send_much_before_the_answer(rooms, serve, monkeypatch):
    monkeypatch.setattr(rooms.devices, "verify", lambda *_: time.sleep(0.3) or True)
    adapter = serve()
    raw = socket.create_connection(adapter.addresses["mqtt"], 10)
    connect = encode(Connect("c", 5, username=DEVICE, password=b"x"), 5)
    raw.sendall(connect + encode(PingReq(), 5) * 5_000)
    assert eventually(lambda: adapter.counters.values().protocol_errors == 1)
    raw.close()


@pytest.mark.integration
def test_many_bytes_that_are_not_durable_yet_pause_reading(rooms, serve):
    adapter = serve(max_waiting_bytes=65_536)
    rooms.intake.hold()
    peer = join(adapter)
    body = json.dumps({"level": 1, "note": "x" * 10_000}).encode()
    for _ in range(200):
        peer.publish(READINGS, body)
    assert eventually(lambda: rooms.intake.held)
    (connection,) = adapter._endpoint._connections
    assert eventually(lambda: connection._held)
    assert connection.unfinished < 200
    rooms.intake.release()
    assert all(peer.expect(PubAck) is not None for _ in range(200))
    peer.close()


@pytest.mark.integration
def test_an_end_with_a_reason_is_heard_by_who_was_still_sending(serve, enter):
    peer = enter(serve(max_inflight=5), "lamp")
    for number in range(1, 3_000):
        peer.put(Publish("rooms/7", b"x" * 100, 2, number))
    assert peer.expect(Disconnect).reason == Reason.RECEIVE_MAXIMUM_EXCEEDED
