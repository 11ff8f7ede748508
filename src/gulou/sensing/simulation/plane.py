"""The drawing board: a flat metric plane on which the city is laid out, and its way to longitude and latitude.

Points are arrays ``(n, 2)`` of metres east and north of the city's centre. A gentle warp bends the street grid so that
it looks grown; whatever is laid out on the grid in ``(u, v)`` and then warped keeps clear of the streets.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

CENTRE_LON = 117.30
CENTRE_LAT = 31.84
_METRES_PER_DEGREE_LAT = 110_900.0
_METRES_PER_DEGREE_LON = 111_320.0 * math.cos(math.radians(CENTRE_LAT))


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Return the random stream of one purpose, so that adding a draw in one place moves nothing elsewhere."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def to_lonlat(points: Points) -> Points:
    """Convert metres on the plane to EPSG:4326 degrees (lon, lat), rounded to 1e-6 (0.1 m)."""
    scale = np.array([_METRES_PER_DEGREE_LON, _METRES_PER_DEGREE_LAT])
    degrees: Points = np.round(np.asarray(points, dtype=np.float64) / scale + np.array([CENTRE_LON, CENTRE_LAT]), 6)
    return degrees


@dataclass(frozen=True)
class Warp:
    """Bends the grid; phases in radians."""

    phase_u: float
    phase_v: float
    turn: float

    @classmethod
    def from_seed(cls, seed: int) -> Warp:
        """Choose a warp for a seed."""
        rng = stream(seed, "warp")
        return cls(rng.uniform(0, 2 * math.pi), rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(6, 14)))

    def apply(self, grid: Points) -> Points:
        """Map grid metres (u, v) to plane metres (x, y)."""
        u, v = grid[:, 0], grid[:, 1]
        bent_u = u + 300 * np.sin(v / 2300 + self.phase_u) + 110 * np.sin(u / 1900 + v / 3100)
        bent_v = v + 280 * np.sin(u / 2500 + self.phase_v) + 100 * np.sin(v / 1700 - u / 3300)
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return np.column_stack([bent_u * cos - bent_v * sin, bent_u * sin + bent_v * cos])
