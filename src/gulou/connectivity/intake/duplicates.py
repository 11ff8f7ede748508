"""The memory of what was lately received, by which duplicates and corrections are told from news."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from xxhash import xxh3_128_intdigest

from gulou.connectivity.intake.model import Reading, Value

_SHORT = 64
_MISSING = object()
_Key = tuple[str, str, str | None]


class _Newest:
    """The newest reading of one series, and the number by which older ones are remembered."""

    __slots__ = ("at_us", "number", "value")

    def __init__(self, number: int, at_us: int, value: object) -> None:
        self.number = number
        self.at_us = at_us
        self.value = value


class RecentReadings:
    """Remembers the newest reading of each series, and a bounded number of older ones.

    In the usual case, a series in order of time, a repeat of the newest is always recognised. One that lies further
    back is recognised while it is among the last ``recent`` readings; later it passes for news, and the stores, which
    know one value per series and time, write the same value again. Used by one thread.

    What was noted since ``begin`` can be taken back by ``undo``: a commit that failed must leave no trace, or the
    sender's second try would be refused as a duplicate of something that was never stored.
    """

    def __init__(self, recent: int, series: int) -> None:
        self._recent_half = max(recent // 2, 1)
        self._series_half = max(series // 2, 1)
        self._young: dict[tuple[int, int], object] = {}
        self._old: dict[tuple[int, int], object] = {}
        self._series: dict[_Key, _Newest] = {}
        self._older_series: dict[_Key, _Newest] = {}
        self._numbers = 0
        self._journal: list[tuple[_Newest, _Key, int | None, object, tuple[int, int] | None, object]] = []

    def begin(self) -> None:
        """Forget how to undo what was noted so far."""
        self._journal.clear()

    def note(self, reading: Reading) -> str | None:
        """Remember a reading; return None for news, ``duplicate`` or ``corrected``."""
        value = reading.value if type(reading.value) is float else _fingerprint(reading.value)
        at_us = reading.observed_at_us
        key = (reading.entity_id, reading.property, reading.dataset_id)
        newest = self._series.get(key) or self._recall(key)
        if newest is None:
            self._add_series(key, at_us, value)
            return None
        if at_us > newest.at_us:
            older = (newest.number, newest.at_us)
            self._journal.append((newest, key, newest.at_us, newest.value, older, self._young.get(older, _MISSING)))
            self._remember(older, newest.value)
            newest.at_us, newest.value = at_us, value
            return None
        if at_us == newest.at_us:
            if newest.value == value:
                return "duplicate"
            self._journal.append((newest, key, newest.at_us, newest.value, None, None))
            newest.value = value
            return "corrected"
        return self._note_late(newest, key, at_us, value)

    def undo(self) -> None:
        """Take back everything that was noted since ``begin``."""
        for newest, key, at_us, value, older, older_value in reversed(self._journal):
            if older is not None:
                self._old.pop(older, None)
                self._young.pop(older, None)
                if older_value is not _MISSING:
                    self._young[older] = older_value
            if at_us is None:
                self._series.pop(key, None)
                self._older_series.pop(key, None)
            else:
                newest.at_us, newest.value = at_us, value
        self._journal.clear()

    def warm(self, readings: Iterable[Reading]) -> None:
        """Note readings that are durable already; at start."""
        for reading in readings:
            self.note(reading)
        self._journal.clear()

    def _note_late(self, newest: _Newest, key: _Key, at_us: int, value: object) -> str | None:
        older = (newest.number, at_us)
        known = self._young.get(older, _MISSING)
        if known is _MISSING:
            known = self._old.get(older, _MISSING)
        if known is not _MISSING and known == value:
            return "duplicate"
        self._journal.append((newest, key, newest.at_us, newest.value, older, known))
        self._remember(older, value)
        return None if known is _MISSING else "corrected"

    def _remember(self, older: tuple[int, int], value: object) -> None:
        if len(self._young) >= self._recent_half:
            self._old, self._young = self._young, {}
        self._young[older] = value

    def _recall(self, key: _Key) -> _Newest | None:
        newest = self._older_series.pop(key, None)
        if newest is not None:
            self._turn_series()
            self._series[key] = newest
        return newest

    def _add_series(self, key: _Key, at_us: int, value: object) -> None:
        self._turn_series()
        self._numbers += 1
        newest = self._series[key] = _Newest(self._numbers, at_us, value)
        self._journal.append((newest, key, None, None, None, None))

    def _turn_series(self) -> None:
        if len(self._series) >= self._series_half:
            self._older_series, self._series = self._series, {}


def _fingerprint(value: Value) -> object:
    """Return the value itself if it is small, else a digest of it."""
    if isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= _SHORT):
        return value
    return ("#", xxh3_128_intdigest(msgspec.msgpack.encode(value)))
