"""The codec: every packet there and back in both versions, split anywhere, and nothing but ProtocolError on garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.sensing.adapters.mqtt.codec import (
    V5,
    V311,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Framer,
    PingReq,
    PingResp,
    ProtocolError,
    PubAck,
    Publish,
    Qos2Step,
    Reason,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    UnsubAck,
    Unsubscribe,
    Will,
    encode,
)

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)
TOPIC = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0+#"), min_size=1, max_size=20)
ID = st.integers(1, 65_535)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)
EVERY = [
    Connect("c", V311, True, 60, "d", b"s"),
    ConnAck(0, True),
    Publish("a/b", b"x", 1, 7),
    PubAck(7),
    Qos2Step(6, 7),
    Subscribe(7, (SubscriptionRequest("a/+", 1),)),
    SubAck(7, (1, 0x80)),
    Unsubscribe(7, ("a/+",)),
    UnsubAck(7),
    PingReq(),
    PingResp(),
    Disconnect(),
]


def decode_all(data, version=V311, limit=1_000_000):
    return list(Framer(limit, version).feed(data))


@pytest.mark.parametrize("packet", EVERY, ids=lambda packet: type(packet).__name__)
def test_every_packet_comes_back(packet):
    assert decode_all(encode(packet, V311)) == [packet]


@given(TEXT, st.booleans(), st.integers(0, 65_535), st.none() | TEXT, st.binary(max_size=20), st.none() | TOPIC, PAIRS)
def test_connect_5_comes_back(client_id, clean, keep_alive, name, secret, topic, pairs):
    will = None if topic is None else Will(topic, secret, 1, True, {"will_delay_interval": 5})
    properties = {"session_expiry_interval": 60, "receive_maximum": 9, "user_property": pairs}
    packet = Connect(client_id, V5, clean, keep_alive, name, secret, will, properties)
    assert decode_all(encode(packet, V5)) == [packet]


@given(TOPIC, st.binary(max_size=300), st.none() | ID, st.booleans(), PAIRS)
def test_publish_comes_back_in_both_versions(topic, payload, packet_id, retain, pairs):
    packet = Publish(topic, payload, 0 if packet_id is None else 1, packet_id, retain)
    assert decode_all(encode(packet, V311), V311) == [packet]
    rich = Publish(
        topic,
        payload,
        packet.qos,
        packet_id,
        retain,
        False,
        {"topic_alias": 3, "content_type": "x", "user_property": pairs},
    )
    assert decode_all(encode(rich, V5), V5) == [rich]


@given(ID, st.lists(st.tuples(TOPIC, st.integers(0, 2)), min_size=1, max_size=5))
def test_subscriptions_come_back(packet_id, filters):
    packet = Subscribe(packet_id, tuple(SubscriptionRequest(text, qos) for text, qos in filters))
    assert decode_all(encode(packet, V311), V311) == [packet]
    assert decode_all(encode(packet, V5), V5) == [packet]
    undo = Unsubscribe(packet_id, tuple(text for text, _ in filters))
    assert decode_all(encode(undo, V5), V5) == [undo]


@pytest.mark.parametrize(
    "packet",
    [
        ConnAck(0x87, False, {"reason_string": "no", "maximum_qos": 1}),
        PubAck(7, 0x10, {"reason_string": "x"}),
        SubAck(7, (0, 0x9E), {"reason_string": "x"}),
        UnsubAck(7, (0, 0x11)),
        Disconnect(0x8D, {"reason_string": "x"}),
        Auth(0x18, {"authentication_method": "SCRAM"}),
    ],
)
def test_answers_of_version_5_come_back(packet):
    assert decode_all(encode(packet, V5), V5) == [packet]


@given(st.data())
def test_a_stream_may_be_cut_anywhere(data):
    stream = b"".join(encode(packet, V311) for packet in EVERY)
    framer = Framer(1_000_000)
    got = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        got += framer.feed(stream[:cut])
        stream = stream[cut:]
    assert got == EVERY
    assert framer.waiting == 0


@given(st.binary(max_size=400), st.sampled_from([V311, V5]))
def test_garbage_makes_protocol_errors_and_nothing_else(data, version):
    try:
        decode_all(data, version)
    except ProtocolError as error:
        assert error.reason >= 0x80


@given(st.sampled_from(EVERY), st.integers(0, 40), st.integers(0, 255), st.sampled_from([V311, V5]))
def test_a_flipped_byte_makes_protocol_errors_and_nothing_else(packet, at, byte, version):
    frame = bytearray(encode(packet, version))
    frame[at % len(frame)] = byte
    try:
        decode_all(bytes(frame), version)
    except ProtocolError as error:
        assert error.reason >= 0x80


def test_a_packet_over_the_limit_is_refused_by_its_length_alone():
    with pytest.raises(ProtocolError) as caught:
        decode_all(b"\x30\xff\xff\x7f", limit=1_000)
    assert caught.value.reason is Reason.PACKET_TOO_LARGE


# Bytes and the reason, after the normative statements of MQTT 5.0 and 3.1.1.
@pytest.mark.parametrize(
    ("frame", "version", "reason"),
    [
        (b"\x30\xff\xff\xff\xff\x01", V311, Reason.MALFORMED),  # a remaining length of five bytes
        (b"\x00\x00", V311, Reason.MALFORMED),  # packet type 0
        (b"\xf0\x00", V311, Reason.MALFORMED),  # AUTH does not exist in 3.1.1
        (b"\xc1\x00", V311, Reason.MALFORMED),  # reserved flags
        (b"\xc0\x01\x00", V311, Reason.MALFORMED),  # bytes behind the end
        (b"\x80\x06\x00\x01\x00\x01a\x00", V311, Reason.MALFORMED),  # SUBSCRIBE with flags 0
        (b"\x82\x02\x00\x01", V311, Reason.PROTOCOL_ERROR),  # SUBSCRIBE without filters
        (b"\x82\x06\x00\x00\x00\x01a\x00", V311, Reason.PROTOCOL_ERROR),  # packet identifier 0
        (b"\x82\x06\x00\x01\x00\x01a\x03", V311, Reason.MALFORMED),  # QoS 3
        (b"\x36\x03\x00\x01a", V311, Reason.MALFORMED),  # publish of QoS 3
        (b"\x38\x03\x00\x01a", V311, Reason.MALFORMED),  # DUP at QoS 0
        (b"\x30\x03\x00\x01+", V311, Reason.TOPIC_NAME_INVALID),
        (b"\x30\x02\x00\x00", V311, Reason.TOPIC_NAME_INVALID),
        (b"\x30\x03\x00\x01\x00", V311, Reason.MALFORMED),  # U+0000
        (b"\x30\x05\x00\x03\xed\xa0\x80", V311, Reason.MALFORMED),  # a surrogate
        (b"\x30\x04\x00\x05ab", V311, Reason.MALFORMED),  # a text past the end
        (b"\x10\x0c\x00\x04MQTT\x03\x02\x00\x3c\x00\x00", V311, Reason.UNSUPPORTED_VERSION),
        (b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00", V311, Reason.MALFORMED),  # the reserved connect flag
        (b"\x10\x0c\x00\x04MQTT\x04\x42\x00\x3c\x00\x00", V311, Reason.MALFORMED),  # password without user name
        (b"\x10\x0c\x00\x04MQTT\x04\x0a\x00\x3c\x00\x00", V311, Reason.MALFORMED),  # will QoS without a will
        (b"\x30\x06\x00\x01a\x02\x7f\x00", V5, Reason.MALFORMED),  # no such property
        (b"\x30\x06\x00\x01a\x02\x24\x01", V5, Reason.MALFORMED),  # a property of another packet
        (b"\x30\x08\x00\x01a\x04\x01\x00\x01\x00", V5, Reason.PROTOCOL_ERROR),  # a property given twice
        (b"\x30\x05\x00\x01a\x80\x00", V5, Reason.MALFORMED),  # a length with more bytes than it needs
    ],
)
def test_what_the_standard_forbids_is_refused(frame, version, reason):
    with pytest.raises(ProtocolError) as caught:
        decode_all(frame, version)
    assert caught.value.reason is reason
