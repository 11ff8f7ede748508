"""Carries the parts of one body to the intake, in order, and sums up what became of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from gulou.connectivity.intake import ColumnSubmission, Flaw, Intake, Receipt, Submission
from gulou.kernel.errors import Unavailable
from gulou.sensing.adapters.http.columns import Part
from gulou.sensing.sdk import Counters

SOURCE = "http"
MOST_PROBLEMS = 20
_MOST_UNDER_WAY = 3
_FULL_WAIT_S = 0.02
_FULL_PATIENCE_S = 10.0


class Outcome:
    """What became of a body.

    Attributes:
        told: the first problems that the intake told of.
        flaws: the first flaws of the payloads, where it told of none.
        malformed: the flaw of a body that is one payload and cannot be read at all.
    """

    def __init__(self) -> None:
        self.received = self.stored = self.rejected = 0
        self.repeated = False
        self.told: list[Flaw] = []
        self.flaws: list[Flaw] = []
        self._payloads = self._readings = 0

    @property
    def malformed(self) -> Flaw | None:
        whole = [flaw for flaw in self.flaws if not flaw.where and flaw.code == "payload.malformed"]
        return whole[0] if whole and self._payloads == 1 and not self._readings else None

    def met(self, part: Part) -> None:
        """Note a part that is about to go."""
        self._payloads += len(part.payloads)
        self._readings += sum(len(payload.readings) for payload in part.payloads)
        if part.columns is not None:
            self._payloads += 1
            self._readings += len(part.columns)
        for payload in part.payloads:
            if len(self.flaws) >= MOST_PROBLEMS:
                break
            self.flaws += payload.flaws[:MOST_PROBLEMS]

    def got(self, receipt: Receipt) -> None:
        """Note a receipt."""
        self.received += receipt.received
        self.stored += receipt.stored
        self.rejected += receipt.rejected
        self.repeated |= receipt.repeated
        self.told += receipt.problems[: MOST_PROBLEMS - len(self.told)]


class Carrier:
    """Hands one body's parts over. ``send`` for a body that was read at once, ``carry`` for a large one.

    Args:
        key: names the body for repetitions; parts that are durable under it are not sent again.
    """

    def __init__(
        self,
        intake: Intake,
        counters: Counters,
        adapter: str,
        mapping: str | None,
        key: str | None,
        came_at_s: float,
    ) -> None:
        self._intake = intake
        self._counters = counters
        self._adapter = adapter
        self._mapping = mapping
        self._key = key
        self._came_at_s = came_at_s
        self._done_to = 0 if key is None else intake.position_of(key)
        self.outcome = Outcome()

    def send(self, part: Part) -> Future[Receipt] | None:
        """Submit a part; None when it is durable already, or holds nothing. Raises as ``Intake.submit``."""
        if part.reach <= self._done_to:
            self.outcome.repeated = True
            return None
        self.outcome.met(part)
        position = part.reach if self._key is not None else None
        if part.columns is None:
            objects = Submission(SOURCE, self._adapter, part.payloads, self._mapping, self._key, position)
            return self._intake.submit(objects)
        if part.raw_of is None or not len(part.columns):
            return None
        columns = ColumnSubmission(SOURCE, self._adapter, part.columns, part.raw_of, self._mapping, self._key, position)
        return self._intake.submit_columns(columns)

    def got(self, receipt: Receipt) -> None:
        """Count a receipt."""
        self._counters.took(receipt, time.perf_counter() - self._came_at_s)
        self.outcome.got(receipt)

    def carry(self, read: Callable[[], Iterator[Part]]) -> Outcome:
        """Read, submit and wait, a few parts under way at once. Blocks; for a thread that is no event loop's.

        Raises:
            Unavailable: of the intake; parts before may have been taken. While it is full only because of others,
                parts behind the first wait for room.
        """
        under_way: deque[Future[Receipt]] = deque()
        try:
            for part in read():
                future = self._patiently(part, waits=self.outcome.received > 0 or bool(under_way))
                if future is not None:
                    under_way.append(future)
                if len(under_way) >= _MOST_UNDER_WAY:
                    self.got(under_way.popleft().result())
            while under_way:
                self.got(under_way.popleft().result())
        finally:
            self._drain(under_way)
        return self.outcome

    def _patiently(self, part: Part, *, waits: bool) -> Future[Receipt] | None:
        deadline_s = time.monotonic() + _FULL_PATIENCE_S
        while True:
            try:
                return self.send(part)
            except Unavailable as error:
                if not waits or error.code != "intake.full" or time.monotonic() > deadline_s:
                    raise
            time.sleep(_FULL_WAIT_S)

    def _drain(self, under_way: deque[Future[Receipt]]) -> None:
        """Count what still becomes durable, although the sender is told of a failure."""
        for future in under_way:
            if future.exception() is None:
                self.got(future.result())
