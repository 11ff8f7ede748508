"""Slows guessing down: wrong passwords lock a name or an address for a growing while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from gulou.kernel import SECOND_US, Clock, Denied


@dataclass
class _Record:
    failures: int
    locked_until_us: int
    last_us: int


class Throttle:
    """Counts failures by key, in bounded memory; safe from any thread.

    An attempt counts as failed from its begin until ``succeeded`` takes it back, so that no burst slips through.

    Args:
        free: failures that have no consequence.
        lock_s: the first lock; it doubles with each further failure up to ``lock_max_s``.
        bound: keys remembered; the longest untouched is forgotten first.
    """

    def __init__(self, clock: Clock, free: int, lock_s: int, lock_max_s: int, bound: int = 20_000) -> None:
        self._clock = clock
        self._free = free
        self._lock_s = lock_s
        self._lock_max_s = lock_max_s
        self._bound = bound
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._guard = threading.Lock()

    def attempt(self, key: str) -> None:
        """Begin an attempt.

        Raises:
            Denied: ``access.locked`` with ``retry_after_s``.
        """
        now_us = self._clock.now_us()
        with self._guard:
            record = self._records.get(key)
            if record is None or now_us - record.last_us > 2 * self._lock_max_s * SECOND_US:
                record = _Record(0, 0, now_us)
            if now_us < record.locked_until_us:
                raise Denied("access.locked", retry_after_s=-(-(record.locked_until_us - now_us) // SECOND_US))
            record.failures += 1
            record.last_us = now_us
            over = record.failures - self._free
            if over >= 0:
                lock_s = min(self._lock_s * 2 ** min(over, 20), self._lock_max_s)
                record.locked_until_us = now_us + lock_s * SECOND_US
            self._records[key] = record
            self._records.move_to_end(key)
            while len(self._records) > self._bound:
                self._records.popitem(last=False)

    def succeeded(self, key: str, *, forget: bool) -> None:
        """Take the last attempt back; with ``forget`` all earlier failures too."""
        with self._guard:
            record = self._records.get(key)
            if record is None:
                return
            if forget or record.failures <= 1:
                del self._records[key]
                return
            record.failures -= 1
            if record.failures < self._free:
                record.locked_until_us = 0

    def locked_until_us(self, key: str) -> int | None:
        """Return until when a key is locked; None if it is not."""
        with self._guard:
            record = self._records.get(key)
            if record is None or record.locked_until_us <= self._clock.now_us():
                return None
            return record.locked_until_us
