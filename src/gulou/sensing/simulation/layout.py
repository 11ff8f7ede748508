"""Lays out the city on the plane: river, creek, lake, districts, rings, roads, parks and buildings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from shapely.geometry import LineString, MultiLineString, Point, Polygon
from shapely.ops import polygonize, unary_union

from gulou.sensing.simulation import names
from gulou.sensing.simulation.names import Name
from gulou.sensing.simulation.plane import Points, Warp, stream

CITY_RADIUS_M = 10_500.0
OUTER_RING_M = 7_400.0
INNER_RING_M = 3_000.0
BLOCK_M = 640.0
_ARTERIAL_EVERY = 4
_STREETS_EACH_WAY = 12
_BUILDINGS_MAX = 4_000


@dataclass(frozen=True)
class Shape:
    """One thing of the base map, in metres on the plane.

    Args:
        kind: ``district``, ``river``, ``lake``, ``park``, ``road`` or ``building``.
        category: for roads ``expressway``, ``ring``, ``arterial`` or ``street``; for water ``river`` or ``creek``.
        height_m: of a building.
    """

    id: str
    kind: str
    geometry: Any
    name: Name | None = None
    category: str = ""
    height_m: float = 0.0


@dataclass(frozen=True)
class Layout:
    """The whole drawing; every geometry is in metres on the plane."""

    boundary: Any
    river: Shape
    creek: Shape
    lake: Shape
    districts: tuple[Shape, ...]
    roads: tuple[Shape, ...]
    parks: tuple[Shape, ...]
    buildings: tuple[Shape, ...]

    @property
    def main_roads(self) -> tuple[Shape, ...]:
        """Rings and arterials: where traffic is counted and vehicles drive."""
        return tuple(road for road in self.roads if road.category != "street")


def draw_layout(seed: int) -> Layout:
    """Draw the city of a seed; the same seed gives the same drawing."""
    warp = Warp.from_seed(seed)
    boundary = _ring(seed, "boundary", CITY_RADIUS_M, 0.06)
    inner, outer = _ring(seed, "inner", INNER_RING_M, 0.05), _ring(seed, "outer", OUTER_RING_M, 0.05)
    river_line, river_area = _river(seed)
    creek_area = _creek(seed, river_line)
    lake_area = _blob(seed, "lake", -4_300, 3_900, 1_050)
    water = unary_union([river_area, creek_area, lake_area])
    parks = _parks(seed, warp, water, lake_area, outer, inner)
    roads = _roads(warp, boundary, inner, outer, river_area, river_line, lake_area, parks)
    obstacles = [water.buffer(45), *(park.geometry for park in parks)]
    obstacles += [r.geometry.buffer(30) for r in roads if r.category in {"expressway", "ring", "embankment"}]
    return Layout(
        boundary=boundary,
        river=Shape("river-1", "river", river_area.intersection(boundary.buffer(2_500)), names.RIVER, "river"),
        creek=Shape("river-2", "river", creek_area.difference(river_area), names.CREEK, "creek"),
        lake=Shape("lake-1", "lake", lake_area, names.LAKE),
        districts=_districts(seed, boundary, inner),
        roads=roads,
        parks=parks,
        buildings=_buildings(seed, warp, unary_union(obstacles), outer),
    )


def _ring(seed: int, purpose: str, radius_m: float, unevenness: float) -> Polygon:
    """Return a closed, slightly uneven ring around the centre."""
    rng = stream(seed, f"ring-{purpose}")
    angle = np.linspace(0, 2 * math.pi, 180, endpoint=False)
    radius = np.full_like(angle, radius_m)
    for harmonic in (2, 3, 5):
        radius += radius_m * unevenness / harmonic * 2 * np.sin(harmonic * angle + rng.uniform(0, 2 * math.pi))
    return Polygon(np.column_stack([radius * np.cos(angle) * 1.12, radius * np.sin(angle) * 0.95]))


def _blob(seed: int, purpose: str, x: float, y: float, radius_m: float) -> Polygon:
    rng = stream(seed, f"blob-{purpose}")
    angle = np.linspace(0, 2 * math.pi, 72, endpoint=False)
    radius = np.full_like(angle, radius_m)
    for harmonic in (2, 3, 4, 6):
        radius += radius_m * 0.32 / harmonic * np.sin(harmonic * angle + rng.uniform(0, 2 * math.pi))
    return Polygon(np.column_stack([x + radius * np.cos(angle), y + radius * np.sin(angle) * 0.8]))


def _river(seed: int) -> tuple[LineString, Polygon]:
    """Return the river's middle line and its water; it winds from the west to the south-east."""
    rng = stream(seed, "river")
    phase, ripple = rng.uniform(0.2, 0.9), rng.uniform(0, 2 * math.pi)
    x = np.linspace(-15_500, 15_500, 260)
    y = -900 + 1_500 * np.sin(x / 3_500 + phase) + 380 * np.sin(x / 1_450 + ripple) - 0.16 * x
    middle = np.column_stack([x, y])
    tangent = np.gradient(middle, axis=0)
    normal = np.column_stack([-tangent[:, 1], tangent[:, 0]]) / np.linalg.norm(tangent, axis=1)[:, None]
    half = (190 + 55 * np.sin(x / 2_600 + phase))[:, None]
    area = Polygon(np.vstack([middle + normal * half, (middle - normal * half)[::-1]])).buffer(0)
    return LineString(middle), area


def _creek(seed: int, river_line: LineString) -> Any:
    rng = stream(seed, "creek")
    mouth = river_line.interpolate(river_line.project(Point(3_800, -2_000)))
    t = np.linspace(0, 1, 80)
    x = mouth.x + (6_400 - mouth.x) * t + 420 * np.sin(t * 9 + rng.uniform(0, 2)) * t * (1.2 - t)
    y = mouth.y + (10_800 - mouth.y) * t
    return LineString(np.column_stack([x, y])).buffer(42, cap_style="flat")


def _districts(seed: int, boundary: Polygon, inner: Polygon) -> tuple[Shape, ...]:
    """Cut the city into the old town within the inner ring and sectors around it."""
    rng = stream(seed, "districts")
    count = len(names.OUTER_DISTRICTS)
    cuts = []
    for index in range(count):
        base = 2 * math.pi * (index - 0.5) / count + rng.uniform(-0.08, 0.08)
        radius = np.linspace(INNER_RING_M * 0.5, CITY_RADIUS_M * 1.5, 40)
        angle = base + 0.09 * np.sin(radius / 1_700 + rng.uniform(0, 6))
        line = LineString(np.column_stack([radius * np.cos(angle) * 1.12, radius * np.sin(angle) * 0.95]))
        cuts.append(line)  # its loose inner end encloses nothing
    pieces = polygonize(unary_union([boundary.exterior, inner.exterior, *cuts]))
    sectors = [piece for piece in pieces if boundary.contains(piece.representative_point()) and piece.area > 1e5]
    ordered = sorted(
        (piece for piece in sectors if not inner.contains(piece.representative_point())),
        key=lambda piece: (math.atan2(piece.centroid.y, piece.centroid.x) + math.pi / count) % (2 * math.pi),
    )
    shapes = [Shape("district-1", "district", inner, names.CENTRE_DISTRICT)]
    for number, (piece, name) in enumerate(zip(ordered, names.OUTER_DISTRICTS, strict=True), start=2):
        shapes.append(Shape(f"district-{number}", "district", piece, name))
    return tuple(shapes)


def _block(warp: Warp, column: int, row: int, inset_m: float) -> Polygon:
    """Return block (column, row) of the street grid, its sides bent like the streets."""
    low_u, low_v = column * BLOCK_M + inset_m, row * BLOCK_M + inset_m
    side = BLOCK_M - 2 * inset_m
    t = np.linspace(0, 1, 5)[:-1]
    edge = np.vstack(
        [
            np.column_stack([t, np.zeros(4)]),
            np.column_stack([np.ones(4), t]),
            np.column_stack([1 - t, np.ones(4)]),
            np.column_stack([np.zeros(4), 1 - t]),
        ]
    )
    return Polygon(warp.apply(edge * side + np.array([low_u, low_v])))


def _parks(seed: int, warp: Warp, water: Any, lake: Polygon, outer: Polygon, inner: Polygon) -> tuple[Shape, ...]:
    rng = stream(seed, "parks")
    green = [Shape("park-1", "park", lake.buffer(330).difference(water.buffer(6)), Name("望湖公园", "Wang Lake Park"))]
    cells = [(c, r) for c in range(-11, 11) for r in range(-11, 11)]
    rng.shuffle(cells)
    for column, row in cells:
        area = _block(warp, column, row, 30).buffer(-60).buffer(50)
        clear = all(area.distance(other.geometry) > 900 for other in green)
        if not (clear and outer.contains(area) and not area.intersects(water.buffer(20))):
            continue
        number = len(green)
        green.append(Shape(f"park-{number + 1}", "park", area, names.PARKS[(number - 1) % len(names.PARKS)]))
        if number >= len(names.PARKS):
            break
    return tuple(green)


def _grid_line(warp: Warp, index: int, *, along_u: bool) -> LineString:
    t = np.arange(-12.0, 12.01, 0.2) * 1_000.0
    fixed = np.full_like(t, index * BLOCK_M)
    grid = np.column_stack([t, fixed] if along_u else [fixed, t])
    return LineString(warp.apply(grid)).simplify(3.0)


def _roads(
    warp: Warp,
    boundary: Polygon,
    inner: Polygon,
    outer: Polygon,
    river: Polygon,
    river_line: LineString,
    lake: Polygon,
    parks: tuple[Shape, ...],
) -> tuple[Shape, ...]:
    """Rings and arterials bridge the river; streets stop at water and parks."""
    roads = [
        Shape("road-1", "road", LineString(inner.exterior.simplify(4)), names.INNER_RING, "ring"),
        Shape("road-2", "road", LineString(outer.exterior.simplify(4)), names.OUTER_RING, "expressway"),
    ]
    bank = river_line.offset_curve(330).simplify(6).intersection(outer.buffer(600))
    roads.append(Shape("road-3", "road", _longest(bank), names.EMBANKMENT, "embankment"))
    quiet = unary_union([river.buffer(30), lake.buffer(50), *(park.geometry for park in parks)])
    built_up = outer.buffer(500)
    arterial_names, street_names = iter(names.ARTERIALS), iter(names.STREETS)
    for along_u in (True, False):
        for index in range(-_STREETS_EACH_WAY, _STREETS_EACH_WAY + 1):
            line = _grid_line(warp, index, along_u=along_u)
            if index % _ARTERIAL_EVERY == 0:
                geometry = _longest(line.intersection(boundary).difference(lake.buffer(30)))
                category, name = "arterial", next(arterial_names)
            else:
                geometry = line.intersection(built_up).difference(quiet)
                category, name = "street", next(street_names)
            if geometry.length > 600:
                roads.append(Shape(f"road-{len(roads) + 1}", "road", geometry, name, category))
    return tuple(roads)


def _longest(geometry: Any) -> LineString:
    lines = list(geometry.geoms) if isinstance(geometry, MultiLineString) else [geometry]
    return max(lines, key=lambda line: line.length)


def _buildings(seed: int, warp: Warp, obstacles: Any, outer: Polygon) -> tuple[Shape, ...]:
    """Fill blocks with footprints that follow the streets; taller and denser towards the centre."""
    rng = stream(seed, "buildings")
    lots: list[Points] = []
    heights: list[float] = []
    for column in range(-13, 13):
        for row in range(-13, 13):
            reach = math.hypot(column + 0.5, row + 0.5) * BLOCK_M
            density = 0.16 + 0.75 * math.exp(-((reach / 4_200) ** 2))
            for lot_u in range(5):
                for lot_v in range(5):
                    chance, width, depth, tall = rng.random(), *rng.uniform(0.35, 0.8, 2), rng.gamma(2.0, 1.0)
                    if chance > density * 0.75:
                        continue
                    low = np.array([column + 0.09 + lot_u * 0.164, row + 0.09 + lot_v * 0.164]) * BLOCK_M
                    size = np.array([width, depth]) * 0.164 * BLOCK_M
                    corners = low + size * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
                    lots.append(warp.apply(corners))
                    heights.append(round(9 + tall * (8 + 26 * math.exp(-((reach / 2_600) ** 2))), 0))
    shapes = shapely.polygons(np.array(lots))
    shapely.prepare(obstacles)
    shapely.prepare(outer)
    kept = np.nonzero(shapely.contains(outer, shapes) & ~shapely.intersects(obstacles, shapes))[0]
    if len(kept) > _BUILDINGS_MAX:
        kept = np.sort(rng.choice(kept, _BUILDINGS_MAX, replace=False))
    return tuple(Shape(f"building-{n}", "building", shapes[i], None, "", heights[i]) for n, i in enumerate(kept, 1))
