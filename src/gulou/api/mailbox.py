"""What waits for one live client."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from gulou.access import Principal
from gulou.api.schemas.live import LiveEntitiesWanted, LiveWanted


class EntityNews(msgspec.Struct, frozen=True):
    """An entity is not as it was; ``properties`` have changed since the client's last frame."""

    id: str
    type: str
    properties: tuple[str, ...]
    deleted: bool = False

    def joined(self, later: EntityNews) -> EntityNews:
        """Return both as one; what was before a deletion is of no interest."""
        if later.deleted or self.deleted:
            return later
        return EntityNews(self.id, self.type, tuple(dict.fromkeys((*self.properties, *later.properties))))


class Mailbox:
    """What waits for one client; filled from any thread, emptied by the client's task.

    Args:
        wake: tells the client's task that there is something; callable from any thread.
        bound: messages that may wait in the queue; one more marks the client as too slow.
        entities_bound: entities that may wait for the next frame; beyond it the longest waiting is forgotten, and the
            next reading of it comes again.
    """

    def __init__(self, principal: Principal, wake: Callable[[], None], bound: int, entities_bound: int) -> None:
        self.principal = principal
        self.wanted = LiveWanted()
        self.overflowed = False
        self._wake = wake
        self._bound = bound
        self._entities_bound = entities_bound
        self._guard = threading.Lock()
        self._queue: deque[dict[str, Any]] = deque()
        self._entities: dict[str, EntityNews] = {}
        self._devices: dict[str, dict[str, Any]] = {}

    def put(self, frame: dict[str, Any]) -> None:
        """Queue one frame that must not be lost."""
        with self._guard:
            if len(self._queue) >= self._bound:
                self.overflowed = True
            else:
                self._queue.append(frame)
        self._wake()

    def put_entity(self, news: EntityNews) -> None:
        """Note that an entity has changed; what waits for the same one is joined."""
        with self._guard:
            is_first = not self._entities
            waiting = self._entities.pop(news.id, None)
            if waiting is None and len(self._entities) >= self._entities_bound:
                self._entities.pop(next(iter(self._entities)))
            self._entities[news.id] = news if waiting is None else waiting.joined(news)
        if is_first:  # the frame's time comes by itself once the client's task knows that there will be one
            self._wake()

    def put_device(self, item: dict[str, Any]) -> None:
        """Note what happened to a device; the newest only."""
        with self._guard:
            self._devices[item["id"]] = item
            if len(self._devices) > self._entities_bound:
                self._devices.pop(next(iter(self._devices)))
        self._wake()

    def take_queue(self) -> list[dict[str, Any]]:
        """Empty the queue."""
        with self._guard:
            taken = list(self._queue)
            self._queue.clear()
        return taken

    def take_entities(self) -> list[EntityNews]:
        """Empty the entities, the longest waiting first."""
        with self._guard:
            taken, self._entities = list(self._entities.values()), {}
        return taken

    def take_devices(self) -> list[dict[str, Any]]:
        """Empty the devices."""
        with self._guard:
            taken, self._devices = list(self._devices.values()), {}
        return taken

    @property
    def has_coalesced(self) -> bool:
        return bool(self._entities or self._devices)

    def wants_entity(self, entity_id: str, entity_type: str, point: tuple[float, float] | None) -> bool:
        """Say whether this client asked for an entity and may see it; ``point`` is (lon, lat)."""
        wanted = self.wanted.entities
        if wanted is False or not self.principal.may("entity.read", entity_type=entity_type):
            return False
        return wanted is True or _fits(wanted, entity_id, entity_type, point)


def _fits(wanted: LiveEntitiesWanted, entity_id: str, entity_type: str, point: tuple[float, float] | None) -> bool:
    if wanted.types is not None and entity_type not in wanted.types:
        return False
    if wanted.ids is not None and entity_id not in wanted.ids:
        return False
    if wanted.bbox is None:
        return True
    if point is None:
        return False
    west, south, east, north = wanted.bbox
    return west <= point[0] <= east and south <= point[1] <= north
