"""What is kept of each series by its number: the guard's arrays, and who listens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake import Columns, Series, SeriesCatalogue
from gulou.hub.rules.engine import guards
from gulou.hub.rules.engine.guards import BEFORE, COUNT, HIGH, LAST, LAST_US, LOW, MAX_AGE, UNTIL
from gulou.hub.rules.engine.listeners import Index, Listener
from gulou.hub.rules.engine.state import Missed

_FIRST_LANES = 1 << 12
_CHUNK_BITS = 14
_CHUNK = 1 << _CHUNK_BITS
_BLOCK = 1 << guards.BLOCK_BITS
_SOUND: tuple[Literal["C", "A"], ...] = ("C", "A")
_MANY = 8
"""From so many rules on one series on, their bands are kept."""
_SHUT = (np.inf, -np.inf, guards.NEVER)
_Band = tuple[float, float, int]


class Crowd:
    """The bands of many rules on one series: a reading is shown to those whose band it leaves."""

    __slots__ = ("highs", "listeners", "lows", "pending", "untils")

    def __init__(self, listeners: tuple[Listener, ...]) -> None:
        self.listeners = listeners
        self.lows = np.full(len(listeners), np.inf)
        self.highs = np.full(len(listeners), -np.inf)
        self.untils = np.full(len(listeners), guards.NEVER)
        self.pending: set[int] = set(range(len(listeners)))

    def concerned(self, value: float, moment_us: int) -> list[int]:
        """Return the places of the listeners that must judge."""
        inside = (self.lows < value) & (value < self.highs) & (moment_us < self.untils)
        return [int(place) for place in np.flatnonzero(~inside)]

    def shut(self, places: list[int]) -> None:
        """Show everything to these listeners, until their bands are known again."""
        for place in places:
            self.lows[place] = np.inf
        self.pending.update(places)

    def put(self, place: int, band: _Band) -> None:
        self.lows[place], self.highs[place], self.untils[place] = band

    def joint(self) -> _Band:
        """Return what all of them tolerate."""
        return float(self.lows.max()), float(self.highs.min()), int(self.untils.min())


class Lanes:
    """The lanes of all series of a catalogue. Guarded by whoever guards the engine."""

    def __init__(self, catalogue: SeriesCatalogue, index: Index) -> None:
        self.catalogue = catalogue
        self._index = index
        self._listeners: list[NDArray[np.object_] | None] = []
        self._crowds: dict[int, Crowd] = {}
        self._type_numbers: dict[str, int] = {}
        self._kinds: tuple[int, dict[tuple[str, str], int]] = (0, {})
        self._capacity = 0
        self._cells: NDArray[np.int64] = np.zeros((0, guards.WORDS), np.int64)
        self._reals: NDArray[np.float64] = self._cells.view(np.float64)
        self._changed: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._types: NDArray[np.int16] = np.zeros(0, np.int16)
        self._rows = np.zeros(0, np.int64)
        self._snapshot = 0
        self._cursor = guards.IDLE
        self._marks = np.zeros(0, np.int32)
        self._shadow = np.zeros((0, guards.KEPT_WORDS), np.int64)
        self._reserve(_FIRST_LANES)

    # ---- readings

    def sift(self, columns: Columns, received_us: int, now_us: int) -> list[int]:
        """Note what changes nothing, and return the other rows, in their order."""
        rows = len(columns)
        if rows > len(self._rows):
            self._rows = np.zeros(max(rows, 1_024), np.int64)
        self._reserve(len(self.catalogue))
        found = guards.sift(
            np.require(columns.series, np.int32, _SOUND),
            np.require(columns.observed_at_us, np.int64, _SOUND),
            np.require(columns.value, np.float64, _SOUND),
            received_us,
            now_us,
            self._cells,
            self._reals,
            self._changed,
            self._cursor,
            self._snapshot,
            self._marks,
            self._shadow,
            self._rows,
        )
        return self._rows[:found].tolist() if found else []

    def number_of(self, entity_id: str, name: str) -> int | None:
        """Return the number of a series that has one."""
        number = self.catalogue.find(entity_id, name)
        if number is not None and number >= self._capacity:
            self._reserve(len(self.catalogue))
        return number

    def numbers_of(self, entity_ids: Sequence[str], name: str) -> NDArray[np.int64]:
        """Return the numbers of one property of many entities, -1 for none; shape (n,)."""
        self._reserve(len(self.catalogue))
        return self.catalogue.find_many(entity_ids, name)

    def listeners(self, number: int) -> tuple[Listener, ...]:
        """Return who listens to a series, attributes aside."""
        chunk = self._listeners[number >> _CHUNK_BITS]
        found: tuple[Listener, ...] | None = None if chunk is None else chunk[number & _CHUNK - 1]
        return self._resolve(number) if found is None else found

    def concerned(self, number: int, at_us: int, value: float, now_us: int) -> tuple[Listener, ...]:
        """Return who must judge a reading that is newer than all before it; the others let it be noted."""
        listeners = self.listeners(number)
        if len(listeners) < 2:
            return listeners
        if len(listeners) < _MANY:
            entity_id = self.catalogue.get(number).entity_id
            return tuple([one for one in listeners if not one.is_calm(entity_id, value)])
        crowd = self._crowds.get(number)
        if crowd is None or crowd.listeners is not listeners:
            return listeners
        places = crowd.concerned(value, max(at_us, now_us))
        crowd.shut(places)
        return tuple([listeners[place] for place in places])

    def is_newer(self, number: int, at_us: int) -> bool:
        """Say whether a reading is newer than everything heard of the series."""
        return at_us > int(self._cells[number, LAST_US])

    def is_patient(self, number: int, age_us: int) -> bool:
        """Say whether no rule on the series finds a reading too old."""
        return age_us <= int(self._cells[number, MAX_AGE])

    def open_all(self, number: int) -> None:
        """Let every listener judge until the bands are known again."""
        crowd = self._crowds.get(number)
        if crowd is not None:
            crowd.shut(list(range(len(crowd.listeners))))

    def note(self, number: int, at_us: int, content: Any) -> int:
        """Note a reading that is judged; return how many have come."""
        value = content if type(content) is float else math.nan
        cells, reals = self._cells, self._reals
        newest_us = int(cells[number, LAST_US])
        if at_us >= newest_us:
            self._spare(number)
        if at_us > newest_us:
            cells[number, LAST_US] = at_us
            reals[number, BEFORE] = reals[number, LAST]
            reals[number, LAST] = value
            cells[number, COUNT] += 1
        elif at_us == newest_us:
            reals[number, LAST] = value
        return int(cells[number, COUNT])

    def is_unjudged(self, number: int, at_us: int) -> bool:
        """Say whether no rule has judged a series since its listeners were found anew, and a reading is its newest."""
        cells = self._cells
        return not cells[number, MAX_AGE] and at_us > int(cells[number, LAST_US])

    def begin(self, number: int, at_us: int, value: float, band: tuple[float, float], patience_us: int) -> None:
        """Note the newest reading of a series, which begins nothing, and set within what no later one does either."""
        self._spare(number)
        cells, reals = self._cells[number], self._reals[number]
        reals[LOW], reals[HIGH] = band
        reals[BEFORE], reals[LAST] = reals[LAST], value
        cells[UNTIL], cells[MAX_AGE], cells[LAST_US] = guards.NEVER, patience_us, at_us
        cells[COUNT] += 1

    def missed(self, number: int, known: int) -> Missed | None:
        """Return what has come since ``known`` readings had; None: nothing."""
        cells = self._cells
        count = int(cells[number, COUNT])
        if count <= known:
            return None
        reals = self._reals
        return Missed(
            count - known, count, int(cells[number, LAST_US]), float(reals[number, LAST]), float(reals[number, BEFORE])
        )

    def newest_beyond(self, numbers: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return when the newest reading of each series was, µs UTC; -1 where no more have come than are known.

        Args:
            numbers, known: shape (n,).
        """
        return np.where(self._cells[numbers, COUNT] > known, self._cells[numbers, LAST_US], -1)

    def count(self, number: int) -> int:
        return int(self._cells[number, COUNT])

    def series_of(self, entity_type: str, name: str) -> int:
        """Return how many series there are of a property of a type."""
        count = len(self.catalogue)
        if self._kinds[0] != count:
            numbers = np.bincount(self.catalogue.kind_of()[:count]).tolist()
            self._kinds = (count, dict(zip(self.catalogue.kinds(), numbers, strict=False)))
        return self._kinds[1].get((entity_type, name), 0)

    # ---- bands

    def close(self, number: int) -> None:
        """Let the next reading of a series be judged by every rule."""
        if self._cells[number, MAX_AGE] >= 0:
            self._reals[number, LOW] = np.inf
        self.open_all(number)

    def refresh(self, number: int) -> None:
        """Compute the band of a series anew, from the states of the rules on it."""
        listeners = self.listeners(number)
        cells, reals = self._cells, self._reals
        if not listeners:
            cells[number, MAX_AGE] = -1
            return
        series = self.catalogue.get(number)
        patience_us = min([listener.judge.rule.max_age_us for listener in listeners])
        if len(listeners) >= _MANY:
            low, high, until_us = self._refresh_crowd(number, listeners, series)
        else:
            low, high, until_us = -math.inf, math.inf, guards.NEVER
            for listener in listeners:
                band = listener.tolerance(series.entity_id, series.property) or _SHUT
                low, high, until_us = max(low, band[0]), min(high, band[1]), min(until_us, band[2])
        reals[number, LOW], reals[number, HIGH] = low, high
        cells[number, UNTIL], cells[number, MAX_AGE] = until_us, patience_us

    def _refresh_crowd(self, number: int, listeners: tuple[Listener, ...], series: Series) -> _Band:
        crowd = self._crowds.get(number)
        if crowd is None or crowd.listeners is not listeners:
            crowd = self._crowds[number] = Crowd(listeners)
        for place in crowd.pending:
            crowd.put(place, listeners[place].tolerance(series.entity_id, series.property) or _SHUT)
        crowd.pending.clear()
        return crowd.joint()

    # ---- rules come and go

    def forget(self, number: int) -> None:
        """Find the listeners of a series anew at its next reading."""
        if number < self._capacity:
            chunk = self._listeners[number >> _CHUNK_BITS]
            if chunk is not None:
                chunk[number & _CHUNK - 1] = None
            self._crowds.pop(number, None)
            self._cells[number, MAX_AGE] = 0
            self._reals[number, LOW] = np.inf

    def forget_type(self, entity_type: str) -> Iterator[None]:
        """The same for all series of a type, in small steps: one after each ``next``."""
        kind = self._type_numbers.get(entity_type)
        if kind is None:
            return
        for index, chunk in enumerate(self._listeners):
            first = index << _CHUNK_BITS
            if chunk is None:
                continue
            places = np.flatnonzero(self._types[first : first + _CHUNK] == kind)
            chunk[places] = None
            self._cells[first + places, MAX_AGE] = 0
            self._reals[first + places, LOW] = np.inf
            yield

    def _resolve(self, number: int) -> tuple[Listener, ...]:
        series = self.catalogue.get(number)
        found = self._index.find(series.entity_id, series.entity_type, series.property)
        self._types[number] = self._type_numbers.setdefault(series.entity_type, len(self._type_numbers) + 1)
        chunk = self._listeners[number >> _CHUNK_BITS]
        if chunk is None:
            chunk = self._listeners[number >> _CHUNK_BITS] = np.full(_CHUNK, None, np.object_)
        chunk[number & _CHUNK - 1] = found
        self._crowds.pop(number, None)
        return found

    def _reserve(self, wanted: int) -> None:
        """Make room where there is too little; memory that nothing was written to costs nothing."""
        if wanted <= self._capacity:
            return
        capacity = max(self._capacity, _FIRST_LANES)
        while capacity < wanted:
            capacity *= 2
        self._grow(capacity if capacity < 1 << 17 else max(capacity, 1 << 22))

    def _grow(self, capacity: int) -> None:
        words = np.zeros(capacity * guards.WORDS + guards.WORDS, np.int64)
        ahead = (-words.ctypes.data // 8) % guards.WORDS  # so that a lane is one line of the processor's cache
        cells = words[ahead : ahead + capacity * guards.WORDS].reshape(capacity, guards.WORDS)
        changed = np.zeros((capacity >> guards.BLOCK_BITS) + 1, np.uint8)
        types = np.zeros(capacity, np.int16)
        cells[: self._capacity] = self._cells
        changed[: len(self._changed)] = self._changed
        types[: self._capacity] = self._types
        self._cells, self._reals = cells, cells.view(np.float64)
        self._changed, self._types = changed, types
        if self._cursor != guards.IDLE:
            self._shadow = _longer(self._shadow, capacity)
            self._marks = _longer(self._marks, capacity)
        self._capacity = capacity
        while len(self._listeners) << _CHUNK_BITS < capacity:
            self._listeners.append(None)

    # ---- what a checkpoint keeps

    def begin_snapshot(self) -> list[int]:
        """Freeze the lanes as they are now, for ``snapshot_block``; return the blocks that changed since the last."""
        if len(self._marks) < self._capacity:
            self._marks = np.zeros(self._capacity, np.int32)
            self._shadow = np.zeros((self._capacity, guards.KEPT_WORDS), np.int64)
        self._snapshot += 1
        self._cursor = 0
        blocks = np.flatnonzero(self._changed).tolist()
        self._changed[:] = 0
        return [int(block) for block in blocks]

    def snapshot_block(self, block: int) -> bytes:
        """Return one block as it was; blocks come in rising order."""
        first = block << guards.BLOCK_BITS
        last = min(first + _BLOCK, self._capacity)
        out = np.zeros((last - first, guards.KEPT_WORDS), np.int64)
        guards.copy_block(self._cells, first, last, self._snapshot, self._marks, self._shadow, out)
        self._cursor = last
        return out.tobytes()

    def end_snapshot(self, unkept: list[int]) -> None:
        """End it; ``unkept`` blocks could not be written and count as changed."""
        self._cursor = guards.IDLE
        self._changed[unkept] = 1

    def restore_block(self, block: int, data: bytes) -> None:
        """Put back what was kept; every lane stays closed."""
        kept = np.frombuffer(data, np.int64).reshape(-1, guards.KEPT_WORDS)
        first = block << guards.BLOCK_BITS
        self._reserve(first + len(kept))
        self._cells[first : first + len(kept), LAST_US:] = kept

    def _spare(self, number: int) -> None:
        self._changed[number >> guards.BLOCK_BITS] = 1
        if number >= self._cursor and self._marks[number] != self._snapshot:
            self._marks[number] = self._snapshot
            self._shadow[number] = self._cells[number, LAST_US:]


def _longer(array: NDArray[Any], rows: int) -> NDArray[Any]:
    made = np.zeros((rows, *array.shape[1:]), array.dtype)
    made[: len(array)] = array
    return made
