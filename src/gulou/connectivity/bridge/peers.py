"""Who is at the other end of a local socket."""

from __future__ import annotations

import os
import socket
import struct

_UCRED = struct.Struct("3i")


def is_same_user(door: socket.socket) -> bool:
    """Say whether the other end is a process of this user; the file's mode says so too, this is the second lock."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # not on this system: the mode of the file alone
    _pid, uid, _gid = _UCRED.unpack(door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return int(uid) == os.geteuid()


def limit_sending(door: socket.socket, seconds: float) -> None:
    """Let a send that gets nowhere for so long raise an error instead of waiting for ever."""
    whole = int(seconds)
    span = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
    door.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, span)
