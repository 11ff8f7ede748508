"""Numeric readings as columns: the way of the many. What is not a plain number goes as ``Reading`` objects."""

from __future__ import annotations

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

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Columns:
        """Return the rows that a mask or a list of indexes names."""
        return Columns(self.series[rows], self.observed_at_us[rows], self.value[rows])
