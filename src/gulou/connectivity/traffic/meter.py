"""Counts readings by device and minute; the cost per reading is one addition."""

from __future__ import annotations

import heapq
import threading
from collections import Counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake import LogBatch, SeriesCatalogue
from gulou.kernel.clock import SECOND_US
from gulou.kernel.compiled import compiled

_MINUTE_US = 60 * SECOND_US
_MOST_NAMES = 200_000
"""Senders of objects that are told apart in one minute; what more there are is counted together."""


class DeviceTraffic(msgspec.Struct, frozen=True):
    """What one device sent.

    Args:
        device_id: empty for what came without a device (a program's batches, loaded files).
        readings: accepted in the last whole minute and the present one.
        rejected: its rejects in the same time.
        seconds: how long that time has been so far.
    """

    device_id: str
    readings: int
    rejected: int
    seconds: float


class _Minute:
    def __init__(self, number: int) -> None:
        self.number = number
        self.by_series: NDArray[np.int64] = np.zeros(1_024, np.int64)
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()


class TrafficMeter:
    """Counts by device, for the present minute and the one before it (by the time of arrival).

    It keeps nothing: after a start it counts anew from the end of the log.

    Args:
        from_sequence: position from which it counts; what is older is passed over.
    """

    name = "traffic"
    takes_columns = True

    def __init__(self, series: SeriesCatalogue, from_sequence: int = 0) -> None:
        self._series = series
        self._applied = from_sequence
        self._lock = threading.Lock()
        self._now = _Minute(0)
        self._before = _Minute(-1)
        self._last_us = 0

    def start_at(self, sequence: int) -> None:
        """Count from the record after ``sequence`` on; call it before the first batch."""
        self._applied = sequence

    def position(self) -> int:
        """Return the sequence up to which it has counted: it never asks for anything again."""
        return self._applied

    def apply(self, batch: LogBatch) -> None:
        """Count a batch."""
        if batch.sequence <= self._applied:
            return
        with self._lock:
            self._applied = batch.sequence
            self._turn(batch.received_at_us)
            now = self._now
            if batch.columns is not None and len(batch.columns):
                top = int(batch.columns.series.max())
                if top >= len(now.by_series):
                    now.by_series = _grown(now.by_series, top + 1)
                count_each(batch.columns.series, now.by_series)
            for reading in batch.readings:
                _count(now.accepted, reading.device_id or "")
            for reject in batch.rejected:
                _count(now.rejected, reject.device_id or "")

    def checkpoint(self) -> None:
        """Nothing to keep."""

    def noisiest(self, limit: int, now_us: int) -> list[DeviceTraffic]:
        """Return who sent most, loudest first.

        Args:
            now_us: µs UTC; what is older than the minute before counts no more.
        """
        with self._lock:
            self._turn(now_us)
            minutes = [
                (minute.by_series.copy(), minute.accepted.copy(), minute.rejected.copy())
                for minute in (self._before, self._now)
            ]
            seconds = 60.0 + (now_us % _MINUTE_US) / SECOND_US
        accepted: Counter[str] = Counter()
        rejected: Counter[str] = Counter()
        for by_series, objects, rejects in minutes:
            accepted.update(objects)
            rejected.update(rejects)
            for number in np.flatnonzero(by_series).tolist():
                accepted[self._series.get(number).device_id or ""] += int(by_series[number])
        names = accepted.keys() | rejected.keys()
        loudest = heapq.nlargest(limit, names, key=lambda name: (accepted[name] + rejected[name], name))
        return [DeviceTraffic(name, accepted[name], rejected[name], round(seconds, 1)) for name in loudest]

    def _turn(self, at_us: int) -> None:
        """Begin a new minute when one has begun; time that runs backwards stays in the present one."""
        self._last_us = max(self._last_us, at_us)
        number = self._last_us // _MINUTE_US
        if number == self._now.number:
            return
        if number == self._now.number + 1:
            self._before, self._now = self._now, _Minute(number)
        else:
            self._before, self._now = _Minute(number - 1), _Minute(number)


def _count(counter: Counter[str], name: str) -> None:
    counter[name if name in counter or len(counter) < _MOST_NAMES else ""] += 1


def _grown(array: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    grown = np.zeros(max(size, 2 * len(array)), np.int64)
    grown[: len(array)] = array
    return grown


@compiled("void(int32[::1], int64[::1])", "void(Array(int32, 1, 'C', readonly=True), int64[::1])")
def count_each(series: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
    """Add one for every row to its series' place."""
    for row in range(len(series)):
        counts[series[row]] += 1
