"""The newest readings, in memory until they are in the lake; every query sees them."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import msgspec
import pyarrow as pa

from gulou.connectivity.intake import LogBatch
from gulou.hub.history.columns import TAIL_SCHEMA, Columns

_CHUNK_ROWS = 8_192


class TailView(msgspec.Struct, frozen=True):
    """The tail at one moment.

    Args:
        chunks: how many chunks of the tail it covers, for ``discard``.
        sequence: last log sequence applied, also when its batch had no readings.
        late: whether some row of it may replace an earlier reading.
    """

    table: pa.Table
    chunks: int
    sequence: int
    late: bool


class SeriesTimes:
    """The newest time of each series, to know a reading that may replace an earlier one.

    Keyed by hash: a collision, or a series not known since the start, only makes more readings "late", which costs
    time in a query and is never wrong.

    Args:
        floor_us: newest time of any series that is not listed one by one; None when all are.
    """

    def __init__(self, floor_us: int | None = None) -> None:
        self._newest: dict[int, int] = {}
        self._floor_us = floor_us

    def learn(self, entity_id: str, name: str, dataset_id: str | None, newest_us: int) -> None:
        """Take what is in the lake already."""
        key = hash((entity_id, name, dataset_id))
        self._newest[key] = max(newest_us, self._newest.get(key, newest_us))

    def mark(self, batch: LogBatch) -> list[int]:
        """Return 1 for each late reading of a batch, 0 for the others, and remember the new times."""
        newest, floor = self._newest, self._floor_us
        marks: list[int] = []
        for reading in batch.readings:
            key = hash((reading.entity_id, reading.property, reading.dataset_id))
            at_us = reading.observed_at_us
            known = newest.get(key, floor)
            if known is None or at_us > known:
                newest[key] = at_us
                marks.append(0)
            else:
                marks.append(1)
        return marks

    def __len__(self) -> int:
        return len(self._newest)


class Tail:
    """Columns in memory, in the order of the log. One thread appends; any thread views; one discards."""

    def __init__(self, times: SeriesTimes) -> None:
        self._times = times
        self._lock = threading.Lock()
        self._sealed: list[pa.RecordBatch] = []
        self._open = Columns()
        self._late: list[bool] = []  # per sealed chunk
        self._open_late = False
        self.rows = 0
        self.sequence = 0

    def append(self, batch: LogBatch) -> None:
        """Add a batch; a view sees all of it or nothing."""
        late = self._times.mark(batch)
        with self._lock:
            self.sequence = batch.sequence
            self._open.extend(batch, batch.readings, late, 0)
            self._open_late = self._open_late or 1 in late
            self.rows += len(batch.readings)
            if self._open.rows >= _CHUNK_ROWS:
                self._seal()

    def view(self) -> TailView:
        """Return everything held, without copying what is sealed."""
        with self._lock:
            if self._open.rows:
                self._seal()
            table = pa.Table.from_batches(self._sealed, TAIL_SCHEMA)
            return TailView(table, len(self._sealed), self.sequence, any(self._late))

    def discard(self, chunks: int) -> None:
        """Forget the oldest chunks: the lake has them."""
        with self._lock:
            self.rows -= sum(chunk.num_rows for chunk in self._sealed[:chunks])
            del self._sealed[:chunks], self._late[:chunks]

    def _seal(self) -> None:
        self._sealed.append(self._open.seal())
        self._late.append(self._open_late)
        self._open, self._open_late = Columns(), False


def learn_all(times: SeriesTimes, rows: Iterable[tuple[str, str, str | None, int]]) -> None:
    """Feed (entity, property, dataset, newest) of the whole lake."""
    for entity_id, name, dataset_id, newest_us in rows:
        times.learn(entity_id, name, dataset_id, newest_us)
