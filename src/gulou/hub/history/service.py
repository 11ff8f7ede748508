"""The history: takes the log, keeps every reading, answers queries over lake and tail."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.history import compaction
from gulou.hub.history.buckets import bucket_edges, get_zone, parse_every
from gulou.hub.history.columns import to_reading
from gulou.hub.history.model import AggregateQuery, Bucket, HistoryQuery, HistoryRow
from gulou.hub.history.query_duckdb import QueryEngine, Snapshot, check
from gulou.hub.history.settings import HistorySettings
from gulou.hub.history.store_delta import Lake, month_end, sort_rows
from gulou.hub.history.tail import SeriesTimes, Tail, learn_all
from gulou.kernel.clock import Clock, from_us, to_rfc3339
from gulou.kernel.errors import Fault, GulouError, Invalid, Unavailable

logger = logging.getLogger(__name__)

_IDLE_COMMIT_US = 60_000_000
_TIDY_US = 3_600_000_000


class HistoryService:
    """A log consumer: ``apply`` puts readings into the tail, where queries see them at once; flushing moves them to the
    Delta table together with the log position, so that a crash between the two neither loses nor doubles one.

    Args:
        directory: of the history alone; made when missing.
        settings: ``background`` starts threads for flushing and compaction with ``start``; without them
            ``checkpoint`` flushes at once.
    """

    name = "history"

    def __init__(self, directory: Path, clock: Clock, settings: HistorySettings | None = None) -> None:
        self._settings = settings or HistorySettings()
        self._clock = clock
        self._spill = directory / "spill"
        self._lake = Lake(directory)
        self._engine = self._open_engine()
        self._tail = Tail(self._known_times())
        self._applied = self._lake.state.position
        self._flushing, self._compacting = threading.Lock(), threading.Lock()
        self._room = threading.Condition()
        self._wake_flush, self._wake_compact, self._stop = threading.Event(), threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._error: GulouError | None = None
        self._compaction_error: GulouError | None = None
        self._flushed_at_us = self._tidied_at_us = clock.now_us()
        self._flushes = self._compactions = 0

    # the log's side

    def position(self) -> int:
        """Return the log sequence up to which everything is in the table on disk."""
        return self._lake.state.position

    def apply(self, batch: LogBatch) -> None:
        """Take a batch; one that was taken before is passed over.

        Waits for room only when flushing lags by ``tail_max_rows``.

        Raises:
            Unavailable: ``history.behind``: there was no room in time.
            Fault: ``history.uncertain``, ``history.damaged``: the table cannot be written to.
        """
        if batch.sequence <= self._applied:
            return
        if self._tail.rows and self._tail.rows + len(batch.readings) > self._settings.tail_max_rows:
            self._wait_for_room(len(batch.readings))
        self._tail.append(batch)
        self._applied = batch.sequence
        if self._tail.rows >= self._settings.flush_rows:
            self._wake_flush.set()

    def checkpoint(self) -> None:
        """Move what was applied towards the disk: at once, or by waking the thread that does it every ``flush_s``."""
        if not self._threads:
            self.flush()

    # life

    def start(self) -> None:
        """Start flushing and compacting in the background, if the settings say so."""
        if not self._settings.background or self._threads:
            return
        for target in (self._keep_flushing, self._keep_compacting):
            thread = threading.Thread(target=target, name=target.__name__.replace("_keep_", "history-"), daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Flush the rest and release the directory."""
        self._stop.set()
        self._wake_flush.set()
        self._wake_compact.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        try:
            self.flush()
        finally:
            self._engine.close()
            self._lake.close()

    def flush(self) -> None:
        """Write the tail to the table.

        Raises:
            Unavailable: ``history.write_failed``: nothing has changed, try later.
            Fault: ``history.uncertain``.
        """
        with self._flushing:
            view = self._tail.view()
            behind = view.sequence > self._lake.state.position
            idle = not view.table.num_rows
            now_us = self._clock.now_us()
            if not behind or (idle and self._threads and now_us - self._flushed_at_us < _IDLE_COMMIT_US):
                return
            self._lake.append(sort_rows(view.table), view.sequence)
            self._tail.discard(view.chunks)
            self._flushed_at_us = now_us
            self._flushes += 1
        with self._room:
            self._room.notify_all()
        self._wake_compact.set()

    def compact(self) -> int:
        """Merge until nothing is worth merging, delete months past retention; return how many merges there were.

        Raises:
            Unavailable: ``history.write_failed``.
        """
        settings, merges = self._settings, 0
        with self._compacting:
            self._expire()
            while not (self._stop.is_set() and self._threads):
                chosen = compaction.choose(
                    self._lake.state.files,
                    enough=settings.compact_files,
                    max_bytes=settings.compact_max_bytes,
                    quiet_before_ns=time.time_ns() - round(settings.quiet_s * 1e9),
                )
                if not chosen:
                    break
                compaction.merge(self._lake, chosen, self._spill, settings.compact_memory_mb)
                merges += 1
                self._compactions += 1
            now_us = self._clock.now_us()
            if now_us - self._tidied_at_us >= _TIDY_US:
                self._lake.tidy(settings.vacuum_hours)
                self._tidied_at_us = now_us
        return merges

    def status(self) -> dict[str, Any]:
        """Return what the system page shows."""
        state = self._lake.state
        error = self._error or self._compaction_error
        return {
            "position": state.position,
            "applied": self._applied,
            "tail_rows": self._tail.rows,
            "files": len(state.files),
            "rows": sum(file.rows for file in state.files),
            "bytes": sum(file.bytes for file in state.files),
            "flushes": self._flushes,
            "compactions": self._compactions,
            "flushed_at": to_rfc3339(self._flushed_at_us),
            "error": error.code if error else None,
        }

    # queries

    def query(self, query: HistoryQuery) -> list[HistoryRow]:
        """Return readings; see ``History``."""
        return list(self.stream(query))

    def stream(self, query: HistoryQuery) -> Iterator[HistoryRow]:
        """Yield readings; see ``History``. Checked at once, not at the first step."""
        check(query)
        most = self._settings.query_max_rows
        if query.limit is not None and query.limit > most:
            raise Invalid("history.limit", value=query.limit, limit=most)
        rows = self._engine.rows(self._snapshot(), query, most + 1 if query.limit is None else query.limit)
        return rows if query.limit is not None else _at_most(rows, most)

    def readings(
        self, entity_type: str, properties: tuple[str, ...] | None, from_us: int, to_us: int
    ) -> Iterator[Reading]:
        """Yield readings of a type in order of time; see ``History``."""
        query = HistoryQuery(type=entity_type, properties=properties, from_us=from_us, to_us=to_us)
        return map(to_reading, self.stream(query))

    def aggregate(self, query: AggregateQuery) -> list[Bucket]:
        """Return time steps; see ``History``."""
        check(query)
        every, zone = parse_every(query.every), get_zone(query.zone)
        most = self._settings.query_max_rows
        if query.limit is not None and query.limit > most:
            raise Invalid("history.limit", value=query.limit, limit=most)
        snapshot = self._snapshot()
        first_us, end_us = query.from_us, query.to_us
        if first_us is None or end_us is None:
            bounds = self._engine.bounds(snapshot, query)
            if bounds is None:
                return []
            first_us = bounds[0] if first_us is None else first_us
            end_us = bounds[1] + 1 if end_us is None else end_us
        edges = bucket_edges(every, zone, first_us, end_us, limit=self._settings.query_max_buckets)
        if not edges:
            return []
        limit = most + 1 if query.limit is None else query.limit
        buckets = self._engine.aggregate(snapshot, query, edges, limit)
        return buckets if query.limit is not None else list(_at_most(iter(buckets), most))

    # inside

    def _snapshot(self) -> Snapshot:
        """Take the tail first: what a flush moves meanwhile is then in both, and cut from the tail by its sequence."""
        view = self._tail.view()
        state = self._lake.state
        table = view.table
        if table.num_rows:
            table = table.slice(int(np.searchsorted(table["sequence"].to_numpy(), state.position, side="right")))
        return Snapshot(state.files, table, view.late)

    def _open_engine(self) -> QueryEngine:
        settings = self._settings
        return QueryEngine(
            self._lake.table_directory, self._spill, threads=settings.threads, memory_mb=settings.memory_mb,
            timeout_s=settings.query_timeout_s, max_queries=settings.max_queries,
        )  # fmt: skip

    def _known_times(self) -> SeriesTimes:
        files = self._lake.state.files
        if sum(file.rows for file in files) > self._settings.exact_start_rows:
            return SeriesTimes(max(file.last_us for file in files))
        times = SeriesTimes()
        learn_all(times, self._engine.newest(files))
        return times

    def _wait_for_room(self, rows: int) -> None:
        if not self._threads:
            self.flush()
            return
        self._wake_flush.set()
        with self._room:
            there_is = self._room.wait_for(
                lambda: (
                    self._tail.rows == 0
                    or self._tail.rows + rows <= self._settings.tail_max_rows
                    or isinstance(self._error, Fault)
                ),
                self._settings.tail_wait_s,
            )
        if isinstance(self._error, Fault):
            raise self._error
        if not there_is:
            raise Unavailable("history.behind", rows=self._tail.rows)

    def _keep_flushing(self) -> None:
        while not self._stop.is_set():
            self._wake_flush.wait(self._settings.flush_s)
            self._wake_flush.clear()
            if self._stop.is_set():
                return  # close() flushes the rest
            self._error = _attempt(self.flush, self._error)
            if isinstance(self._error, Fault):
                with self._room:
                    self._room.notify_all()
                return
            if self._error is not None:
                self._stop.wait(1.0)

    def _keep_compacting(self) -> None:
        while not self._stop.is_set():
            self._wake_compact.wait(self._settings.quiet_s)
            self._wake_compact.clear()
            if not self._stop.is_set():
                self._compaction_error = _attempt(self.compact, self._compaction_error)

    def _expire(self) -> None:
        if not self._settings.retention_days:
            return
        oldest = from_us(self._clock.now_us()).date() - timedelta(days=self._settings.retention_days)
        gone = [file for file in self._lake.state.files if month_end(file.ym) <= oldest]
        if gone:
            self._lake.replace(gone, None)


def _attempt(step: Callable[[], object], before: GulouError | None) -> GulouError | None:
    """Run a background step; return its error, logged when it is a new one."""
    try:
        step()
    except GulouError as error:
        if before is None or before.code != error.code:
            logger.error("history: %s", error)
        return error
    return None


def _at_most(rows: Iterator[Any], most: int) -> Iterator[Any]:
    for count, row in enumerate(rows):
        if count >= most:
            raise Invalid("history.too_many_rows", limit=most)
        yield row
