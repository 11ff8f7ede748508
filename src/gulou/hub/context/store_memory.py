"""A context store for stories and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from gulou.hub.context.model import Entity
from gulou.hub.context.ports import Stored
from gulou.hub.context.series_state import SeriesCheckpoint


class MemoryContextStore:
    """Keeps encoded entities in a dictionary; survives the service, not the process."""

    def __init__(self) -> None:
        self._entities: dict[str, bytes] = {}
        self._tombstones: dict[str, int] = {}
        self._position = 0
        self._series: SeriesCheckpoint | None = None

    def load(self) -> Stored:
        """Return everything."""
        entities = [msgspec.msgpack.decode(body, type=Entity) for body in self._entities.values()]
        return Stored(entities, dict(self._tombstones), self._position, self._series)

    def save(self, entities: Iterable[Entity], tombstones: Mapping[str, int], position: int | None) -> None:
        """Write; see ``ContextStore``."""
        for entity_id in tombstones:
            self._entities.pop(entity_id, None)
        self._tombstones.update(tombstones)
        for entity in entities:
            self._entities[entity.id] = msgspec.msgpack.encode(entity)
        if position is not None:
            self._position = position
            self._tombstones = {one: stamp for one, stamp in self._tombstones.items() if stamp > 2 * position}

    def save_series(self, copy: Callable[[], SeriesCheckpoint]) -> None:
        """Keep; see ``ContextStore``."""
        self._series = copy()
