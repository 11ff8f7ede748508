"""From a frame to a packet, for both protocol versions. Source: MQTT 3.1.1 §3, MQTT 5.0 §3."""

from __future__ import annotations

from collections.abc import Callable

from gulou.sensing.adapters.mqtt.codec.fields import Reader, malformed
from gulou.sensing.adapters.mqtt.codec.packets import (
    V5,
    V311,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
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
)

_MOST_FILTERS = 256


def decode(first: int, body: bytes, version: int) -> Packet:
    """Decode one frame.

    Args:
        first: the fixed header's first byte.
        body: everything behind the remaining length.
        version: 4 or 5; CONNECT brings its own.

    Raises:
        ProtocolError: nothing else, whatever the bytes are.
    """
    kind, flags = first >> 4, first & 0x0F
    if kind == 3:
        return _publish(flags, body, version)
    if flags != (0x02 if kind in (6, 8, 10) else 0):
        raise malformed(f"packet type {kind} has reserved flags")
    make = _DECODERS.get(kind)
    if make is None:
        raise malformed(f"there is no packet type {kind}")
    reader = Reader(body)
    packet = make(reader, version)
    if reader.left:
        raise malformed(f"packet type {kind} has bytes behind its end")
    return packet


def _publish(flags: int, body: bytes, version: int) -> Publish:
    qos = flags >> 1 & 0x03
    if qos == 3 or (qos == 0 and flags & 0x08):
        raise malformed("a publish has impossible flags")
    if qos == 1 and version == V311:
        found = _plain_publish(flags, body)
        if found is not None:
            return found
    reader = Reader(body)
    topic = reader.text()
    packet_id = _packet_id(reader) if qos else None
    properties = reader.properties(3) if version == V5 else {}
    if "+" in topic or "#" in topic or (not topic and "topic_alias" not in properties):
        raise ProtocolError(Reason.TOPIC_NAME_INVALID, "a topic name is empty or holds a wildcard")
    return Publish(topic, reader.rest(), qos, packet_id, bool(flags & 0x01), bool(flags & 0x08), properties)


def _plain_publish(flags: int, body: bytes) -> Publish | None:
    """Read the packet that nearly all of a device's packets are, without a reader; None leaves all doubts to it."""
    end = 2 + int.from_bytes(body[:2], "big")
    packet_id = int.from_bytes(body[end : end + 2], "big")
    if len(body) < end + 2 or end == 2 or packet_id == 0:
        return None
    name = body[2:end]
    if not name.isascii() or b"\0" in name or b"+" in name or b"#" in name:
        return None
    return Publish(name.decode("ascii"), body[end + 2 :], 1, packet_id, bool(flags & 0x01), bool(flags & 0x08))


def _packet_id(reader: Reader) -> int:
    number = reader.u16()
    if number == 0:
        raise ProtocolError(Reason.PROTOCOL_ERROR, "a packet identifier is 0")
    return number


def _connect(reader: Reader, _version: int) -> Connect:
    name, version = reader.text(), reader.byte()
    if name != "MQTT" or version not in (V311, V5):
        raise ProtocolError(Reason.UNSUPPORTED_VERSION, f"protocol {name[:10]} {version}")
    flags = reader.byte()
    if flags & 0x01:
        raise malformed("the reserved connect flag is set")
    keep_alive_s = reader.u16()
    properties = reader.properties(1) if version == V5 else {}
    client_id = reader.text()
    will = _will(flags, reader, version)
    username = reader.text() if flags & 0x80 else None
    password = reader.binary() if flags & 0x40 else None
    if password is not None and username is None and version == V311:
        raise malformed("a password without a user name")
    return Connect(client_id, version, bool(flags & 0x02), keep_alive_s, username, password, will, properties)


def _will(flags: int, reader: Reader, version: int) -> Will | None:
    qos = flags >> 3 & 0x03
    if not flags & 0x04:
        if qos or flags & 0x20:
            raise malformed("will flags without a will")
        return None
    if qos == 3:
        raise malformed("a will of QoS 3")
    properties = reader.properties(0) if version == V5 else {}
    topic = reader.text()
    if not topic or "+" in topic or "#" in topic:
        raise ProtocolError(Reason.TOPIC_NAME_INVALID, "a will's topic name is empty or holds a wildcard")
    return Will(topic, reader.binary(), qos, bool(flags & 0x20), properties)


def _connack(reader: Reader, version: int) -> ConnAck:
    flags, code = reader.byte(), reader.byte()
    if flags > 1:
        raise malformed("reserved flags in CONNACK")
    return ConnAck(code, bool(flags), reader.properties(2) if version == V5 else {})


def _puback(reader: Reader, version: int) -> PubAck:
    packet_id = _packet_id(reader)
    reason = reader.byte() if version == V5 and reader.left else 0
    return PubAck(packet_id, reason, reader.properties(4) if version == V5 and reader.left else {})


def _step(kind: int) -> Callable[[Reader, int], Packet]:
    def make(reader: Reader, version: int) -> Packet:
        packet_id = _packet_id(reader)
        reason = reader.byte() if version == V5 and reader.left else 0
        return Qos2Step(kind, packet_id, reason, reader.properties(kind) if version == V5 and reader.left else {})

    return make


def _subscribe(reader: Reader, version: int) -> Subscribe:
    packet_id = _packet_id(reader)
    properties = reader.properties(8) if version == V5 else {}
    requests: list[SubscriptionRequest] = []
    while reader.left:
        topic_filter, options = reader.text(), reader.byte()
        reserved = 0xC0 if version == V5 else 0xFC
        if options & reserved or options & 0x03 == 3 or options >> 4 & 0x03 == 3:
            raise malformed("reserved subscription options")
        requests.append(
            SubscriptionRequest(
                topic_filter, options & 0x03, bool(options & 0x04), bool(options & 0x08), options >> 4 & 0x03
            )
        )
        _check_count(len(requests))
    if not requests:
        raise ProtocolError(Reason.PROTOCOL_ERROR, "a subscribe without filters")
    return Subscribe(packet_id, tuple(requests), properties)


def _suback(reader: Reader, version: int) -> SubAck:
    packet_id = _packet_id(reader)
    properties = reader.properties(9) if version == V5 else {}
    return SubAck(packet_id, tuple(reader.rest()), properties)


def _unsubscribe(reader: Reader, version: int) -> Unsubscribe:
    packet_id = _packet_id(reader)
    properties = reader.properties(10) if version == V5 else {}
    filters: list[str] = []
    while reader.left:
        filters.append(reader.text())
        _check_count(len(filters))
    if not filters:
        raise ProtocolError(Reason.PROTOCOL_ERROR, "an unsubscribe without filters")
    return Unsubscribe(packet_id, tuple(filters), properties)


def _check_count(count: int) -> None:
    if count > _MOST_FILTERS:
        raise ProtocolError(Reason.QUOTA_EXCEEDED, "too many filters in one packet")


def _unsuback(reader: Reader, version: int) -> UnsubAck:
    packet_id = _packet_id(reader)
    if version != V5:
        return UnsubAck(packet_id)
    properties = reader.properties(11)
    return UnsubAck(packet_id, tuple(reader.rest()), properties)


def _disconnect(reader: Reader, version: int) -> Disconnect:
    if version != V5:
        return Disconnect()
    reason = reader.byte() if reader.left else 0
    return Disconnect(reason, reader.properties(14) if reader.left else {})


def _auth(reader: Reader, version: int) -> Auth:
    if version != V5:
        raise malformed("there is no packet type 15")
    reason = reader.byte() if reader.left else 0
    return Auth(reason, reader.properties(15) if reader.left else {})


_DECODERS: dict[int, Callable[[Reader, int], Packet]] = {
    1: _connect,
    2: _connack,
    4: _puback,
    5: _step(5),
    6: _step(6),
    7: _step(7),
    8: _subscribe,
    9: _suback,
    10: _unsubscribe,
    11: _unsuback,
    12: lambda _reader, _version: PingReq(),
    13: lambda _reader, _version: PingResp(),
    14: _disconnect,
    15: _auth,
}
