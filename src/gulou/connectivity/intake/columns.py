"""Numeric readings as columns: the way of the many. What is not a plain number goes as ``Reading`` objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Readings, one a row, in the order of their arrival. Never changed once made.

    Args:
        series: int32[n], numbers of the ``SeriesCatalogue``.
        observed_at_us: int64[n], µs since the Unix epoch, UTC.
        value: float64[n], in the property's own unit, finite.
    """

    series: NDArray[np.int32]
    observed_at_us: NDArray[np.int64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.series)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Columns)
            and np.array_equal(self.series, other.series)
            and np.array_equal(self.observed_at_us, other.observed_at_us)
            and np.array_equal(self.value, other.value)
        )

    __hash__ = None  # type: ignore[assignment]

    def packed(self) -> Columns:
        """Return the same with each column contiguous and of its own type, as kernels want it; itself where it is."""
        series = np.ascontiguousarray(self.series, np.int32)
        at_us = np.ascontiguousarray(self.observed_at_us, np.int64)
        value = np.ascontiguousarray(self.value, np.float64)
        same = series is self.series and at_us is self.observed_at_us and value is self.value
        return self if same else Columns(series, at_us, value)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Columns:
        """Return the rows that a mask or a list of indexes names."""
        return Columns(self.series[rows], self.observed_at_us[rows], self.value[rows])


def joined(parts: Sequence[Columns]) -> Columns:
    """Return the rows of several one after the other."""
    if len(parts) == 1:
        return parts[0]
    return Columns(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.observed_at_us for part in parts]),
        np.concatenate([part.value for part in parts]),
    )
