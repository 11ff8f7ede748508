"""NGSI-LD's information model: entities with attributes, and attributes of attributes.

Source: ETSI GS CIM 009 V1.8.1 §4.2, §4.5
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from gulou.kernel.geometry import Box

KINDS: dict[str, str] = {
    "Property": "value",
    "GeoProperty": "value",
    "Relationship": "object",
    "LanguageProperty": "languageMap",
    "JsonProperty": "json",
    "VocabProperty": "vocab",
    "ListProperty": "valueList",
    "ListRelationship": "objectList",
}
"""Kind of attribute → the member that holds its value. Source: ETSI GS CIM 009 V1.8.1 §4.5.2-4.5.24"""

LOCATION = "location"


class Attribute(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One instance of an attribute; never changed, only replaced. Holds JSON only, so there are no cycles to collect.

    Args:
        kind: a key of ``KINDS``.
        value: a plain value, a GeoJSON geometry, a URN or list of URNs, or a map language → text.
        observed_at_us: when the world was so, µs since the Unix epoch, UTC; None when nobody said.
        unit_code: unit of the value, UCUM.
        dataset_id: tells instances of one attribute apart; None is the default one.
        sub: attributes of this attribute, by name.
        modified_at_us: when it was last written here.
        stamp: where in the order of log and direct writes it was set: twice the log sequence, plus 1 for a direct write
            after it. A log record read again after a crash changes nothing that is newer.
    """

    kind: str
    value: Any
    observed_at_us: int | None = None
    unit_code: str | None = None
    dataset_id: str | None = None
    sub: dict[str, tuple[Attribute, ...]] = {}
    modified_at_us: int = 0
    stamp: int = 0


class Shape(dict[str, tuple[Attribute, ...]]):
    """The attributes of entities that are made of numeric series alone: names, kinds and units, the values elsewhere.

    One object for all entities that look alike; never changed.
    """

    __slots__ = ("_next",)

    def __init__(self, attributes: Mapping[str, tuple[Attribute, ...]] = MappingProxyType({})) -> None:
        super().__init__(attributes)
        self._next: dict[tuple[str, int], Shape] = {}

    def with_instances(self, name: str, instances: tuple[Attribute, ...]) -> Shape:
        """Return the shape with one attribute more, or another one of that name; always the same object."""
        key = name, id(instances)
        found = self._next.get(key)
        if found is None:
            found = self._next[key] = Shape({**self, name: instances})
        return found


class Entity(msgspec.Struct, gc=False):
    """A thing of the city. What the context hands out is to be read, not changed.

    Args:
        id: a URI, ``urn:ngsi-ld:WaterLevelObserved:drain-7``.
        types: one or more.
        attributes: name → its instances, the default one first.
        created_at_us, modified_at_us: of the entity here, µs since the Unix epoch, UTC.
        scope: NGSI-LD scopes, ``/Beijing/Dongcheng``.
    """

    id: str
    types: tuple[str, ...]
    attributes: dict[str, tuple[Attribute, ...]] = {}
    created_at_us: int = 0
    modified_at_us: int = 0
    scope: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The first of its types."""
        return self.types[0]

    @property
    def is_plain(self) -> bool:
        """Whether it is made of numeric series alone, so that they tell all of it."""
        return isinstance(self.attributes, Shape)

    def find(self, name: str, dataset_id: str | None = None) -> Attribute | None:
        """Return one instance of an attribute, or None."""
        for attribute in self.attributes.get(name, ()):
            if attribute.dataset_id == dataset_id:
                return attribute
        return None

    def plain(self, name: str) -> Any:
        """Return the value of the default instance (or of the only one), or None."""
        instances = self.attributes.get(name)
        return instances[0].value if instances else None


class EntityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entities; every condition given must hold.

    Args:
        types: any of these.
        ids: exactly these.
        id_glob: ``*`` for any run of characters, ``?`` for one.
        q: filter in NGSI-LD's query language, see ``filter.py``.
        box, polygon, near, cell: place: touches a box; touches a GeoJSON polygon; within ``(lon, lat, radius_m)``;
            touches a grid cell (for a point: belongs to it), H3 or BeiDou code.
        limit: entities at most.
        cursor: ``next`` of the page before.
    """

    types: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    id_glob: str | None = None
    q: str | None = None
    box: Box | None = None
    polygon: dict[str, Any] | None = None
    near: tuple[float, float, float] | None = None
    cell: str | None = None
    limit: int = 100
    cursor: str | None = None


class EntityPage(msgspec.Struct, frozen=True):
    """Entities in the order of their ids.

    Args:
        total: how many there are on all pages.
        next: cursor of the next page, None on the last.
    """

    items: list[Entity]
    total: int
    next: str | None


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where the map draws an entity."""

    id: str
    type: str
    lon: float
    lat: float


class EntityCells(msgspec.Struct, frozen=True):
    """The grid cells in which an entity (or its middle) lies: H3 by resolution, BeiDou by level."""

    h3: dict[int, str]
    beidou: dict[int, str]
