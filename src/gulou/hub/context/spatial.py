"""Where entities are: a coarse grid to find candidates, exact geometry to decide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from gulou.hub.context.model import EntityQuery
from gulou.kernel.errors import Invalid
from gulou.kernel.geometry import (
    MAX_RADIUS_M,
    Box,
    box_around,
    box_of,
    check_position,
    distance_m,
    distance_to_m,
    to_shape,
)
from gulou.kernel.grid import GridCell, parse_cell

_STEP = 0.02  # degrees; about two kilometres
_MAX_BUCKETS = 256  # a shape that covers more is looked at in every query
_Bucket = tuple[int, int]


class Spot:
    """An entity's place: a point, or a shape with a point that stands for it."""

    __slots__ = ("buckets", "lat", "lon", "shape")

    def __init__(self, lon: float, lat: float, shape: BaseGeometry | None) -> None:
        self.lon = lon
        self.lat = lat
        self.shape = shape
        self.buckets: tuple[_Bucket, ...] | None = None  # None: too many, it is in the list of large ones


def read_spot(geometry: Any) -> Spot | None:
    """Make a spot of a GeoJSON geometry; None for one that cannot be used."""
    if isinstance(geometry, Mapping) and geometry.get("type") == "Point":
        try:
            lon, lat = float(geometry["coordinates"][0]), float(geometry["coordinates"][1])
            check_position(lon, lat)
        except (Invalid, KeyError, IndexError, TypeError, ValueError):
            return None
        return Spot(lon, lat, None)
    try:
        shape = to_shape(geometry)
    except Invalid:
        return None
    if shape.is_empty:
        return None
    middle = shape.representative_point()
    return Spot(middle.x, middle.y, shape)


class SpatialIndex:
    """Entities by place. The caller serialises changes; questions may be asked meanwhile from any thread."""

    def __init__(self) -> None:
        self._spots: dict[str, Spot] = {}
        self._buckets: dict[_Bucket, set[str]] = {}
        self._large: set[str] = set()

    def __len__(self) -> int:
        return len(self._spots)

    def put(self, entity_id: str, geometry: Any) -> None:
        """Set or move an entity; a geometry that cannot be used takes it off the map."""
        spot = read_spot(geometry)
        old = self._spots.get(entity_id)
        if spot is None:
            self.remove(entity_id)
            return
        spot.buckets = _buckets_of(spot)
        if old is None or old.buckets != spot.buckets:
            if old is not None:
                self._leave(entity_id, old)
            for bucket in spot.buckets or ():
                self._buckets.setdefault(bucket, set()).add(entity_id)
            if spot.buckets is None:
                self._large.add(entity_id)
        self._spots[entity_id] = spot

    def remove(self, entity_id: str) -> None:
        """Take an entity off the map."""
        spot = self._spots.pop(entity_id, None)
        if spot is not None:
            self._leave(entity_id, spot)

    def find_spot(self, entity_id: str) -> Spot | None:
        """Return where an entity is, or None."""
        return self._spots.get(entity_id)

    def near_box(self, box: Box) -> Iterator[tuple[str, Spot]]:
        """Yield what may touch a box, each once."""
        wanted = _count_buckets(box)
        groups: list[set[str]]
        if wanted > len(self._buckets):
            groups = [members for bucket, members in list(self._buckets.items()) if _touches(bucket, box)]
        else:
            groups = [members for bucket in _box_buckets(box) if (members := self._buckets.get(bucket))]
        found: set[str] = set(self._large)
        for members in groups:
            found.update(members.copy())
        for entity_id in found:
            spot = self._spots.get(entity_id)
            if spot is not None:
                yield entity_id, spot

    def everything(self) -> Iterator[tuple[str, Spot]]:
        """Yield all that has a place."""
        yield from list(self._spots.items())

    def _leave(self, entity_id: str, spot: Spot) -> None:
        self._large.discard(entity_id)
        for bucket in spot.buckets or ():
            members = self._buckets.get(bucket)
            if members is not None:
                members.discard(entity_id)
                if not members:
                    del self._buckets[bucket]


class Area:
    """The places that a query asks for; every condition given must hold.

    Raises:
        Invalid: ``geometry.…``, ``grid.…``.
    """

    def __init__(self, query: EntityQuery) -> None:
        self._box = query.box
        self._polygon = to_shape(query.polygon, "polygon", must_be_valid=True) if query.polygon is not None else None
        self._near = query.near
        self._cell: GridCell | None = parse_cell(query.cell) if query.cell is not None else None
        boxes = [self._box] if self._box else []
        if self._polygon is not None:
            shapely.prepare(self._polygon)
            boxes.append(box_of(self._polygon))
        if self._near is not None:
            lon, lat, radius_m = self._near
            check_position(lon, lat, "near")
            boxes.append(box_around(lon, lat, min(radius_m, MAX_RADIUS_M)))
        if self._cell is not None:
            boxes.append(self._cell.box)
        # The smallest one finds the candidates; the others decide.
        self.box: Box | None = min(boxes, key=_count_buckets) if boxes else None

    def holds(self, spot: Spot) -> bool:
        """Say whether a spot passes every condition exactly."""
        if spot.shape is None:
            return self._holds_point(spot.lon, spot.lat)
        return self._holds_shape(spot.shape)

    def _holds_point(self, lon: float, lat: float) -> bool:
        if self._box is not None and not self._box.contains(lon, lat):
            return False
        if self._cell is not None and not self._cell.contains(lon, lat):
            return False
        if self._polygon is not None and not shapely.intersects_xy(self._polygon, lon, lat):
            return False
        return self._near is None or distance_m(self._near[0], self._near[1], lon, lat) <= self._near[2]

    def _holds_shape(self, shape: BaseGeometry) -> bool:
        if self._box is not None and not self._box.to_shape().intersects(shape):
            return False
        if self._cell is not None and not self._cell.shape.intersects(shape):
            return False
        if self._polygon is not None and not self._polygon.intersects(shape):
            return False
        return self._near is None or distance_to_m(shape, self._near[0], self._near[1]) <= self._near[2]


def find_in_area(index: SpatialIndex, area: Area) -> Iterable[str]:
    """Yield the ids of what lies in an area."""
    candidates = index.everything() if area.box is None else index.near_box(area.box)
    return (entity_id for entity_id, spot in candidates if area.holds(spot))


def _buckets_of(spot: Spot) -> tuple[_Bucket, ...] | None:
    if spot.shape is None:
        return ((math.floor(spot.lon / _STEP), math.floor(spot.lat / _STEP)),)
    box = box_of(spot.shape)
    return None if _count_buckets(box) > _MAX_BUCKETS else tuple(_box_buckets(box))


def _spans(box: Box) -> list[tuple[float, float]]:
    return [(box.west, box.east)] if box.west <= box.east else [(box.west, 180.0), (-180.0, box.east)]


def _count_buckets(box: Box) -> int:
    height = math.floor(box.north / _STEP) - math.floor(box.south / _STEP) + 1
    return sum((math.floor(east / _STEP) - math.floor(west / _STEP) + 1) * height for west, east in _spans(box))


def _box_buckets(box: Box) -> Iterator[_Bucket]:
    for west, east in _spans(box):
        for x in range(math.floor(west / _STEP), math.floor(east / _STEP) + 1):
            for y in range(math.floor(box.south / _STEP), math.floor(box.north / _STEP) + 1):
                yield x, y


def _touches(bucket: _Bucket, box: Box) -> bool:
    x, y = bucket
    if not math.floor(box.south / _STEP) <= y <= math.floor(box.north / _STEP):
        return False
    return any(math.floor(west / _STEP) <= x <= math.floor(east / _STEP) for west, east in _spans(box))
