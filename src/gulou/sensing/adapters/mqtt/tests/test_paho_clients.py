"""What docs/conformance/mqtt.md claims, by paho-mqtt's clients: equivalents of the interoperability suite's cases."""

from __future__ import annotations

import queue
import socket
import ssl
import threading

import paho.mqtt.client as paho
import pytest
import trustme
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from gulou.sensing.adapters.mqtt.codec import Will
from gulou.sensing.sdk.contract import DEVICE, SECRET, eventually

pytestmark = pytest.mark.integration
V3, V5 = paho.MQTTv311, paho.MQTTv5
BOTH = pytest.mark.parametrize("protocol", [V3, V5])
PATIENCE_S, QUIET_S = 10.0, 0.3


def properties(kind, **values):
    made = Properties(kind)
    for name, value in values.items():
        setattr(made, name, value)
    return made


class Client:
    """A paho client with a queue of what it has heard."""

    def __init__(
        self, address, name, protocol, *, client_id=None, clean=True, keep_s=0, will=None, secret="secret", tls=None
    ):
        more = {"clean_session": clean} if protocol == V3 else {}
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name if client_id is None else client_id, protocol=protocol, **more
        )
        self.heard, self.connacks, self.ends = queue.Queue(), queue.Queue(), queue.Queue()
        self.granted, self.protocol = queue.Queue(), protocol
        self.paho.on_message = lambda _c, _u, message: self.heard.put(message)
        self.paho.on_connect = lambda _c, _u, flags, reason, props: self.connacks.put((flags, reason, props))
        self.paho.on_disconnect = lambda _c, _u, _flags, reason, _props: self.ends.put(reason)
        self.paho.on_subscribe = lambda _c, _u, _mid, reasons, _props: self.granted.put([one.value for one in reasons])
        self.paho.on_unsubscribe = lambda *_: self.granted.put([])
        if secret is not None:
            self.paho.username_pw_set(name, secret)
        if will is not None:
            self.paho.will_set(*will)
        if tls is not None:
            self.paho.tls_set_context(tls)
        given = {"clean_start": clean, "properties": properties(PacketTypes.CONNECT, SessionExpiryInterval=keep_s)}
        self.paho.connect(*address, **(given if protocol == V5 else {}))
        self.paho.loop_start()
        self.flags, self.reason, self.limits = self.connacks.get(timeout=PATIENCE_S)

    def subscribe(self, topic, qos=2, **options):
        if self.protocol == V5:
            self.paho.subscribe(topic, options=SubscribeOptions(qos, **options))
        else:
            self.paho.subscribe(topic, qos)
        return self.granted.get(timeout=PATIENCE_S)

    def publish(self, topic, payload, qos, retain=False, **values):
        more = {"properties": properties(PacketTypes.PUBLISH, **values)} if values else {}
        self.paho.publish(topic, payload, qos, retain, **more).wait_for_publish(PATIENCE_S)

    def messages(self, count):
        """Return so many messages; none may follow them."""
        got = [self.heard.get(timeout=PATIENCE_S) for _ in range(count)]
        with pytest.raises(queue.Empty):
            got.append(self.heard.get(timeout=QUIET_S))
        return got

    def leave(self):
        self.paho.disconnect()
        self.paho.loop_stop()

    def die(self):
        """Go without a farewell."""
        self.paho.loop_stop()
        self.paho.socket().shutdown(socket.SHUT_RDWR)
        self.paho.socket().close()


@pytest.fixture
def client():
    made = []

    def connect(adapter, name="lamp", protocol=V5, listener="mqtt", **more):
        made.append(Client(adapter.addresses[listener], name, protocol, **more))
        return made[-1]

    yield connect
    for one in made:
        one.leave()


@BOTH
def test_basic(serve, client, protocol):
    lamp = client(serve(), protocol=protocol)
    assert lamp.subscribe("rooms/7") == [2]
    for qos in (0, 1, 2):
        lamp.publish("rooms/7", b"x", qos)
    assert sorted(one.qos for one in lamp.messages(3)) == [0, 1, 2]


@BOTH
def test_retained_messages(serve, client, protocol):
    adapter = serve()
    lamp = client(adapter, protocol=protocol)
    for qos in (0, 1, 2):
        lamp.publish(f"rooms/{qos}", b"x", qos, retain=True)
    lamp.subscribe("rooms/+")
    assert sorted((one.topic, one.qos, one.retain) for one in lamp.messages(3)) == [
        ("rooms/0", 0, True),
        ("rooms/1", 1, True),
        ("rooms/2", 2, True),
    ]
    for qos in (0, 1, 2):
        lamp.publish(f"rooms/{qos}", b"", qos, retain=True)
    bell = client(adapter, "bell", protocol=protocol)
    bell.subscribe("rooms/+")
    assert bell.messages(0) == []


@BOTH
def test_will_message(serve, client, protocol):
    adapter = serve()
    bell = client(adapter, "bell", protocol)
    bell.subscribe("rooms/will")
    client(adapter, "lamp", protocol, will=("rooms/will", b"gone", 2, False)).die()
    (message,) = bell.messages(1)
    assert (message.payload, message.qos) == (b"gone", 2)


def test_zero_length_client_id(serve, client):
    adapter = serve()
    named = client(adapter, protocol=V5, client_id="", clean=True)
    assert named.limits.AssignedClientIdentifier.startswith("auto-")
    assert client(adapter, protocol=V3, client_id="", clean=True).reason.value == 0


@BOTH
def test_offline_message_queueing(serve, client, protocol):
    adapter = serve()
    stay = {"clean": False, "keep_s": 600}
    lamp = client(adapter, "lamp", protocol, **stay)
    lamp.subscribe("rooms/+")
    lamp.leave()
    bell = client(adapter, "bell", protocol)
    for qos in (0, 1, 2):
        bell.publish("rooms/7", b"%d" % qos, qos)
    again = client(adapter, "lamp", protocol, **stay)
    assert again.flags.session_present
    assert [one.payload for one in again.messages(2)] == [b"1", b"2"]


@BOTH
def test_overlapping_subscriptions(serve, client, protocol):
    lamp = client(serve(), protocol=protocol)
    lamp.subscribe("rooms/#", 2)
    lamp.subscribe("rooms/+", 1)
    lamp.publish("rooms/7", b"x", 2)
    assert [one.qos for one in lamp.messages(1)] == [2]


@BOTH
def test_keep_alive(serve, enter, client, protocol):
    adapter = serve()
    bell = client(adapter, "bell", protocol)
    bell.subscribe("rooms/will")
    enter(adapter, "lamp", version=protocol, keep_alive_s=1, will=Will("rooms/will", b"silent", 1, False))
    assert [one.payload for one in bell.messages(1)] == [b"silent"]


@BOTH
def test_subscribe_failure(serve, client, protocol):
    lamp = client(serve(), protocol=protocol)
    assert lamp.subscribe("not/granted") == [0x80 if protocol == V3 else 0x87]


@BOTH
def test_dollar_topics(serve, client, protocol):
    lamp = client(serve(), protocol=protocol)
    lamp.subscribe("+/+")
    lamp.publish("$rooms/7", b"x", 1)
    assert lamp.messages(0) == []


@BOTH
def test_unsubscribe(serve, client, protocol):
    lamp = client(serve(), protocol=protocol)
    for name in ("rooms/1", "rooms/2", "rooms/3"):
        lamp.subscribe(name)
    lamp.paho.unsubscribe("rooms/1")
    assert lamp.granted.get(timeout=PATIENCE_S) == []
    for name in ("rooms/1", "rooms/2", "rooms/3"):
        lamp.publish(name, b"x", 1)
    assert [one.topic for one in lamp.messages(2)] == ["rooms/2", "rooms/3"]


def test_session_expiry(serve, client):
    adapter = serve()
    lamp = client(adapter, clean=False, keep_s=0)
    lamp.leave()
    assert not client(adapter, clean=False, keep_s=600).flags.session_present
    assert client(adapter, clean=False, keep_s=600).flags.session_present
    last = client(adapter, clean=False, keep_s=600)
    last.paho.disconnect(properties=properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
    assert eventually(lambda: adapter.counters.values().connections == 0)
    assert not client(adapter, clean=False, keep_s=600).flags.session_present


def test_properties_are_passed_on(serve, client):
    lamp = client(serve())
    lamp.subscribe("rooms/7")
    given = {"UserProperty": [("a", "2"), ("c", "3")], "ContentType": "My name", "PayloadFormatIndicator": 1}
    for qos in (0, 1, 2):
        lamp.publish("rooms/7", b"", qos, ResponseTopic="rooms/8", CorrelationData=b"334", **given)
    for message in lamp.messages(3):
        got = message.properties
        assert (got.UserProperty, got.ContentType, got.PayloadFormatIndicator) == tuple(given.values())
        assert (got.ResponseTopic, got.CorrelationData) == ("rooms/8", b"334")


def test_subscription_identifiers(serve, client):
    lamp = client(serve())
    given = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=456_789)
    lamp.paho.subscribe("rooms/#", options=SubscribeOptions(2), properties=given)
    lamp.granted.get(timeout=PATIENCE_S)
    lamp.publish("rooms/7", b"x", 1)
    assert lamp.messages(1)[0].properties.SubscriptionIdentifier == [456_789]


def test_server_keep_alive(serve, client):
    assert client(serve(keep_alive_most_s=30)).limits.ServerKeepAlive == 30


def test_flow_control_of_many_messages(serve, client):
    adapter = serve(max_commands_inflight=5, max_inflight=10)
    lamp, bell = client(adapter), client(adapter, "bell")
    lamp.subscribe("rooms/#")
    for number in range(300):
        bell.publish("rooms/7", b"%d" % number, 1 + number % 2)
    assert sorted(int(one.payload) for one in lamp.messages(300)) == list(range(300))


def test_shared_subscriptions(serve, client):
    adapter = serve()
    lamp, bell, door = client(adapter), client(adapter, "bell"), client(adapter, "door")
    for one in (lamp, bell):
        assert one.subscribe("$share/name/rooms/#") == [2]
    for _ in range(4):
        door.publish("rooms/7", b"x", 1)
    assert (len(lamp.messages(2)), len(bell.messages(2))) == (2, 2)


# --- TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def secured(authority, tmp_path):
    """Settings of a TLS port that takes client certificates, and a context that trusts it."""
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return {
        "tls_port": 0,
        "tls_certificate": tmp_path / "chain.pem",
        "tls_key": tmp_path / "key.pem",
        "tls_client_ca": tmp_path / "ca.pem",
    }


def trusting(authority, name=None):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if name is not None:
        authority.issue_cert(f"{name}@example.org", common_name=name).configure_cert(context)
    return context


@BOTH
def test_over_tls(rooms, serve, client, authority, secured, protocol):
    adapter = serve(**secured)
    lamp = client(adapter, DEVICE, protocol, "mqtts", secret=SECRET, tls=trusting(authority))
    lamp.subscribe(f"gulou/{DEVICE}/commands")
    lamp.publish(f"gulou/{DEVICE}/readings", b'{"level": 2.5}', 2)
    assert [one.value for one in rooms.intake.readings] == [2.5]
    rooms.commands.request(rooms.command())
    assert b"cmd-1" in lamp.messages(1)[0].payload


def test_who_does_not_trust_the_certificate_does_not_connect(serve, client, secured):
    adapter = serve(**secured)
    with pytest.raises(ssl.SSLCertVerificationError):
        client(adapter, DEVICE, V5, "mqtts", secret=SECRET, tls=ssl.create_default_context())


@BOTH
def test_a_client_certificate_stands_for_the_secret(serve, client, authority, secured, protocol):
    adapter = serve(**secured)
    lamp = client(adapter, "lamp", protocol, "mqtts", secret=None, tls=trusting(authority, "lamp"))
    assert lamp.reason.value == 0
    assert lamp.subscribe("rooms/#") == [2]


@BOTH
@pytest.mark.parametrize("name", ["nobody", None])
def test_a_certificate_of_nobody_or_none_at_all_does_not(serve, client, authority, secured, protocol, name):
    adapter = serve(**secured)
    refused = client(adapter, "lamp", protocol, "mqtts", secret=None, tls=trusting(authority, name))
    assert refused.reason.is_failure


def test_a_certificate_is_for_its_own_device_only(serve, authority, secured):
    adapter = serve(**secured)
    told = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=V5)
    client.on_connect = lambda _c, _u, _f, reason, _p: told.set() if reason == "Bad user name or password" else None
    client.username_pw_set("door")
    client.tls_set_context(trusting(authority, "lamp"))
    client.connect(*adapter.addresses["mqtts"])
    client.loop_start()
    assert told.wait(PATIENCE_S)
    client.disconnect()
    client.loop_stop()


def test_certificates_may_be_required(serve, client, authority, secured):
    adapter = serve(tls_client_required=True, **secured)
    with pytest.raises((OSError, queue.Empty)):
        strict = trusting(authority)
        strict.maximum_version = ssl.TLSVersion.TLSv1_2  # 1.3 would be told only after its handshake
        client(adapter, "lamp", V5, "mqtts", tls=strict)
    assert client(adapter, "lamp", V5, "mqtts", secret=None, tls=trusting(authority, "lamp")).reason.value == 0
