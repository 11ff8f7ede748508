"""The series in which the effect of a command would show, by number: no other row is looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake import Columns, SeriesCatalogue

_Key = tuple[str, str]


class AwaitedSeries:
    """Counts how many commands await a property; used under the service's lock."""

    def __init__(self, catalogue: SeriesCatalogue) -> None:
        self._catalogue = catalogue
        self._counts: dict[_Key, int] = {}
        self._unnumbered: set[_Key] = set()
        self._known = 0
        self._mask = np.zeros(1_024, np.bool_)

    def expect(self, key: _Key) -> None:
        """One command more awaits (entity, property)."""
        self._counts[key] = self._counts.get(key, 0) + 1
        if self._counts[key] == 1:
            self._mark(key)

    def leave(self, key: _Key) -> None:
        """One command less does."""
        self._counts[key] -= 1
        if self._counts[key]:
            return
        del self._counts[key]
        self._unnumbered.discard(key)
        number = self._catalogue.find(*key)
        if number is not None and number < len(self._mask):
            self._mask[number] = False

    def rows(self, columns: Columns) -> NDArray[np.intp]:
        """Return the rows in which an effect might show, in order."""
        if not self._counts or not len(columns):
            return np.empty(0, np.intp)
        if self._unnumbered and len(self._catalogue) != self._known:
            self._known = len(self._catalogue)
            for key in list(self._unnumbered):
                self._mark(key)
        self._reserve(int(columns.series.max()) + 1)
        return np.flatnonzero(self._mask[columns.series])

    def _mark(self, key: _Key) -> None:
        number = self._catalogue.find(*key)
        if number is None:
            self._unnumbered.add(key)
            return
        self._unnumbered.discard(key)
        self._reserve(number + 1)
        self._mask[number] = True

    def _reserve(self, count: int) -> None:
        if count > len(self._mask):
            grown = np.zeros(max(count, 2 * len(self._mask)), np.bool_)
            grown[: len(self._mask)] = self._mask
            self._mask = grown
