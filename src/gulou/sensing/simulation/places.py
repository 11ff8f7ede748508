"""Finds places for devices on the drawing; every function is deterministic for its random stream."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import shapely
from shapely.geometry import Point

from gulou.sensing.simulation import names
from gulou.sensing.simulation.layout import Layout, Shape
from gulou.sensing.simulation.names import Name
from gulou.sensing.simulation.plane import Points


class Place(NamedTuple):
    """A point on the plane (metres), what it is called, and the road or park that it belongs to."""

    x: float
    y: float
    name: Name | None = None
    shape_id: str = ""


def underpasses(layout: Layout) -> tuple[Place, Place]:
    """Return the two low points where the inner ring comes down to the river, east and west: the storm's stage."""
    ring = next(road for road in layout.roads if road.category == "ring")
    bank = layout.river.geometry.buffer(60).boundary
    points = [Point(p.x, p.y) for p in _points_of(ring.geometry.intersection(bank))]
    east, west = max(points, key=lambda p: p.x), min(points, key=lambda p: p.x)
    first, second = names.UNDERPASSES
    return Place(east.x, east.y, first, ring.id), Place(west.x, west.y, second, ring.id)


def near(place: Place, layout: Layout, distance_m: float) -> Place:
    """Return the point that lies ``distance_m`` along the place's road."""
    road = next(road for road in layout.roads if road.id == place.shape_id).geometry
    along = (road.project(Point(place.x, place.y)) + distance_m) % road.length
    point = road.interpolate(along)
    return Place(point.x, point.y, place.name, place.shape_id)


def along_roads(roads: tuple[Shape, ...], count: int, rng: np.random.Generator, offset_m: float = 9.0) -> list[Place]:
    """Spread points over the roads' whole length, a few metres off the middle line."""
    lengths = np.array([road.geometry.length for road in roads])
    ends = np.cumsum(lengths)
    spread = (np.arange(count) + rng.uniform(0.1, 0.9, count)) / max(count, 1) * ends[-1]
    order = rng.permutation(count)
    places: list[Place] = []
    for distance in spread[order]:
        index = int(np.searchsorted(ends, distance))
        road = roads[index]
        point = road.geometry.interpolate(distance - (ends[index] - lengths[index]))
        dx, dy = rng.uniform(-offset_m, offset_m, 2)
        places.append(Place(point.x + dx, point.y + dy, road.name, road.id))
    return places


def in_parks(parks: tuple[Shape, ...], count: int, rng: np.random.Generator) -> list[Place]:
    """Put points into the parks, one park after the other."""
    places: list[Place] = []
    for index in range(count):
        park = parks[index % len(parks)]
        x, y = _within(park.geometry, rng)
        places.append(Place(x, y, park.name, park.id))
    return places


def at_buildings(buildings: tuple[Shape, ...], count: int, rng: np.random.Generator) -> list[Place]:
    """Put points at buildings; with more points than buildings they share, each at its own spot."""
    order = np.resize(rng.permutation(len(buildings)), count)
    centres = shapely.centroid([building.geometry for building in buildings])
    shift = rng.uniform(-12, 12, (count, 2))
    return [Place(centres[i].x + s[0], centres[i].y + s[1]) for i, s in zip(order, shift, strict=True)]


def anywhere(layout: Layout, count: int, rng: np.random.Generator) -> list[Place]:
    """Spread points over the districts, clear of the river."""
    land = [district.geometry.difference(layout.river.geometry) for district in layout.districts]
    core = next(road for road in layout.roads if road.category == "expressway").geometry.envelope
    built = [area.intersection(core) for area in land]
    return [Place(*_within(built[i % len(built)], rng)) for i in range(count)]


def along_waters(layout: Layout, count: int, rng: np.random.Generator) -> list[Place]:
    """Put the first gauge on the river in the old town, the second on the creek, the others along the river."""
    west, south, east, north = layout.boundary.bounds
    river, creek = layout.river.geometry, layout.creek.geometry
    places = [_in_slice(river, 0.0, south, north, layout.river)]
    creek_box = creek.bounds
    middle = shapely.box(creek_box[0], creek_box[1], creek_box[2], creek_box[1] + 900).intersection(creek)
    at = middle.representative_point()
    places.append(Place(at.x, at.y, layout.creek.name, layout.creek.id))
    for x in np.linspace(west + 600, east - 600, max(count - 2, 1)) + rng.uniform(-200, 200, max(count - 2, 1)):
        places.append(_in_slice(river, float(x), south, north, layout.river))
    return places[:count]


def _in_slice(area: Any, x: float, south: float, north: float, shape: Shape) -> Place:
    """Return the middle of the water on a north-south line."""
    cut = shapely.LineString([(x, south * 1.5), (x, north * 1.5)]).intersection(area)
    point = cut.centroid
    return Place(point.x, point.y, shape.name, shape.id)


def _within(area: Any, rng: np.random.Generator) -> tuple[float, float]:
    west, south, east, north = area.bounds
    shapely.prepare(area)
    for _ in range(200):
        x, y = rng.uniform(west, east), rng.uniform(south, north)
        if area.contains(Point(x, y)):
            return float(x), float(y)
    point = area.representative_point()
    return float(point.x), float(point.y)


def _points_of(geometry: Any) -> list[Any]:
    return list(geometry.geoms) if hasattr(geometry, "geoms") else [geometry]


def to_points(places: list[Place]) -> Points:
    """Return the places as an array ``(n, 2)``."""
    return np.array([(place.x, place.y) for place in places], dtype=np.float64).reshape(len(places), 2)
