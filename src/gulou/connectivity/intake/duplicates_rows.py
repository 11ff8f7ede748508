"""The memory of duplicates for numbered series: arrays and a table, worked on by compiled kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake.kernels import JOURNAL_WIDTH, UNSEEN, note_rows, rehash, undo_rows

_LEAST = 1_024
_EMPTIED = 4_096


class RecentRows:
    """Remembers the newest reading of each numbered series, and the last readings beside those; used by one thread.

    The readings that are not the newest of their series live in two generations: when the young one holds half of
    ``recent`` at the beginning of a commit, it becomes the old one and the old one is forgotten;
    the table of what was forgotten is emptied bit by bit, to be the young one after the next. So at least the last
    half of ``recent`` is always known, and never more than ``recent`` and what one commit brought.

    Times are µs since the Unix epoch; words are bits (see ``kernels``).
    """

    def __init__(self, recent: int) -> None:
        self._half = max(recent // 2, 1)
        self._newest = _unseen(_LEAST)
        places = _LEAST
        while 5 * self._half > 3 * places:  # memory is only used once it is written to
            places *= 2
        self._young, self._old, self._spare = _table(places), _table(places), _table(places)
        self._empty_from = places
        """From this place on the spare table is still to be emptied."""
        self._journal = np.zeros((_LEAST, JOURNAL_WIDTH), np.int64)
        self._counts = np.zeros(2, np.int64)

    def begin(self) -> None:
        """Forget how to undo what was noted so far."""
        self._counts[0] = 0
        filed = int(self._counts[1])
        if filed >= self._half:
            self._empty(len(self._spare))
            self._spare, self._old, self._young = self._old, self._young, self._spare
            if len(self._young) < len(self._old):
                self._young = _table(len(self._old))
            self._counts[1] = 0
            self._empty_from = 0
        elif self._empty_from < len(self._spare):  # a little with each commit, so that none has to wait for all of it
            self._empty(max(self._empty_from + _EMPTIED, len(self._spare) * filed // self._half))

    def _empty(self, to: int) -> None:
        self._spare[self._empty_from : to] = 0
        self._empty_from = max(self._empty_from, min(to, len(self._spare)))

    def note(self, series: NDArray[np.int32], at_us: NDArray[np.int64], words: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Remember rows in their order; return what each is (``kernels.NEWS`` …)."""
        rows = len(series)
        verdicts = np.empty(rows, np.uint8)
        if rows:
            self.make_room(int(series.max()))
            self._make_room_for(rows)
            note_rows(series, at_us, words, self._newest, self._young, self._old, self._journal, self._counts, verdicts)
        return verdicts

    def undo(self) -> None:
        """Take back what was noted since ``begin``."""
        undo_rows(self._newest, self._young, self._journal, self._counts)

    def make_room(self, number: int) -> None:
        """Let series up to ``number`` be asked for."""
        if number >= len(self._newest):
            larger = _unseen(max(2 * len(self._newest), number + 1))
            larger[: len(self._newest)] = self._newest
            self._newest = larger

    def unseen(self, series: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Tell of which series nothing is known; after ``make_room``."""
        known: NDArray[np.bool_] = self._newest[series, 0] == UNSEEN
        return known

    def set_newest(self, number: int, at_us: int, word: int) -> None:
        """Take over what another memory knows."""
        self.make_room(number)
        self._newest[number] = (at_us, word)

    def forget(self, number: int) -> None:
        """Know nothing of a series any more."""
        self._newest[number] = (UNSEEN, 0)

    def size(self) -> int:
        """Return how many readings are remembered that are not the newest of their series."""
        return int(np.count_nonzero(self._young[:, 0]) + np.count_nonzero(self._old[:, 0]))

    def _make_room_for(self, rows: int) -> None:
        lines = int(self._counts[0]) + rows
        if lines > len(self._journal):
            larger = np.empty((2 * lines, JOURNAL_WIDTH), np.int64)
            larger[: self._counts[0]] = self._journal[: self._counts[0]]
            self._journal = larger
        wanted = len(self._young)
        while 5 * (int(self._counts[1]) + rows) > 3 * wanted:
            wanted *= 2
        if wanted > len(self._young):
            table = _table(wanted)
            rehash(self._young, table)
            self._young = table


def words_of(value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bits by which values are compared; minus zero is zero."""
    return (value + 0.0).view(np.int64)


def _unseen(size: int) -> NDArray[np.int64]:
    made = np.zeros((size, 2), np.int64)
    made[:, 0] = UNSEEN
    return made


def _table(size: int) -> NDArray[np.int64]:
    return np.zeros((size, 3), np.int64)
