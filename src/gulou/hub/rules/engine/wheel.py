"""Timers on a wheel: set in one step whatever their number, and moved on by columns while what they watch is heard.

A timer that watches a series is due when that has been silent for so long. Readings do not touch it: each only leaves
its time in its lane. When the wheel comes to the timer, it looks there, for all timers of one spoke at once.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SPOKE_BITS = 20
"""Timers of 2^20 µs, about a second, lie together; within a second they are put in order when it has come."""
_FIRST = 1 << 10
_Whole = NDArray[np.int64]
Renewal = Callable[[_Whole, _Whole], _Whole]
"""From numbers of series, and how many readings of each are known: when the newest beyond these was (µs), or -1."""
Entry = tuple[int, str, str, int]
"""A timer: when (µs UTC), of which rule and which of its states, and the timer's own number."""


class Wheel:
    """Timers by their moment; of one moment by rule and state. They are looked at again, not called off."""

    def __init__(self) -> None:
        self._spokes: dict[int, array[int]] = {}
        self._turns: list[int] = []
        """Which spokes there are, as a heap."""
        self._near: list[Entry] = []
        """What lies on spokes that the wheel has come to, as a heap."""
        self._spoke = -1
        self._whose: list[tuple[str, str]] = []
        self._free: list[int] = []
        self._due: _Whole = np.zeros(_FIRST, np.int64)
        self._series: _Whole = np.zeros(_FIRST, np.int64)
        self._known: _Whole = np.zeros(_FIRST, np.int64)
        self._silence: _Whole = np.zeros(_FIRST, np.int64)

    def __len__(self) -> int:
        return len(self._whose) - len(self._free)

    def add(self, due_us: int, rule_id: str, key: str, series: int = -1, known: int = 0, silence_us: int = 0) -> int:
        """Set a timer.

        Args:
            series: number of a series; with every reading of it beyond the first ``known``, it is due no earlier than
                ``silence_us`` after that. -1: it watches none.

        Returns:
            Its number, until it is popped.
        """
        if self._free:
            number = self._free.pop()
            self._whose[number] = (rule_id, key)
        else:
            number = len(self._whose)
            self._whose.append((rule_id, key))
            if number >= len(self._due):
                self._grow()
        self._due[number] = due_us
        self._series[number] = series
        if series >= 0:
            self._known[number], self._silence[number] = known, silence_us
        spoke = due_us >> _SPOKE_BITS
        if spoke <= self._spoke:
            heapq.heappush(self._near, (due_us, rule_id, key, number))
        else:
            self._spoke_of(spoke).append(number)
        return number

    def add_all(
        self, due_us: _Whole, rule_id: str, keys: Sequence[str], series: _Whole, known: _Whole, silence_us: _Whole
    ) -> range:
        """Set many timers of one rule, as ``add`` does one after the other.

        Args:
            due_us, series, known, silence_us: shape (n,).

        Returns:
            Their numbers.
        """
        first = len(self._whose)
        self._whose += [(rule_id, key) for key in keys]
        numbers = range(first, len(self._whose))
        while len(self._due) < len(self._whose):
            self._grow()
        fresh = np.arange(first, len(self._whose))
        self._due[fresh], self._series[fresh] = due_us, series
        self._known[fresh], self._silence[fresh] = known, silence_us
        self._place(fresh)
        return numbers

    def unwatch(self, number: int) -> None:
        """Let a timer be looked at when it is due, whatever is heard."""
        self._series[number] = -1

    def first(self, now_us: int, renewal: Renewal | None, since_us: int) -> Entry | None:
        """Return the first timer that is due up to ``now_us``.

        Args:
            renewal: asked once for all timers of a spoke when the wheel comes to it.
            since_us: silence before that does not count, µs UTC.
        """
        while self._turns and self._turns[0] <= now_us >> _SPOKE_BITS:
            self._spoke = heapq.heappop(self._turns)
            self._come_to(np.frombuffer(self._spokes.pop(self._spoke), np.int64), renewal, since_us)
        return self._near[0] if self._near and self._near[0][0] <= now_us else None

    def pop(self) -> None:
        """Take the first timer off."""
        number = heapq.heappop(self._near)[3]
        self._free.append(number)

    def _come_to(self, numbers: _Whole, renewal: Renewal | None, since_us: int) -> None:
        """Move on what has been heard since, and put the rest in order."""
        watching = numbers[self._series[numbers] >= 0]
        if renewal is not None and len(watching):
            newest = renewal(self._series[watching], self._known[watching])
            due = np.where(newest >= 0, np.maximum(newest, since_us) + self._silence[watching], 0)
            self._due[watching] = np.maximum(self._due[watching], due)
        self._place(numbers)

    def _place(self, numbers: _Whole) -> None:
        """Lay timers where the wheel comes to them: in order if it has been there."""
        spokes = self._due[numbers] >> _SPOKE_BITS
        here = spokes <= self._spoke
        for number in numbers[here].tolist():
            heapq.heappush(self._near, (int(self._due[number]), *self._whose[number], number))
        if not here.all():
            self._spread(numbers[~here], spokes[~here])

    def _spread(self, numbers: _Whole, spokes: _Whole) -> None:
        order = np.argsort(spokes, kind="stable")
        numbers, spokes = numbers[order], spokes[order]
        starts = [0, *(np.flatnonzero(np.diff(spokes)) + 1).tolist(), len(numbers)]
        for begin, end in pairwise(starts):
            self._spoke_of(int(spokes[begin])).frombytes(numbers[begin:end].tobytes())

    def _spoke_of(self, spoke: int) -> array[int]:
        found = self._spokes.get(spoke)
        if found is None:
            found = self._spokes[spoke] = array("q")
            heapq.heappush(self._turns, spoke)
        return found

    def _grow(self) -> None:
        for name in ("_due", "_series", "_known", "_silence"):
            before: NDArray[Any] = getattr(self, name)
            after = np.zeros(2 * len(before), np.int64)
            after[: len(before)] = before
            setattr(self, name, after)
