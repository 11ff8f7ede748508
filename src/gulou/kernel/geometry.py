"""Geometry: GeoJSON in and out, checked; distances and areas on the ellipsoid.

Coordinates are longitude, latitude in EPSG:4326 (WGS 84), degrees; CGCS2000 is treated as equal for city use.
Lengths are metres along the geodesic, areas square metres.

Source: RFC 7946
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import shapely
from pyproj import Geod
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry
from shapely.ops import nearest_points
from shapely.validation import explain_validity

from gulou.kernel.errors import Invalid

MAX_POSITIONS = 100_000
MAX_PARTS = 10_000
MAX_RADIUS_M = 20_003_931.0
"""Half of a meridian: nothing is farther."""

# How deep positions are nested in "coordinates".
_DEPTH = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
_LEAST = {"LineString": 2, "MultiLineString": 2}


@dataclass(frozen=True)
class Box:
    """A bounding box in degrees; ``west > east`` means that it crosses the antimeridian."""

    west: float
    south: float
    east: float
    north: float

    def contains(self, lon: float, lat: float) -> bool:
        """Tell whether a point lies inside or on the edge."""
        if not self.south <= lat <= self.north:
            return False
        if self.west <= self.east:
            return self.west <= lon <= self.east
        return lon >= self.west or lon <= self.east

    def to_shape(self) -> BaseGeometry:
        """Return the box as a polygon, or as two where it crosses the antimeridian."""
        if self.west <= self.east:
            return shapely.box(self.west, self.south, self.east, self.north)
        halves = [
            shapely.box(self.west, self.south, 180.0, self.north),
            shapely.box(-180.0, self.south, self.east, self.north),
        ]
        return shapely.MultiPolygon(halves)


def to_shape(geometry: Any, where: str = "geometry", *, must_be_valid: bool = False) -> BaseGeometry:
    """Read and check a GeoJSON geometry.

    Args:
        where: what to call it in messages.
        must_be_valid: also refuse crossing edges and the like; off for what a device sends, on for what a person draws.

    Raises:
        Invalid: ``geometry.malformed``, ``geometry.out_of_range``, ``geometry.ring_open``, ``geometry.ring_short``,
            ``geometry.too_large``, ``geometry.invalid``.
    """
    check_geometry(geometry, where)
    result = shape(geometry)
    if must_be_valid and not result.is_valid:
        raise Invalid("geometry.invalid", problem=explain_validity(result))
    return result


def from_shape(geometry: BaseGeometry) -> dict[str, Any]:
    """Write a shape as GeoJSON, with lists, not tuples."""
    result: dict[str, Any] = _with_lists(mapping(geometry))
    return result


def point(lon: float, lat: float) -> dict[str, Any]:
    """Make a checked GeoJSON point. Raises Invalid ``geometry.out_of_range``."""
    check_position(lon, lat, "point")
    return {"type": "Point", "coordinates": [lon, lat]}


def check_position(lon: float, lat: float, where: str = "position") -> None:
    """Refuse what does not lie on the earth (also NaN). Raises Invalid ``geometry.out_of_range``."""
    if not (-180.0 <= lon <= 180.0 and -90.0 <= lat <= 90.0):
        raise Invalid("geometry.out_of_range", where=where, longitude=lon, latitude=lat)


def parse_box(text: str) -> Box:
    """Read ``west,south,east,north``. Raises Invalid ``geometry.bbox_malformed`` or ``geometry.out_of_range``."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise Invalid("geometry.bbox_malformed", value=text) from None
    check_position(west, south, "bbox")
    check_position(east, north, "bbox")
    if south > north:
        raise Invalid("geometry.bbox_malformed", value=text)
    return Box(west, south, east, north)


def box_of(geometry: BaseGeometry) -> Box:
    """Return the bounding box of a shape that is not empty."""
    west, south, east, north = geometry.bounds
    return Box(west, south, east, north)


def contains_point(geometry: BaseGeometry, lon: float, lat: float) -> bool:
    """Tell whether a point lies inside a shape or on its edge."""
    return bool(shapely.intersects_xy(geometry, lon, lat))


def distance_m(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Return the length of the geodesic between two points, m."""
    return float(_geod().inv(lon1, lat1, lon2, lat2)[2])


def distance_to_m(geometry: BaseGeometry, lon: float, lat: float) -> float:
    """Return the distance from a point to the nearest part of a shape, m; 0 inside it.

    The nearest part is found on a plane that is true at the point's latitude, so that over hundreds of kilometres the
    result may be some tenths of a percent too long.
    """
    if contains_point(geometry, lon, lat):
        return 0.0
    narrowing = max(math.cos(math.radians(lat)), 1e-6)
    flat = shapely.transform(geometry, lambda xy: xy * [narrowing, 1.0])
    nearest = nearest_points(flat, shapely.Point(lon * narrowing, lat))[0]
    return distance_m(lon, lat, nearest.x / narrowing, nearest.y)


def length_m(geometry: BaseGeometry) -> float:
    """Return the length of a line, or of a polygon's edge, m."""
    return float(_geod().geometry_length(geometry))


def area_m2(geometry: BaseGeometry) -> float:
    """Return the area, m², whatever the direction of the rings; 0 for points and lines."""
    if geometry.geom_type == "MultiPolygon":
        return sum(area_m2(part) for part in geometry.geoms)
    if geometry.geom_type != "Polygon":
        return 0.0
    outer = abs(_geod().geometry_area_perimeter(shapely.Polygon(geometry.exterior))[0])
    holes = sum(abs(_geod().geometry_area_perimeter(shapely.Polygon(ring))[0]) for ring in geometry.interiors)
    return float(outer - holes)


def circle(lon: float, lat: float, radius_m: float, corners: int = 64) -> BaseGeometry:
    """Return a polygon whose corners lie ``radius_m`` from the centre. Not for circles around a pole or across 180°.

    Raises:
        Invalid: ``geometry.radius_malformed`` or ``geometry.out_of_range``.
    """
    check_position(lon, lat, "centre")
    if not 0.0 < radius_m <= MAX_RADIUS_M:
        raise Invalid("geometry.radius_malformed", radius_m=radius_m, limit_m=MAX_RADIUS_M)
    azimuths = [360.0 * index / corners for index in range(corners)]
    lons, lats, _ = _geod().fwd([lon] * corners, [lat] * corners, azimuths, [radius_m] * corners)
    return shapely.Polygon(list(zip(lons, lats, strict=True)))


def box_around(lon: float, lat: float, radius_m: float) -> Box:
    """Return a box that surely holds everything within ``radius_m``; to look up candidates by index.

    Raises:
        Invalid: ``geometry.radius_malformed`` or ``geometry.out_of_range``.
    """
    check_position(lon, lat, "centre")
    if not 0.0 < radius_m <= MAX_RADIUS_M:
        raise Invalid("geometry.radius_malformed", radius_m=radius_m, limit_m=MAX_RADIUS_M)
    lat_span = math.degrees(radius_m / 6_335_439.0)  # the smallest radius of curvature of a meridian
    south, north = lat - lat_span, lat + lat_span
    if south <= -90.0 or north >= 90.0:
        return Box(-180.0, max(south, -90.0), 180.0, min(north, 90.0))
    # The circle is widest a little towards the pole from its centre; this bound is exact on a sphere.
    ratio = math.sin(math.radians(lat_span)) / math.cos(math.radians(lat))
    lon_span = math.degrees(math.asin(ratio)) * 1.01 if ratio < 1.0 else 180.0
    if lon_span >= 180.0:
        return Box(-180.0, south, 180.0, north)
    return Box(_wrapped(lon - lon_span), south, _wrapped(lon + lon_span), north)


def _wrapped(lon: float) -> float:
    return lon if -180.0 <= lon <= 180.0 else (lon + 180.0) % 360.0 - 180.0


@lru_cache(maxsize=1)
def _geod() -> Geod:
    return Geod(ellps="WGS84")


def check_geometry(geometry: Any, where: str = "geometry") -> None:
    """Check a GeoJSON geometry without building a shape; raises as ``to_shape``, which see."""
    if not isinstance(geometry, Mapping):
        raise Invalid("geometry.malformed", where=where, problem="it is not an object")
    kind = geometry.get("type")
    if kind == "GeometryCollection":
        _check_collection(geometry, where)
        return
    if not isinstance(kind, str) or kind not in _DEPTH:
        problem = f"its type is not one of {', '.join(_DEPTH)}, GeometryCollection"
        raise Invalid("geometry.malformed", where=where, problem=problem)
    coordinates = geometry.get("coordinates")
    if not isinstance(coordinates, (list, tuple)):
        raise Invalid("geometry.malformed", where=where, problem="coordinates are missing")
    count = 0
    for line in _lines(coordinates, _DEPTH[kind], f"{where}.coordinates"):
        count += _check_line(line, kind, where)
        if count > MAX_POSITIONS:
            raise Invalid("geometry.too_large", limit=MAX_POSITIONS)


def _check_collection(geometry: Mapping[str, Any], where: str) -> None:
    parts = geometry.get("geometries")
    if not isinstance(parts, (list, tuple)):
        raise Invalid("geometry.malformed", where=where, problem="geometries are missing")
    if len(parts) > MAX_PARTS:
        raise Invalid("geometry.too_large", limit=MAX_PARTS)
    for index, part in enumerate(parts):
        if isinstance(part, Mapping) and part.get("type") == "GeometryCollection":
            raise Invalid("geometry.malformed", where=where, problem="collections must not be nested")
        check_geometry(part, f"{where}.geometries[{index}]")


def _lines(coordinates: Any, depth: int, where: str) -> Iterator[list[Any]]:
    """Yield lists of positions: the point, the line, or each ring."""
    if depth == 0:
        yield [coordinates]
    elif depth == 1:
        yield list(coordinates)
    else:
        for index, part in enumerate(coordinates):
            if not isinstance(part, (list, tuple)):
                raise Invalid("geometry.malformed", where=f"{where}[{index}]", problem="a list was expected")
            yield from _lines(part, depth - 1, f"{where}[{index}]")


def _check_line(line: list[Any], kind: str, where: str) -> int:
    for position in line:
        usable = isinstance(position, (list, tuple)) and 2 <= len(position) <= 4 and all(map(_is_number, position))
        if not usable:
            raise Invalid("geometry.malformed", where=where, problem=f"{str(position)[:60]} is not a position")
        check_position(position[0], position[1], where)
    if kind.endswith("Polygon"):
        if len(line) < 4:
            raise Invalid("geometry.ring_short", where=where, count=len(line))
        if list(line[0][:2]) != list(line[-1][:2]):
            raise Invalid("geometry.ring_open", where=where)
    elif len(line) < _LEAST.get(kind, 1) and kind != "MultiPoint":
        raise Invalid("geometry.malformed", where=where, problem="a line needs two positions")
    return len(line)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _with_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_lists(item) for item in value]
    return value
