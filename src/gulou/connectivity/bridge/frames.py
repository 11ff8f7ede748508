"""What travels over the bridge's socket: length-prefixed MessagePack frames. No I/O but reading and writing one."""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from gulou.kernel.errors import Unavailable

MAX_FRAME = 256 * 2**20
"""A frame that says it is longer comes from something that is no bridge."""
_LEAD = 4


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """The first frame of either side.

    Args:
        epoch: which life of the server; the client says which one it knew last, ``""`` for none.
        number: of the last message that the client has; of the first message that the server will send.
        complete: only from the server: nothing is missing between what the client has and what it will get.
    """

    epoch: str
    number: int
    complete: bool = False


class Call(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """One call; ``arguments`` is the encoded list of all arguments in the order of the signature."""

    id: int
    service: str
    method: str
    arguments: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """What a call has returned."""

    id: int
    result: bytes


class Refusal(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """What a call has raised; ``kind`` is the name of a class of the one error tree."""

    id: int
    kind: str
    code: str
    params: dict[str, Any]


class Told(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """A message of the bus, encoded; ``number`` grows by one, 0 for one that is not kept."""

    number: int
    body: bytes


class Missed(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The client was too slow: messages up to ``number`` were given up."""

    number: int


Frame = Hello | Call | Answer | Refusal | Told | Missed
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)


def encode(frame: Frame) -> bytes:
    """Return a frame with its length before it."""
    body = msgspec.msgpack.encode(frame)
    return len(body).to_bytes(_LEAD, "little") + body


def read_frame(door: socket.socket) -> Frame | None:
    """Read the next frame; None at the end of the stream.

    Raises:
        Unavailable: ``bridge.broken``: what comes is no frame.
        OSError: the connection is gone.
    """
    lead = _read(door, _LEAD)
    if lead is None:
        return None
    length = int.from_bytes(lead, "little")
    if length > MAX_FRAME:
        raise Unavailable("bridge.broken", detail=f"a frame of {length} bytes")
    body = _read(door, length)
    if body is None:
        return None
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as error:
        raise Unavailable("bridge.broken", detail=str(error)[:200]) from error


def _read(door: socket.socket, length: int) -> bytes | bytearray | None:
    if length < 65_536:  # nearly every frame: one call to the system
        first = door.recv(length, socket.MSG_WAITALL)
        if len(first) == length:
            return first
        if not first:
            return None
        held = bytearray(first)
    else:
        held = bytearray()
    while len(held) < length:
        part = door.recv(min(length - len(held), 1 << 20), socket.MSG_WAITALL)
        if not part:
            return None
        held += part
    return held
