"""From a stream of bytes to packets; keeps half a frame until the rest comes, and never more than the limit."""

from __future__ import annotations

from collections.abc import Iterator

from gulou.sensing.adapters.mqtt.codec.decode import decode
from gulou.sensing.adapters.mqtt.codec.packets import V311, Connect, Packet, ProtocolError, Reason


class Framer:
    """One peer's stream.

    Args:
        max_packet_bytes: largest whole packet; a larger one is refused as soon as its length is known.
        version: 4 or 5; taken from the CONNECT that passes through.
    """

    def __init__(self, max_packet_bytes: int, version: int = V311) -> None:
        self.version = version
        self.max_packet_bytes = max_packet_bytes
        self._buffer = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes of an unfinished frame."""
        return len(self._buffer)

    def release(self) -> bytes:
        """Give the bytes of an unfinished frame away, to whom it is to be finished by."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are complete now; to be exhausted before the next call.

        Raises:
            ProtocolError: the stream is not MQTT, and cannot be followed further.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 2:
                frame = self._frame(buffer, start)
                if frame is None:
                    return
                body_start, end = frame
                packet = decode(buffer[start], bytes(buffer[body_start:end]), self.version)
                start = end
                if isinstance(packet, Connect):
                    self.version = packet.version
                yield packet
        finally:
            del buffer[:start]

    def _frame(self, buffer: bytearray, start: int) -> tuple[int, int] | None:
        """Return where the body of the frame at ``start`` begins and ends; None while it is not complete."""
        length = buffer[start + 1]
        if length < 0x80 and length + 2 <= self.max_packet_bytes:  # nearly all frames
            end = start + 2 + length
            return (start + 2, end) if end <= len(buffer) else None
        length = 0
        for position in range(4):
            at = start + 1 + position
            if at >= len(buffer):
                return None
            byte = buffer[at]
            length |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                end = at + 1 + length
                if end - start > self.max_packet_bytes:
                    raise ProtocolError(Reason.PACKET_TOO_LARGE, f"a packet of {end - start} bytes")
                return (at + 1, end) if end <= len(buffer) else None
        raise ProtocolError(Reason.MALFORMED, "a remaining length has more than four bytes")
