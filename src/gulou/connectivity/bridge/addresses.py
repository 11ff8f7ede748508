"""The address of a socket file, however long the path to it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LONGEST = 100
"""An address holds 108 bytes on Linux and 104 on others, the end mark among them."""


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Give what to bind or connect to for a socket file; valid within the block.

    A long path is reached through its opened directory, ``/proc/self/fd/<number>/<name>``: Linux only. Elsewhere the
    path itself is given, and the system refuses it.

    Raises:
        OSError: the directory is not there.
    """
    if len(os.fsencode(path)) <= _LONGEST or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
