"""What the endpoint does beyond the contract: sessions, gateways, limits, TLS, and the manners of both versions."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trustme

from gulou.connectivity.devices.model import Binding, Device
from gulou.kernel.errors import Invalid, Unavailable
from gulou.sensing.adapters.mqtt import MqttAdapter, MqttSettings
from gulou.sensing.adapters.mqtt.codec import (
    PUBCOMP,
    PUBREC,
    PUBREL,
    V5,
    ConnAck,
    Disconnect,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    Qos2Step,
    Reason,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
)
from gulou.sensing.adapters.mqtt.tests.mqtt_peer import MqttPeer
from gulou.sensing.sdk import Mapping
from gulou.sensing.sdk.contract import DEVICE, OTHER, OTHER_SECRET, SECRET, House, eventually

pytestmark = pytest.mark.integration
READINGS = f"gulou/{DEVICE}/readings"


@pytest.fixture
def house():
    return House()


@pytest.fixture
def start(house):
    started = []

    def make(**settings):
        adapter = MqttAdapter(MqttSettings(port=0, **settings), house.context_once)
        house.commands.send = adapter.send
        adapter.start()
        started.append(adapter)
        return adapter

    house.context_once = house.context()
    yield make
    for adapter in started:
        adapter.stop()


def join(adapter, device=DEVICE, secret=SECRET, **more):
    return MqttPeer(adapter.addresses["mqtt"], device, secret, **more)


def test_qos_0_is_taken_and_not_answered(house, start):
    peer = join(start())
    peer.publish(READINGS, b'{"level": 1}', qos=0)
    assert eventually(lambda: house.intake.readings)
    assert not peer.wait_acknowledged(0.1)


def test_qos_0_that_finds_no_room_is_dropped_and_counted(house, start):
    adapter = start()
    peer = join(adapter)
    house.intake.unavailable = Unavailable("intake.full", waiting=1, limit=1)
    peer.publish(READINGS, b'{"level": 1}', qos=0)
    assert eventually(lambda: house.intake.dropped)
    assert house.intake.dropped == {"intake.full": 1}
    assert adapter.counters.values().dropped == 1


def test_qos_1_waits_for_room_and_is_then_acknowledged(house, start):
    peer = join(start())
    house.intake.unavailable = Unavailable("intake.disk_full", path="log", free_mb=0)
    peer.publish(READINGS, b'{"level": 1}')
    assert not peer.wait_acknowledged(0.1)
    house.intake.unavailable = None
    assert peer.wait_acknowledged(10)
    assert len(house.intake.readings) == 1


def test_what_comes_while_the_log_syncs_goes_together(house, start):
    peer = join(start())
    house.intake.hold()
    for number in range(20):
        peer.publish(READINGS, json.dumps({"level": number, "observedAt": f"2026-07-01T08:00:{number:02}Z"}).encode())
    assert eventually(lambda: house.intake.held)
    house.intake.release()
    assert all(peer.wait_acknowledged(10) for _ in range(20))
    assert len(house.intake.submissions) < 20


@pytest.mark.parametrize("version", [4, 5])
def test_qos_2_is_confirmed_once_durable_and_counts_once(house, start, version):
    peer = join(start(), version=version)
    house.intake.hold()
    peer.publish(READINGS, b'{"level": 1}', qos=2)
    assert peer.expect(Qos2Step, 0.1) is None
    house.intake.release()
    received = peer.expect(Qos2Step)
    peer.put(Publish(READINGS, b'{"level": 1}', 2, received.packet_id, duplicate=True))
    again = peer.expect(Qos2Step)
    peer.put(Qos2Step(PUBREL, received.packet_id))
    assert [received.kind, again.kind, peer.expect(Qos2Step).kind] == [PUBREC, PUBREC, PUBCOMP]
    assert ([one.value for one in house.intake.readings], house.intake.rejected) == ([1], [])


def test_version_5_is_told_the_limits(start):
    peer = join(start(max_packet_bytes=2_048), version=5, keep_alive_s=0, client_id="")
    limits = peer.connack.properties
    assert limits["maximum_packet_size"] == 2_048
    assert limits["receive_maximum"] == 2_000
    assert not {"maximum_qos", "retain_available", "shared_subscription_available"} & set(limits)
    assert limits["server_keep_alive"] == 3_600
    assert limits["assigned_client_identifier"].startswith("auto-")


@pytest.mark.parametrize(("version", "code"), [(4, 4), (5, Reason.BAD_CREDENTIALS)])
def test_a_wrong_password_is_named_in_the_versions_own_words(start, version, code):
    with pytest.raises(ConnectionError, match=f"code={int(code)}|{code!r}"):
        join(start(), secret="wrong", version=version)


def test_no_name_or_an_unknown_protocol_is_refused(start):
    adapter = start()
    with pytest.raises(ConnectionError, match="code=5"):
        join(adapter, username=None, password=None)
    raw = socket.create_connection(adapter.addresses["mqtt"], 10)
    raw.sendall(b"\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x00")
    assert raw.recv(10) == b"\x20\x02\x00\x01"
    raw.close()


def test_a_disabled_device_is_not_let_in(house, start):
    house.devices.add(Device(id="off", name="off", adapter="mqtt", enabled=False), "secret")
    with pytest.raises(ConnectionError, match="code=5"):
        join(start(), "off", "secret")


def test_a_client_id_that_comes_again_takes_over(house, start):
    adapter = start()
    first = join(adapter, version=5)
    second = join(adapter, version=5)
    assert first.expect(Disconnect).reason == Reason.SESSION_TAKEN_OVER
    assert first.wait_closed(10)
    assert second.send({"level": 1.0})
    assert house.devices.presence == [f"+{DEVICE}"]
    second.close()
    assert eventually(lambda: house.devices.presence == [f"+{DEVICE}", f"-{DEVICE}"])


def test_another_device_with_the_same_client_id_takes_nothing_over(start):
    adapter = start()
    first = join(adapter, client_id="same")
    second = join(adapter, OTHER, OTHER_SECRET, client_id="same")
    assert first.send({"level": 1.0})
    assert second.send({"level": 1.0})


def test_a_kept_session_hears_again_without_subscribing(house, start):
    adapter = start()
    peer = join(adapter, version=5, clean_start=False, properties={"session_expiry_interval": 60})
    peer.close()
    assert eventually(lambda: house.devices.online.get(DEVICE) is False)
    assert house.commands.request(house.command()) is False
    again = join(adapter, version=5, clean_start=False, subscribe=False, properties={"session_expiry_interval": 60})
    assert again.connack.session_present
    assert again.next_command(10) == "cmd-1"


def test_a_command_that_was_not_confirmed_is_sent_again_as_a_duplicate(house, start):
    adapter = start()
    peer = join(adapter, clean_start=False)
    house.commands.request(house.command())
    first = peer.expect(Publish)
    peer.close()
    assert eventually(lambda: house.devices.online.get(DEVICE) is False)
    again = join(adapter, clean_start=False, subscribe=False)
    second = again.expect(Publish)
    assert (second.packet_id, second.payload, first.duplicate, second.duplicate) == (
        first.packet_id,
        first.payload,
        False,
        True,
    )


def test_a_clean_start_forgets(start):
    adapter = start()
    join(adapter, clean_start=False).close()
    assert not join(adapter, clean_start=True).connack.session_present
    assert not join(adapter, OTHER, OTHER_SECRET, clean_start=False).connack.session_present


def test_a_silent_device_is_disconnected(house, start):
    peer = join(start(), version=5, keep_alive_s=1)
    assert peer.expect(Disconnect).reason == Reason.KEEP_ALIVE_TIMEOUT
    assert eventually(lambda: house.devices.reasons == ["keep_alive"])


def test_who_never_says_connect_is_disconnected(start):
    raw = socket.create_connection(start(connect_timeout_s=0.1).addresses["mqtt"], 10)
    assert raw.recv(1) == b""
    raw.close()


def test_pings_are_answered(start):
    peer = join(start())
    peer.put(PingReq())
    assert peer.expect(PingResp) is not None


@pytest.fixture
def gateway(house, start):
    binding = Binding("urn:ngsi-ld:WaterLevelObserved:drain-9", "WaterLevelObserved", "*")
    house.devices.add(Device(id="gw", name="gw", adapter="mqtt"), "gw secret")
    house.devices.add(Device(id="child", name="child", adapter="mqtt", gateway_id="gw", bindings=(binding,)))
    return join(start(), "gw", "gw secret", subscribe=False)


def test_a_gateway_speaks_for_its_children(house, gateway):
    gateway.publish("gulou/child/readings", b'{"waterLevel": 2}')
    assert gateway.wait_acknowledged(10)
    assert (house.intake.readings[0].device_id, house.intake.readings[0].property) == ("child", "waterLevel")


def test_a_gateway_hears_for_its_children_by_one_filter(house, gateway):
    gateway.put(Subscribe(1, (SubscriptionRequest("gulou/+/commands", 1),)))
    assert gateway.expect(SubAck).reasons == (1,)
    house.commands.request(house.command(device_id="child"))
    publish = gateway.expect(Publish)
    assert publish.topic == "gulou/child/commands"
    gateway.publish("gulou/child/acks", b'{"id": "cmd-1"}')
    assert eventually(lambda: house.commands.answers == [("cmd-1", True, None)])


@pytest.mark.parametrize(
    ("topic", "code"),
    [
        (f"gulou/{OTHER}/readings", "payload.topic_denied"),
        ("gulou/nobody/readings", "device.unknown"),
        ("gulou/x", "payload.topic_unknown"),
        ("weather/today", "payload.topic_unknown"),
        (f"gulou/{DEVICE}/acks", "payload.malformed"),
    ],
)
def test_what_a_device_may_not_say_is_rejected_and_the_connection_goes_on(house, start, topic, code):
    peer = join(start())
    peer.publish(topic, b"{x")
    assert peer.wait_acknowledged(10)
    assert house.intake.codes() == [code]
    assert peer.send({"level": 1.0})


@pytest.mark.parametrize(
    ("topic_filter", "reason"),
    [
        (f"gulou/{OTHER}/commands", Reason.NOT_AUTHORISED),
        ("weather/#", Reason.NOT_AUTHORISED),
        ("a/#/b", Reason.TOPIC_FILTER_INVALID),
        ("$share/g/gulou/+/commands", Reason.NOT_AUTHORISED),
        ("$share/g/weather/#", Reason.NOT_AUTHORISED),
        ("$share/g", Reason.TOPIC_FILTER_INVALID),
        ("$share//a", Reason.TOPIC_FILTER_INVALID),
        ("a" * 1_025, Reason.TOPIC_FILTER_INVALID),
        (f"gulou/{DEVICE}/commands", 2),
        ("gulou/#", 2),
        ("#", 2),
    ],
)
def test_a_device_subscribes_to_its_own_commands_only(start, topic_filter, reason):
    peer = join(start(), version=5, subscribe=False)
    peer.put(Subscribe(9, (SubscriptionRequest(topic_filter, 2),)))
    assert peer.expect(SubAck).reasons == (reason,)


def test_a_refused_filter_is_0x80_in_3_1_1(start):
    peer = join(start(), subscribe=False)
    peer.put(Subscribe(9, (SubscriptionRequest("weather/#", 1),)))
    assert peer.expect(SubAck).reasons == (0x80,)


def test_who_unsubscribes_hears_no_more(house, start):
    peer = join(start(), version=5)
    peer.put(Unsubscribe(9, (f"gulou/{DEVICE}/commands", "never")))
    assert peer.expect(UnsubAck).reasons == (0, Reason.NO_SUBSCRIPTION_EXISTED)
    assert house.commands.request(house.command()) is False


def test_a_command_at_version_5_says_when_it_expires(house, start):
    peer = join(start(), version=5)
    house.commands.request(house.command())
    publish = peer.expect(Publish)
    assert publish.properties["content_type"] == "application/json"
    assert 3_500 < publish.properties["message_expiry_interval"] <= 3_600
    assert json.loads(publish.payload)["parameters"] == {"on": True}


def test_topic_aliases(house, start):
    peer = join(start(), version=5)
    peer.publish(READINGS, b'{"level": 1}', properties={"topic_alias": 1})
    peer.publish("", b'{"level": 2}', properties={"topic_alias": 1})
    assert peer.wait_acknowledged(10)
    assert peer.wait_acknowledged(10)
    assert [reading.value for reading in house.intake.readings] == [1, 2]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (Publish("", b"", 0, None, False, False, {"topic_alias": 7}), Reason.PROTOCOL_ERROR),
        (Publish("a", b"", 0, None, False, False, {"topic_alias": 9_999}), Reason.TOPIC_ALIAS_INVALID),
        (Publish("a", b"", 0, None, False, False, {"response_topic": "a/#"}), Reason.PROTOCOL_ERROR),
        (Publish("a", b"", 0, None, False, False, {"subscription_identifier": [1]}), Reason.PROTOCOL_ERROR),
        (ConnAck(0), Reason.PROTOCOL_ERROR),
        (Subscribe(1, (SubscriptionRequest("a", 0),), {"subscription_identifier": 0}), Reason.PROTOCOL_ERROR),
        (Subscribe(1, (SubscriptionRequest("$share/g/a", 0, no_local=True),)), Reason.PROTOCOL_ERROR),
        (Disconnect(0, {"session_expiry_interval": 60}), Reason.PROTOCOL_ERROR),
    ],
)
def test_what_version_5_forbids_ends_the_connection_with_a_reason(start, packet, reason):
    adapter = start()
    peer = join(adapter, version=5)
    peer.put(packet)
    assert peer.expect(Disconnect).reason == reason
    assert adapter.counters.values().protocol_errors == 1


def test_more_than_the_receive_maximum_ends_the_connection(house, start):
    peer = join(start(max_inflight=3), version=5)
    house.intake.hold()
    for number in range(5):
        peer.publish(READINGS, json.dumps({"level": number}).encode())
    assert peer.expect(Disconnect).reason == Reason.RECEIVE_MAXIMUM_EXCEEDED
    house.intake.release()


def test_too_many_connections_are_refused(start):
    adapter = start(max_connections=1)
    first = join(adapter)
    with pytest.raises(ConnectionError):
        join(adapter, OTHER, OTHER_SECRET)
    assert first.send({"level": 1.0})


def test_senml_by_topic_by_content_type_and_by_its_looks(house, start):
    peer = join(start(), version=5)
    pack = b'[{"bn":"urn:dev:x:","n":"level","u":"m","v":2.5,"t":1780000000}]'
    cbor = b"\x81\xa3\x00\x65level\x02\xf9\x41\x00\x06\x1a\x6a\x18\xa3\x01"
    peer.publish(f"gulou/{DEVICE}/senml", pack)
    peer.publish(READINGS, cbor, properties={"content_type": "application/senml+cbor"})
    peer.publish(READINGS, pack.replace(b"1780000000", b"1780000002"))
    assert all(peer.wait_acknowledged(10) for _ in range(3))
    assert [(one.property, one.value) for one in house.intake.readings] == [("waterLevel", 2.5)] * 3
    assert house.intake.readings[0].unit_code == "m"


def test_a_foreign_topic_is_read_by_its_mapping_within_the_binding(house, start):
    text = """
mapping: foreign
format: json
match: ["drains/+drain/state"]
entity: {type: WaterLevelObserved, id: "{drain}"}
time: received
values: [{column: lvl, property: waterLevel}]
"""
    house.context_once.mappings.replace("test", [Mapping.parse(text, "f.yaml")])
    peer = join(start())
    peer.publish("drains/drain-1/state", b'{"lvl": 1.5}')
    peer.publish("drains/drain-2/state", b'{"lvl": 1.5}')
    assert peer.wait_acknowledged(10)
    assert peer.wait_acknowledged(10)
    assert [one.entity_id for one in house.intake.readings] == ["urn:ngsi-ld:WaterLevelObserved:drain-1"]
    assert house.intake.codes() == ["device.not_bound"]


@pytest.fixture
def certificate(tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {"tls_port": 0, "tls_certificate": tmp_path / "chain.pem", "tls_key": tmp_path / "key.pem"}, context


def test_tls(house, start, certificate, monkeypatch):
    settings, context = certificate
    adapter = start(**settings)
    plain = socket.create_connection

    def secured(address, timeout):
        return context.wrap_socket(plain(address, timeout), server_hostname="127.0.0.1")

    monkeypatch.setattr(socket, "create_connection", secured)
    peer = MqttPeer(adapter.addresses["mqtts"], DEVICE, SECRET, version=V5)
    assert peer.send({"level": 1.0})
    peer.close()


def test_a_broken_certificate_is_named(house, tmp_path):
    (tmp_path / "x.pem").write_text("no certificate")
    settings = MqttSettings(port=0, tls_port=0, tls_certificate=tmp_path / "x.pem", tls_key=tmp_path / "x.pem")
    with pytest.raises(Invalid, match=r"adapter\.certificate_broken"):
        MqttAdapter(settings, house.context()).start()


def test_a_port_in_use_is_named(house, start):
    port = start().addresses["mqtt"][1]
    with pytest.raises(Unavailable, match=r"adapter\.port_in_use"):
        MqttAdapter(MqttSettings(port=port), house.context()).start()


def test_presence_goes_with_the_last_connection(house, start):
    adapter = start()
    first, second = join(adapter, client_id="a"), join(adapter, client_id="b")
    assert eventually(lambda: house.devices.online.get(DEVICE))
    first.close()
    assert second.send({"level": 1.0})
    assert house.devices.online[DEVICE]
    second.close()
    assert eventually(lambda: not house.devices.online[DEVICE])


def test_acknowledgements_keep_the_order_of_the_messages(start):
    peer = join(start())
    for number in range(50):
        peer.publish(READINGS, json.dumps({"level": number}).encode())
    numbers = [peer.expect(PubAck).packet_id for _ in range(50)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("qos", [0, 1])
def test_what_came_before_the_connection_broke_is_stored(house, start, qos):
    peer = join(start())
    house.intake.hold()
    peer.publish(READINGS, b'{"level": 1}', qos=qos)
    peer.publish(READINGS, b'{"level": 2}', qos=qos)
    peer.close()
    assert eventually(lambda: house.intake.held and house.devices.online.get(DEVICE) is False)
    house.intake.release()
    assert eventually(lambda: len(house.intake.readings) == 2)


def test_what_finds_no_room_after_the_connection_broke_is_left_to_its_sender(house, start):
    adapter = start()
    peer = join(adapter)
    house.intake.unavailable = Unavailable("intake.full", waiting=1, limit=1)
    peer.publish(READINGS, b'{"level": 1}')
    peer.close()
    assert eventually(lambda: house.devices.online.get(DEVICE) is False)
    adapter.stop()
    assert (house.intake.readings, house.intake.dropped) == ([], {})


@pytest.mark.parametrize("version", [4, 5])
def test_a_device_whose_connections_are_ended_is_told_why_at_version_5_only(house, start, version):
    adapter = start()
    peers = [join(adapter, version=version, client_id=name) for name in ("one", "two")]
    other = join(adapter, OTHER, OTHER_SECRET)
    adapter.end_connections(DEVICE)
    told = [peer.expect(Disconnect) for peer in peers]
    reasons = [Reason.ADMINISTRATIVE_ACTION] * 2 if version == V5 else []
    assert [one.reason for one in told if one is not None] == reasons
    assert all(peer.wait_closed(10) for peer in peers)
    assert eventually(lambda: house.devices.presence[-1:] == [f"-{DEVICE}"])
    other.publish(f"gulou/{OTHER}/readings", b'{"level": 1}')
    assert other.wait_acknowledged(10)


def test_who_is_ended_while_its_old_secret_is_being_checked_does_not_come_in(house, start, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(device_id, secret):
        begun.set()
        return go_on.wait(10)

    monkeypatch.setattr(house.devices, "verify", slow)
    adapter = start()
    with ThreadPoolExecutor(1) as pool:
        joining = pool.submit(join, adapter)
        assert begun.wait(10)
        adapter.end_connections(DEVICE)
        refused = joining.exception(10)
        go_on.set()
    assert isinstance(refused, ConnectionError)
    assert house.devices.presence == []


def test_a_removed_devices_session_is_not_for_the_next_of_that_name(house, start):
    adapter = start()
    kept = {"version": 5, "clean_start": False, "properties": {"session_expiry_interval": 60}}
    peer = join(adapter, **kept)
    device = house.devices.find_device(DEVICE)
    house.devices.remove(DEVICE)
    adapter.end_connections(DEVICE)
    assert peer.wait_closed(10)
    house.devices.add(device, SECRET)
    assert not join(adapter, **kept).connack.session_present


def test_a_session_outlives_a_new_secret(house, start):
    adapter = start()
    kept = {"version": 5, "clean_start": False, "properties": {"session_expiry_interval": 60}}
    peer = join(adapter, **kept)
    adapter.end_connections(DEVICE)
    assert peer.wait_closed(10)
    assert join(adapter, **kept).connack.session_present
