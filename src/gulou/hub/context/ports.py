"""What the context needs of others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from gulou.access import Principal
from gulou.hub.context.model import Entity
from gulou.hub.context.series_state import SeriesCheckpoint


class VocabularySource(Protocol):
    """The vocabulary: which types and properties there are, and the check of a value."""

    @property
    def types(self) -> Mapping[str, Any]: ...

    def check(self, type_name: str, property_name: str, value: Any, unit: str | None = None) -> Any: ...


class AuditTrail(Protocol):
    """Where changes by people and programs are recorded."""

    def record(
        self,
        principal: Principal,
        action: str,
        object_type: str,
        object_id: str,
        details: dict[str, Any] | None = None,
    ) -> None: ...


class Stored(msgspec.Struct, frozen=True):
    """What a store holds.

    Args:
        entities: all but those that are made of numeric series alone.
        tombstones: deleted entity → stamp of its deletion; older readings do not bring it back.
        position: log sequence up to which everything is here.
        series: the newest checkpoint of the series; None before the first.
    """

    entities: Iterable[Entity]
    tombstones: dict[str, int]
    position: int
    series: SeriesCheckpoint | None = None


class ContextStore(Protocol):
    """Keeps entities over a restart. Implementations: ``SqlContextStore``, ``MemoryContextStore``."""

    def load(self) -> Stored:
        """Return everything."""

    def save(self, entities: Iterable[Entity], tombstones: Mapping[str, int], position: int | None) -> None:
        """Make deletions, then write entities (over those of the same id), and the log position, in one transaction.

        Args:
            position: None leaves it as it is. A tombstone that is older than the position is forgotten.

        Raises:
            Unavailable: ``context.write_failed``; nothing was written.
        """

    def save_series(self, copy: Callable[[], SeriesCheckpoint]) -> None:
        """Write the series in place of the checkpoint before; the old one stays until the new one is whole.

        Args:
            copy: makes the checkpoint; a store that keeps nothing need not call it.

        Raises:
            Unavailable: ``context.write_failed``; the old one is still there.
        """
