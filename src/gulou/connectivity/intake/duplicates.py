"""The memory of what was lately received, by which duplicates and corrections are told from news."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest, xxh3_128_intdigest

from gulou.connectivity.intake.columns import Columns
from gulou.connectivity.intake.duplicates_rows import RecentRows, words_of
from gulou.connectivity.intake.kernels import CORRECTED, DUPLICATE, LATE_NEWS, NEWS
from gulou.connectivity.intake.model import Reading, Value
from gulou.connectivity.intake.series import SeriesCatalogue

_SHORT = 64
_TO_DOUBLE, _DOUBLE = struct.Struct("<d"), struct.Struct("<q")
_MISSING = object()
_Key = tuple[str, str, str | None]
_WORDS = {NEWS: None, LATE_NEWS: None, DUPLICATE: "duplicate", CORRECTED: "corrected"}


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

    Series that have a number are remembered by it (``RecentRows``), whichever way a reading comes; the rest by name.
    What was known by name before a series got its number is found again (``_linked``).

    Args:
        recent: how many older readings are remembered, of either kind.
        series: how many series are remembered by name; numbered ones all are.
        catalogue: None: nothing is numbered.
    """

    def __init__(self, recent: int, series: int, catalogue: SeriesCatalogue | None = None) -> None:
        self._catalogue = catalogue
        self._rows = RecentRows(recent)
        self._linked: dict[int, int] = {}
        self._fresh_links: list[int] = []
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
        self._fresh_links.clear()
        self._rows.begin()

    def note_columns(self, columns: Columns) -> NDArray[np.uint8]:
        """Remember rows in their order; return what each is (``kernels.NEWS``, ``DUPLICATE``, ``CORRECTED``)."""
        series, at_us, words = columns.series, columns.observed_at_us, words_of(columns.value)
        self._link(series)
        verdicts = self._rows.note(series, at_us, words)
        if self._linked:
            self._ask_by_name(series, at_us, words, verdicts)
        verdicts[verdicts == LATE_NEWS] = NEWS
        return verdicts

    def note_all(self, readings: list[Reading]) -> list[str | None]:
        """Remember readings in their order; return None for news, ``duplicate`` or ``corrected`` for each."""
        numbers = [self._number_of(reading) for reading in readings]
        answers = [
            self._note_by_name(reading) if number is None else None
            for number, reading in zip(numbers, readings, strict=True)
        ]
        places = [place for place, number in enumerate(numbers) if number is not None]
        if places:
            series = np.array([numbers[place] for place in places], np.int32)
            at_us = np.array([readings[place].observed_at_us for place in places], np.int64)
            words = np.array([_word(_fingerprint(readings[place].value)) for place in places], np.int64)
            self._link(series)
            verdicts = self._rows.note(series, at_us, words)
            self._ask_by_name(series, at_us, words, verdicts)
            for place, verdict in zip(places, verdicts.tolist(), strict=True):
                answers[place] = _WORDS[verdict]
        return answers

    def note(self, reading: Reading) -> str | None:
        """Remember one reading; return None for news, ``duplicate`` or ``corrected``."""
        return self.note_all([reading])[0]

    def _note_by_name(self, reading: Reading) -> str | None:
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
        self._rows.undo()
        for number in self._fresh_links:
            self._rows.forget(number)
            del self._linked[number]
        self._fresh_links.clear()

    def warm(self, readings: Iterable[Reading], columns: Columns | None = None) -> None:
        """Note what is durable already; at start."""
        self.note_all(list(readings))
        if columns is not None:
            self.note_columns(columns)
        self.begin()

    def _number_of(self, reading: Reading) -> int | None:
        if self._catalogue is None or reading.dataset_id is not None:
            return None
        return self._catalogue.find(reading.entity_id, reading.property)

    def _link(self, series: NDArray[np.int32]) -> None:
        """Hand what is known by name over to the numbers that are met for the first time."""
        if self._catalogue is None or not len(series) or not (self._series or self._older_series):
            return
        self._rows.make_room(int(series.max()))
        for number in np.unique(series[self._rows.unseen(series)]).tolist():
            named = self._catalogue.get(number)
            key = (named.entity_id, named.property, None)
            newest = self._series.get(key) or self._older_series.get(key)
            if newest is not None:
                self._rows.set_newest(number, newest.at_us, _word(newest.value))
                self._linked[number] = newest.number
                self._fresh_links.append(number)

    def _ask_by_name(
        self,
        series: NDArray[np.int32],
        at_us: NDArray[np.int64],
        words: NDArray[np.int64],
        verdicts: NDArray[np.uint8],
    ) -> None:
        """Mend the verdict on late readings that were known before their series had a number."""
        for row in np.flatnonzero(verdicts == LATE_NEWS).tolist():
            name = self._linked.get(int(series[row]))
            older = (name or 0, int(at_us[row]))
            known = self._young.get(older, self._old.get(older, _MISSING))
            if known is not _MISSING:
                verdicts[row] = DUPLICATE if _word(known) == words[row] else CORRECTED

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


def _word(value: object) -> int:
    """Return the 64 bits by which a fingerprint is compared with rows' values; a number's are those of its float64."""
    kind = type(value)
    if kind is int or kind is float:
        try:
            return int(_DOUBLE.unpack(_TO_DOUBLE.pack(value + 0.0))[0])  # type: ignore[operator]
        except OverflowError:
            pass
    return xxh3_64_intdigest(repr(value).encode("utf-8", "surrogatepass")) - 2**63


def _fingerprint(value: Value) -> object:
    """Return the value itself if it is small, else a digest of it."""
    if isinstance(value, (int, float)) or (isinstance(value, str) and len(value) <= _SHORT):
        return value
    return ("#", xxh3_128_intdigest(msgspec.msgpack.encode(value)))
