"""All entities in memory, with the indexes that answer by type, relation and place. No I/O, no locks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gulou.hub.context.model import LOCATION, Attribute, Entity, Shape
from gulou.hub.context.spatial import SpatialIndex

_RELATIONS = frozenset({"Relationship", "ListRelationship"})


class Entities:
    """Entities and their indexes. The caller serialises changes; reading is safe meanwhile from any thread.

    Attributes are changed through this class only, so that the indexes stay true.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, Entity] = {}
        self._by_type: dict[str, dict[str, Entity]] = {}
        self._pointing: dict[tuple[str, str], set[str]] = {}  # (relationship, target) → who points there
        self.places = SpatialIndex()

    def add_bare(self, entity: Entity) -> None:
        """Add an entity without attributes, or whose attributes are all numbers."""
        self.by_id[entity.id] = entity
        for name in entity.types:
            self._by_type.setdefault(name, {})[entity.id] = entity

    def members(self, entity_type: str) -> dict[str, Entity]:
        """Return the entities of a type by id; who adds to them adds to ``by_id`` too."""
        return self._by_type.setdefault(entity_type, {})

    def add(self, entity: Entity) -> None:
        """Add an entity with all its attributes."""
        if isinstance(entity.attributes, Shape):
            self.add_bare(entity)
            return
        attributes, entity.attributes = entity.attributes, {}
        self.add_bare(entity)
        for name, instances in attributes.items():
            self.put(entity, name, instances)

    def remove(self, entity_id: str) -> Entity:
        """Take an entity away; KeyError when there is none."""
        entity = self.by_id.pop(entity_id)
        for name in entity.types:
            self._by_type[name].pop(entity_id, None)
        for name, instances in entity.attributes.items():
            self._unlink(entity_id, name, instances)
        self.places.remove(entity_id)
        return entity

    def add_types(self, entity: Entity, types: Iterable[str]) -> None:
        """Let an entity have further types."""
        new = [name for name in types if name not in entity.types]
        if new:
            self.unshare(entity)
        entity.types += tuple(new)
        for name in new:
            self._by_type.setdefault(name, {})[entity.id] = entity

    def unshare(self, entity: Entity) -> None:
        """Give an entity attributes of its own."""
        if isinstance(entity.attributes, Shape):
            entity.attributes = dict(entity.attributes)

    def put(self, entity: Entity, name: str, instances: tuple[Attribute, ...]) -> None:
        """Put an attribute's instances in the place of those it had; none takes the attribute away."""
        self.unshare(entity)
        old = entity.attributes.get(name)
        if old is not None:
            self._unlink(entity.id, name, old)
        if instances and old is not None:
            entity.attributes[name] = instances  # no key changes: safe for whoever iterates at this moment
        elif instances:
            entity.attributes = {**entity.attributes, name: instances}
        elif old is not None:
            entity.attributes = {key: held for key, held in entity.attributes.items() if key != name}
        self._link(entity.id, name, instances)
        if name == LOCATION:
            if instances:
                self.places.put(entity.id, instances[0].value)
            else:
                self.places.remove(entity.id)

    def of_type(self, name: str) -> list[Entity]:
        """Return the entities of a type, in no order."""
        return list(self._by_type.get(name, {}).values())

    def ids_of_type(self, name: str) -> list[str]:
        """Return their ids."""
        return list(self._by_type.get(name, ()))

    def count_by_type(self) -> dict[str, int]:
        """Return how many entities each type has."""
        return {name: len(members) for name, members in sorted(self._by_type.items()) if members}

    def pointing_to(self, target: str, relationship: str) -> set[str]:
        """Return the ids of entities whose relationship has ``target`` as its object."""
        return self._pointing.get((relationship, target), set()).copy()

    def _link(self, entity_id: str, name: str, instances: tuple[Attribute, ...]) -> None:
        for attribute in instances:
            if attribute.kind in _RELATIONS:
                for target in _targets(attribute.value):
                    self._pointing.setdefault((name, target), set()).add(entity_id)

    def _unlink(self, entity_id: str, name: str, instances: tuple[Attribute, ...]) -> None:
        for attribute in instances:
            if attribute.kind in _RELATIONS:
                for target in _targets(attribute.value):
                    self._forget(entity_id, name, target)

    def _forget(self, entity_id: str, name: str, target: str) -> None:
        sources = self._pointing.get((name, target))
        if sources is not None:
            sources.discard(entity_id)
            if not sources:
                del self._pointing[name, target]


def _targets(value: Any) -> Iterable[str]:
    for one in value if isinstance(value, list) else (value,):
        target = one.get("object") if isinstance(one, Mapping) else one
        if isinstance(target, str):
            yield target
