"""The history: takes the log, keeps every reading, answers queries over lake and tail."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gulou.connectivity.intake import LogBatch, Reading, SeriesCatalogue
from gulou.hub.history import compaction
from gulou.hub.history.allocators import give_back
from gulou.hub.history.block import Block
from gulou.hub.history.buckets import Every, bucket_edges, get_zone, parse_every
from gulou.hub.history.columns import to_reading
from gulou.hub.history.model import AggregateQuery, Bucket, HistoryQuery, HistoryRow
from gulou.hub.history.query_duckdb import QueryEngine, Snapshot, Stop, check
from gulou.hub.history.rollups import UNITS, open_rollups
from gulou.hub.history.series import SeriesNames, SeriesTimes, learn_all
from gulou.hub.history.settings import HistorySettings
from gulou.hub.history.store_delta import Lake, LakeFile, month_number, own, sort_pieces, sort_rows
from gulou.hub.history.tail import Tail, TailView, join, pieces_to_arrow
from gulou.kernel.clock import Clock, from_us, to_rfc3339, to_us
from gulou.kernel.errors import Fault, GulouError, Invalid, Unavailable

logger = logging.getLogger(__name__)

_IDLE_COMMIT_US = 60_000_000
_TIDY_US = 3_600_000_000
_LATEST = "latest"
_STEP_BACK = 5
"""By how much merging steps back, as a nice value, behind what people and readings wait for."""

_GIVE_BACK_S = 2.0
_FILES_OF_A_RUN = 8
"""The largest result of a merge is so many files: the first question to one has to read the bounds of all its rows."""


class HistoryService:
    """A log consumer: ``apply`` puts readings into the tail, where queries see them at once; flushing moves them to the
    Delta table together with the log position, so that a crash between the two neither loses nor doubles one.

    Args:
        directory: of the history alone; made when missing.
        series: what the numbers in columns mean; without it every reading comes as an object.
        settings: ``background`` starts threads for flushing and compaction with ``start``; without them
            ``checkpoint`` flushes at once.
    """

    name = "history"
    takes_columns = True

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        settings: HistorySettings | None = None,
        series: SeriesCatalogue | None = None,
    ) -> None:
        self._settings = settings or HistorySettings()
        self._clock = clock
        self._directory = directory
        self.takes_columns = series is not None
        self._catalogue = series if series is not None else SeriesCatalogue()
        self._names = SeriesNames(self._catalogue)
        self._owner = own(directory)
        with ExitStack() as undo:
            undo.callback(self._owner.close)
            self._lake = Lake(directory)
            self._rollups = open_rollups(directory)
            self._tidy_rollups()
            self._engine = self._open_engine()
            self._times = self._known_times()
            undo.pop_all()
        self._days_of_types: Callable[[], Mapping[str, int]] = dict
        self._tail = Tail(self._times)
        self._applied = self._lake.state.position
        self._flushing, self._compacting = threading.Lock(), threading.Lock()
        self._room = threading.Condition()
        self._wake_flush, self._wake_compact, self._stop = threading.Event(), threading.Event(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._error: GulouError | None = None
        self._compaction_error: GulouError | None = None
        self._flushed_at_us = self._tidied_at_us = clock.now_us()
        self._flushes = self._compactions = self._expired = self._behind = self._merged_rows = self._held = 0
        self._merging = False
        self._noting = threading.Lock()
        self._given_back_s = 0.0

    def retain_by(self, days_of_types: Callable[[], Mapping[str, int]]) -> None:
        """Ask somebody for how many days readings of single types are kept; what settings say of a type counts more.

        Args:
            days_of_types: days by entity type; asked each time that old months are deleted, from any thread.
        """
        self._days_of_types = days_of_types

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
        if self._tail.rows and self._tail.rows + batch.count > self._settings.tail_max_rows:
            self._wait_for_room(batch.count)
        self._tail.append(batch)
        self._applied = batch.sequence
        if self._tail.rows >= self._settings.flush_rows or self._tail.objects >= self._settings.flush_objects:
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
            self._note_latest(0.0)
        finally:
            self._engine.close()
            self._owner.close()

    def flush(self) -> None:
        """Write the tail to the table.

        Raises:
            Unavailable: ``history.write_failed``: nothing has changed, try later.
            Fault: ``history.uncertain``.
        """
        with self._flushing:
            view = self._tail.view()
            behind = view.sequence > self._lake.state.position
            idle = not view.rows
            now_us = self._clock.now_us()
            if not behind or (idle and self._threads and now_us - self._flushed_at_us < _IDLE_COMMIT_US):
                return
            self._lake.append(self._kept(view), view.sequence)
            self._tail.discard(view)
            self._flushed_at_us = now_us
            self._flushes += 1
        with self._room:
            self._room.notify_all()
        if self._threads:
            self._note_latest(self._settings.latest_s)
        self._wake_compact.set()

    def compact(self) -> int:
        """Merge until nothing is worth merging, delete months past retention; return how many merges there were.

        ``close`` ends it early: what a merge has done until then is done again another time.

        Raises:
            Unavailable: ``history.write_failed``.
        """
        settings, merges = self._settings, 0
        with self._compacting:
            self._expire()
            most = compaction.most_files(settings.compact_memory_mb)
            while not (self._stop.is_set() and self._threads):
                chosen = compaction.choose(
                    self._lake.state.files,
                    enough=settings.compact_files,
                    max_bytes=settings.compact_max_bytes,
                    most=most,
                    quiet_before_ns=time.time_ns() - round(settings.quiet_s * 1e9),
                    written_before_ns=self._noted_ns if self._threads else time.time_ns(),
                )
                if chosen is None:
                    break
                self._behind += self._hurries()
                self._merge(chosen)
                merges += 1
            now_us = self._clock.now_us()
            if now_us - self._tidied_at_us >= _TIDY_US:
                for lake in (self._lake, *self._rollups.values()):
                    lake.tidy(settings.vacuum_hours)
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
            "merged_rows": self._merged_rows,
            "waiting_files": self._waiting(),
            "merges_behind": self._behind,
            "flushes_held": self._held,
            "series": len(self._times),
            "rollups": {
                unit: {"rows": sum(f.rows for f in lake.state.files), "bytes": sum(f.bytes for f in lake.state.files)}
                for unit, lake in self._rollups.items()
            },
            "retention": self._retention(),
            "expired_rows": self._expired,
            "flushed_at": to_rfc3339(self._flushed_at_us),
            "error": error.code if error else None,
        }

    # queries

    def query(self, query: HistoryQuery, stop: Stop | None = None) -> list[HistoryRow]:
        """Return readings; see ``History``."""
        return list(self.stream(query, stop))

    def stream(self, query: HistoryQuery, stop: Stop | None = None) -> Iterator[HistoryRow]:
        """Yield readings; see ``History``. Checked at once, not at the first step."""
        check(query)
        most = self._settings.query_max_rows
        if query.limit is not None and query.limit > most:
            raise Invalid("history.limit", value=query.limit, limit=most)
        rows = self._engine.rows(self._snapshot(query), query, most + 1 if query.limit is None else query.limit, stop)
        return rows if query.limit is not None else _at_most(rows, most)

    def readings(
        self,
        entity_type: str,
        properties: tuple[str, ...] | None,
        from_us: int,
        to_us: int,
        entity_id: str | None = None,
    ) -> Iterator[Reading]:
        """Yield readings in order of time; see ``History``."""
        query = HistoryQuery(type=entity_type, id_glob=entity_id, properties=properties, from_us=from_us, to_us=to_us)
        check(query)
        return map(to_reading, self._engine.rows(self._snapshot(query), query, self._settings.query_max_rows + 1))

    def latest(self, entity_type: str | None = None, property_name: str | None = None) -> pa.Table:
        """Return the newest reading of every series, from memory: ``LATEST_SCHEMA``, in no order."""
        table = self._times.table(self._names)
        for name, wanted in (("entity_type", entity_type), ("property", property_name)):
            if wanted is not None:
                table = table.filter(pc.equal(table[name], wanted))
        return table

    def aggregate(self, query: AggregateQuery, stop: Stop | None = None) -> list[Bucket]:
        """Return time steps; see ``History``. Made from roll-ups where these are exact, else from readings."""
        check(query)
        every, zone = parse_every(query.every), get_zone(query.zone)
        most = self._settings.query_max_rows
        if query.limit is not None and query.limit > most:
            raise Invalid("history.limit", value=query.limit, limit=most)
        snapshot = self._snapshot(query)
        edges = self._edges(snapshot, query, every, zone, stop)
        if not edges:
            return []
        limit = most + 1 if query.limit is None else query.limit
        buckets = self._engine.aggregate(snapshot, query, edges, limit, stop)
        return buckets if query.limit is not None else list(_at_most(iter(buckets), most))

    # inside

    def _edges(
        self, snapshot: Snapshot, query: AggregateQuery, every: Every, zone: ZoneInfo, stop: Stop | None
    ) -> list[int]:
        """Return the steps' starts. Where the span is open it is taken from the files' bounds, which may be wider than
        what is asked for and never narrower; exactly only if that made too many steps."""
        most = self._settings.query_max_buckets
        if query.from_us is not None and query.to_us is not None:
            return bucket_edges(every, zone, query.from_us, query.to_us, limit=most)
        for bounds in (snapshot.bounds(), None):
            exact = bounds is None
            found = self._engine.bounds(snapshot, query, stop) if exact else bounds
            if found is None:
                return []
            first_us = found[0] if query.from_us is None else query.from_us
            end_us = found[1] + 1 if query.to_us is None else query.to_us
            try:
                return bucket_edges(every, zone, first_us, end_us, limit=most)
            except Invalid:
                if exact:
                    raise
        return []

    def _snapshot(self, query: HistoryQuery | None = None) -> Snapshot:
        """Take the tail first: what a flush moves meanwhile is then in both, and cut from the tail by its sequence."""
        view = self._tail.view()
        state = self._lake.state
        rollups = {unit: _by_group(lake.state.files) for unit, lake in self._rollups.items()}
        live = {file.group for file in state.files}
        retired = frozenset(
            file.group
            for lake in self._rollups.values()
            for file in lake.state.files
            if file.group not in live and month_number(file.ym) <= self._lake.retired
        )
        table = view.objects
        if table.num_rows:
            table = table.slice(int(np.searchsorted(table["sequence"].to_numpy(), state.position, side="right")))
        columns = pieces_to_arrow(view, self._names, state.position, query or HistoryQuery())
        lates = [span for one in (table, columns) if (span := _late_span(one)) is not None] if view.late else []
        late_us = (min(first for first, _ in lates), max(last for _, last in lates)) if lates else None
        return Snapshot(state.files, table, columns, late_us, rollups, retired)

    def _open_engine(self) -> QueryEngine:
        settings = self._settings
        return QueryEngine(
            self._directory, self._directory / "spill", threads=settings.threads, memory_mb=settings.memory_mb,
            timeout_s=settings.query_timeout_s, max_queries=settings.max_queries,
        )  # fmt: skip

    def _known_times(self) -> SeriesTimes:
        """Return the newest of every series: as noted on disk, and from what was flushed since."""
        files, times = self._lake.state.files, SeriesTimes(self._catalogue)
        noted = times.load(self._directory / _LATEST)
        self._noted_ns = 0 if noted is None else noted
        fresh = [file for file in files if file.written_ns >= self._noted_ns]
        if sum(file.rows for file in fresh) > self._settings.exact_start_rows:
            return SeriesTimes(self._catalogue, max(file.last_us for file in files))
        learn_all(times, self._engine.newest(fresh))
        return times

    def _note_latest(self, every_s: float) -> None:
        """Write the newest of every series to disk; files older than that may then be merged.

        Raises:
            Unavailable: ``history.write_failed``.
        """
        with self._noting:
            now_ns = time.time_ns()
            if now_ns - self._noted_ns < every_s * 1e9:
                return
            path = self._directory / _LATEST
            try:
                self._times.save(path, now_ns)
            except OSError as error:  # its disk is full: the start reads the files instead
                raise Unavailable("history.write_failed", path=str(path), detail=str(error)) from error
            self._noted_ns = now_ns

    def _kept(self, view: TailView) -> Iterator[Block]:
        """Yield what a flush writes, sorted; readings of months that are deleted for their age are not taken."""
        blocks = []
        if view.objects.num_rows:
            blocks.append(sort_rows(view.objects))
        if view.pieces:
            blocks.append(sort_pieces(join(list(view.pieces)), self._names, view.sources))
        oldest = _month_start_us(self._lake.retired + 1)
        for block in blocks:
            if self._lake.retired and len(block) and block.at_us.min() < oldest:
                rows = np.flatnonzero(block.at_us >= oldest)
                self._expired += len(block) - len(rows)
                yield block.take(rows, block.group[rows])
            else:
                yield block

    def _merge(self, chosen: compaction.Choice) -> None:
        split_bytes = max(1, self._settings.compact_max_bytes // _FILES_OF_A_RUN)
        made = compaction.merge(self._lake, self._rollups, chosen, tuple(UNITS), split_bytes, self._rest)
        self._merged_rows += made.rows
        self._compactions += 1
        self._give_back(0.0)

    def _rest(self, worked_s: float) -> None:
        """Leave the machine to others for as long as was worked, unless too much waits to be merged.

        Raises:
            Abandoned: the history is being closed.
        """
        if self._threads and self._stop.is_set():
            raise compaction.Abandoned
        self._give_back(_GIVE_BACK_S)
        if self._threads and not self._hurries():
            self._stop.wait(worked_s)

    def _give_back(self, every_s: float) -> None:
        if self._threads and time.monotonic() - self._given_back_s >= every_s:
            give_back()
            self._given_back_s = time.monotonic()

    def _hurries(self) -> bool:
        """Say whether so much waits to be merged that flushing will soon have to wait for it."""
        return self._waiting() > self._settings.compact_backlog // 2

    def _tidy_rollups(self) -> None:
        """Take out roll-ups that a crash left without the readings that they were made from."""
        live = {file.group for file in self._lake.state.files}
        for lake in self._rollups.values():
            gone = [f for f in lake.state.files if f.group not in live and month_number(f.ym) > self._lake.retired]
            lake.change((), gone)

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

    def _waiting(self) -> int:
        """Return how many groups of files are to be merged yet."""
        sizes: Counter[str] = Counter()
        for file in self._lake.state.files:
            sizes[file.group] += file.bytes
        return sum(size <= self._settings.compact_max_bytes for size in sizes.values())

    def _hold(self) -> None:
        """Wait while merging is too far behind, but not for ever; a merge that fails is not waited for."""
        if self._waiting() <= self._settings.compact_backlog:
            return
        self._held += 1
        before, until_s = self._compactions, time.monotonic() + self._settings.compact_wait_s
        while not self._stop.is_set() and self._compaction_error is None and self._compactions == before:
            if time.monotonic() > until_s:
                return
            if not self._merging and not self._wake_compact.is_set():
                return  # there is nothing to merge: the files are many for another reason
            with self._room:
                self._room.wait(0.1)

    def _keep_flushing(self) -> None:
        while not self._stop.is_set():
            self._wake_flush.wait(self._settings.flush_s)
            self._wake_flush.clear()
            self._hold()
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
        if sys.platform == "linux":  # where this is of a thread, not of the process
            os.nice(_STEP_BACK)
        while not self._stop.is_set():
            self._wake_compact.wait(self._settings.quiet_s)
            self._wake_compact.clear()
            if not self._stop.is_set():
                self._merging = True
                self._compaction_error = _attempt(self._note_and_compact, self._compaction_error)
                self._merging = False

    def _note_and_compact(self) -> None:
        self._note_latest(self._settings.latest_s)
        with suppress(compaction.Abandoned):
            self.compact()

    def _retention(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "readings_days": settings.retention_days, "types_days": self._kept_types(),
            "minute_days": settings.retention_minute_days, "hour_days": settings.retention_hour_days,
            "day_days": settings.retention_day_days,
            "readings_from": to_rfc3339(_month_start_us(self._lake.retired + 1)) if self._lake.retired else None,
        }  # fmt: skip

    def _kept_types(self) -> dict[str, int]:
        return {**self._days_of_types(), **self._settings.retention_types}

    def _before(self, days: int) -> int:
        """Return the number of the last month that is older than so many days as a whole; 0 for no days."""
        if not days:
            return 0
        oldest = from_us(self._clock.now_us()).date() - timedelta(days=days)
        return oldest.year * 12 + oldest.month - 1

    def _expire(self) -> None:
        """Delete what is older than its retention. Roll-ups of readings that go are made first, so that they stay."""
        settings = self._settings
        last = self._before(settings.retention_days)
        files = self._lake.state.files
        if last > self._lake.retired:
            for ym in sorted({file.ym for file in files if month_number(file.ym) <= last}):
                self._settle(ym)
            self._tidy_rollups()
            gone = [file for file in self._lake.state.files if month_number(file.ym) <= last]
            self._lake.change((), gone, retired=last)
            self._expired += sum(file.rows for file in gone)
        for name, days in self._kept_types().items():
            self._expire_type(name, self._before(days))
        for unit, days in (
            ("minute", settings.retention_minute_days), ("hour", settings.retention_hour_days),
            ("day", settings.retention_day_days),
        ):  # fmt: skip
            lake, end = self._rollups[unit], self._before(days)  # type: ignore[index]
            lake.change((), [file for file in lake.state.files if month_number(file.ym) <= end])

    def _settle(self, ym: str) -> None:
        """Merge a month into one run with its roll-ups, if it is not."""
        groups = compaction.groups_of(file for file in self._lake.state.files if file.ym == ym)
        rolled = {file.group for file in self._rollups["hour"].state.files}
        if len(groups) > 1 or any(file.group not in rolled for group in groups for file in group.files):
            self._merge(compaction.Choice(tuple(groups), True))

    def _expire_type(self, name: str, last: int) -> None:
        """Delete one type's readings and roll-ups; months that have others beside it are merged first, by type."""
        held = [f for f in self._lake.state.files if month_number(f.ym) <= last and f.first[0] <= name <= f.last[0]]
        for ym in sorted({file.ym for file in held if file.first[0] != file.last[0]}):
            self._settle_types(ym)
        gone = [
            file
            for file in self._lake.state.files
            if month_number(file.ym) <= last and file.first[0] == name == file.last[0]
        ]
        self._lake.change((), gone)
        self._expired += sum(file.rows for file in gone)
        for lake in self._rollups.values():
            rolled = lake.state.files
            lake.change((), [f for f in rolled if month_number(f.ym) <= last and f.first[0] == name == f.last[0]])

    def _settle_types(self, ym: str) -> None:
        groups = compaction.groups_of(file for file in self._lake.state.files if file.ym == ym)
        self._merge(compaction.Choice(tuple(groups), True))


def _by_group(files: Iterable[LakeFile]) -> dict[str, list[LakeFile]]:
    found: dict[str, list[LakeFile]] = {}
    for file in files:
        found.setdefault(file.group, []).append(file)
    return found


def _late_span(table: pa.Table) -> tuple[int, int] | None:
    late = table.filter(pc.not_equal(table["late"], 0))
    if not late.num_rows:
        return None
    bounds = pc.min_max(late["observed_at"].cast(pa.int64()))
    return bounds["min"].as_py(), bounds["max"].as_py()


def _month_start_us(number: int) -> int:
    """Return when the month ``year * 12 + month`` begins, UTC."""
    year, month = divmod(number - 1, 12)
    return to_us(datetime(max(year, 1), month + 1, 1, tzinfo=UTC))


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
