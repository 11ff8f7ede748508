"""Watches free disk space, so that intake stops before other stores run out of it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

_MB = 1024 * 1024


def free_bytes_of(path: Path) -> int:
    """Return what an unprivileged process may still write there, bytes."""
    return shutil.disk_usage(path).free


class SpaceGuard:
    """Says whether there is room, looking at most every ``every_s`` seconds.

    Args:
        directory: where the log is; None: never full (a log in memory).
        min_free_mb: below this it is full, MiB.
    """

    def __init__(
        self,
        directory: Path | None,
        min_free_mb: float,
        every_s: float,
        free_bytes: Callable[[Path], int] = free_bytes_of,
    ) -> None:
        self._directory = directory
        self._min_free = int(min_free_mb * _MB)
        self._every_s = every_s
        self._free_bytes = free_bytes
        self._guard = threading.Lock()
        self._looked_at = -float("inf")
        self._free: int | None = None
        self._full = False

    def is_full(self) -> bool:
        """Answer from the last look, or look again."""
        if self._directory is None:
            return False
        with self._guard:
            now = time.monotonic()
            if now - self._looked_at >= self._every_s:
                self._looked_at = now
                self._free = self._free_bytes(self._directory)
                self._full = self._free < self._min_free
            return self._full

    def mark_full(self) -> None:
        """A write found no room; hold until the next look finds some."""
        with self._guard:
            self._full = True
            self._looked_at = time.monotonic()

    def free_mb(self) -> float | None:
        """Return free space at the last look, MiB."""
        return None if self._free is None else self._free / _MB
