"""Just enough MQTT 3.1.1 to load a server: frames are built by hand, since a library would be what is measured.

Source: OASIS MQTT Version 3.1.1 §2.2, §3.1, §3.3, §3.4, §3.8
"""

from __future__ import annotations

from collections.abc import Iterator

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
_QOS_1 = 0x02


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def _length(size: int) -> bytes:
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


def _frame(first: int, body: bytes) -> bytes:
    return bytes([first]) + _length(len(body)) + body


def connect(client_id: str, user: str, password: str) -> bytes:
    """Build CONNECT: clean session, keep-alive 60 s."""
    flags = 0x80 | 0x40 | 0x02
    variable = _text("MQTT") + bytes([4, flags]) + (60).to_bytes(2, "big")
    return _frame(0x10, variable + _text(client_id) + _text(user) + _text(password))


def subscribe(packet_id: int, filters: list[str]) -> bytes:
    """Build SUBSCRIBE at QoS 1."""
    return _frame(0x82, packet_id.to_bytes(2, "big") + b"".join(_text(item) + b"\x01" for item in filters))


def publish(topic: bytes, packet_id: int, payload: bytes) -> bytes:
    """Build PUBLISH at QoS 1; ``topic`` with its length before it, as ``topic_bytes`` gives it."""
    body = topic + packet_id.to_bytes(2, "big") + payload
    return bytes([0x30 | _QOS_1]) + _length(len(body)) + body


def topic_bytes(topic: str) -> bytes:
    """Encode a topic once for many publishes."""
    return _text(topic)


def puback(packet_id: bytes) -> bytes:
    """Build PUBACK."""
    return b"\x40\x02" + packet_id


def first(data: bytes | bytearray, start: int) -> tuple[int, int, bytes, int] | None:
    """Return (kind, flags, body, where it ends) of the frame that begins at ``start``; None while it is not whole."""
    size = shift = 0
    at, end = start + 1, len(data)
    while True:
        if at >= end:
            return None
        digit = data[at]
        at += 1
        size |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            break
    if end - at < size:
        return None
    return data[start] >> 4, data[start] & 0x0F, bytes(data[at : at + size]), at + size


def split(buffer: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Take whole frames off the front of a buffer; yield (kind, flags, body)."""
    start = 0
    while (found := first(buffer, start)) is not None:
        kind, flags, body, start = found
        yield kind, flags, body
    del buffer[:start]


def read_publish(flags: int, body: bytes) -> tuple[str, bytes | None, bytes]:
    """Return topic, packet id (None at QoS 0) and payload of a PUBLISH body."""
    size = int.from_bytes(body[:2], "big")
    topic, rest = body[2 : 2 + size].decode(), body[2 + size :]
    if not flags & 0x06:
        return topic, None, rest
    return topic, rest[:2], rest[2:]
