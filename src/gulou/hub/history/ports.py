"""The seam of the history: what stands above it asks only this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from gulou.connectivity.intake import Reading
from gulou.hub.history.model import AggregateQuery, Bucket, HistoryQuery, HistoryRow


class History(Protocol):
    """Answers from every reading applied so far, flushed or not.

    The same series (entity, property, dataset) at the same time twice: the one later in the log counts, alone.
    """

    def query(self, query: HistoryQuery) -> list[HistoryRow]:
        """Return the readings in order of time.

        Raises:
            Invalid: the query is not understood (``history.every``, ``history.zone``, …).
            Unavailable: ``history.busy``, ``history.too_slow``, ``history.too_large``.
        """

    def stream(self, query: HistoryQuery) -> Iterator[HistoryRow]:
        """Yield the same without holding them all; close the iterator when done early."""

    def readings(
        self,
        entity_type: str,
        properties: tuple[str, ...] | None,
        from_us: int,
        to_us: int,
        entity_id: str | None = None,
    ) -> Iterator[Reading]:
        """Yield readings of a type, or of one entity of it, observed at or after ``from_us`` and before ``to_us``.

        In order of time; one more than a query may answer, at most, and then no error: whoever reads stops there.
        """

    def aggregate(self, query: AggregateQuery) -> list[Bucket]:
        """Return one line for every step that has readings, in order of time (then id)."""
