"""The context: what is true now, by id, type, value and place."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from gulou.access import Principal
from gulou.connectivity.bus import Bus
from gulou.connectivity.devices import DeviceChanged
from gulou.connectivity.intake import Columns, LogBatch, Reading, SeriesCatalogue
from gulou.hub.context.entities import Entities
from gulou.hub.context.events import EntitiesChanged, EntityChange
from gulou.hub.context.interests import Interest, Interests
from gulou.hub.context.model import LOCATION, Attribute, Entity, EntityCells, EntityPage, EntityQuery, Place
from gulou.hub.context.ngsi_ld import from_normalized, read_attributes
from gulou.hub.context.ports import AuditTrail, ContextStore, VocabularySource
from gulou.hub.context.search import cells_at, check_limit, find_page, find_places
from gulou.hub.context.series_state import SeriesState
from gulou.hub.context.series_values import SeriesValues
from gulou.hub.context.settings import ContextSettings
from gulou.hub.context.writing import Definitions, with_reading, written_over
from gulou.kernel.clock import Clock
from gulou.kernel.errors import GulouError, Invalid, NotFound, Unavailable
from gulou.kernel.geometry import Box

logger = logging.getLogger(__name__)
_MOST_NEWS = 100_000

PlaceOf = Callable[[str, str], tuple[float, float] | None]


class ContextService:
    """A log consumer that keeps the newest value of every attribute, and takes direct writes of entities.

    A reading older than what is there is kept out of "now"; the history has it. A reading of a deleted entity, newer in
    the log than the deletion, makes the entity again. Direct writes are durable when the call returns; what the log
    brings is saved in the background and, after a crash, read again from the log.

    Numbers that come as columns are kept in arrays by series number, see ``series_state.py``; a question joins them
    with the rest. Which way a number came makes no difference to any answer.

    Args:
        bus: gets ``EntitiesChanged``; None for tests.
        audit: gets a record of every direct write.
        series: the intake's catalogue; None: columns are made objects first.
    """

    name = "context"
    takes_columns = True

    def __init__(
        self,
        store: ContextStore,
        clock: Clock,
        bus: Bus | None = None,
        vocabulary: VocabularySource | None = None,
        audit: AuditTrail | None = None,
        settings: ContextSettings | None = None,
        series: SeriesCatalogue | None = None,
    ) -> None:
        self._store, self._clock, self._bus, self._audit = store, clock, bus, audit
        self._settings = settings or ContextSettings()
        self._definitions = Definitions(vocabulary)
        self._lock = threading.Lock()  # changes in memory; short
        self._saving = threading.Lock()  # one write to the store at a time, encoding included
        self._entities = Entities()
        self.takes_columns = False
        self._state = SeriesState(self._lock)
        self._dirty: set[str] = set()
        stored = store.load()
        for entity in stored.entities:
            self._entities.add(entity)
        self._tombstones = dict(stored.tombstones)
        self._position = self._applied = self._series_position = stored.position
        self._stored_series = stored.series
        self._number_by(SeriesCatalogue())
        self._series_changed = False
        self._series_due = time.monotonic() + self._settings.save_series_s
        self._new_tombstones: dict[str, int] = {}
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._error: GulouError | None = None
        self._place_of: PlaceOf | None = None
        self._load: Callable[[Sequence[str]], None] | None = None
        self._written: Callable[[str, tuple[str, ...]], None] | None = None
        self._unplaced: dict[str, list[int]] = {}  # device → series of entities that have no place yet
        self._interests = Interests([Interest()])
        self._telling = False
        self._news: dict[str, dict[str, None]] = {}  # what objects changed, not told yet
        if series is not None:
            self.number_by(series)
            self.restore()
        if bus is not None:
            bus.subscribe(DeviceChanged, self._on_device, name="context.places", bound=100_000, lossless=False)

    def place_by(self, place_of: PlaceOf, load: Callable[[Sequence[str]], None] | None = None) -> None:
        """Give an entity that has no place the one of the device that reports it. Call it before ``start``.

        Args:
            place_of: (device id, entity id) → longitude and latitude in degrees, WGS 84, or None.
            load: takes the ids of devices of which that is going to be asked, where many at once are quicker.
        """
        self._place_of = place_of
        self._load = load

    def tell_writes(self, written: Callable[[str, tuple[str, ...]], None]) -> None:
        """Tell of each entity that is written or deleted directly, at once; call it before ``start``.

        Args:
            written: takes its id and types; called on the writer's thread, without a lock.
        """
        self._written = written

    def number_by(self, series: SeriesCatalogue) -> None:
        """Take columns, numbered by the intake's catalogue; call it and ``restore`` where it was not given."""
        self.takes_columns = True
        self._number_by(series)

    def restore(self) -> None:
        """Bring back the newest values of series, before the first batch and the first question; a million take 2 s."""
        saved, self._stored_series = self._stored_series, None
        if saved is not None:
            series = self._catalogue
            series.refresh()
            self._definitions.refresh()
            held = self._state.restore(saved, len(series))
            self._dirty.update(self._values.restore(held, self._tombstones))

    def _number_by(self, series: SeriesCatalogue) -> None:
        self._catalogue = series
        self._values = SeriesValues(series, self._state, self._entities, self._definitions)

    # the log's side

    def position(self) -> int:
        """Return the log sequence up to which everything is saved."""
        return self._position

    def apply(self, batch: LogBatch) -> None:
        """Take a batch; again is harmless."""
        if batch.sequence <= self._position:
            return
        redefined = self._definitions.refresh()
        with self._lock:
            if redefined:
                self._values.redefine()
            self._telling = self._is_heard()
            changed: dict[str, dict[str, None]] = {}
            for reading in batch.readings:
                if self._take(reading, batch):
                    changed.setdefault(reading.entity_id, {})[reading.property] = None
            self._dirty.update(changed)
            if batch.columns is not None and len(batch.columns):
                self._take_columns(batch.columns, batch)
            if changed and self._telling:
                self._note_news(changed)
            self._applied = max(self._applied, batch.sequence)
        if not self._threads:
            self.tell()

    def checkpoint(self) -> None:
        """Save what has changed: at once, or leave it to the thread that does it every ``save_s``."""
        if not self._threads:
            self.save()

    # life

    def start(self) -> None:
        """Start saving and telling in the background, if the settings say so."""
        if self._settings.background and not self._threads:
            for name, work in (("context-save", self._keep_saving), ("context-tell", self._keep_telling)):
                self._threads.append(threading.Thread(target=work, name=name, daemon=True))
                self._threads[-1].start()

    def close(self) -> None:
        """Save the rest."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self.save()

    def save(self, *, series: bool = True) -> None:
        """Write what has changed, and the position up to which all of it is there.

        Args:
            series: the series too; else the position stays at theirs.

        Raises:
            Unavailable: ``context.write_failed``; it is tried again.
        """
        with self._saving:
            if series:
                self._save_series()
            with self._lock:
                if not self._series_changed:
                    self._series_position = self._applied
                position, dirty, stones = self._series_position, self._dirty, self._new_tombstones
                if not dirty and not stones and position == self._position:
                    return
                self._dirty, self._new_tombstones = set(), {}
                entities = [found for one in dirty if (found := self._entities.by_id.get(one)) is not None]
            try:
                self._store.save([self._values.whole(one) for one in entities if not one.is_plain], stones, position)
            except Unavailable:
                with self._lock:
                    self._dirty |= dirty
                    self._new_tombstones = {**stones, **self._new_tombstones}
                raise
            with self._lock:
                self._position = position
                self._tombstones = {one: at for one, at in self._tombstones.items() if at > 2 * position}

    def _save_series(self) -> None:
        """Write the arrays as they are from now on; rows of later batches may be among them, which come again."""
        with self._lock:
            position, changed = self._applied, self._series_changed
            self._series_changed = False
        if not changed:
            return
        try:
            count = min(len(self._catalogue), len(self._state))
            self._store.save_series(lambda: self._state.checkpoint(position, count))
        except Unavailable:
            self._series_changed = True
            raise
        self._series_position = position
        self._series_due = time.monotonic() + self._settings.save_series_s

    def status(self) -> dict[str, Any]:
        """Return what the system page shows."""
        return {
            "position": self._position,
            "applied": self._applied,
            "entities": len(self._entities.by_id),
            "on_map": len(self._entities.places),
            "unsaved": len(self._dirty),
            "series": len(self._catalogue),
            "waiting_to_be_told": self._state.waiting() + len(self._news),
            "error": self._error.code if self._error else None,
        }

    # questions

    def get_entity(self, entity_id: str) -> Entity:
        """Return an entity. Raises NotFound ``entity.unknown``."""
        return self._values.whole(self._get(entity_id))

    def _get(self, entity_id: str) -> Entity:
        found = self._entities.by_id.get(entity_id)
        if found is None:
            raise NotFound("entity.unknown", entity_id=entity_id[:200])
        return found

    def find_entity(self, entity_id: str) -> Entity | None:
        """Return an entity, or None."""
        found = self._entities.by_id.get(entity_id)
        return None if found is None else self._values.whole(found)

    def find_attribute(self, entity_id: str, name: str) -> Attribute | None:
        """Return the default instance of one attribute, or None; what a page needs that shows only changes."""
        entity = self._entities.by_id.get(entity_id)
        instances = () if entity is None else self._values.instances(entity, name)
        return instances[0] if instances and instances[0].dataset_id is None else None

    def has_entity(self, entity_id: str) -> bool:
        """Say whether there is such an entity."""
        return entity_id in self._entities.by_id

    def find_entities(self, query: EntityQuery) -> EntityPage:
        """Return entities by every condition of a query, in the order of their ids.

        Raises:
            Invalid: ``entity.limit``, ``entity.cursor``, ``entity.q_…``, ``geometry.…``, ``grid.…``.
        """
        return find_page(self._entities, self._values, query, self._settings.max_page)

    def places(self, types: Iterable[str] | None, box: Box | None, limit: int) -> tuple[list[Place], int]:
        """Return where entities are, for the map, and how many there are in all. Raises Invalid ``entity.limit``."""
        return find_places(self._entities, types, box, check_limit(limit, self._settings.max_places))

    def position_of(self, entity_id: str) -> tuple[float, float] | None:
        """Return an entity's lon, lat (the middle of a shape), or None."""
        spot = self._entities.places.find_spot(entity_id)
        return None if spot is None else (spot.lon, spot.lat)

    def cells(self, entity_id: str) -> EntityCells:
        """Return the grid cells of an entity; none where it has no place. Raises NotFound ``entity.unknown``."""
        self._get(entity_id)
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
        return self._values.plain(entity)

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
        present = self._entities.by_id.get(given.id)
        for name in {*given.types, *(present.types if present else ())}:
            principal.require("entity.write", entity_type=name)
        return self._write(given, principal)

    def patch_attributes(self, entity_id: str, fragment: Any, principal: Principal) -> Entity:
        """Write some attributes of an entity; raises as ``upsert_entity``, and NotFound ``entity.unknown``."""
        self._check_size(fragment)
        entity = self._get(entity_id)
        for name in entity.types:
            principal.require("entity.write", entity_type=name)
        attributes = read_attributes(fragment, max_attributes=self._settings.max_attributes)
        return self._write(Entity(entity_id, entity.types, attributes), principal)[0]

    def delete_entity(self, entity_id: str, principal: Principal) -> None:
        """Delete an entity; its history stays. Raises NotFound ``entity.unknown``, Denied, Unavailable."""
        for name in self._get(entity_id).types:
            principal.require("entity.write", entity_type=name)
        with self._saving:
            with self._lock:
                entity = self._get(entity_id)
                stamp = 2 * self._applied + 1
                numbers = self._values.numbers(entity)
                held = [one for one in numbers if (was := self._state.read_held(one)) is not None and was.stamp < stamp]
                before = {one: self._state.read_held(one) for one in held}
                for number in numbers:
                    self._state.reserve(number + 1)
                    self._state.release(number, stamp)
                self._entities.remove(entity_id)
                self._tombstones[entity_id] = stamp
                self._series_changed = self._series_changed or bool(held)
            try:
                self._store.save((), {entity_id: stamp}, None)
            except Unavailable:
                with self._lock:
                    del self._tombstones[entity_id]
                    if entity_id not in self._entities.by_id:
                        self._entities.add(entity)
                        for number, was in before.items():
                            if was is not None:
                                self._state.put_back(number, was)
                raise
        if self._audit is not None:
            self._audit.record(principal, "entity.deleted", "entity", entity_id, {"type": entity.type})
        if self._written is not None:
            self._written(entity_id, entity.types)
        self._publish(self._clock.now_us(), [EntityChange(entity_id, entity.type, (), deleted=True)])

    # inside

    def _take(self, reading: Reading, batch: LogBatch) -> bool:
        """Write a reading into its entity; say whether that changed it."""
        stamp = 2 * batch.sequence
        if self._tombstones and stamp < self._tombstones.get(reading.entity_id, 0):
            return False
        entity = self._entities.by_id.get(reading.entity_id)
        kind, unit = self._definitions.kind_and_unit(reading.entity_type, reading.property)
        present = () if entity is None else self._values.current(entity, reading.property)
        instances = with_reading(present, reading, kind, unit, stamp, batch.received_at_us)
        if instances is None:
            return False
        if entity is None:
            entity = Entity(reading.entity_id, (reading.entity_type,), {}, batch.received_at_us)
            self._entities.add(entity)
        elif reading.entity_type not in entity.types and len(entity.types) < 16:
            self._entities.add_types(entity, (reading.entity_type,))
        self._entities.put(entity, reading.property, instances)
        if reading.dataset_id is None:
            self._values.release(entity.id, reading.property, stamp)
        if self._place_of is not None and reading.device_id is not None and LOCATION not in entity.attributes:
            at = self._place_of(reading.device_id, entity.id)
            if at is not None:
                geometry = {"type": "Point", "coordinates": [*at]}
                self._entities.put(entity, LOCATION, (Attribute("GeoProperty", geometry, stamp=stamp),))
                self._values.place(entity, self._values.numbers(entity))
        if reading.property == LOCATION:
            self._values.place(entity, self._values.numbers(entity))
        entity.modified_at_us = max(entity.modified_at_us, batch.received_at_us)
        return True

    def _take_columns(self, columns: Columns, batch: LogBatch) -> None:
        """Write rows into the arrays; only of series that are new here is anything done one by one."""
        stamp = 2 * batch.sequence
        last = int(columns.series.max())
        if last >= len(self._catalogue):
            self._catalogue.refresh()  # another process gives the numbers
        self._state.reserve(last + 1)
        take, received_us = self._state.take, batch.received_at_us
        fresh, found = take(columns, stamp, received_us, telling=self._telling)
        if len(fresh):
            rows = columns.take(fresh.astype(np.intp))
            self._values.bind_all(np.unique(rows.series).tolist(), self._tombstones)
            found += take(rows, stamp, received_us, telling=self._telling)[1]
        settled = self._values.settle_all(found, received_us) if found else []
        if settled and self._load is not None:
            self._load([one.device_id for entity, one, _ in settled if one.device_id and _is_nowhere(entity)])
        for number, (entity, series, was_mixed) in zip(found, settled, strict=True):
            is_mixed = was_mixed
            if series.device_id is not None and self._place_of is not None and _is_nowhere(entity):
                is_mixed = self._place(entity, series.device_id, number, stamp) or was_mixed
            if entity.id in self._interests.ids:
                self._state.array("watched")[number] = 1
            if is_mixed:
                self._dirty.add(entity.id)
        self._series_changed = True

    def _place(self, entity: Entity, device_id: str, number: int, stamp: int) -> bool:
        """Put an entity where the device is that reports it; or wait until that is somewhere."""
        assert self._place_of is not None
        at = self._place_of(device_id, entity.id)
        if at is None:
            self._unplaced.setdefault(device_id, []).append(number)
            return False
        geometry = {"type": "Point", "coordinates": [*at]}
        self._entities.put(entity, LOCATION, (Attribute("GeoProperty", geometry, stamp=stamp),))
        self._values.place(entity, self._values.numbers(entity))
        return True

    def _on_device(self, changed: DeviceChanged) -> None:
        """A device may have got a place: look again when it next reports."""
        with self._lock:
            numbers = self._unplaced.pop(changed.device_id, None)
            if numbers is not None:
                self._state.look_again(np.array(numbers, np.intp))

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
                self._store.save([self._values.whole(entity)], {}, None)
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
        if self._written is not None:
            self._written(entity.id, entity.types)
        self._publish(now_us, [EntityChange(entity.id, entity.type, tuple(checked))])
        return self._values.whole(entity), created

    def _put(
        self, given: Entity, checked: dict[str, tuple[Attribute, ...]], now_us: int
    ) -> tuple[Entity, Entity | None]:
        """Write into memory; return the entity and how it was before."""
        stamp = 2 * self._applied + 1
        entity = self._entities.by_id.get(given.id)
        before = None if entity is None else replace(self._values.whole_held(entity))
        if entity is None:
            entity = Entity(given.id, given.types, {}, now_us)
            self._entities.add(entity)
        elif len({*entity.attributes, *checked}) > self._settings.max_attributes:
            raise Invalid("entity.too_many_attributes", limit=self._settings.max_attributes)
        self._entities.unshare(entity)
        self._entities.add_types(entity, given.types)
        entity.scope = given.scope or entity.scope
        for name, instances in checked.items():
            new = tuple(replace(one, modified_at_us=now_us, stamp=stamp) for one in instances)
            self._entities.put(entity, name, written_over(self._values.current(entity, name), new))
            if any(one.dataset_id is None for one in new):
                self._values.release(entity.id, name, stamp)
        entity.modified_at_us = max(entity.modified_at_us, now_us)
        self._values.place(entity, self._values.numbers(entity))
        return entity, before

    def _take_back(self, entity: Entity, before: Entity | None, names: tuple[str, ...]) -> None:
        """Undo a write that could not be made durable."""
        if before is None:
            self._entities.remove(entity.id)
            return
        for name in names:
            self._entities.put(entity, name, before.attributes.get(name, ()))
            default = entity.find(name)
            self._values.release(entity.id, name, 0 if default is None else default.stamp)
        entity.scope, entity.modified_at_us = before.scope, before.modified_at_us

    def _check_size(self, document: Any) -> None:
        try:
            size = len(msgspec.json.encode(document))
        except (TypeError, ValueError, msgspec.MsgspecError) as error:
            raise Invalid("entity.not_an_object", where="entity") from error
        if size > self._settings.max_entity_bytes:
            raise Invalid("entity.too_large", limit=self._settings.max_entity_bytes)

    # telling

    def watch(self, interests: Sequence[Interest]) -> None:
        """Say what somebody watches, in place of what was said before; only of that is anything told.

        Before the first call, everything is told if anybody hears it on the bus.
        """
        with self._lock:
            self._interests = Interests(interests)
            self._state.array("watched")[:] = 0
            for entity_id in self._interests.ids:
                entity = self._entities.by_id.get(entity_id)
                numbers = [] if entity is None else self._values.numbers(entity)
                self._state.array("watched")[[one for one in numbers if one < len(self._state)]] = 1
            if not self._interests:
                self._state.forget_changes()
                self._news = {}

    def tell(self) -> None:
        """Publish what readings have changed and somebody watches, as much as may be told at once."""
        if not self._news and not self._state.waiting():
            return
        with self._lock:
            names = self._take_news()
            most = self._settings.tell_most
            interests = self._interests
            picked = self._state.pick(interests.types(self._values.group_types), interests.boxes, most)
        for number in picked:
            series = self._catalogue.get(number)
            names.setdefault(series.entity_id, {})[series.property] = None
        by_id = self._entities.by_id
        self._publish(self._clock.now_us(), [
            EntityChange(entity_id, entity.type, tuple(properties))
            for entity_id, properties in names.items() if (entity := by_id.get(entity_id)) is not None
        ])  # fmt: skip

    def _is_heard(self) -> bool:
        return self._bus is not None and bool(self._interests) and self._bus.hears(EntitiesChanged)

    def _note_news(self, changed: dict[str, dict[str, None]]) -> None:
        """Keep what objects changed until it is told; beyond a bound the longest waiting is forgotten."""
        for entity_id, properties in changed.items():
            entity = self._entities.by_id[entity_id]
            if self._interests.wants(entity_id, entity.types, self.position_of(entity_id)):
                self._news.setdefault(entity_id, {}).update(properties)
        while len(self._news) > _MOST_NEWS:
            del self._news[next(iter(self._news))]

    def _take_news(self) -> dict[str, dict[str, None]]:
        most = self._settings.tell_most
        if len(self._news) <= most:
            taken, self._news = self._news, {}
            return taken
        return {entity_id: self._news.pop(entity_id) for entity_id in list(islice(self._news, most))}

    def _publish(self, at_us: int, changes: list[EntityChange]) -> None:
        if self._bus is not None and changes:
            self._bus.publish(EntitiesChanged(at_us=at_us, changes=tuple(changes)))

    def _keep_telling(self) -> None:
        while not self._stop.wait(self._settings.tell_s):
            self.tell()

    def _keep_saving(self) -> None:
        while not self._stop.wait(self._settings.save_s):
            try:
                self.save(series=time.monotonic() >= self._series_due)
                self._error = None
            except Unavailable as error:
                if self._error is None:
                    logger.error("context: %s", error)
                self._error = error


def _is_nowhere(entity: Entity) -> bool:
    return LOCATION not in entity.attributes
