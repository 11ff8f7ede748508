"""Every kind of bus message can go to another process."""

from __future__ import annotations

import msgspec

import gulou.cli.wire
from gulou.connectivity.bus import message_kinds


def test_every_kind_of_message_has_a_decoder() -> None:
    ours = {name: kind for name, kind in message_kinds().items() if name.startswith(gulou.__name__ + ".")}
    assert len(ours) >= 8
    unfit = []
    for name, kind in ours.items():
        try:
            msgspec.msgpack.Decoder(kind)
        except TypeError as error:
            unfit.append((name, str(error)))
    assert unfit == []
