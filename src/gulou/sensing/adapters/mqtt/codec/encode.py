"""From a packet to a frame, for both protocol versions. Source: MQTT 3.1.1 §3, MQTT 5.0 §3."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gulou.sensing.adapters.mqtt.codec.fields import put_binary, put_properties, put_text, put_varint
from gulou.sensing.adapters.mqtt.codec.packets import (
    PUBREL,
    V5,
    Auth,
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PingReq,
    PingResp,
    PubAck,
    Publish,
    Qos2Step,
    SubAck,
    Subscribe,
    UnsubAck,
    Unsubscribe,
)


def encode(packet: Packet, version: int) -> bytes:
    """Encode one packet for a peer of that version (4 or 5)."""
    first, body = _ENCODERS[type(packet)](packet, version)
    return bytes((first,)) + put_varint(len(body)) + body


def encode_pubacks(packet_ids: Iterable[int]) -> bytes:
    """Encode the PUBACKs of messages that were taken, for a peer of either version. Source: MQTT 5.0 §3.4.2.1."""
    return b"".join([b"\x40\x02" + number.to_bytes(2, "big") for number in packet_ids])


def _id(number: int) -> bytes:
    return number.to_bytes(2, "big")


def _connect(packet: Connect, _version: int) -> tuple[int, bytes]:
    flags = 0x02 if packet.clean_start else 0
    will = b""
    if packet.will is not None:
        flags |= 0x04 | packet.will.qos << 3 | (0x20 if packet.will.retain else 0)
        will = put_properties(packet.will.properties) if packet.version == V5 else b""
        will += put_text(packet.will.topic) + put_binary(packet.will.payload)
    if packet.username is not None:
        flags |= 0x80
    if packet.password is not None:
        flags |= 0x40
    body = put_text("MQTT") + bytes((packet.version, flags)) + _id(packet.keep_alive_s)
    if packet.version == V5:
        body += put_properties(packet.properties)
    body += put_text(packet.client_id) + will
    if packet.username is not None:
        body += put_text(packet.username)
    if packet.password is not None:
        body += put_binary(packet.password)
    return 0x10, body


def _connack(packet: ConnAck, version: int) -> tuple[int, bytes]:
    body = bytes((packet.session_present, packet.code))
    return 0x20, body + (put_properties(packet.properties) if version == V5 else b"")


def _publish(packet: Publish, version: int) -> tuple[int, bytes]:
    first = 0x30 | packet.qos << 1 | (0x08 if packet.duplicate else 0) | (0x01 if packet.retain else 0)
    body = put_text(packet.topic)
    if packet.packet_id is not None:
        body += _id(packet.packet_id)
    if version == V5:
        body += put_properties(packet.properties)
    return first, body + packet.payload


def _puback(packet: PubAck, version: int) -> tuple[int, bytes]:
    body = _id(packet.packet_id)
    if version == V5 and (packet.reason or packet.properties):
        body += bytes((packet.reason,)) + put_properties(packet.properties)
    return 0x40, body


def _step(packet: Qos2Step, version: int) -> tuple[int, bytes]:
    body = _id(packet.packet_id)
    if version == V5 and (packet.reason or packet.properties):
        body += bytes((packet.reason,)) + put_properties(packet.properties)
    return packet.kind << 4 | (0x02 if packet.kind == PUBREL else 0), body


def _subscribe(packet: Subscribe, version: int) -> tuple[int, bytes]:
    body = _id(packet.packet_id) + (put_properties(packet.properties) if version == V5 else b"")
    for one in packet.requests:
        options = one.qos
        if version == V5:
            options |= one.no_local << 2 | one.retain_as_published << 3 | one.retain_handling << 4
        body += put_text(one.topic_filter) + bytes((options,))
    return 0x82, body


def _suback(packet: SubAck, version: int) -> tuple[int, bytes]:
    body = _id(packet.packet_id) + (put_properties(packet.properties) if version == V5 else b"")
    return 0x90, body + bytes(packet.reasons)


def _unsubscribe(packet: Unsubscribe, version: int) -> tuple[int, bytes]:
    body = _id(packet.packet_id) + (put_properties(packet.properties) if version == V5 else b"")
    return 0xA2, body + b"".join(map(put_text, packet.filters))


def _unsuback(packet: UnsubAck, version: int) -> tuple[int, bytes]:
    body = _id(packet.packet_id)
    if version == V5:
        body += put_properties(packet.properties) + bytes(packet.reasons)
    return 0xB0, body


def _disconnect(packet: Disconnect, version: int) -> tuple[int, bytes]:
    if version != V5 or (packet.reason == 0 and not packet.properties):
        return 0xE0, b""
    return 0xE0, bytes((packet.reason,)) + put_properties(packet.properties)


def _auth(packet: Auth, _version: int) -> tuple[int, bytes]:
    return 0xF0, bytes((packet.reason,)) + put_properties(packet.properties)


_ENCODERS: dict[type, Callable[[Any, int], tuple[int, bytes]]] = {
    Connect: _connect,
    ConnAck: _connack,
    Publish: _publish,
    PubAck: _puback,
    Qos2Step: _step,
    Subscribe: _subscribe,
    SubAck: _suback,
    Unsubscribe: _unsubscribe,
    UnsubAck: _unsuback,
    PingReq: lambda _packet, _version: (0xC0, b""),
    PingResp: lambda _packet, _version: (0xD0, b""),
    Disconnect: _disconnect,
    Auth: _auth,
}
