"""The newest value of every numeric series, in arrays by series number, written by one compiled kernel a batch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake import Columns
from gulou.kernel.compiled import compiled

BOUND, HELD, LOOK = 1, 2, 4
"""Bits of a series' state: it is known what its rows must not be older than; its value is the default instance of the
attribute; its entity is to be looked at when the next value is taken."""

_SAVED: dict[str, Any] = {
    "value": np.float64,
    "observed_us": np.int64,
    "modified_us": np.int64,
    "stamp": np.int64,
    "created_us": np.int64,
    "state": np.uint8,
}
_UNSAVED: dict[str, Any] = {
    "group": np.int32,
    "lon": np.float32,
    "lat": np.float32,
    "watched": np.uint8,
    "changed": np.uint8,
    "waiting": np.int32,
}
_FIRST_CAPACITY = 1_024
_CHUNK = 65_536
EARLIEST = -(2**63)


class Held(NamedTuple):
    """The value that the arrays hold for a series; times in µs since the Unix epoch, UTC."""

    value: float
    observed_us: int
    modified_us: int
    stamp: int


class SeriesCheckpoint(msgspec.Struct, frozen=True):
    """The arrays as they are kept over a restart.

    Args:
        position: every batch up to this log sequence is in it; of later ones some rows may be.
        arrays: name → array, all of one length.
    """

    position: int
    arrays: dict[str, Any]


@compiled(
    "void(Array(int32, 1, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), "
    "Array(float64, 1, 'C', readonly=True), int64, int64, int64, float64[::1], int64[::1], int64[::1], int64[::1], "
    "uint8[::1], uint8[::1], int32[::1], int32[::1], int32[::1], int64[::1])"
)
def take_rows(
    series: Any,
    observed_at_us: Any,
    values: Any,
    stamp: int,
    received_us: int,
    telling: int,
    value: Any,
    observed_us: Any,
    modified_us: Any,
    stamps: Any,
    state: Any,
    changed: Any,
    waiting: Any,
    fresh: Any,
    found: Any,
    counts: Any,
) -> None:
    """Write rows over what is there: the newest observation stays, of one time the one later in the log.

    Args:
        fresh: gets the rows whose series is not bound yet; ``counts[0]`` of them.
        found: gets the series that were not held, or are to be looked at; ``counts[1]``.
        waiting: gets the series that changed, each once (``changed``); ``counts[2]``, kept from call to call.
    """
    fresh_count = 0
    found_count = 0
    waiting_count = counts[2]
    for row in range(len(series)):
        number = series[row]
        if stamp < stamps[number]:
            continue
        before = state[number]
        if before & 1 == 0:
            fresh[fresh_count] = row
            fresh_count += 1
            continue
        at_us = observed_at_us[row]
        if at_us < observed_us[number]:
            continue
        value[number] = values[row]
        observed_us[number] = at_us
        stamps[number] = stamp
        modified_us[number] = max(modified_us[number], received_us)
        if before != 3:
            state[number] = 3
            found[found_count] = number
            found_count += 1
        if telling != 0 and changed[number] == 0:
            changed[number] = 1
            waiting[waiting_count] = number
            waiting_count += 1
    counts[0] = fresh_count
    counts[1] = found_count
    counts[2] = waiting_count


@compiled(
    "void(int32[::1], uint8[::1], int32[::1], float32[::1], float32[::1], uint8[::1], uint8[:, ::1], float64[:, ::1], "
    "int32[::1], int64[::1])"
)
def pick_wanted(
    waiting: Any,
    changed: Any,
    group: Any,
    lon: Any,
    lat: Any,
    watched: Any,
    types: Any,
    boxes: Any,
    picked: Any,
    counts: Any,
) -> None:
    """Pick changed series that somebody watches, the longest waiting first; forget those that nobody does.

    Args:
        types: uint8[interests, groups], which groups an interest wants.
        boxes: float64[interests, 4], west, south, east, north in degrees; west NaN: anywhere.
        picked: gets the series; no more than its length, the others wait on.
        counts: [0] in: how many wait; [2] out: how many wait on; [1] out: how many were picked.
    """
    kept = 0
    taken = 0
    for index in range(counts[0]):
        number = waiting[index]
        wanted = watched[number] != 0
        interest = 0
        while not wanted and interest < types.shape[0]:
            if types[interest, group[number]] != 0:
                west = boxes[interest, 0]
                wanted = np.isnan(west) or (
                    lon[number] >= west
                    and lat[number] >= boxes[interest, 1]
                    and lon[number] <= boxes[interest, 2]
                    and lat[number] <= boxes[interest, 3]
                )
            interest += 1
        if wanted and taken == len(picked):
            waiting[kept] = number
            kept += 1
            continue
        changed[number] = 0
        if wanted:
            picked[taken] = number
            taken += 1
    counts[1] = taken
    counts[2] = kept


class SeriesState:
    """The arrays. The caller serialises changes with ``lock``; ``read`` and ``checkpoint`` are for any thread.

    Args:
        lock: held by the caller during every change; a reader that meets a change takes it, and so waits it out.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._version = 0  # odd while something is being changed
        self._counts = np.zeros(3, np.int64)
        self._arrays: dict[str, NDArray[Any]] = {}
        self._capacity = 0
        self.reserve(_FIRST_CAPACITY)

    def __len__(self) -> int:
        return self._capacity

    def array(self, name: str) -> NDArray[Any]:
        """Return one of the arrays, by series number; another one after ``reserve``."""
        return self._arrays[name]

    def reserve(self, count: int) -> None:
        """Make room for series below ``count``."""
        if count <= self._capacity:
            return
        capacity = max(_FIRST_CAPACITY, self._capacity)
        while capacity < count:
            capacity *= 2
        grown = {}
        for name, kind in (_SAVED | _UNSAVED).items():
            grown[name] = np.zeros(capacity, kind)
            if self._capacity:
                grown[name][: self._capacity] = self._arrays[name]
        grown["lon"][self._capacity :] = np.nan
        grown["lat"][self._capacity :] = np.nan
        with self._changing():
            self._arrays, self._capacity = grown, capacity

    def take(
        self, columns: Columns, stamp: int, received_us: int, *, telling: bool
    ) -> tuple[NDArray[np.int32], list[int]]:
        """Write a batch's rows.

        Returns:
            The rows whose series is not bound (bind them and take these rows again), and the series whose entity is to
            be looked at.
        """
        series, observed, values = _ready(columns.series), _ready(columns.observed_at_us), _ready(columns.value)
        fresh, found = np.empty(len(series), np.int32), np.empty(len(series), np.int32)
        arrays, counts = self._arrays, self._counts
        with self._changing():
            take_rows(
                series, observed, values, stamp, received_us, int(telling),
                arrays["value"], arrays["observed_us"], arrays["modified_us"], arrays["stamp"], arrays["state"],
                arrays["changed"], arrays["waiting"], fresh, found, counts,
            )  # fmt: skip
        return fresh[: counts[0]], found[: counts[1]].tolist()

    def read(self, number: int) -> Held | None:
        """Return what the arrays hold for a series; None when its value is in the entity itself."""
        version = self._version
        if not version & 1:
            held = self._read(number)
            if version == self._version:
                return held
        with self._lock:
            return self._read(number)

    def read_held(self, number: int) -> Held | None:
        """The same for a caller that holds the lock."""
        return self._read(number)

    def bind(self, number: int, observed_us: int | None, modified_us: int, stamp: int) -> None:
        """Let rows of a series in that are not older than this."""
        arrays = self._arrays
        with self._changing():
            arrays["observed_us"][number] = EARLIEST if observed_us is None else observed_us
            arrays["modified_us"][number] = modified_us
            arrays["stamp"][number] = stamp
            arrays["state"][number] = BOUND

    def bind_new(self, numbers: list[int], stamps: list[int]) -> None:
        """Let any rows of series in of which nothing is known, but for those before a stamp each."""
        arrays = self._arrays
        with self._changing():
            arrays["observed_us"][numbers] = EARLIEST
            arrays["modified_us"][numbers] = 0
            arrays["stamp"][numbers] = stamps
            arrays["state"][numbers] = BOUND

    def release(self, number: int, stamp: int) -> None:
        """Hand a series' value over to its entity, or forget it; rows with an earlier stamp are kept out."""
        with self._changing():
            self._arrays["state"][number] = 0
            self._arrays["stamp"][number] = stamp

    def put_back(self, number: int, held: Held) -> None:
        """Take a ``release`` back."""
        arrays = self._arrays
        with self._changing():
            arrays["observed_us"][number], arrays["modified_us"][number] = held.observed_us, held.modified_us
            arrays["value"][number], arrays["stamp"][number] = held.value, held.stamp
            arrays["state"][number] = BOUND | HELD

    def look_again(self, numbers: Any) -> None:
        """Have the entities of held series looked at when their next values come."""
        state = self._arrays["state"]
        with self._changing():
            state[numbers] |= (state[numbers] & HELD) << 1

    def keep_held(self) -> None:
        """Let rows of all held series in; forget everything else, at start."""
        state = self._arrays["state"]
        with self._changing():
            state[:] = np.where(state & HELD, state | BOUND, 0)

    def waiting(self) -> int:
        """Return how many changed series wait to be told."""
        return int(self._counts[2])

    def forget_changes(self) -> None:
        """Tell nobody of what has changed so far."""
        self._arrays["changed"][:] = 0
        self._counts[2] = 0

    def pick(self, types: NDArray[np.uint8], boxes: NDArray[np.float64], most: int) -> list[int]:
        """Return changed series that somebody watches, see ``pick_wanted``."""
        arrays = self._arrays
        picked = np.empty(most, np.int32)
        counts = np.array([self._counts[2], 0, 0], np.int64)
        pick_wanted(
            arrays["waiting"], arrays["changed"], arrays["group"], arrays["lon"], arrays["lat"], arrays["watched"],
            types, boxes, picked, counts,
        )  # fmt: skip
        self._counts[2] = counts[2]
        numbers: list[int] = picked[: counts[1]].tolist()
        return numbers

    def checkpoint(self, position: int, count: int) -> SeriesCheckpoint:
        """Copy the arrays of the series below ``count``, in pieces: whoever takes readings never waits long.

        Args:
            position: sequence of a batch that was taken before the call.
        """
        copies = {name: np.empty(count, kind) for name, kind in _SAVED.items()}
        for start in range(0, count, _CHUNK):
            end = min(start + _CHUNK, count)
            with self._lock:
                for name, copy in copies.items():
                    copy[start:end] = self._arrays[name][start:end]
        return SeriesCheckpoint(position, copies)

    def restore(self, saved: SeriesCheckpoint, count: int) -> NDArray[np.intp]:
        """Take over a checkpoint; return the series that are held. Those from ``count`` on nobody knows any more."""
        length = min(len(saved.arrays["state"]), count)
        self.reserve(length)
        with self._changing():
            for name in _SAVED:
                self._arrays[name][:length] = saved.arrays[name][:length]
            state = self._arrays["state"]
            held = np.flatnonzero(state[:length] & HELD)
            state[:length] &= HELD
        return held

    def _read(self, number: int) -> Held | None:
        arrays = self._arrays
        if number >= self._capacity or not arrays["state"][number] & HELD:
            return None
        return Held(
            float(arrays["value"][number]),
            int(arrays["observed_us"][number]),
            int(arrays["modified_us"][number]),
            int(arrays["stamp"][number]),
        )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        self._version += 1
        try:
            yield
        finally:
            self._version += 1


def _ready(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array as kernels need it: in one piece, and aligned."""
    return array if array.flags.c_contiguous and array.flags.aligned else np.array(array)
