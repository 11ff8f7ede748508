"""Feeds the log's consumers, in order, on one thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import msgspec

from gulou.connectivity.bus import deliver
from gulou.connectivity.intake.expansion import expand
from gulou.connectivity.intake.model import LogBatch
from gulou.connectivity.intake.ports import LogConsumer
from gulou.connectivity.intake.series import SeriesCatalogue
from gulou.kernel.errors import Unavailable

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0


class ConsumerStatus(msgspec.Struct, frozen=True):
    """One consumer, for the operations page.

    Args:
        position: sequence up to which its own store is durable.
        applied: sequence of the last batch that it took.
        problem: why it is fed no more, or what it waits for; None while it is healthy.
        checkpoint_problem: why its last checkpoint failed; it is tried again.
    """

    name: str
    position: int
    applied: int
    healthy: bool
    problem: str | None = None
    checkpoint_problem: str | None = None


class FedConsumer:
    """A consumer and how it fares. One that fails is left alone and shown; the others go on.

    One that says "not now" (``Unavailable``: its disk is full, its writing lags) is asked again until it can: the log
    waits with it, and when what may wait is full, senders are told to wait.
    """

    def __init__(self, consumer: LogConsumer, series: SeriesCatalogue) -> None:
        self.name = consumer.name
        self._series = series
        self._takes_columns = getattr(consumer, "takes_columns", False)
        self._consumer = consumer
        self.position = self.applied = consumer.position()
        self.problem: str | None = None
        self.waits_for: str | None = None
        self._checkpoint_problem: str | None = None
        self._giving_up = threading.Event()

    def give_up(self) -> None:
        """Stop waiting: this process ends; what was not taken is fed again after the next start."""
        self._giving_up.set()

    def prepare(self, last_sequence: int) -> None:
        """Let it bring back what it needs, where it wants to be told; raises what it raises."""
        prepare = getattr(self._consumer, "prepare", None)
        if prepare is not None:
            prepare(last_sequence)

    def feed(self, batch: LogBatch) -> None:
        """Hand over one batch, once; after a failure no more."""
        if self.problem is not None or batch.sequence <= self.applied:
            return
        seen = batch if self._takes_columns else expand(batch, self._series)
        self.problem = deliver(self.name, self._apply, seen)
        if self.problem is None:
            self.applied = batch.sequence

    def _apply(self, batch: LogBatch) -> None:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                self._consumer.apply(batch)
            except Unavailable as error:
                self.waits_for = error.code
                if self._giving_up.wait(wait_s):
                    raise
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                self.waits_for = None
                return

    def checkpoint(self) -> None:
        """Let it make its state durable; after a failure its position stays, nothing is lost, and it is tried again."""
        if self.problem is None:
            self._checkpoint_problem = deliver(self.name, self._checkpoint, "checkpoint")

    def _checkpoint(self, _: object) -> None:
        self._consumer.checkpoint()
        self.position = self._consumer.position()

    def status(self) -> ConsumerStatus:
        return ConsumerStatus(
            name=self.name,
            position=self.position,
            applied=self.applied,
            healthy=self.problem is None and self.waits_for is None,
            problem=self.problem or self.waits_for,
            checkpoint_problem=self._checkpoint_problem,
        )


class Applier:
    """The applier thread.

    Args:
        first: done before anything that waits, on a thread of its own; it asks now and then whether it should end
            early, and returns False where it has: then nothing that waits is applied.
        applied: called after each entry with the number of readings and the ticket of the submission that it settles.
        checkpointed: called after each checkpoint with the lowest durable position.
    """

    def __init__(
        self,
        consumers: Iterable[FedConsumer],
        *,
        first: Callable[[Callable[[], bool]], bool],
        applied: Callable[[int, int], None],
        checkpointed: Callable[[int], None],
    ) -> None:
        self._consumers = tuple(consumers)
        self._first = first
        self._applied = applied
        self._checkpointed = checkpointed
        self._queue: deque[tuple[LogBatch | None, int, int]] = deque()
        self._changed = threading.Condition()
        self._checkpoint_asked = False
        self._stopping = False
        self._began: Future[bool] = Future()
        self._thread = threading.Thread(target=self._run, name="intake:apply", daemon=True)

    def start(self) -> None:
        """Begin, once."""
        if self._thread.ident is not None:
            return
        once = ThreadPoolExecutor(1, thread_name_prefix="intake:replay")
        self._began = once.submit(self._first, lambda: self._stopping)
        once.shutdown(wait=False)
        self._thread.start()

    def await_first(self) -> BaseException | None:
        """Wait until what is done first is done; return what it raised."""
        return self._began.exception()

    def has_begun(self, timeout_s: float) -> bool:
        """Wait for the same, but not longer than that, and say whether it is done."""
        try:
            return self._began.exception(timeout_s) is None
        except FutureTimeoutError:
            return False

    def put(self, entries: list[tuple[LogBatch | None, int, int]]) -> None:
        """Queue (batch or None, readings to release, ticket to settle), in the order of the log."""
        with self._changed:
            self._queue.extend(entries)
            self._changed.notify()

    def ask_checkpoint(self) -> None:
        with self._changed:
            self._checkpoint_asked = True
            self._changed.notify()

    def stop(self, timeout_s: float) -> bool:
        """Apply what waits, make a checkpoint, end; False when that took longer than ``timeout_s``.

        Where it has not begun, nothing is applied: what waits stays in the log.
        """
        if self._thread.ident is None:
            return True
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            for consumer in self._consumers:
                consumer.give_up()
            self._thread.join(_LONGEST_WAIT_S)
        return not self._thread.is_alive()

    def waiting(self) -> int:
        """Return how many batches wait."""
        return len(self._queue)

    def _run(self) -> None:
        if self.await_first() is not None or not self._began.result():
            return  # what waits stays in the log
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._checkpoint_asked or self._stopping)
                entries, self._queue = self._queue, deque()
                checkpoint, self._checkpoint_asked = self._checkpoint_asked, False
                stopping = self._stopping and not entries
            if checkpoint:
                self.checkpoint()
            for batch, readings, ticket in entries:
                if batch is not None:
                    for consumer in self._consumers:
                        consumer.feed(batch)
                self._applied(readings, ticket)
            if stopping:
                self.checkpoint()
            if stopping:
                return

    def checkpoint(self) -> None:
        """Let every consumer make its state durable; only on the applier thread, or before it runs."""
        for consumer in self._consumers:
            consumer.checkpoint()
        if self._consumers:
            self._checkpointed(min(consumer.position for consumer in self._consumers))
