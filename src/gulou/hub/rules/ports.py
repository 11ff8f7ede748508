"""What the rules need of others; wired together in ``cli/wire.py``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from gulou.access import Principal
from gulou.connectivity.commands import Command, CommandRequest
from gulou.connectivity.intake import Reading
from gulou.hub.rules.events import Detection
from gulou.kernel.errors import GulouError


class PropertySource(Protocol):
    """A property's definition in the vocabulary."""

    @property
    def kind(self) -> str: ...
    @property
    def values(self) -> Iterable[str] | None: ...


class TypeSource(Protocol):
    """An entity type's definition in the vocabulary."""

    @property
    def properties(self) -> Mapping[str, Any]: ...


class VocabularySource(Protocol):
    """The vocabulary."""

    @property
    def types(self) -> Mapping[str, Any]: ...


class Surroundings(Protocol):
    """What is known of entities besides their readings; the context service answers.

    All answers come from memory, at once, on the thread that applies the log.
    """

    def attributes(self, entity_id: str) -> Mapping[str, Any] | None:
        """Return an entity's attributes as plain values: numbers, texts, ``{"en": …, "zh": …}`` for language
        properties, the object's id (or a list of ids) for relationships, GeoJSON for ``location``.
        None: no such entity."""

    def entity_ids(self, entity_type: str) -> Iterable[str]:
        """Return the ids of all entities of a type."""

    def related_to(self, entity_id: str, entity_type: str, relationship: str) -> Iterable[str]:
        """Return entities of ``entity_type`` whose ``relationship`` points to ``entity_id``."""


class DeviceFinder(Protocol):
    """The device registry's answer to: which device drives this entity?"""

    def device_of(self, entity_id: str, property: str | None = None) -> str | None:  # noqa: A002 - the vocabulary's word
        """Return the id of the device bound to the entity (and property), or None."""


class CommandDesk(Protocol):
    """Where commands are issued: the command service."""

    def issue(self, requests: Sequence[CommandRequest], principal: Principal) -> list[Command | GulouError]:
        """Send at once, record just after; for each request the command, or why it is refused."""


class DetectionSource(Protocol):
    """Where missed detections are asked for: the rule service."""

    def detections_since(self, at_us: int, limit: int = 10_000) -> list[Detection]: ...


class ReadingHistory(Protocol):
    """What was: the history service, for trials."""

    def readings(
        self,
        entity_type: str,
        properties: tuple[str, ...] | None,
        from_us: int,
        to_us: int,
        entity_id: str | None = None,
    ) -> Iterator[Reading]:
        """Yield readings with ``from_us <= observed_at < to_us`` in the order of their times, of one entity or all."""


class EmptySurroundings:
    """Nothing is known but readings; for trials without a context, and tests."""

    def attributes(self, entity_id: str) -> Mapping[str, Any] | None:
        return None

    def entity_ids(self, entity_type: str) -> Iterable[str]:
        return ()

    def related_to(self, entity_id: str, entity_type: str, relationship: str) -> Iterable[str]:
        return ()
