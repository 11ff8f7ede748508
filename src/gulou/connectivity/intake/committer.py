"""The commit thread: all submissions that wait become one synced write, then their senders get their receipts."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

import numpy as np
from msgspec import structs

from gulou.connectivity.intake.balance import Balance
from gulou.connectivity.intake.columns import Columns, joined
from gulou.connectivity.intake.commit import Commit, Waiting
from gulou.connectivity.intake.duplicates import RecentReadings
from gulou.connectivity.intake.expansion import reading_at
from gulou.connectivity.intake.kernels import CORRECTED, NEWS
from gulou.connectivity.intake.model import ColumnSubmission, Flaw, LogBatch, Reading, Receipt, Submission
from gulou.connectivity.intake.ports import ReadingLog
from gulou.connectivity.intake.record import RECORD_VERSION, ROW_BYTES, LogRecord, RejectedPart, to_batch
from gulou.connectivity.intake.screening import Screen
from gulou.connectivity.intake.series import SeriesCatalogue
from gulou.connectivity.intake.settings import IntakeSettings
from gulou.kernel.clock import Clock, to_rfc3339
from gulou.kernel.errors import Fault, GulouError, Invalid, Unavailable

_log = logging.getLogger(__name__)
_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)


class Committer:
    """Decides what needs memory (repeats, duplicates), writes, and answers.

    All its decisions are made on the one commit thread, so that they need no locks and a failed write can take them
    back exactly.

    Args:
        known_position: the durable position of an origin before this start.
        committed: called after each write with (batch, readings, ticket) in log order, before the receipts go out.
        refused: called when a write failed for want of space.
        balance: counts what each record took.
    """

    def __init__(
        self,
        log: ReadingLog,
        series: SeriesCatalogue,
        recent: RecentReadings,
        screen: Screen,
        clock: Clock,
        settings: IntakeSettings,
        *,
        known_position: Callable[[str], int],
        committed: Callable[[list[tuple[LogBatch | None, int, int]]], None],
        refused: Callable[[], None],
        balance: Balance,
    ) -> None:
        self._log = log
        self._series = series
        self._recent = recent
        self._screen = screen
        self._clock = clock
        self._commit_bytes = int(settings.commit_mb * 1024 * 1024)
        self._known_position = known_position
        self._committed = committed
        self._refused = refused
        self._balance = balance
        self._changed = threading.Condition()
        self._queue: deque[Waiting] = deque()
        self._tickets = 0
        self._drops: dict[str, dict[str, int]] = {}
        self._drop_ticket = 0
        self._flush_drops = False
        self._stopping = False
        self._positions: dict[str, int] = {}
        self._kept_positions = 2 * settings.max_waiting + 1_000
        self._current: Commit | None = None
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="intake:commit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, waiting: Waiting) -> None:
        """Queue one submission.

        Raises:
            Unavailable: ``intake.stopped``.
        """
        with self._changed:
            if self._stopping:
                raise Unavailable("intake.stopped")
            self._tickets += 1
            waiting.ticket = self._tickets
            self._queue.append(waiting)
            self._changed.notify()

    def drop(self, source: str, count: int, reason: str) -> None:
        with self._changed:
            reasons = self._drops.setdefault(source, {})
            reasons[reason] = reasons.get(reason, 0) + count

    def flush_drops(self) -> None:
        """Write what was dropped even when nothing else is to be written."""
        with self._changed:
            if self._drops and not self._flush_drops:
                self._tickets += 1
                self._drop_ticket = self._tickets
                self._flush_drops = True
                self._changed.notify()

    def last_ticket(self) -> int:
        with self._changed:
            return self._tickets

    def position_of(self, origin: str) -> int:
        """Return the durable position of an origin."""
        known = self._positions.get(origin)
        return self._known_position(origin) if known is None else known

    def mend(self) -> None:
        """After a failed write, try whether the disk takes writes again; from then on submissions are taken again."""
        if self.failure is None or self.failure == "intake.failed":  # a defect in this thread ended it for good
            return
        try:
            self._log.mend()
        except (Fault, Unavailable):
            return
        _log.warning("the log takes writes again")
        self.failure = None

    def waiting(self) -> int:
        """Return how many submissions wait for a write."""
        return len(self._queue)

    def stop(self, timeout_s: float) -> bool:
        """Write what waits, then end; False when that took longer than ``timeout_s``."""
        with self._changed:
            self._stopping = True
            self._flush_drops = self._flush_drops or bool(self._drops)
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._loop()
        finally:
            self._abandon()

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._flush_drops or self._stopping)
                if not self._queue and not self._flush_drops:
                    return
                self._flush_drops = False
                self._current = commit = Commit(self._drops, self._drop_ticket)
                self._drops, self._drop_ticket = {}, 0
            self._gather(commit)
            try:
                self._series.sync()
                last = self._log.append(commit.encoded) if commit.encoded else self._log.last_sequence()
            except (Unavailable, Fault) as error:
                self._fail(commit, error)
            except OSError as error:  # of the catalogue: its numbers are tried again with the next commit
                self._fail(commit, Unavailable("intake.disk_full", path=str(error.filename), free_mb=0))
            else:
                self._settle(commit, last)
            self._current = None

    def _gather(self, commit: Commit) -> None:
        self._recent.begin()
        size = 0
        together: dict[tuple[str, str, str | None], list[Waiting]] = {}
        while size < self._commit_bytes and self._queue:
            waiting = self._queue.popleft()
            commit.items.append(waiting)
            submission = waiting.submission
            if waiting.columns is not None and submission.origin is None:
                key = (submission.source, submission.adapter, submission.mapping)
                together.setdefault(key, []).append(waiting)
                size += ROW_BYTES * waiting.count
                continue
            if together:  # what came before it is written before it
                self._add_together(commit, together)
            if self._is_repeat(submission, commit):
                waiting.answer = Receipt(self._log.last_sequence(), 0, 0, 0, repeated=True)
            else:
                size += self._add(commit, waiting)
        self._add_together(commit, together)
        if commit.drops and self._queue:
            self._put_back(commit)  # tickets settle in order, and what is left in the queue has earlier ones
        elif commit.drops:
            now_us = self._clock.now_us()
            commit.add((), LogRecord(RECORD_VERSION, now_us, "", "", None, None, None, (), dropped=commit.drops))

    def _add_together(self, commit: Commit, together: dict[tuple[str, str, str | None], list[Waiting]]) -> None:
        """Write the rows of each sender's submissions as one record; a thousand small ones cost little more than one.

        The order of one sender's rows is kept; a series has one sender.
        """
        for waiting in together.values():
            filled = [one for one in waiting if one.count]
            if filled:
                self._write_rows(commit, filled)
            for one in waiting:
                if not one.count:
                    one.answer = Receipt(self._log.last_sequence(), 0, 0, 0)
        together.clear()

    def _write_rows(self, commit: Commit, waiting: list[Waiting], origin: str | None = None) -> int:
        """Tell news from duplicates, encode; return the record's size in bytes."""
        submission = waiting[0].submission
        readings: list[Reading] = []
        columns = self._new_rows(waiting, readings)
        raws, rejected = _all_rejects(waiting)
        record = LogRecord(
            RECORD_VERSION,
            max(one.received_at_us for one in waiting),
            submission.source,
            submission.adapter,
            submission.mapping,
            origin,
            None if origin is None else submission.position,
            tuple(readings),
            raws,
            rejected,
        )
        return self._encode(commit, waiting, record, columns)

    def _is_repeat(self, submission: Submission | ColumnSubmission, commit: Commit) -> bool:
        if submission.origin is None or submission.position is None:
            return False
        reached = commit.positions.get(submission.origin)
        if reached is None:
            reached = self.position_of(submission.origin)
        return submission.position <= reached

    def _add(self, commit: Commit, waiting: Waiting) -> int:
        """Tell news from duplicates, encode; return the record's size in bytes."""
        submission = waiting.submission
        replay_of = submission.replay_of if isinstance(submission, Submission) else ()
        if waiting.count == 0 and submission.origin is None and not replay_of:
            waiting.answer = Receipt(self._log.last_sequence(), 0, 0, 0)
            return 0
        if waiting.columns is not None:
            size = self._write_rows(commit, [waiting], submission.origin)
        else:
            readings = self._news(waiting)
            screened = waiting.screened
            record = LogRecord(
                RECORD_VERSION,
                waiting.received_at_us,
                submission.source,
                submission.adapter,
                submission.mapping,
                submission.origin,
                submission.position,
                tuple(readings),
                tuple(screened.raws),
                tuple(screened.rejected),
                replay_of,
            )
            size = self._encode(commit, [waiting], record, None)
        if size and submission.origin is not None and submission.position is not None:
            commit.positions[submission.origin] = submission.position
        return size

    def _encode(self, commit: Commit, waiting: list[Waiting], record: LogRecord, columns: Columns | None) -> int:
        try:
            return commit.add(waiting, record, columns)
        except _UNENCODABLE as error:
            _log.error("a submission from %s cannot be written: %s", record.source, type(error).__name__)
            for one in waiting:
                one.answer = Invalid("intake.unencodable", source=record.source)
            return 0

    def _news(self, waiting: Waiting) -> list[Reading]:
        screened = waiting.screened
        verdicts = self._recent.note_all(screened.readings)
        readings = []
        for index, (reading, verdict) in enumerate(zip(screened.readings, verdicts, strict=True)):
            if verdict is None:
                readings.append(reading)
            elif verdict == "corrected":
                readings.append(structs.replace(reading, flags=(*reading.flags, "corrected")))
            else:
                self._screen.reject(screened, screened.payload_of[index], _duplicate(reading))
        return readings

    def _new_rows(self, waiting: list[Waiting], readings: list[Reading]) -> Columns:
        """Take duplicates out of the rows; a corrected value joins ``readings``, with its flag."""
        parts = [one.columns for one in waiting if one.columns is not None]
        columns = joined(parts)
        verdicts = self._recent.note_columns(columns)
        if not verdicts.any():
            return columns
        ends = np.cumsum([len(part) for part in parts])
        for row in np.flatnonzero(verdicts).tolist():
            reading = reading_at(columns, row, self._series)
            if verdicts[row] == CORRECTED:
                readings.append(structs.replace(reading, flags=("corrected",)))
                continue
            index = int(np.searchsorted(ends, row, "right"))
            one, submission = waiting[index], waiting[index].submission
            place = row - int(ends[index]) + len(parts[index])
            if isinstance(submission, ColumnSubmission):
                payload = submission.raw_of(place if one.rows is None else int(one.rows[place]))
                self._screen.reject(one.screened, payload, _duplicate(reading))
        return columns.take(verdicts == NEWS)

    def _settle(self, commit: Commit, last: int) -> None:
        sequence = last - len(commit.records)
        entries: list[tuple[LogBatch | None, int, int]] = []
        weight = sum(waiting.weight() for waiting in commit.items)
        for answered, record, columns in commit.records:
            sequence += 1
            for waiting in answered:
                waiting.answer = waiting.receipt(sequence)
            share = sum(waiting.weight() for waiting in answered)
            weight -= share
            batch = to_batch(sequence, record, columns)
            entries.append((batch, share, 0))
            if answered:
                received = sum(waiting.count for waiting in answered)
                self._balance.took(record.source, received, batch.count, len(record.rejected))
            else:
                self._balance.dropped(record.dropped)
        ticket = max(commit.drop_ticket, commit.items[-1].ticket if commit.items else 0)
        entries.append((None, weight, ticket))  # all of a commit settles together, with its last record
        self._remember(commit.positions)
        self._committed(entries)
        for waiting in commit.items:
            waiting.reply()

    def _remember(self, positions: dict[str, int]) -> None:
        """Keep positions until the ledger surely has them; it may lag by all that may wait."""
        for origin, position in positions.items():
            self._positions.pop(origin, None)
            self._positions[origin] = position
        while len(self._positions) > self._kept_positions:
            del self._positions[next(iter(self._positions))]

    def _fail(self, commit: Commit, error: GulouError) -> None:
        """Take everything back, and refuse also what waits behind: a later part of an origin must not overtake."""
        self._recent.undo()
        if isinstance(error, Fault):
            self.failure = error.code
            _log.error("the log failed: %s", error)
            error = Unavailable("intake.failed", problem=error.code)
        else:
            self._refused()
        with self._changed:
            commit.items.extend(self._queue)
            self._queue.clear()
            _merge(self._drops, commit.drops)
        self._refuse(commit.items, error)
        self._committed([(None, 0, commit.drop_ticket)])

    def _put_back(self, commit: Commit) -> None:
        """Leave drops for the next write."""
        with self._changed:
            _merge(self._drops, commit.drops)
            self._flush_drops = True
            self._drop_ticket = max(self._drop_ticket, commit.drop_ticket)
        commit.drops, commit.drop_ticket = {}, 0

    def _abandon(self) -> None:
        """Leave no sender waiting if the thread dies of a defect; at a normal end nothing waits."""
        with self._changed:
            self._stopping = True
            left = [*(self._current.items if self._current is not None else ()), *self._queue]
            self._queue.clear()
        if left:
            self.failure = "intake.failed"
            self._refuse(
                [waiting for waiting in left if not waiting.future.done()],
                Unavailable("intake.failed", problem="defect"),
            )

    def _refuse(self, items: list[Waiting], error: GulouError) -> None:
        self._committed([(None, waiting.weight(), waiting.ticket) for waiting in items])
        for waiting in items:
            waiting.answer = error
            waiting.reply()


def _merge(into: dict[str, dict[str, int]], drops: dict[str, dict[str, int]]) -> None:
    for source, reasons in drops.items():
        kept = into.setdefault(source, {})
        for reason, count in reasons.items():
            kept[reason] = kept.get(reason, 0) + count


def _duplicate(reading: Reading) -> Flaw:
    params = {
        "entity_id": reading.entity_id,
        "property": reading.property,
        "observed_at": to_rfc3339(reading.observed_at_us),
    }
    return Flaw("reading.duplicate", params, f"{reading.entity_id} {reading.property}")


def _all_rejects(waiting: list[Waiting]) -> tuple[tuple[bytes, ...], tuple[RejectedPart, ...]]:
    """Return the raw bytes and rejects of several submissions as those of one record."""
    raws: list[bytes] = []
    rejected: list[RejectedPart] = []
    for one in waiting:
        first = len(raws)
        raws += one.screened.raws
        rejected += (
            structs.replace(part, payload=part.payload + first) if first else part for part in one.screened.rejected
        )
    return tuple(raws), tuple(rejected)
