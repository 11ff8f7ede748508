"""Carries rows of all connections to the intake: two submissions under way, the next gathers meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from itertools import takewhile

from gulou.connectivity.intake import Intake, Receipt
from gulou.kernel.errors import GulouError, Invalid
from gulou.sensing.adapters.mqtt.endpoint.fast.part import Load, Part, Sender
from gulou.sensing.sdk import Counters

_log = logging.getLogger(__name__)
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0
_MOST_ROWS = 20_000
_MOST_FLYING = 2
"""While the log syncs one, the other stands ready: the log need not wait for the loop."""


class Carrier:
    """Lives on the endpoint's loop. So batches form by themselves while the log syncs, and nothing waits for a timer.

    What is under way is finished in its order, and while something has to be tried again nothing overtakes it.

    Args:
        names: source of the account, and name/version kept with submissions.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, intake: Intake, counters: Counters, names: tuple[str, str]
    ) -> None:
        self._loop = loop
        self._intake = intake
        self._counters = counters
        self._source, self._adapter = names
        self._waiting: list[Part] = []
        self._flying: deque[Load] = deque()
        self._done: set[Load] = set()
        self._refused: set[Load] = set()
        self.made_room: Callable[[], None] | None = None
        """Called when something could be sent at once, before what waits is sent."""

    @property
    def is_full(self) -> bool:
        """Tell whether rows that came now would have to wait."""
        return bool(self._refused) or len(self._flying) >= _MOST_FLYING

    def put(self, part: Part) -> None:
        """Take rows; ``flush`` sends them."""
        self._waiting.append(part)

    def flush(self) -> None:
        """Send what waits, unless enough is under way."""
        if not self._waiting or self.is_full:
            return
        count = rows = 0
        for part in self._waiting:
            rows += len(part.columns)
            if count and rows > _MOST_ROWS:
                break
            count += 1
        parts, self._waiting = self._waiting[:count], self._waiting[count:]
        load = Load(parts)
        self._flying.append(load)
        self._send(load, _FIRST_WAIT_S)

    def _send(self, load: Load, wait_s: float) -> None:
        if not len(load):
            self._finish(load)
            return
        try:
            future = self._intake.submit_columns(load.submission(self._source, self._adapter))
        except GulouError as error:
            self._take_refusal(load, error, wait_s)
            return
        future.add_done_callback(partial(self._answered, load, wait_s))

    def _answered(self, load: Load, wait_s: float, future: Future[Receipt]) -> None:
        """Go back to the loop; called on the intake's thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._settle, load, wait_s, future)

    def _settle(self, load: Load, wait_s: float, future: Future[Receipt]) -> None:
        error = future.exception()
        if error is None:
            self._counters.took(future.result(), self._loop.time() - load.came_at_s)
            self._finish(load)
        elif isinstance(error, GulouError):
            self._take_refusal(load, error, wait_s)
        else:
            _log.error("mqtt: a submission failed: %r", error)
            self._again(load, "intake.failed", wait_s)

    def _take_refusal(self, load: Load, error: GulouError, wait_s: float) -> None:
        """Try again later; a submission that is refused as such, by its size, goes in pieces."""
        if isinstance(error, Invalid):
            self._refused.add(load)
            self._loop.create_task(self._carry_in_pieces(load, error))
        else:
            self._again(load, error.code, wait_s)

    def _again(self, load: Load, code: str, wait_s: float) -> None:
        self._refused.add(load)
        self._drop(load.give_up(), code)
        self._loop.call_later(wait_s, self._try_again, load, min(wait_s * 2, _LONGEST_WAIT_S))

    def _try_again(self, load: Load, wait_s: float) -> None:
        if any(earlier in self._refused for earlier in takewhile(lambda other: other is not load, self._flying)):
            self._loop.call_later(_FIRST_WAIT_S, self._try_again, load, wait_s)
            return
        self._refused.discard(load)
        self._send(load, wait_s)

    async def _carry_in_pieces(self, load: Load, error: Invalid) -> None:
        """Carry halves, and their halves; a single row that is refused is given up and counted."""
        pieces, wait_s = [(0, len(load))], _FIRST_WAIT_S
        while pieces:
            begin, end = pieces.pop()
            try:
                submission = load.submission(self._source, self._adapter, begin, end)
                receipt = await asyncio.wrap_future(self._intake.submit_columns(submission))
            except Invalid as again:
                if end - begin > 1:
                    middle = (begin + end) // 2
                    pieces += [(middle, end), (begin, middle)]
                else:
                    self._drop(1, again.code)
            except GulouError:
                pieces.append((begin, end))
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                self._counters.took(receipt, self._loop.time() - load.came_at_s)
        self._refused.discard(load)
        self._finish(load)

    def _finish(self, load: Load) -> None:
        """All that was not given up is durable: tell the senders, after those of what went before, and go on."""
        self._done.add(load)
        touched: dict[Sender, None] = {}
        while self._flying and self._flying[0] in self._done:
            first = self._flying.popleft()
            self._done.discard(first)
            for entry in first.entries:
                entry.lane.done(entry)
                touched[entry.lane] = None
        for lane in touched:
            lane.acknowledge()
        if self.made_room is not None and not self.is_full:
            self.made_room()
        self.flush()

    def _drop(self, count: int, code: str) -> None:
        if count:
            self._intake.drop(self._source, count, code)
            self._counters.dropped(count)
