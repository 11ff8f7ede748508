"""Feeds consumers in one process from the log that another process writes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from gulou.connectivity.intake.applier import FedConsumer
from gulou.connectivity.intake.log_follower import LogFollower
from gulou.connectivity.intake.model import LogBatch
from gulou.connectivity.intake.ports import LogConsumer
from gulou.connectivity.intake.record import decode_record, to_batch
from gulou.connectivity.intake.series import SeriesCatalogue
from gulou.kernel.clock import SECOND_US
from gulou.kernel.errors import Fault, Unavailable

_log = logging.getLogger(__name__)
_LOOK_S = 0.1
_STOP_WAIT_S = 5.0


class FollowingApplier:
    """What the intake's applier is to its own consumers, for consumers in another process: same order, same promises.

    Each consumer is fed every batch from its own durable position on, on one thread. One that raises is fed no more and
    shown as unhealthy; one that raises ``Unavailable`` is waited for. After each checkpoint the log learns how far all
    of them have come, and keeps the rest (``LogFollower(name=…)``).

    Life: construct, ``start``, ``tick`` about once a second, ``stop``.

    Args:
        follower: closed by its owner, after ``stop``.
        series: opened ``readonly``; new numbers are read as they appear in the log.
        consumers: fed in this order; at least one.
        checkpoint_s: how often consumers make their state durable, seconds.
    """

    def __init__(
        self,
        follower: LogFollower,
        series: SeriesCatalogue,
        consumers: Sequence[LogConsumer],
        *,
        checkpoint_s: float = 5.0,
    ) -> None:
        self._follower = follower
        self._series = series
        self._consumers = list(consumers)
        self._checkpoint_us = int(checkpoint_s * SECOND_US)
        self._checkpoint_due_us = 0
        self._fed: tuple[FedConsumer, ...] = ()
        self._changed = threading.Condition()
        self._applied = 0
        self._asked = self._made = 0
        self._stopping = False
        self._gap: str | None = None
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="intake:follow", daemon=True)

    def add_consumer(self, consumer: LogConsumer) -> None:
        """Register one more consumer; before ``start`` only."""
        if self._fed:
            raise Fault("intake.running", consumer=consumer.name)
        self._consumers.append(consumer)

    def start(self) -> None:
        """Begin to feed; does not wait until what is lacking has been applied (``settle`` does).

        Raises:
            Fault: ``log.behind``: a consumer knows more than the log holds.
        """
        self._fed = tuple(FedConsumer(consumer, self._series) for consumer in self._consumers)
        last = self._follower.last_sequence()
        ahead = [consumer for consumer in self._fed if last and consumer.position > last]
        if ahead:
            raise Fault("log.behind", last=last, consumer=ahead[0].name, position=ahead[0].position)
        self._applied = min((consumer.position for consumer in self._fed), default=last)
        self._follower.forget_before(self._applied)
        self._thread.start()

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until all that was durable before this call is applied. Not from a consumer.

        Raises:
            Unavailable: ``intake.not_settled`` after ``timeout_s``, or at once when the log cannot be read.
        """
        last = self._follower.last_sequence()
        with self._changed:
            self._changed.wait_for(lambda: self._applied >= last or self.failure is not None, timeout_s)
            if self._applied < last:
                raise Unavailable("intake.not_settled", timeout_s=timeout_s, waiting=last - self._applied)

    def tick(self, now_us: int) -> None:
        """Ask for a checkpoint when one is due."""
        if now_us >= self._checkpoint_due_us:
            self._checkpoint_due_us = now_us + self._checkpoint_us
            with self._changed:
                self._asked += 1

    def stop(self, timeout_s: float = 60.0) -> None:
        """Finish the batch at hand, make a checkpoint, end; the rest is fed after the next start.

        Raises:
            Unavailable: ``intake.not_settled``: a consumer took too long; nothing is lost.
        """
        if self._thread.ident is None:
            return
        self._stopping = True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            for consumer in self._fed:
                consumer.give_up()
            self._thread.join(_STOP_WAIT_S)
        if self._thread.is_alive():
            raise Unavailable("intake.not_settled", timeout_s=timeout_s, waiting=self.lag())

    def applied(self) -> int:
        """Return the sequence up to which every consumer was fed."""
        return self._applied

    def lag(self) -> int:
        """Return how many durable records have not been applied here yet."""
        return max(self._follower.last_sequence() - self._applied, 0)

    def status(self) -> dict[str, Any]:
        """Return the state for the operations page; ``state``: running, failed or stopped."""
        running = self._thread.is_alive()
        return {
            "state": "failed" if self.failure is not None else "running" if running else "stopped",
            "problem": self.failure,
            "waiting_batches": self.lag(),
            "log": {
                "first_sequence": self._follower.first_sequence(),
                "last_sequence": self._follower.last_sequence(),
            },
            "gap": self._gap,
            "consumers": [msgspec.to_builtins(consumer.status()) for consumer in self._fed],
        }

    def _run(self) -> None:
        while not self._stopping:
            self._checkpoint_if_asked()
            if self.failure is not None:
                time.sleep(_LOOK_S)
                continue
            if self._follower.wait(self._applied, _LOOK_S) <= self._applied:
                continue
            try:
                self._apply_what_is_there()
            except Fault as error:
                self._meet(error)
        self._checkpoint()

    def _apply_what_is_there(self) -> None:
        for sequence, data in self._follower.read_from(self._applied + 1):
            batch = to_batch(sequence, *decode_record(sequence, data))
            self._know_series(batch)
            for consumer in self._fed:
                consumer.feed(batch)
            with self._changed:
                self._applied = sequence
                self._changed.notify_all()
            if self._stopping:
                return
            self._checkpoint_if_asked()

    def _know_series(self, batch: LogBatch) -> None:
        columns = batch.columns
        if columns is None or not len(columns) or (newest := int(columns.series.max())) < len(self._series):
            return
        self._series.refresh()
        if newest >= len(self._series):
            raise Fault("log.unreadable", sequence=batch.sequence, problem=f"series {newest} is not in the catalogue")

    def _meet(self, error: Fault) -> None:
        """Go on behind a gap, and show it; stop at damage, which an operator has to look at."""
        first = error.params.get("first")
        if error.code != "log.fallen_behind" or not isinstance(first, int) or first <= self._applied + 1:
            self.failure = error.code
            _log.error("the log cannot be followed any further: %s", error)
            with self._changed:
                self._changed.notify_all()
            return
        lacking = ", ".join(consumer.name for consumer in self._fed if consumer.applied + 1 < first)
        self._gap = f"{lacking}: {self._applied + 1}-{first - 1}"
        _log.warning("the log no longer holds what these consumers have not seen: %s", self._gap)
        self._applied = first - 1

    def _checkpoint_if_asked(self) -> None:
        asked = self._asked
        if asked != self._made:
            self._made = asked
            self._checkpoint()

    def _checkpoint(self) -> None:
        for consumer in self._fed:
            consumer.checkpoint()
        if self._fed:
            self._follower.forget_before(min(consumer.position for consumer in self._fed))
