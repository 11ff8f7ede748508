"""Piecewise-linear tables that packs declare: breakpoints of an index, rating curves of a river."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class PointTable:
    """A curve through points, used by ``PIECEWISE('id', x)``.

    Args:
        xs, ys: the points, ``xs`` not falling; where an x stands twice the curve jumps, the later point counts there.
        edition: the publication that the numbers are from.
        clamp: outside the points the nearest end counts; else the result is unknown.
    """

    id: str
    edition: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    clamp: bool = True
    source: str | None = None
    valid_from: str | None = None
    valid_to: str | None = None

    def at(self, x: float) -> float | None:
        """Return y at ``x``, or None outside when not clamped."""
        if not self.xs[0] <= x <= self.xs[-1]:
            if not self.clamp or math.isnan(x):
                return None
            return self.ys[0] if x < self.xs[0] else self.ys[-1]
        right = bisect_right(self.xs, x)
        if right == len(self.xs):
            return self.ys[-1]
        left_x, left_y = self.xs[right - 1], self.ys[right - 1]
        return left_y + (self.ys[right] - left_y) * (x - left_x) / (self.xs[right] - left_x)
