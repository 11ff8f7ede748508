"""Grid cells of two systems, H3 and BeiDou, told apart by their codes.

H3 codes are 15 hexadecimal digits in lower case (``8931aa42853ffff``); BeiDou codes begin with ``N`` or ``S``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import h3
import shapely
from shapely.geometry.base import BaseGeometry

from gulou.kernel import beidou
from gulou.kernel.errors import Invalid
from gulou.kernel.geometry import Box, box_of, check_position

H3_RESOLUTIONS = range(16)
MAX_CELLS = 10_000


@dataclass(frozen=True)
class GridCell:
    """A cell of either system.

    Args:
        level: H3 resolution 0-15, or BeiDou level 1-10.
        shape: its outline, lon, lat. A cell across the antimeridian is cut into two parts.
    """

    system: Literal["h3", "beidou"]
    code: str
    level: int
    shape: BaseGeometry

    @property
    def box(self) -> Box:
        """The bounding box of the outline."""
        return box_of(self.shape)

    def contains(self, lon: float, lat: float) -> bool:
        """Tell whether a point belongs to this cell; every point belongs to exactly one cell of a level."""
        if self.system == "h3":
            return str(h3.latlng_to_cell(lat, lon, self.level)) == self.code
        return abs(lat) < 88 and beidou.encode(lon, lat, self.level) == self.code


def parse_cell(code: str) -> GridCell:
    """Recognise a code of either system. Raises Invalid ``grid.code_malformed``."""
    if code[:1] in {"N", "S"}:
        cell = beidou.decode(code)
        return GridCell("beidou", code, cell.level, cell.box.to_shape())
    return GridCell("h3", _checked_h3(code), h3.get_resolution(code), h3_shape(code))


def h3_cell(lon: float, lat: float, resolution: int) -> str:
    """Return the H3 cell that holds a point. Raises Invalid ``geometry.out_of_range`` or ``grid.level_unknown``."""
    check_position(lon, lat)
    _check_resolution(resolution)
    return str(h3.latlng_to_cell(lat, lon, resolution))


def h3_shape(code: str) -> BaseGeometry:
    """Return the outline of an H3 cell. Raises Invalid ``grid.code_malformed``."""
    corners = [(lon, lat) for lat, lon in h3.cell_to_boundary(_checked_h3(code))]
    lons = [lon for lon, _ in corners]
    if max(lons) - min(lons) <= 180.0:
        return shapely.Polygon(corners)
    # Across the antimeridian: draw it east of 180°, then bring what lies beyond back to the west.
    whole = shapely.Polygon([(lon + 360.0 if lon < 0 else lon, lat) for lon, lat in corners])
    east = shapely.intersection(whole, shapely.box(0.0, -90.0, 180.0, 90.0))
    beyond = shapely.intersection(whole, shapely.box(180.0, -90.0, 360.0, 90.0))
    west = shapely.transform(beyond, lambda xy: xy - [360.0, 0.0])
    return shapely.unary_union([east, west])


def h3_parent(code: str, resolution: int) -> str:
    """Return the coarser cell that holds (most of) a cell."""
    own = h3.get_resolution(_checked_h3(code))
    if not 0 <= resolution <= own:
        raise Invalid("grid.level_unknown", level=resolution, system=f"H3 {code}", lowest=0, highest=own)
    return str(h3.cell_to_parent(code, resolution))


def h3_cells_over(geometry: BaseGeometry, resolution: int, limit: int = MAX_CELLS) -> list[str]:
    """List the H3 cells that touch a shape, sorted.

    Raises:
        Invalid: ``grid.level_unknown``, ``grid.too_many_cells`` (estimated first, so that no huge list is ever built).
    """
    _check_resolution(resolution)
    if geometry.is_empty:
        return []
    if geometry.geom_type == "Point":
        return [h3_cell(geometry.x, geometry.y, resolution)]
    # A line or a sliver has no area, so it is widened by a trifle before it is filled.
    widened = geometry if geometry.geom_type.endswith("Polygon") else geometry.buffer(1e-7, quad_segs=1)
    _refuse_many(widened, resolution, limit)
    cells: set[str] = set()
    for part in getattr(widened, "geoms", [widened]):
        outline = h3.geo_to_h3shape(part)
        cells.update(h3.h3shape_to_cells_experimental(outline, resolution, contain="overlap"))
        if len(cells) > limit:
            raise Invalid("grid.too_many_cells", count=len(cells), limit=limit)
    return sorted(cells)


def _refuse_many(geometry: BaseGeometry, resolution: int, limit: int) -> None:
    edge_degrees = h3.average_hexagon_edge_length(resolution, unit="km") / 111.2
    # Narrower in longitude towards the poles: measured there, the estimate is on the safe (low) side.
    least = geometry.area / (edge_degrees**2 * 2.6) * 0.05 + geometry.length / (edge_degrees * 4) * 0.05
    if least > limit:
        raise Invalid("grid.too_many_cells", count=round(least), limit=limit)


def _check_resolution(resolution: int) -> None:
    if resolution not in H3_RESOLUTIONS:
        raise Invalid("grid.level_unknown", level=resolution, system="H3", lowest=0, highest=15)


def _checked_h3(code: str) -> str:
    if len(code) != 15 or not h3.is_valid_cell(code) or code != code.lower():
        raise Invalid("grid.code_malformed", cell=code[:40], system="H3", problem="not a valid cell index")
    return code
