"""The data representations that packets are made of: integers, texts, properties. Source: MQTT 5.0 §1.5, §2.2.2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gulou.sensing.adapters.mqtt.codec.packets import Properties, ProtocolError, Reason

LARGEST_VARINT = 268_435_455

# Which packets may carry a property, by the packet's type number; 0 stands for the will inside CONNECT.
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK, _UNSUBSCRIBE, _UNSUBACK, _DISCONNECT, _AUTH, _WILL = (
    1,
    2,
    3,
    4,
    8,
    9,
    10,
    11,
    14,
    15,
    0,
)
_ACKS = {_PUBACK, 5, 6, 7, _SUBACK, _UNSUBACK}

_PROPERTIES: dict[int, tuple[str, str, frozenset[int]]] = {
    0x01: ("payload_format_indicator", "byte", frozenset({_PUBLISH, _WILL})),
    0x02: ("message_expiry_interval", "u32", frozenset({_PUBLISH, _WILL})),
    0x03: ("content_type", "text", frozenset({_PUBLISH, _WILL})),
    0x08: ("response_topic", "text", frozenset({_PUBLISH, _WILL})),
    0x09: ("correlation_data", "binary", frozenset({_PUBLISH, _WILL})),
    0x0B: ("subscription_identifier", "varint", frozenset({_PUBLISH, _SUBSCRIBE})),
    0x11: ("session_expiry_interval", "u32", frozenset({_CONNECT, _CONNACK, _DISCONNECT})),
    0x12: ("assigned_client_identifier", "text", frozenset({_CONNACK})),
    0x13: ("server_keep_alive", "u16", frozenset({_CONNACK})),
    0x15: ("authentication_method", "text", frozenset({_CONNECT, _CONNACK, _AUTH})),
    0x16: ("authentication_data", "binary", frozenset({_CONNECT, _CONNACK, _AUTH})),
    0x17: ("request_problem_information", "byte", frozenset({_CONNECT})),
    0x18: ("will_delay_interval", "u32", frozenset({_WILL})),
    0x19: ("request_response_information", "byte", frozenset({_CONNECT})),
    0x1A: ("response_information", "text", frozenset({_CONNACK})),
    0x1C: ("server_reference", "text", frozenset({_CONNACK, _DISCONNECT})),
    0x1F: ("reason_string", "text", frozenset({_CONNACK, _DISCONNECT, _AUTH} | _ACKS)),
    0x21: ("receive_maximum", "u16", frozenset({_CONNECT, _CONNACK})),
    0x22: ("topic_alias_maximum", "u16", frozenset({_CONNECT, _CONNACK})),
    0x23: ("topic_alias", "u16", frozenset({_PUBLISH})),
    0x24: ("maximum_qos", "byte", frozenset({_CONNACK})),
    0x25: ("retain_available", "byte", frozenset({_CONNACK})),
    0x26: (
        "user_property",
        "pair",
        frozenset({_CONNECT, _CONNACK, _PUBLISH, _SUBSCRIBE, _UNSUBSCRIBE, _DISCONNECT, _AUTH, _WILL} | _ACKS),
    ),
    0x27: ("maximum_packet_size", "u32", frozenset({_CONNECT, _CONNACK})),
    0x28: ("wildcard_subscription_available", "byte", frozenset({_CONNACK})),
    0x29: ("subscription_identifier_available", "byte", frozenset({_CONNACK})),
    0x2A: ("shared_subscription_available", "byte", frozenset({_CONNACK})),
}
_BY_NAME = {name: (number, kind) for number, (name, kind, _) in _PROPERTIES.items()}
_MOST_USER_PROPERTIES = 128


def malformed(detail: str) -> ProtocolError:
    """Make the error for bytes that are no packet."""
    return ProtocolError(Reason.MALFORMED, detail)


class Reader:
    """Takes fields from a packet's body, in order; every take checks that the bytes are there."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._end = len(data)

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return self._end - self._at

    def take(self, count: int) -> bytes:
        """Take that many bytes."""
        start = self._at
        if count > self._end - start:
            raise malformed("a field reaches past the packet's end")
        self._at = start + count
        return self._data[start : self._at]

    def byte(self) -> int:
        """Take one byte."""
        return self.take(1)[0]

    def u16(self) -> int:
        """Take two bytes, most significant first."""
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        """Take four bytes, most significant first."""
        return int.from_bytes(self.take(4), "big")

    def varint(self) -> int:
        """Take a variable byte integer; more bytes than needed are malformed. Source: MQTT 5.0 §1.5.5."""
        value = 0
        for position in range(4):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                if byte == 0 and position > 0:
                    raise malformed("a length has more bytes than it needs")
                return value
        raise malformed("a length has more than four bytes")

    def binary(self) -> bytes:
        """Take bytes behind their length."""
        return self.take(self.u16())

    def text(self) -> str:
        """Take UTF-8 behind its length: no surrogates, no U+0000. Source: MQTT 5.0 §1.5.4."""
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            raise malformed("a text is not UTF-8") from None
        if "\0" in text:
            raise malformed("a text holds U+0000")
        return text

    def rest(self) -> bytes:
        """Take what is left."""
        return self.take(self.left)

    def properties(self, packet: int) -> Properties:
        """Take the properties of a packet of that type (0: of a will)."""
        inner = Reader(self.take(self.varint()))
        found: Properties = {}
        while inner.left:
            number = inner.varint()
            known = _PROPERTIES.get(number)
            if known is None or packet not in known[2]:
                raise malformed(f"property {number:#x} does not belong here")
            name, kind, _ = known
            value = _TAKE[kind](inner)
            if name == "user_property":
                pairs = found.setdefault(name, [])
                if len(pairs) >= _MOST_USER_PROPERTIES:
                    raise ProtocolError(Reason.QUOTA_EXCEEDED, "too many user properties")
                pairs.append(value)
            elif name == "subscription_identifier" and packet == _PUBLISH:
                numbers = found.setdefault(name, [])
                if len(numbers) >= _MOST_USER_PROPERTIES:
                    raise ProtocolError(Reason.QUOTA_EXCEEDED, "too many subscription identifiers")
                numbers.append(value)
            elif name in found:
                raise ProtocolError(Reason.PROTOCOL_ERROR, f"property {name} is given twice")
            else:
                found[name] = value
        return found


_TAKE: dict[str, Callable[[Reader], Any]] = {
    "byte": Reader.byte,
    "u16": Reader.u16,
    "u32": Reader.u32,
    "varint": Reader.varint,
    "text": Reader.text,
    "binary": Reader.binary,
    "pair": lambda reader: (reader.text(), reader.text()),
}


def put_varint(value: int) -> bytes:
    """Write a variable byte integer, 0 to 268,435,455."""
    out = bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | 0x80 if value else digit)
        if not value:
            return bytes(out)


def put_binary(data: bytes) -> bytes:
    """Write bytes behind their length."""
    return len(data).to_bytes(2, "big") + data


def put_text(text: str) -> bytes:
    """Write a text behind its length."""
    return put_binary(text.encode())


def put_properties(properties: Properties) -> bytes:
    """Write properties behind their length."""
    out = bytearray()
    for name, value in properties.items():
        number, kind = _BY_NAME[name]
        for one in value if isinstance(value, list) else (value,):
            out += put_varint(number)
            out += _PUT[kind](one)
    return put_varint(len(out)) + bytes(out)


_PUT: dict[str, Callable[[Any], bytes]] = {
    "byte": lambda value: bytes((value,)),
    "u16": lambda value: value.to_bytes(2, "big"),
    "u32": lambda value: value.to_bytes(4, "big"),
    "varint": put_varint,
    "text": put_text,
    "binary": put_binary,
    "pair": lambda pair: put_text(pair[0]) + put_text(pair[1]),
}
