"""Coordinate datums of Chinese maps: WGS 84, CGCS2000, GCJ-02, BD-09, and Gauss-Krüger projected CGCS2000.

Nothing in Gulou converts on the quiet: points are kept in EPSG:4326 with their datum named where it is another one, and
are converted where they are shown. GCJ-02 shifts only what lies on the territory that the surveying rules cover; the
outline used here is generalised to some tens of kilometres (``shift_outline``), and a map can bring its own.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import shapely
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from gulou.kernel.errors import Invalid
from gulou.kernel.geometry import check_position

Datum = Literal["WGS84", "CGCS2000", "GCJ02", "BD09"]
DATUMS: tuple[Datum, ...] = ("WGS84", "CGCS2000", "GCJ02", "BD09")
Region = Literal["HK", "MO", "TW"]
"""Regions where maps differ in their use of the shift; each map says whether it shifts them."""

_SEMI_MAJOR_M = 6_378_245.0  # Krassovsky 1940, on which GCJ-02 rests
_ECCENTRICITY_SQUARED = 0.00669342162296594323
_BD_FREQUENCY = math.pi * 3000.0 / 180.0
_BD_LON_OFFSET, _BD_LAT_OFFSET = 0.0065, 0.006
_ITERATIONS = 6

# First and last zone number, degrees of width, EPSG code of the first zone (eastings carry the zone number).
_ZONES = {6: (13, 23, 4491), 3: (25, 45, 4513)}


def convert(
    lon: float, lat: float, source: Datum, target: Datum, also: frozenset[Region] = frozenset()
) -> tuple[float, float]:
    """Convert a point between datums, degrees.

    WGS 84 and CGCS2000 differ by centimetres and are treated as equal.

    Args:
        also: regions in which this map shifts although the mainland's rules do not reach there.

    Raises:
        Invalid: ``datum.unknown``, ``geometry.out_of_range``.
    """
    for datum in (source, target):
        if datum not in DATUMS:
            raise Invalid("datum.unknown", datum=datum, known=DATUMS)
    check_position(lon, lat)
    if _frame(source) == _frame(target):
        return lon, lat
    outline = shift_outline(also)
    if source == "BD09":
        lon, lat = bd09_to_gcj02(lon, lat)
    if source in {"GCJ02", "BD09"} and _frame(target) == "WGS84":
        return gcj02_to_wgs84(lon, lat, outline)
    if _frame(source) == "WGS84":
        lon, lat = wgs84_to_gcj02(lon, lat, outline)
    return gcj02_to_bd09(lon, lat) if target == "BD09" else (lon, lat)


def wgs84_to_gcj02(lon: float, lat: float, outline: BaseGeometry | None = None) -> tuple[float, float]:
    """Shift a point into GCJ-02; outside of ``outline`` (None: the mainland's) it stays where it is."""
    if not _is_inside(lon, lat, outline):
        return lon, lat
    shift_lon, shift_lat = _shift(lon, lat)
    return lon + shift_lon, lat + shift_lat


def gcj02_to_wgs84(lon: float, lat: float, outline: BaseGeometry | None = None) -> tuple[float, float]:
    """Undo the shift, to better than 1e-11 degrees."""
    if not _is_inside(lon, lat, outline):
        return lon, lat
    true_lon, true_lat = lon, lat
    for _ in range(_ITERATIONS):
        shift_lon, shift_lat = _shift(true_lon, true_lat)
        true_lon, true_lat = lon - shift_lon, lat - shift_lat
    return true_lon, true_lat


def gcj02_to_bd09(lon: float, lat: float) -> tuple[float, float]:
    """Add Baidu's own offset."""
    radius = math.hypot(lon, lat) + 0.00002 * math.sin(lat * _BD_FREQUENCY)
    angle = math.atan2(lat, lon) + 0.000003 * math.cos(lon * _BD_FREQUENCY)
    return radius * math.cos(angle) + _BD_LON_OFFSET, radius * math.sin(angle) + _BD_LAT_OFFSET


def bd09_to_gcj02(lon: float, lat: float) -> tuple[float, float]:
    """Remove Baidu's offset by its published formula, which is true to about 1e-6 degrees."""
    x, y = lon - _BD_LON_OFFSET, lat - _BD_LAT_OFFSET
    radius = math.hypot(x, y) - 0.00002 * math.sin(y * _BD_FREQUENCY)
    angle = math.atan2(y, x) - 0.000003 * math.cos(x * _BD_FREQUENCY)
    return radius * math.cos(angle), radius * math.sin(angle)


def to_gauss_kruger(lon: float, lat: float, width: int = 3, zone: int | None = None) -> tuple[float, float]:
    """Project a CGCS2000 point; return easting with its zone number in front, and northing, m.

    Args:
        width: 3 or 6 degrees.
        zone: None: the one in which the point lies. A neighbour may be chosen, so that a city lies in one zone.

    Raises:
        Invalid: ``datum.zone_unknown``, ``datum.out_of_range``, ``geometry.out_of_range``.

    Source: EPSG:4490, EPSG:4491 to EPSG:4501, EPSG:4513 to EPSG:4533
    """
    check_position(lon, lat)
    if zone is None:
        zone = int((lon + 1.5) // 3) if width == 3 else int(lon // 6) + 1
    projection = _projection(width, zone)
    central = 3 * zone if width == 3 else 6 * zone - 3
    easting, northing = projection.transform(lon, lat)
    if abs(lon - central) > width or int(easting // 1_000_000) != zone:
        raise Invalid("datum.out_of_range", x=lon, y=lat, datum=f"CGCS2000 Gauss-Kruger zone {zone}")
    return easting, northing


def from_gauss_kruger(easting_m: float, northing_m: float, width: int = 3) -> tuple[float, float]:
    """Return longitude, latitude (CGCS2000) of a projected point whose easting begins with its zone number.

    Raises:
        Invalid: ``datum.zone_unknown``, ``datum.out_of_range``.
    """
    if not (math.isfinite(easting_m) and 0.0 <= northing_m <= 1.0e7):
        raise Invalid("datum.out_of_range", x=easting_m, y=northing_m, datum="CGCS2000 Gauss-Kruger")
    lon, lat = _projection(width, int(easting_m // 1_000_000)).transform(easting_m, northing_m, direction="INVERSE")
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise Invalid("datum.out_of_range", x=easting_m, y=northing_m, datum="CGCS2000 Gauss-Kruger")
    return lon, lat


def _frame(datum: Datum) -> str:
    return "WGS84" if datum == "CGCS2000" else datum


def _is_inside(lon: float, lat: float, outline: BaseGeometry | None) -> bool:
    area = shift_outline() if outline is None else outline
    return bool(shapely.intersects_xy(area, lon, lat))


def _shift(lon: float, lat: float) -> tuple[float, float]:
    x, y = lon - 105.0, lat - 35.0
    ripple = (20.0 * math.sin(6.0 * x * math.pi) + 20.0 * math.sin(2.0 * x * math.pi)) * 2.0 / 3.0
    north_m = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x)) + ripple
    north_m += (20.0 * math.sin(y * math.pi) + 40.0 * math.sin(y / 3.0 * math.pi)) * 2.0 / 3.0
    north_m += (160.0 * math.sin(y / 12.0 * math.pi) + 320.0 * math.sin(y * math.pi / 30.0)) * 2.0 / 3.0
    east_m = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x)) + ripple
    east_m += (20.0 * math.sin(x * math.pi) + 40.0 * math.sin(x / 3.0 * math.pi)) * 2.0 / 3.0
    east_m += (150.0 * math.sin(x / 12.0 * math.pi) + 300.0 * math.sin(x / 30.0 * math.pi)) * 2.0 / 3.0
    phi = math.radians(lat)
    magic = 1.0 - _ECCENTRICITY_SQUARED * math.sin(phi) ** 2
    meridian_m = _SEMI_MAJOR_M * (1.0 - _ECCENTRICITY_SQUARED) / (magic * math.sqrt(magic))
    parallel_m = _SEMI_MAJOR_M / math.sqrt(magic) * math.cos(phi)
    return math.degrees(east_m / parallel_m), math.degrees(north_m / meridian_m)


@lru_cache(maxsize=64)
def _projection(width: int, zone: int) -> Transformer:
    first, last, epsg = _ZONES.get(width, (0, -1, 0))
    if not first <= zone <= last:
        raise Invalid("datum.zone_unknown", zone=zone, width=width, lowest=first, highest=last)
    return Transformer.from_crs(4490, epsg + zone - first, always_xy=True)


@lru_cache(maxsize=8)
def shift_outline(also: frozenset[Region] = frozenset()) -> BaseGeometry:
    """Return the area that GCJ-02 shifts: the mainland and its coastal waters, and the regions in ``also``."""
    areas = {name: shapely.Polygon(corners) for name, corners in _REGIONS.items()}
    left_out = [area for name, area in areas.items() if name not in also]
    added = [area for name, area in areas.items() if name in also]
    area = shapely.difference(shapely.Polygon(_MAINLAND), shapely.unary_union(left_out))
    area = shapely.union_all([area, *added])
    shapely.prepare(area)
    return area


# Corners by border crossings, peaks, river mouths and capes, to a tenth of a degree, then outside the coast and back.
_MAINLAND = (
    (124.4, 40.05), (125.0, 40.5), (126.25, 41.08), (126.9, 41.75), (127.6, 41.45), (128.15, 41.4), (128.1, 42.0),
    (129.0, 42.1), (129.7, 42.45), (129.9, 43.0), (130.3, 42.9), (130.65, 42.4), (130.6, 42.8), (131.2, 43.1),
    (131.2, 44.0), (131.0, 44.8), (131.8, 45.3), (133.0, 45.05), (133.5, 45.9), (134.0, 46.7), (134.7, 47.8),
    (134.75, 48.35), (134.2, 48.42), (133.0, 48.15), (132.5, 47.75), (131.0, 47.7), (130.7, 48.6), (129.5, 49.4),
    (128.0, 49.6), (127.51, 50.255), (127.3, 50.8), (126.8, 51.5), (126.3, 52.3), (125.5, 53.05), (123.5, 53.55),
    (121.6, 53.35),
    (120.1, 52.7), (120.7, 52.4), (120.1, 51.7), (119.2, 50.4), (119.2, 50.1), (117.8, 49.5), (116.7, 49.85),
    (116.1, 49.0), (115.5, 48.15), (115.9, 47.7), (117.4, 47.65), (118.4, 48.0), (119.7, 47.25), (119.9, 46.7),
    (118.3, 46.75), (116.6, 46.3), (115.7, 45.5), (114.5, 45.35), (113.6, 44.75), (112.0, 45.05), (111.5, 44.3),
    (111.95, 43.7), (110.4, 42.75), (107.5, 42.45), (105.1, 41.65), (103.7, 41.85), (101.8, 42.5), (99.5, 42.55),
    (96.4, 42.75), (95.4, 44.2), (93.5, 44.95), (91.0, 45.2), (90.9, 46.2), (90.9, 46.9), (90.0, 47.85), (88.0, 48.6),
    (87.8, 49.15), (86.8, 49.1), (85.8, 48.4), (85.6, 47.3), (84.8, 46.9), (83.0, 47.2), (82.3, 45.6), (82.55, 45.2),
    (80.0, 44.95), (80.4, 44.2), (80.75, 43.2), (80.2, 42.2), (78.4, 41.4), (76.5, 40.5), (75.4, 40.6), (73.9, 39.9),
    (73.6, 39.4), (73.8, 38.5), (74.8, 38.4), (74.9, 37.3), (75.9, 36.6), (76.1, 36.0), (77.8, 35.45), (78.1, 34.7),
    (78.7, 34.1), (78.9, 33.3), (79.3, 32.6), (78.5, 32.4), (78.8, 31.4), (79.8, 30.9), (81.1, 30.1), (82.2, 30.2),
    (84.0, 29.2), (85.2, 28.4), (86.0, 27.95), (86.92, 27.99), (88.1, 27.9), (88.75, 28.0), (88.95, 27.3),
    (89.6, 28.15), (90.8, 28.05), (91.7, 27.8), (92.5, 27.9), (93.4, 28.6), (94.6, 29.25), (95.5, 29.05), (96.2, 29.3),
    (96.6, 28.6), (97.3, 28.2), (98.1, 28.0), (98.7, 27.4), (98.65, 26.0), (98.0, 25.2), (97.55, 24.6), (97.7, 23.9),
    (98.7, 24.1), (98.9, 23.2), (99.5, 22.95), (99.3, 22.1), (100.2, 21.5), (101.1, 21.75), (101.2, 21.2),
    (101.75, 21.15), (101.6, 22.2), (102.5, 22.7), (103.95, 22.5), (105.3, 23.35), (106.7, 22.85), (106.65, 22.0),
    (108.0, 21.5), (108.4, 21.1), (108.2, 19.2), (108.4, 18.1), (109.6, 17.9), (110.8, 18.4), (111.4, 19.8),
    (111.5, 20.9), (113.5, 21.6), (115.5, 22.3), (117.2, 23.1), (118.4, 24.0), (119.9, 25.0), (120.6, 26.4),
    (122.2, 28.0), (123.0, 29.8), (122.8, 31.2), (121.6, 33.0), (120.8, 34.4), (121.5, 35.8), (123.0, 36.8),
    (122.9, 37.7), (121.5, 38.3), (122.5, 39.1), (124.0, 39.6), (124.4, 40.05),
)  # fmt: skip
_REGIONS: dict[Region, tuple[tuple[float, float], ...]] = {
    "HK": (
        (113.82, 22.13), (114.51, 22.13), (114.51, 22.5), (114.33, 22.57), (114.23, 22.555), (114.16, 22.56),
        (114.11, 22.53), (114.05, 22.505), (113.95, 22.485), (113.87, 22.43), (113.82, 22.3), (113.82, 22.13),
    ),
    "MO": (
        (113.55, 22.1), (113.62, 22.1), (113.62, 22.2), (113.56, 22.215), (113.535, 22.21), (113.54, 22.15),
        (113.55, 22.1),
    ),
    "TW": (
        (119.2, 23.1), (120.0, 22.2), (120.7, 21.7), (121.7, 21.7), (122.3, 24.6), (122.2, 25.4), (121.4, 25.5),
        (120.6, 25.0), (119.8, 24.1), (119.2, 23.8), (119.2, 23.1),
    ),
}  # fmt: skip
