"""The context: what is true now, by id, type, value and place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from gulou.access import Principal
from gulou.connectivity.bus import Bus
from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.context.entities import Entities
from gulou.hub.context.events import EntityChanged
from gulou.hub.context.model import LOCATION, Attribute, Entity, EntityCells, EntityPage, EntityQuery, Place
from gulou.hub.context.ngsi_ld import from_normalized, read_attributes
from gulou.hub.context.ports import AuditTrail, ContextStore, VocabularySource
from gulou.hub.context.search import cells_at, check_limit, find_page, find_places
from gulou.hub.context.settings import ContextSettings
from gulou.hub.context.writing import Definitions, with_reading, written_over
from gulou.kernel.clock import Clock
from gulou.kernel.errors import GulouError, Invalid, NotFound, Unavailable
from gulou.kernel.geometry import Box

logger = logging.getLogger(__name__)

PlaceOf = Callable[[str, str], tuple[float, float] | None]


class ContextService:
    """A log consumer that keeps the newest value of every attribute, and takes direct writes of entities.

    A reading older than what is there is kept out of "now"; the history has it. A reading of a deleted entity, newer in
    the log than the deletion, makes the entity again. Direct writes are durable when the call returns; what the log
    brings is saved in the background and, after a crash, read again from the log.

    Args:
        bus: gets ``EntityChanged``; None for tests.
        audit: gets a record of every direct write.
    """

    name = "context"

    def __init__(
        self,
        store: ContextStore,
        clock: Clock,
        bus: Bus | None = None,
        vocabulary: VocabularySource | None = None,
        audit: AuditTrail | None = None,
        settings: ContextSettings | None = None,
    ) -> None:
        self._store, self._clock, self._bus, self._audit = store, clock, bus, audit
        self._settings = settings or ContextSettings()
        self._definitions = Definitions(vocabulary)
        self._lock = threading.Lock()  # changes in memory; short
        self._saving = threading.Lock()  # one write to the store at a time, encoding included
        self._entities = Entities()
        stored = store.load()
        for entity in stored.entities:
            self._entities.add(entity)
        self._tombstones = dict(stored.tombstones)
        self._position = self._applied = stored.position
        self._dirty: set[str] = set()
        self._new_tombstones: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: GulouError | None = None
        self._place_of: PlaceOf | None = None

    def place_by(self, place_of: PlaceOf) -> None:
        """Give an entity that has no place the one of the device that reports it. Call it before ``start``.

        Args:
            place_of: (device id, entity id) → longitude and latitude in degrees, WGS 84, or None.
        """
        self._place_of = place_of

    # the log's side

    def position(self) -> int:
        """Return the log sequence up to which everything is saved."""
        return self._position

    def apply(self, batch: LogBatch) -> None:
        """Take a batch; again is harmless."""
        if batch.sequence <= self._position:
            return
        self._definitions.refresh()
        changed: dict[str, dict[str, None]] = {}
        with self._lock:
            for reading in batch.readings:
                if self._take(reading, batch):
                    changed.setdefault(reading.entity_id, {})[reading.property] = None
            self._dirty.update(changed)
            self._applied = max(self._applied, batch.sequence)
        for entity_id, names in changed.items():
            self._tell(entity_id, tuple(names), batch.received_at_us)

    def checkpoint(self) -> None:
        """Save what has changed: at once, or leave it to the thread that does it every ``save_s``."""
        if self._thread is None:
            self.save()

    # life

    def start(self) -> None:
        """Start saving in the background, if the settings say so."""
        if self._settings.background and self._thread is None:
            self._thread = threading.Thread(target=self._keep_saving, name="context-save", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Save the rest."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.save()

    def save(self) -> None:
        """Write changed entities and the position in one transaction. Raises Unavailable ``context.write_failed``."""
        with self._saving:
            with self._lock:
                position, dirty, stones = self._applied, self._dirty, self._new_tombstones
                if not dirty and not stones and position == self._position:
                    return
                self._dirty, self._new_tombstones = set(), {}
                entities = [found for one in dirty if (found := self._entities.by_id.get(one)) is not None]
            try:
                self._store.save(entities, stones, position)
            except Unavailable:
                with self._lock:
                    self._dirty |= dirty
                    self._new_tombstones = {**stones, **self._new_tombstones}
                raise
            with self._lock:
                self._position = position
                self._tombstones = {one: at for one, at in self._tombstones.items() if at > 2 * position + 1}

    def status(self) -> dict[str, Any]:
        """Return what the system page shows."""
        return {
            "position": self._position,
            "applied": self._applied,
            "entities": len(self._entities.by_id),
            "on_map": len(self._entities.places),
            "unsaved": len(self._dirty),
            "error": self._error.code if self._error else None,
        }

    # questions

    def get_entity(self, entity_id: str) -> Entity:
        """Return an entity. Raises NotFound ``entity.unknown``."""
        found = self._entities.by_id.get(entity_id)
        if found is None:
            raise NotFound("entity.unknown", entity_id=entity_id[:200])
        return found

    def find_entity(self, entity_id: str) -> Entity | None:
        """Return an entity, or None."""
        return self._entities.by_id.get(entity_id)

    def find_entities(self, query: EntityQuery) -> EntityPage:
        """Return entities by every condition of a query, in the order of their ids.

        Raises:
            Invalid: ``entity.limit``, ``entity.cursor``, ``entity.q_…``, ``geometry.…``, ``grid.…``.
        """
        return find_page(self._entities, query, self._settings.max_page)

    def places(self, types: Iterable[str] | None, box: Box | None, limit: int) -> tuple[list[Place], int]:
        """Return where entities are, for the map, and how many there are in all. Raises Invalid ``entity.limit``."""
        return find_places(self._entities, types, box, check_limit(limit, self._settings.max_places))

    def position_of(self, entity_id: str) -> tuple[float, float] | None:
        """Return an entity's lon, lat (the middle of a shape), or None."""
        spot = self._entities.places.find_spot(entity_id)
        return None if spot is None else (spot.lon, spot.lat)

    def cells(self, entity_id: str) -> EntityCells:
        """Return the grid cells of an entity; none where it has no place. Raises NotFound ``entity.unknown``."""
        self.get_entity(entity_id)
        return cells_at(self.position_of(entity_id))

    def count_by_type(self) -> dict[str, int]:
        """Return how many entities each type has."""
        return self._entities.count_by_type()

    # questions of the rules: plain values, from memory, at once

    def attributes(self, entity_id: str) -> Mapping[str, Any] | None:
        """Return an entity's attributes as plain values (default instances), or None."""
        entity = self._entities.by_id.get(entity_id)
        if entity is None:
            return None
        return {name: instances[0].value for name, instances in entity.attributes.items()}

    def entity_ids(self, entity_type: str) -> list[str]:
        """Return the ids of all entities of a type."""
        return self._entities.ids_of_type(entity_type)

    def related_to(self, entity_id: str, entity_type: str, relationship: str) -> list[str]:
        """Return entities of a type whose relationship points to an entity, in the order of their ids."""
        by_id = self._entities.by_id
        sources = (by_id.get(one) for one in self._entities.pointing_to(entity_id, relationship))
        return sorted(entity.id for entity in sources if entity is not None and entity_type in entity.types)

    # direct writes

    def upsert_entity(self, document: Any, principal: Principal) -> tuple[Entity, bool]:
        """Create an entity from NGSI-LD JSON, or write its attributes over those that it has; durable on return.

        Returns:
            The entity, and whether it was created.

        Raises:
            Invalid: ``entity.…``, ``geometry.…``, ``reading.…`` (a value that its property does not allow).
            Denied: ``access.denied``.
            Unavailable: ``context.write_failed``; nothing was changed.
        """
        self._check_size(document)
        given = from_normalized(document, max_attributes=self._settings.max_attributes)
        present = self.find_entity(given.id)
        for name in {*given.types, *(present.types if present else ())}:
            principal.require("entity.write", entity_type=name)
        return self._write(given, principal)

    def patch_attributes(self, entity_id: str, fragment: Any, principal: Principal) -> Entity:
        """Write some attributes of an entity; raises as ``upsert_entity``, and NotFound ``entity.unknown``."""
        self._check_size(fragment)
        entity = self.get_entity(entity_id)
        for name in entity.types:
            principal.require("entity.write", entity_type=name)
        attributes = read_attributes(fragment, max_attributes=self._settings.max_attributes)
        return self._write(Entity(entity_id, entity.types, attributes), principal)[0]

    def delete_entity(self, entity_id: str, principal: Principal) -> None:
        """Delete an entity; its history stays. Raises NotFound ``entity.unknown``, Denied, Unavailable."""
        for name in self.get_entity(entity_id).types:
            principal.require("entity.write", entity_type=name)
        with self._saving:
            with self._lock:
                entity = self.get_entity(entity_id)
                self._entities.remove(entity_id)
                stamp = 2 * self._applied + 1
                self._tombstones[entity_id] = stamp
            try:
                self._store.save((), {entity_id: stamp}, None)
            except Unavailable:
                with self._lock:
                    del self._tombstones[entity_id]
                    self._entities.add(entity)
                raise
        if self._audit is not None:
            self._audit.record(principal, "entity.deleted", "entity", entity_id, {"type": entity.type})
        self._publish(EntityChanged(
            at_us=self._clock.now_us(), entity_id=entity_id, entity_type=entity.type, properties=(), deleted=True
        ))  # fmt: skip

    # inside

    def _take(self, reading: Reading, batch: LogBatch) -> bool:
        """Write a reading into its entity; say whether that changed it."""
        stamp = 2 * batch.sequence
        if self._tombstones and stamp < self._tombstones.get(reading.entity_id, 0):
            return False
        entity = self._entities.by_id.get(reading.entity_id)
        kind, unit = self._definitions.kind_and_unit(reading.entity_type, reading.property)
        present = () if entity is None else entity.attributes.get(reading.property, ())
        instances = with_reading(present, reading, kind, unit, stamp, batch.received_at_us)
        if instances is None:
            return False
        if entity is None:
            entity = Entity(reading.entity_id, (reading.entity_type,), {}, batch.received_at_us)
            self._entities.add(entity)
        elif reading.entity_type not in entity.types and len(entity.types) < 16:
            self._entities.add_types(entity, (reading.entity_type,))
        self._entities.put(entity, reading.property, instances)
        if self._place_of is not None and reading.device_id is not None and LOCATION not in entity.attributes:
            at = self._place_of(reading.device_id, entity.id)
            if at is not None:
                geometry = {"type": "Point", "coordinates": [*at]}
                self._entities.put(entity, LOCATION, (Attribute("GeoProperty", geometry, stamp=stamp),))
        entity.modified_at_us = batch.received_at_us
        return True

    def _write(self, given: Entity, principal: Principal) -> tuple[Entity, bool]:
        self._definitions.refresh()
        now_us = self._clock.now_us()
        checked = {
            name: tuple(self._definitions.checked(given.types, name, one) for one in instances)
            for name, instances in given.attributes.items()
        }
        with self._saving:
            with self._lock:
                entity, before = self._put(given, checked, now_us)
            try:
                self._store.save([entity], {}, None)
            except Unavailable:
                with self._lock:
                    self._take_back(entity, before, tuple(checked))
                raise
            with self._lock:
                self._dirty.add(entity.id)  # readings may have come in meanwhile
        created = before is None
        if self._audit is not None:
            action = "entity.created" if created else "entity.changed"
            self._audit.record(principal, action, "entity", entity.id, {"type": entity.type, "attributes": [*checked]})
        self._tell(entity.id, tuple(checked), now_us)
        return entity, created

    def _put(
        self, given: Entity, checked: dict[str, tuple[Attribute, ...]], now_us: int
    ) -> tuple[Entity, Entity | None]:
        """Write into memory; return the entity and how it was before."""
        stamp = 2 * self._applied + 1
        entity = self._entities.by_id.get(given.id)
        before = None if entity is None else replace(entity, attributes=dict(entity.attributes))
        if entity is None:
            entity = Entity(given.id, given.types, {}, now_us)
            self._entities.add(entity)
        elif len({*entity.attributes, *checked}) > self._settings.max_attributes:
            raise Invalid("entity.too_many_attributes", limit=self._settings.max_attributes)
        self._entities.add_types(entity, given.types)
        entity.scope = given.scope or entity.scope
        entity.modified_at_us = now_us
        for name, instances in checked.items():
            new = tuple(replace(one, modified_at_us=now_us, stamp=stamp) for one in instances)
            self._entities.put(entity, name, written_over(entity.attributes.get(name, ()), new))
        return entity, before

    def _take_back(self, entity: Entity, before: Entity | None, names: tuple[str, ...]) -> None:
        """Undo a write that could not be made durable."""
        if before is None:
            self._entities.remove(entity.id)
            return
        for name in names:
            self._entities.put(entity, name, before.attributes.get(name, ()))
        entity.scope, entity.modified_at_us = before.scope, before.modified_at_us

    def _check_size(self, document: Any) -> None:
        try:
            size = len(msgspec.json.encode(document))
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise Invalid("entity.not_an_object", where="entity") from error
        if size > self._settings.max_entity_bytes:
            raise Invalid("entity.too_large", limit=self._settings.max_entity_bytes)

    def _tell(self, entity_id: str, names: tuple[str, ...], at_us: int) -> None:
        entity = self._entities.by_id.get(entity_id)
        if entity is not None:
            self._publish(EntityChanged(at_us=at_us, entity_id=entity_id, entity_type=entity.type, properties=names))

    def _publish(self, message: EntityChanged) -> None:
        if self._bus is not None:
            self._bus.publish(message)

    def _keep_saving(self) -> None:
        while not self._stop.wait(self._settings.save_s):
            try:
                self.save()
                self._error = None
            except Unavailable as error:
                if self._error is None:
                    logger.error("context: %s", error)
                self._error = error
