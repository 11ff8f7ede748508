"""An area that is asked very often whether it holds a place: cells first, the exact border only where it runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import shapely
from shapely.errors import ShapelyError
from shapely.geometry import shape

_SIDE = 16
_OUT, _IN, _BORDER = 0, 1, 2


class Area:
    """A polygon or several, EPSG:4326, the border included.

    Its bounds are divided into 16 x 16 cells, each known to lie outside, inside, or on the border.

    Args:
        geojson: Polygon or MultiPolygon. Raises what ``shapely`` raises for a malformed one.
    """

    __slots__ = ("_bounds", "_cells", "_form")

    def __init__(self, geojson: Any) -> None:
        self._form = shape(geojson)
        self._bounds: tuple[float, float, float, float] = self._form.bounds
        self._cells: bytes | None = None
        shapely.prepare(self._form)

    def holds(self, position: Any) -> bool | None:
        """Say whether a place lies in it; of a line or an area, a point that stands for it. None: no geometry."""
        if isinstance(position, dict) and position.get("type") == "Point":
            known = self._by_cell(position.get("coordinates"))
            if known is not None:
                return known
        try:
            return bool(self._form.covers(shape(position).representative_point()))
        except (ShapelyError, ValueError, TypeError, KeyError, AttributeError, IndexError):
            return None  # the vocabulary's check lets only geometries in; an odd one says nothing

    def _by_cell(self, coordinates: Any) -> bool | None:
        try:
            x, y = float(coordinates[0]), float(coordinates[1])
        except (TypeError, ValueError, IndexError, KeyError):
            return None
        west, south, east, north = self._bounds
        if not (west <= x <= east and south <= y <= north):
            return False if math.isfinite(x) and math.isfinite(y) and west <= east else None
        if self._cells is None:
            self._cells = self._survey()
        column = min(int((x - west) / (east - west) * _SIDE), _SIDE - 1) if east > west else 0
        row = min(int((y - south) / (north - south) * _SIDE), _SIDE - 1) if north > south else 0
        cell = self._cells[row * _SIDE + column]
        return None if cell == _BORDER else cell == _IN

    def _survey(self) -> bytes:
        """Find what each cell is; cells are taken a little larger than they are, since dividing rounds."""
        west, south, east, north = self._bounds
        wide, high = (east - west) / _SIDE, (north - south) / _SIDE
        rows, columns = np.divmod(np.arange(_SIDE * _SIDE), _SIDE)
        left, low = west + columns * wide, south + rows * high
        boxes = shapely.box(left - wide / 64, low - high / 64, left + wide * 65 / 64, low + high * 65 / 64)
        kinds = np.where(
            shapely.covers(self._form, boxes), _IN, np.where(shapely.intersects(self._form, boxes), _BORDER, _OUT)
        )
        return kinds.astype(np.uint8).tobytes()
