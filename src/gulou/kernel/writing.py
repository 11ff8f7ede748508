"""Writing megabytes without holding up who waits for a few kilobytes on the same disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

_PIECE = 512 * 1024
_PAUSE_S = 0.004
_CAN_HINT = hasattr(os, "posix_fadvise")


def write_evenly(file: BinaryIO, parts: Iterable[bytes | memoryview]) -> None:
    """Write parts a piece at a time, each given to the disk at once, with a short pause after it.

    What the system collects in its buffers it writes in one go when it is synced, and any other sync waits behind it.
    The caller still has to sync; most is on the disk by then.
    """
    for part in parts:
        view = memoryview(part).cast("B")
        for begin in range(0, len(view), _PIECE):
            offset = file.tell()
            file.write(view[begin : begin + _PIECE])
            file.flush()
            write_out(file.fileno(), offset)
            if begin + _PIECE < len(view):
                time.sleep(_PAUSE_S)


def write_out(descriptor: int, offset: int = 0) -> None:
    """Have the system begin to write what it holds of a file from ``offset`` on; waits for nothing."""
    if _CAN_HINT:
        os.posix_fadvise(descriptor, offset, 0, os.POSIX_FADV_DONTNEED)


def write_out_path(path: Path, offset: int = 0) -> int:
    """Do the same by a file's path; return the file's present size in bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        write_out(descriptor, offset)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
