"""The seams around the log. The engine replaces what stands behind them, never the callers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Protocol

from gulou.connectivity.intake.model import (
    ColumnSubmission,
    LogBatch,
    Receipt,
    Rejected,
    RejectPage,
    RejectQuery,
    Submission,
    Value,
)
from gulou.connectivity.intake.series import SeriesCatalogue


class Intake(Protocol):
    """The one door for readings; what an adapter calls."""

    def submit(self, submission: Submission) -> Future[Receipt]:
        """Validate, write to the log, answer when durable. Safe from any thread; ``asyncio.wrap_future`` for a loop.

        The order of submissions from one thread is kept. Consumers have NOT necessarily seen it when the future
        resolves (``settle`` waits for that).

        Raises:
            Unavailable: at once or through the future: ``intake.full``, ``intake.disk_full``, ``intake.stopped``.
                Nothing of the submission was taken.
        """

    def submit_columns(self, submission: ColumnSubmission) -> Future[Receipt]:
        """The same for numbers in columns; raises as ``submit``. A receipt tells of each row as of a reading."""

    @property
    def series(self) -> SeriesCatalogue:
        """The numbers that columns speak of."""

    def drop(self, source: str, count: int, reason: str) -> None:
        """Count readings that had to be given up unacknowledged (QoS 0, full queue); received and dropped grow."""

    def position_of(self, origin: str) -> int:
        """Return the last durable position of a resumable origin; 0 when it is unknown."""

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until every consumer has applied everything durable so far."""


class LogConsumer(Protocol):
    """What applies the log: context, history, rules. Registered in ``cli/wire.py``.

    A consumer keeps its own position durably. After a start it is fed every batch from ``position() + 1`` on, so a
    batch may come again after a crash, and applying it again must change nothing.

    One that has a method ``prepare(last_sequence)`` is told so once before its first batch, on a thread of its own;
    the log ends there as yet. It may take its time to bring much back: readings are taken meanwhile, and wait.

    One that has a class attribute ``takes_columns = True`` sees numbers as ``batch.columns``; for others every row is
    made a ``Reading`` first, which costs some µs each.
    """

    name: str

    def position(self) -> int:
        """Return the sequence up to which this consumer's own store is durable; 0 at first."""

    def apply(self, batch: LogBatch) -> None:
        """Take one batch; called on one thread, in order. Must not block on anything slower than memory."""

    def checkpoint(self) -> None:
        """Make what was applied durable, so that ``position`` advances; called every few seconds and at stop."""


class LogReader(Protocol):
    """Who reads the log. Implementations: every ``ReadingLog``, and ``LogFollower`` beside another process."""

    def read_from(self, sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield (sequence, record) from ``sequence`` on; a torn tail ends it, damage in the middle raises."""

    def first_sequence(self) -> int:
        """Return the oldest sequence still kept; one past the last when none is."""

    def last_sequence(self) -> int: ...

    def forget_before(self, sequence: int) -> None:
        """Allow segments that end before ``sequence`` to be recycled."""

    def close(self) -> None: ...


class ReadingLog(LogReader, Protocol):
    """The durable log: append returns when synced. Implementations: segment files, memory."""

    def append(self, records: list[bytes]) -> int:
        """Write records and sync; return the sequence of the last. Raises Unavailable ``intake.disk_full``."""

    def mend(self) -> None:
        """Take up writing again after ``append`` failed. Raises as ``append`` while that is not possible."""

    def prepare(self) -> None:
        """Do ahead what the next appends would have to wait for; called now and then, beside them."""


class RejectStore(Protocol):
    """Where rejects are listed from; it fills itself as a ``LogConsumer``."""

    def get_rejected(self, reject_id: str) -> Rejected:
        """Raises NotFound ``intake.reject_unknown``."""

    def list_rejected(self, query: RejectQuery) -> RejectPage: ...


class LedgerPort(LogConsumer, Protocol):
    """What the intake asks of the ledger."""

    def position_of(self, origin: str, /) -> int:
        """Return how far an origin has come as applied; 0 when it is unknown."""


class Checks(Protocol):
    """What the intake asks of the vocabulary.

    One that also has ``limits(entity_type, property) -> (lowest, highest) | None`` and ``generation`` (as the city's
    vocabulary does) has numbers in columns checked by them; ``check`` is then asked only for rows outside.
    """

    def check(self, entity_type: str, property_name: str, value: Value, unit_code: str | None, /) -> Value:
        """Return the value in the property's own unit. Raises Invalid with a ``reading.…`` reason code."""


class DeviceGate(Protocol):
    """What the intake asks of the device registry; answered from memory."""

    def refusal(self, device_id: str, entity_id: str, property_name: str, /) -> str | None:
        """Return why this device may not report this property (``device.unknown``, ``device.disabled``,
        ``device.not_bound``), or None if it may."""

    def seen(self, device_id: str, at_us: int, /) -> None:
        """Note a sign of life."""
