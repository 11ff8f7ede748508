"""Entities and the arrays of numeric series together: what an attribute is now, whichever holds it."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from gulou.connectivity.intake import Series, SeriesCatalogue
from gulou.hub.context.entities import Entities
from gulou.hub.context.filter import NumberTerm
from gulou.hub.context.model import Attribute, Entity, Shape
from gulou.hub.context.series_state import HELD, LOOK, Held, SeriesState
from gulou.hub.context.writing import Definitions, in_order

_MOST_TYPES = 16
_FEW = 1_000
_LARGEST = 1e300
"""What is larger is no number to a filter."""
_OPERATORS: dict[str, Any] = {
    "==": np.equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "<": np.less,
    "<=": np.less_equal,
}
MIXED = 0
"""The group of series whose entity has several types."""


class Group:
    """What the series of one property of one type share.

    Args:
        number: in ``SeriesState``'s array ``group``.
    """

    __slots__ = ("entity_type", "instances", "number", "property", "types")

    def __init__(self, number: int, entity_type: str, property_name: str, kind: str, unit: str | None) -> None:
        self.number = number
        self.entity_type = entity_type
        self.property = property_name
        self.types = (entity_type,)
        self.instances = (Attribute(kind, 0.0, None, unit),)

    @property
    def template(self) -> Attribute:
        """The attribute without a value."""
        return self.instances[0]


class SeriesValues:
    """Says what attributes are, and lets series come into and go out of the arrays. Changes under the state's lock."""

    def __init__(
        self, catalogue: SeriesCatalogue, state: SeriesState, entities: Entities, definitions: Definitions
    ) -> None:
        self._catalogue, self._state = catalogue, state
        self._entities, self._definitions = entities, definitions
        self._groups: dict[tuple[str, str], Group] = {}
        self._group_types: list[str | None] = [None]
        self._first_shape = Shape()

    @property
    def group_types(self) -> list[str | None]:
        """Return the entity type of each group by number; None of the mixed one."""
        return self._group_types

    # ---- looking

    def instances(self, entity: Entity, name: str) -> tuple[Attribute, ...]:
        """Return an attribute's instances as they are now; empty when there is none."""
        instances = entity.attributes.get(name, ())
        held = self._held(entity.id, name) if instances else None
        return instances if held is None else _with_value(instances, held)

    def whole(self, entity: Entity) -> Entity:
        """Return an entity as it is now; a copy where the arrays hold some of it."""
        found: dict[str, tuple[Attribute, ...]] | None = None
        modified_us = entity.modified_at_us
        for name, instances in entity.attributes.items():
            held = self._held(entity.id, name)
            if held is None:
                continue
            if found is None:
                found = dict(entity.attributes)
            found[name] = _with_value(instances, held)
            modified_us = max(modified_us, held.modified_us)
        if found is None:
            return entity
        return Entity(entity.id, entity.types, found, entity.created_at_us, modified_us, entity.scope)

    def modified_us(self, entity: Entity) -> int:
        """Return when an entity was last written."""
        found = [entity.modified_at_us]
        found += [held.modified_us for name in entity.attributes if (held := self._held(entity.id, name)) is not None]
        return max(found)

    def plain(self, entity: Entity) -> dict[str, Any]:
        """Return the values of the default instances."""
        found = {}
        for name, instances in entity.attributes.items():
            held = self._held(entity.id, name)
            found[name] = instances[0].value if held is None else held.value
        return found

    def numbers(self, entity: Entity) -> list[int]:
        """Return the series of an entity's attributes."""
        return [found for name in entity.attributes if (found := self._catalogue.find(entity.id, name)) is not None]

    def narrow(self, entities: list[Entity], terms: list[NumberTerm]) -> list[Entity]:
        """Leave out entities, made of series alone, that do not fulfil every term; the others are not looked at."""
        if len(entities) < _FEW:
            return entities
        for term in terms:
            passing = self._passing(term)
            entities = [one for one in entities if one.id in passing or not one.is_plain]
        return entities

    def _passing(self, term: NumberTerm) -> set[str]:
        """Return the ids of entities of which a held series fulfils a term."""
        groups = [group.number for (_, name), group in self._groups.items() if name == term.name]
        state = self._state
        held = (state.array("state") & HELD).astype(np.bool_) & np.isin(state.array("group"), groups)
        numbers = np.flatnonzero(held)
        values = state.array("value")[numbers]
        numbers = numbers[_OPERATORS[term.operator](values, term.value) & (np.abs(values) < _LARGEST)]
        get = self._catalogue.get
        return {get(number).entity_id for number in numbers.tolist()}

    def _held(self, entity_id: str, name: str) -> Held | None:
        number = self._catalogue.find(entity_id, name)
        return None if number is None else self._state.read(number)

    # ---- changes, under the lock

    def whole_held(self, entity: Entity) -> Entity:
        """Return a copy of an entity as it is now, for a caller that holds the lock."""
        attributes = {name: self.current(entity, name) for name in entity.attributes}
        return Entity(entity.id, entity.types, attributes, entity.created_at_us, entity.modified_at_us, entity.scope)

    def current(self, entity: Entity, name: str) -> tuple[Attribute, ...]:
        """Return an attribute's instances, for a caller that holds the lock and is going to write them."""
        instances = entity.attributes.get(name, ())
        number = self._catalogue.find(entity.id, name) if instances else None
        held = None if number is None else self._state.read_held(number)
        if held is None:
            return instances
        entity.modified_at_us = max(entity.modified_at_us, held.modified_us)
        return _with_value(instances, held)

    def release(self, entity_id: str, name: str, stamp: int) -> None:
        """Leave an attribute's default instance to its entity."""
        number = self._catalogue.find(entity_id, name)
        if number is not None:
            self._state.reserve(number + 1)
            self._state.release(number, stamp)

    def bind(self, number: int, tombstone: int) -> None:
        """Let a series' rows in, as far as what is known of its attribute allows."""
        series = self._catalogue.get(number)
        entity = self._entities.by_id.get(series.entity_id)
        default = None if entity is None else _default(entity.attributes.get(series.property, ()))
        if default is None:
            self._state.bind(number, None, 0, tombstone)
        else:
            stamp = max(default.stamp, tombstone)
            self._state.bind(number, default.observed_at_us, default.modified_at_us, stamp)

    def bind_all(self, numbers: list[int], tombstones: dict[str, int]) -> None:
        """Bind many series, see ``bind``; those of which nothing is known yet in one go."""
        new, stamps = [], []
        by_id = self._entities.by_id
        for number, series in zip(numbers, self._catalogue.get_many(numbers), strict=True):
            entity_id = series.entity_id
            tombstone = tombstones.get(entity_id, 0) if tombstones else 0
            entity = by_id.get(entity_id)
            if entity is None or series.property not in entity.attributes:
                new.append(number)
                stamps.append(tombstone)
            else:
                self.bind(number, tombstone)
        self._state.bind_new(new, stamps)

    def group_of(self, series: Series) -> Group:
        """Return the group of a series; of its type and property as they are defined now."""
        return self._group(series.entity_type, series.property)

    def _group(self, entity_type: str, property_name: str) -> Group:
        key = entity_type, property_name
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = self._make_group(*key)
        return group

    def _make_group(self, entity_type: str, name: str) -> Group:
        group = Group(len(self._group_types), entity_type, name, *self._definitions.kind_and_unit(entity_type, name))
        self._group_types.append(entity_type)
        return group

    def redefine(self) -> None:
        """Follow a vocabulary that has changed: series with another kind or unit get it with their next values."""
        for key, group in list(self._groups.items()):
            kind, unit = self._definitions.kind_and_unit(*key)
            if (kind, unit) != (group.template.kind, group.template.unit_code):
                self._groups[key] = self._make_group(*key)
                self._state.look_again(self._members(key, group.number))

    def _members(self, key: tuple[str, str], group_number: int) -> list[int]:
        """Return the held series of a type's property, those of entities with several types too."""
        group, get = self._state.array("group"), self._catalogue.get
        found: list[int] = np.flatnonzero(group == group_number).tolist()
        mixed = np.flatnonzero((group == MIXED) & (self._state.array("state") & HELD).astype(np.bool_))
        for number in mixed.tolist():
            series = get(number)
            if (series.entity_type, series.property) == key:
                found.append(number)
        return found

    def settle(self, number: int, received_us: int) -> tuple[Entity, Series, bool]:
        """Give a series that has just become held its place in its entity; make the entity if there is none.

        Returns:
            The entity, the series, and whether the store has to be told of the entity: it is not made of series alone.
        """
        series = self._catalogue.get(number)
        group = self.group_of(series)
        entity = self._entities.by_id.get(series.entity_id)
        if entity is None:
            shape = self._first_shape.with_instances(group.property, group.instances)
            entity = Entity(series.entity_id, group.types, shape, received_us, received_us)
            self._entities.add_bare(entity)
        else:
            if series.entity_type not in entity.types and len(entity.types) < _MOST_TYPES:
                self._entities.add_types(entity, group.types)
            self._put_template(entity, group)
        self._state.array("created_us")[number] = entity.created_at_us
        self.place(entity, [number])
        return entity, series, not entity.is_plain

    def settle_all(self, numbers: list[int], received_us: int) -> list[tuple[Entity, Series, bool]]:
        """Settle many series, see ``settle``; those that make an entity in one go."""
        settled: list[tuple[Entity, Series, bool]] = []
        new: list[int] = []
        groups: list[int] = []
        by_id, add, first = self._entities.by_id, self._entities.add_bare, self._first_shape
        for number, series in zip(numbers, self._catalogue.get_many(numbers), strict=True):
            if series.entity_id in by_id:
                settled.append(self.settle(number, received_us))
                continue
            group = self.group_of(series)
            shape = first.with_instances(group.property, group.instances)
            entity = Entity(series.entity_id, group.types, shape, received_us, received_us)
            add(entity)
            new.append(number)
            groups.append(group.number)
            settled.append((entity, series, False))
        self._state.array("created_us")[new] = received_us
        self._state.array("group")[new] = groups
        return settled

    def _put_template(self, entity: Entity, group: Group) -> None:
        name, present = group.property, entity.attributes.get(group.property, ())
        if present is group.instances:
            return
        default = _default(present)
        others = tuple(one for one in present if one.dataset_id is not None)
        if others or (default is not None and default.sub):
            template = replace(group.template, sub={} if default is None else default.sub)
            self._entities.put(entity, name, in_order((template, *others)))
        elif isinstance(entity.attributes, Shape) and len(entity.types) == 1:
            entity.attributes = entity.attributes.with_instances(name, group.instances)
        else:
            self._entities.put(entity, name, group.instances)

    def place(self, entity: Entity, numbers: list[int]) -> None:
        """Note where an entity's series are, and of which group, for who watches."""
        spot = self._entities.places.find_spot(entity.id)
        state, catalogue = self._state, self._catalogue
        group, lon, lat = state.array("group"), state.array("lon"), state.array("lat")
        for number in numbers:
            if number < len(state):
                group[number] = MIXED if len(entity.types) > 1 else self.group_of(catalogue.get(number)).number
                if spot is not None:
                    lon[number], lat[number] = spot.lon, spot.lat

    # ---- at start

    def restore(self, held: Any, tombstones: dict[str, int]) -> list[str]:
        """Bring back, after the stored entities, what the arrays of a checkpoint hold.

        Returns:
            Entities that the store has to be told of.
        """
        state, by_id = self._state, self._entities.by_id
        numbers = held.tolist()
        series = self._catalogue.get_many(numbers)
        if len(by_id) or tombstones:
            unsaved, numbers, series = self._restore_known(numbers, series, tombstones)
        else:
            unsaved = []
        # What is left makes entities of its own: a million of them, so that every look-up counts.
        held_now = np.array(numbers, np.intp)
        kinds = self._catalogue.kind_of()[held_now]
        groups = [self._group(*kind) for kind in self._catalogue.kinds()]
        shapes = [self._first_shape.with_instances(group.property, group.instances) for group in groups]
        members = [self._entities.members(group.entity_type) for group in groups]
        types = [group.types for group in groups]
        created = state.array("created_us")[held_now].tolist()
        again = []
        for number, one, kind, created_us in zip(numbers, series, kinds.tolist(), created, strict=True):
            entity_id = one.entity_id
            if entity_id in by_id:  # another of its series has made it
                again.append((number, one))
            else:
                entity = Entity(entity_id, types[kind], shapes[kind], created_us, created_us)
                by_id[entity_id] = members[kind][entity_id] = entity
        stamps = state.array("stamp")
        for number, one in again:
            group = self.group_of(one)
            if not self._restore_into(by_id[one.entity_id], group, number, int(stamps[number])):
                unsaved.append(one.entity_id)
        if groups:
            state.array("group")[held_now] = np.array([group.number for group in groups], np.int32)[kinds]
        state.keep_held()
        state.look_again(held)  # a device may have got a place meanwhile
        for entity in self._entities.by_id.values():
            if not entity.is_plain:
                self.place(entity, self.numbers(entity))
        return unsaved

    def _restore_known(
        self, numbers: list[int], series: list[Series], tombstones: dict[str, int]
    ) -> tuple[list[str], list[int], list[Series]]:
        """Bring back what is held for entities that are known, or were deleted.

        Returns:
            Entities that the store has to be told of; the numbers and series of which nothing is known.
        """
        state, by_id = self._state, self._entities.by_id
        bits, groups, stamps = state.array("state"), state.array("group"), state.array("stamp")
        unsaved: list[str] = []
        left: list[int] = []
        left_series: list[Series] = []
        for number, one in zip(numbers, series, strict=True):
            entity_id = one.entity_id
            if tombstones and tombstones.get(entity_id, 0) > stamps[number]:
                bits[number] = 0
            elif (entity := by_id.get(entity_id)) is None:
                left.append(number)
                left_series.append(one)
            else:
                group = self.group_of(one)
                groups[number] = group.number
                if not self._restore_into(entity, group, number, int(stamps[number])):
                    unsaved.append(entity_id)
        return unsaved, left, left_series

    def _restore_into(self, entity: Entity, group: Group, number: int, stamp: int) -> bool:
        """Join a held series and an entity that is there; False when the store does not know of it."""
        if entity.is_plain:
            if entity.types == group.types:
                self._put_template(entity, group)
                return True
            self._entities.add_types(entity, group.types)
            self._put_template(entity, group)
            return False
        default = _default(entity.attributes.get(group.property, ()))
        if default is None:
            self._put_template(entity, group)
            return False
        bits = self._state.array("state")
        if default.stamp > stamp:
            bits[number] = 0
        elif len(entity.attributes[group.property]) == 1 and not default.sub and _alike(default, group.template):
            entity.attributes[group.property] = group.instances
        else:
            bits[number] |= LOOK
        return True


def _default(instances: tuple[Attribute, ...]) -> Attribute | None:
    return instances[0] if instances and instances[0].dataset_id is None else None


def _alike(one: Attribute, other: Attribute) -> bool:
    return (one.kind, one.unit_code) == (other.kind, other.unit_code)


def _with_value(instances: tuple[Attribute, ...], held: Held) -> tuple[Attribute, ...]:
    """Put the arrays' value into the default instance."""
    first = instances[0]
    if first.dataset_id is not None:  # the entity is about to be told
        return instances
    new = Attribute(
        first.kind, held.value, held.observed_us, first.unit_code, None, first.sub, held.modified_us, held.stamp
    )
    return (new,) if len(instances) == 1 else (new, *instances[1:])
