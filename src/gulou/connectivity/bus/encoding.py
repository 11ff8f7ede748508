"""Messages as bytes, for the way to another process."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from gulou.connectivity.bus.ports import Message, message_kinds, name_of
from gulou.kernel.errors import Invalid

_encoder = msgspec.msgpack.Encoder()
_frames = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])


def encode_message(message: Message) -> bytes:
    """Return a message as MessagePack: its kind's name and its body."""
    return _encoder.encode((name_of(type(message)), message))


def decode_message(data: bytes) -> Message:
    """Return the message of some bytes.

    Raises:
        Invalid: ``bus.message_unknown``: a kind that this process does not know, or not its shape.
    """
    name = ""
    try:
        name, body = _frames.decode(data)
        found: Message = _decoder(name).decode(body)
    except (msgspec.MsgspecError, KeyError) as error:
        raise Invalid("bus.message_unknown", name=name[:200], problem=str(error)[:200]) from error
    return found


@cache
def _decoder(name: str) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(message_kinds()[name])
