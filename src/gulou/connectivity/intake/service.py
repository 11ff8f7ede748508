"""The one door for readings: screened, logged, answered when durable, then applied to every consumer."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from gulou.connectivity.intake.applier import Applier, FedConsumer
from gulou.connectivity.intake.balance import Balance
from gulou.connectivity.intake.commit import Waiting
from gulou.connectivity.intake.committer import Committer
from gulou.connectivity.intake.duplicates import RecentReadings
from gulou.connectivity.intake.model import ColumnSubmission, LogBatch, Receipt, Submission
from gulou.connectivity.intake.ports import Checks, DeviceGate, LedgerPort, LogConsumer, ReadingLog
from gulou.connectivity.intake.record import decode_record, to_batch
from gulou.connectivity.intake.screening import Screen
from gulou.connectivity.intake.series import SeriesCatalogue
from gulou.connectivity.intake.settings import IntakeSettings
from gulou.connectivity.intake.space import SpaceGuard, free_bytes_of
from gulou.kernel.clock import SECOND_US, Clock
from gulou.kernel.errors import Fault, Invalid, Unavailable

_log = logging.getLogger(__name__)
_REPLAY_CHECKPOINT = 200_000
_STOP_S = 10.0


class IntakeService:
    """Implements ``Intake``.

    Life: construct, ``start`` (opens the door, and replays what consumers have not made durable), ``tick`` about once a
    second, ``stop``.

    Args:
        log: where submissions become durable; the service does not close it.
        vocabulary: checks and converts values.
        clock: for ``received_at`` and the check of readings' times.
        ledger: the accounts; also the first consumer.
        series: numbers the series of columns; None: one in memory.
        devices: the registry; None lets every device report everything.
        consumers: fed in this order after the ledger.
        directory: where the log lies, to watch its disk; None: not watched.
        free_bytes: asks the file system; replaceable in tests.
    """

    def __init__(
        self,
        log: ReadingLog,
        vocabulary: Checks,
        clock: Clock,
        ledger: LedgerPort,
        *,
        series: SeriesCatalogue | None = None,
        devices: DeviceGate | None = None,
        consumers: Sequence[LogConsumer] = (),
        settings: IntakeSettings | None = None,
        directory: Path | None = None,
        free_bytes: Callable[[Path], int] = free_bytes_of,
    ) -> None:
        self._log = log
        self.series = SeriesCatalogue() if series is None else series
        self._clock = clock
        self._settings = settings or IntakeSettings()
        self._consumers: list[LogConsumer] = [ledger, *consumers]
        self._directory = directory
        self._space = SpaceGuard(directory, self._settings.min_free_mb, self._settings.space_check_s, free_bytes)
        self._recent = RecentReadings(self._settings.recent_readings, self._settings.max_series, self.series)
        self._balance = Balance()
        self._screen = Screen(vocabulary, devices, self._settings)
        self._committer = Committer(
            log,
            self.series,
            self._recent,
            self._screen,
            clock,
            self._settings,
            known_position=ledger.position_of,
            committed=self._pass_on,
            refused=self._space.mark_full,
            balance=self._balance,
        )
        self._applier: Applier | None = None
        self._fed: tuple[FedConsumer, ...] = ()
        self._changed = threading.Condition()
        self._waiting = 0
        self._settled_ticket = 0
        self._running = False
        self._checkpoint_due_us = 0
        self._gap: str | None = None

    def add_consumer(self, consumer: LogConsumer) -> None:
        """Register one more consumer; before ``start`` only."""
        if self._running:
            raise Fault("intake.running", consumer=consumer.name)
        self._consumers.append(consumer)

    def start(self, *, waits: bool = True) -> None:
        """Open the door, and replay; what comes meanwhile is durable, and waits to be applied.

        Args:
            waits: until consumers know what the log held; else the replay has to be begun, and awaited.

        Raises:
            Fault: ``log.damaged``, ``log.unreadable``, or ``log.behind``: a consumer knows more than the log holds.
        """
        self._fed = tuple(FedConsumer(consumer, self.series) for consumer in self._consumers)
        last = self._log.last_sequence()
        begin = self._check(last)
        self._warm(self._log.first_sequence(), begin)
        self._replay_accounts(begin)
        self._balance.start(self._consumers[0])
        self._applier = Applier(
            self._fed,
            first=lambda stopping: self._replay(begin, last, stopping),
            applied=self._note_applied,
            checkpointed=self._log.forget_before,
        )
        self._committer.start()
        self._running = True
        if waits:
            self.begin_replay()
            self.await_replay()

    def begin_replay(self) -> None:
        """Begin to feed consumers what the log held at the start, in the background."""
        if self._applier is not None:
            self._applier.start()

    def await_replay(self) -> None:
        """Wait until every consumer knows what the log held at the start; where that fails, the door is closed.

        Raises as ``start``.
        """
        error = None if self._applier is None else self._applier.await_first()
        if error is not None:
            self._running = False
            self._committer.stop(_STOP_S)
            raise error

    def submit(self, submission: Submission) -> Future[Receipt]:
        """See ``Intake.submit``.

        Raises:
            Unavailable: ``intake.full``, ``intake.disk_full``, ``intake.failed``, ``intake.stopped``.
            Invalid: ``intake.too_large``: more readings than one submission may carry.
        """
        count = sum(len(payload.readings) + len(payload.flaws) for payload in submission.payloads)
        self._admit(max(count, 1))
        taken = False
        try:
            now_us = self._clock.now_us()
            waiting = Waiting(submission, self._screen.screen(submission, now_us), now_us, count)
            self._committer.put(waiting)
            taken = True
        finally:
            if not taken:
                self._note_applied(max(count, 1), 0)
        return waiting.future

    def submit_columns(self, submission: ColumnSubmission) -> Future[Receipt]:
        """See ``Intake.submit_columns``; raises as ``submit``."""
        packed = submission.columns.packed()
        if packed is not submission.columns:
            submission = msgspec.structs.replace(submission, columns=packed)
        count = len(packed)
        self._admit(max(count, 1))
        taken = False
        try:
            now_us = self._clock.now_us()
            screened, columns, rows = self._screen.screen_columns(submission, self.series, now_us)
            waiting = Waiting(submission, screened, now_us, count, columns, rows)
            self._committer.put(waiting)
            taken = True
        finally:
            if not taken:
                self._note_applied(max(count, 1), 0)
        return waiting.future

    def drop(self, source: str, count: int, reason: str) -> None:
        """See ``Intake.drop``; written with the next commit, or at the next tick."""
        self._committer.drop(source, count, reason)

    def position_of(self, origin: str) -> int:
        """See ``Intake.position_of``."""
        return self._committer.position_of(origin)

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until all submitted before this call is durable or refused, and applied. Not from a consumer.

        Raises:
            Unavailable: ``intake.not_settled`` after ``timeout_s``.
        """
        self._committer.flush_drops()
        ticket, until_s = self._committer.last_ticket(), time.monotonic() + timeout_s
        is_replayed = self._applier is None or self._applier.has_begun(timeout_s)
        with self._changed:
            left_s = until_s - time.monotonic()
            if not is_replayed or not self._changed.wait_for(lambda: self._settled_ticket >= ticket, left_s):
                raise Unavailable("intake.not_settled", timeout_s=timeout_s, waiting=self._waiting)

    def tick(self, now_us: int) -> None:
        """Write drops, look at the disk, and ask for a checkpoint when one is due."""
        if not self._running or self._applier is None:
            return
        self._space.is_full()
        self._committer.mend()
        if self._committer.failure is not None:
            return
        self._committer.flush_drops()
        self._log.prepare()
        if self._waiting == 0 and self._fed[0].problem is None:
            self._balance.check(self._consumers[0], now_us)
        if now_us >= self._checkpoint_due_us:
            self._checkpoint_due_us = now_us + int(self._settings.checkpoint_s * SECOND_US)
            self._applier.ask_checkpoint()

    def stop(self, timeout_s: float = 60.0) -> None:
        """Close the door, write and apply what waits, make a checkpoint; a replay that still runs is broken off.

        Raises:
            Unavailable: ``intake.not_settled``: it took too long; nothing acknowledged is lost, the next start replays.
        """
        if not self._running or self._applier is None:
            return
        self._running = False
        if not (self._committer.stop(timeout_s) and self._applier.stop(timeout_s)):
            raise Unavailable("intake.not_settled", timeout_s=timeout_s, waiting=self._waiting)

    def status(self) -> dict[str, Any]:
        """Return the state for the operations page; ``state``: running, full, disk_full, failed or stopped."""
        return {
            "state": self._state(),
            "disk_full": self._space.is_full(),
            "free_mb": self._space.free_mb(),
            "waiting_readings": self._waiting,
            "max_waiting": self._settings.max_waiting,
            "waiting_commits": self._committer.waiting(),
            "waiting_batches": 0 if self._applier is None else self._applier.waiting(),
            "log": {"first_sequence": self._log.first_sequence(), "last_sequence": self._log.last_sequence()},
            "gap": self._gap,
            "accounting": self._balance.status(),
            "consumers": [msgspec.to_builtins(consumer.status()) for consumer in self._fed],
        }

    def _state(self) -> str:
        if not self._running:
            return "stopped"
        if self._committer.failure is not None:
            return "failed"
        if self._space.is_full():
            return "disk_full"
        return "full" if self._waiting >= self._settings.max_waiting else "running"

    def _admit(self, count: int) -> None:
        """Reserve room for ``count`` readings, or refuse."""
        if not self._running:
            raise Unavailable("intake.stopped")
        if self._committer.failure is not None:
            raise Unavailable("intake.failed", problem=self._committer.failure)
        if count > self._settings.max_submission:
            raise Invalid("intake.too_large", readings=count, limit=self._settings.max_submission)
        if self._space.is_full():
            raise Unavailable("intake.disk_full", path=str(self._directory), free_mb=self._space.free_mb())
        with self._changed:
            if self._waiting and self._waiting + count > self._settings.max_waiting:
                raise Unavailable("intake.full", waiting=self._waiting, limit=self._settings.max_waiting)
            self._waiting += count

    def _pass_on(self, entries: list[tuple[LogBatch | None, int, int]]) -> None:
        if self._applier is not None:
            self._applier.put(entries)

    def _note_applied(self, readings: int, ticket: int) -> None:
        with self._changed:
            self._waiting -= readings
            self._settled_ticket = max(self._settled_ticket, ticket)
            self._changed.notify_all()

    def _check(self, last: int) -> int:
        """Return the first sequence that some consumer lacks; complain of what the log no longer holds."""
        first = self._log.first_sequence()
        ahead = [consumer for consumer in self._fed if consumer.position > last]
        if ahead:
            raise Fault("log.behind", last=last, consumer=ahead[0].name, position=ahead[0].position)
        begin = min((consumer.position for consumer in self._fed), default=last) + 1
        if begin < first and last > 0:
            lacking = [consumer.name for consumer in self._fed if consumer.position + 1 < first]
            self._gap = f"{', '.join(lacking)}: {begin}-{first - 1}"
            _log.warning("the log no longer holds what these consumers have not seen: %s", self._gap)
        return begin

    def _replay_accounts(self, begin: int) -> None:
        """Read what some consumer lacks: for the memory of duplicates, and the accounts, which know positions."""
        for sequence, data in self._log.read_from(begin):
            batch = to_batch(sequence, *decode_record(sequence, data))
            self._recent.warm(batch.readings, batch.columns)
            self._fed[0].feed(batch)

    def _replay(self, begin: int, last: int, stopping: Callable[[], bool]) -> bool:
        """Feed what consumers lack up to ``last``; return False where it had to end early."""
        for consumer in self._fed:
            consumer.prepare(last)
        fed = 0
        for sequence, data in self._log.read_from(begin):
            if sequence > last:
                break
            if stopping():
                return False
            batch = to_batch(sequence, *decode_record(sequence, data))
            for consumer in self._fed:
                consumer.feed(batch)
            fed += batch.count
            if fed >= _REPLAY_CHECKPOINT:
                self._checkpoint()
                fed = 0
        self._checkpoint()
        return True

    def _warm(self, first: int, start: int) -> None:
        """Read what every consumer has already, for the memory of duplicates only; damage there harms nobody.

        Only as many of the newest readings are noted as that memory holds: a start must not take longer for it.
        """
        newest: deque[LogBatch] = deque()
        count = 0
        try:
            for sequence, data in self._log.read_from(first):
                if sequence >= start:
                    break
                batch = to_batch(sequence, *decode_record(sequence, data))
                newest.append(batch)
                count += batch.count
                while newest and count - newest[0].count >= self._settings.recent_readings:
                    count -= newest.popleft().count
        except Fault as error:
            self._gap = str(error)
            _log.warning("the memory of duplicates is incomplete: %s", error)
        for batch in newest:
            self._recent.warm(batch.readings, batch.columns)

    def _checkpoint(self) -> None:
        for consumer in self._fed:
            consumer.checkpoint()
