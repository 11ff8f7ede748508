"""The commit thread: all submissions that wait become one synced write, then their senders get their receipts."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
from msgspec import structs

from gulou.connectivity.intake.columns import Columns
from gulou.connectivity.intake.duplicates import RecentReadings
from gulou.connectivity.intake.expansion import reading_at
from gulou.connectivity.intake.model import ColumnSubmission, Flaw, LogBatch, Reading, Receipt, Submission
from gulou.connectivity.intake.ports import ReadingLog
from gulou.connectivity.intake.record import RECORD_VERSION, LogRecord, encode_record, to_batch
from gulou.connectivity.intake.screening import Screen, Screened
from gulou.connectivity.intake.series import SeriesCatalogue
from gulou.connectivity.intake.settings import IntakeSettings
from gulou.kernel.clock import Clock, to_rfc3339
from gulou.kernel.errors import Fault, GulouError, Invalid, Unavailable

_log = logging.getLogger(__name__)
_SHOWN_PROBLEMS = 20
_UNENCODABLE = (TypeError, ValueError, OverflowError, RecursionError)


class Waiting:
    """A screened submission on its way to the log.

    Args:
        columns: of a ``ColumnSubmission``: the rows that passed; what did not is in ``screened``.
    """

    __slots__ = ("answer", "batch", "columns", "count", "future", "received_at_us", "screened", "submission", "ticket")

    def __init__(
        self,
        submission: Submission | ColumnSubmission,
        screened: Screened,
        received_at_us: int,
        count: int,
        columns: Columns | None = None,
    ) -> None:
        self.submission = submission
        self.screened = screened
        self.columns = columns
        self.received_at_us = received_at_us
        self.count = count
        self.ticket = 0
        self.batch: LogBatch | None = None
        self.answer: Receipt | GulouError | None = None
        self.future: Future[Receipt] = Future()
        self.future.set_running_or_notify_cancel()  # from here on the sender cannot cancel: it may be durable already

    def weight(self) -> int:
        """Return what it counts against the bound; a submission of nothing still takes a place."""
        return max(self.count, 1)

    def reply(self) -> None:
        """Give the sender its answer; once."""
        if isinstance(self.answer, Receipt):
            self.future.set_result(self.answer)
        else:
            self.future.set_exception(self.answer or Unavailable("intake.stopped"))


class _Commit:
    """What one write holds."""

    def __init__(self, drops: dict[str, dict[str, int]], drop_ticket: int) -> None:
        self.items: list[Waiting] = []
        self.records: list[tuple[Waiting | None, LogRecord, Columns | None]] = []
        self.encoded: list[bytes] = []
        self.positions: dict[str, int] = {}
        self.drops = drops
        self.drop_ticket = drop_ticket

    def add(self, waiting: Waiting | None, record: LogRecord, columns: Columns | None = None) -> int:
        """Encode; return the size in bytes."""
        data = encode_record(record, columns)
        self.records.append((waiting, record, columns))
        self.encoded.append(data)
        return len(data)


class Committer:
    """Decides what needs memory (repeats, duplicates), writes, and answers.

    All its decisions are made on the one commit thread, so that they need no locks and a failed write can take them
    back exactly.

    Args:
        known_position: the durable position of an origin before this start.
        committed: called after each write with (batch, readings, ticket) in log order, before the receipts go out.
        refused: called when a write failed for want of space.
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
        self._changed = threading.Condition()
        self._queue: deque[Waiting] = deque()
        self._tickets = 0
        self._drops: dict[str, dict[str, int]] = {}
        self._drop_ticket = 0
        self._flush_drops = False
        self._stopping = False
        self._positions: dict[str, int] = {}
        self._kept_positions = 2 * settings.max_waiting + 1_000
        self._current: _Commit | None = None
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
                self._current = commit = _Commit(self._drops, self._drop_ticket)
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

    def _gather(self, commit: _Commit) -> None:
        self._recent.begin()
        size = 0
        while size < self._commit_bytes and self._queue:
            waiting = self._queue.popleft()
            commit.items.append(waiting)
            if self._is_repeat(waiting.submission, commit):
                waiting.answer = Receipt(self._log.last_sequence(), 0, 0, 0, repeated=True)
            else:
                size += self._add(commit, waiting)
        if commit.drops and self._queue:
            self._put_back(commit)  # tickets settle in order, and what is left in the queue has earlier ones
        elif commit.drops:
            now_us = self._clock.now_us()
            commit.add(None, LogRecord(RECORD_VERSION, now_us, "", "", None, None, None, (), dropped=commit.drops))

    def _is_repeat(self, submission: Submission | ColumnSubmission, commit: _Commit) -> bool:
        if submission.origin is None or submission.position is None:
            return False
        reached = commit.positions.get(submission.origin)
        if reached is None:
            reached = self.position_of(submission.origin)
        return submission.position <= reached

    def _add(self, commit: _Commit, waiting: Waiting) -> int:
        """Tell news from duplicates, encode; return the record's size in bytes."""
        submission = waiting.submission
        replay_of = submission.replay_of if isinstance(submission, Submission) else ()
        if waiting.count == 0 and submission.origin is None and not replay_of:
            waiting.answer = Receipt(self._log.last_sequence(), 0, 0, 0)
            return 0
        readings = self._news(waiting)
        columns = self._new_rows(waiting, readings)
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
        try:
            size = commit.add(waiting, record, columns)
        except _UNENCODABLE as error:
            _log.error("a submission from %s cannot be written: %s", submission.source, type(error).__name__)
            waiting.answer = Invalid("intake.unencodable", source=submission.source)
            return 0
        if submission.origin is not None and submission.position is not None:
            commit.positions[submission.origin] = submission.position
        return size

    def _news(self, waiting: Waiting) -> list[Reading]:
        screened = waiting.screened
        note = self._recent.note
        readings = []
        for index, reading in enumerate(screened.readings):
            verdict = note(reading)
            if verdict is None:
                readings.append(reading)
            elif verdict == "corrected":
                readings.append(structs.replace(reading, flags=(*reading.flags, "corrected")))
            else:
                self._screen.reject(screened, screened.payload_of[index], _duplicate(reading))
        return readings

    def _new_rows(self, waiting: Waiting, readings: list[Reading]) -> Columns | None:
        """Take duplicates out of the rows; a corrected value joins ``readings``, with its flag."""
        columns, submission = waiting.columns, waiting.submission
        if columns is None or isinstance(submission, Submission):
            return None
        fresh = np.ones(len(columns), np.bool_)
        for row in range(len(columns)):
            reading = reading_at(columns, row, self._series)
            verdict = self._recent.note(reading)
            if verdict is None:
                continue
            fresh[row] = False
            if verdict == "corrected":
                readings.append(structs.replace(reading, flags=("corrected",)))
            else:
                self._screen.reject(waiting.screened, submission.raw_of(row), _duplicate(reading))
        return columns if fresh.all() else columns.take(fresh)

    def _settle(self, commit: _Commit, last: int) -> None:
        sequence = last - len(commit.records)
        loose: list[tuple[LogBatch | None, int, int]] = [(None, 0, commit.drop_ticket)]
        for waiting, record, columns in commit.records:
            sequence += 1
            batch = to_batch(sequence, record, columns)
            if waiting is None:
                loose = [(batch, 0, commit.drop_ticket)]
            else:
                waiting.batch = batch
                waiting.answer = _receipt(sequence, waiting, record, batch.count)
        self._remember(commit.positions)
        self._committed([(waiting.batch, waiting.weight(), waiting.ticket) for waiting in commit.items] + loose)
        for waiting in commit.items:
            waiting.reply()

    def _remember(self, positions: dict[str, int]) -> None:
        """Keep positions until the ledger surely has them; it may lag by all that may wait."""
        for origin, position in positions.items():
            self._positions.pop(origin, None)
            self._positions[origin] = position
        while len(self._positions) > self._kept_positions:
            del self._positions[next(iter(self._positions))]

    def _fail(self, commit: _Commit, error: GulouError) -> None:
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

    def _put_back(self, commit: _Commit) -> None:
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


def _receipt(sequence: int, waiting: Waiting, record: LogRecord, stored: int) -> Receipt:
    problems = tuple(
        Flaw(part.code, part.params, f"{part.address} {part.where}".strip())
        for part in record.rejected[:_SHOWN_PROBLEMS]
    )
    return Receipt(sequence, waiting.count, stored, len(record.rejected), problems=problems)
