"""What waits for the log, and what one write to it holds."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake.columns import Columns
from gulou.connectivity.intake.model import ColumnSubmission, Flaw, Receipt, Submission
from gulou.connectivity.intake.record import LogRecord, encode_record
from gulou.connectivity.intake.screening import Screened
from gulou.kernel.errors import GulouError, Unavailable

_SHOWN_PROBLEMS = 20


class Waiting:
    """A screened submission on its way to the log.

    Args:
        columns: of a ``ColumnSubmission``: the rows that passed; what did not is in ``screened``.
        rows: where those were among all its rows; None: all passed.
    """

    __slots__ = ("answer", "columns", "count", "future", "received_at_us", "rows", "screened", "submission", "ticket")

    def __init__(
        self,
        submission: Submission | ColumnSubmission,
        screened: Screened,
        received_at_us: int,
        count: int,
        columns: Columns | None = None,
        rows: NDArray[np.intp] | None = None,
    ) -> None:
        self.submission = submission
        self.screened = screened
        self.columns = columns
        self.rows = rows
        self.received_at_us = received_at_us
        self.count = count
        self.ticket = 0
        self.answer: Receipt | GulouError | None = None
        self.future: Future[Receipt] = Future()
        self.future.set_running_or_notify_cancel()  # from here on the sender cannot cancel: it may be durable already

    def weight(self) -> int:
        """Return what it counts against the bound; a submission of nothing still takes a place."""
        return max(self.count, 1)

    def receipt(self, sequence: int) -> Receipt:
        """Return the answer once it is durable: what is not among its rejects is stored."""
        rejected = self.screened.rejected
        problems = tuple(
            Flaw(part.code, part.params, f"{part.address} {part.where}".strip()) for part in rejected[:_SHOWN_PROBLEMS]
        )
        return Receipt(sequence, self.count, self.count - len(rejected), len(rejected), problems=problems)

    def reply(self) -> None:
        """Give the sender its answer; once."""
        if isinstance(self.answer, Receipt):
            self.future.set_result(self.answer)
        else:
            self.future.set_exception(self.answer or Unavailable("intake.stopped"))


class Commit:
    """What one write holds."""

    def __init__(self, drops: dict[str, dict[str, int]], drop_ticket: int) -> None:
        self.items: list[Waiting] = []
        self.records: list[tuple[Sequence[Waiting], LogRecord, Columns | None]] = []
        self.encoded: list[bytes] = []
        self.positions: dict[str, int] = {}
        self.drops = drops
        self.drop_ticket = drop_ticket

    def add(self, waiting: Sequence[Waiting], record: LogRecord, columns: Columns | None = None) -> int:
        """Encode one record that answers these submissions; return its size in bytes."""
        data = encode_record(record, columns)
        self.records.append((waiting, record, columns))
        self.encoded.append(data)
        return len(data)
