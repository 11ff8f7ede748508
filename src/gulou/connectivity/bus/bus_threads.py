"""The default bus: one bounded queue and one thread per subscriber."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from gulou.connectivity.bus.delivery import deliver, deliver_all
from gulou.connectivity.bus.model import SubscriberStatus
from gulou.connectivity.bus.ports import Handler, M, Message
from gulou.kernel.errors import Unavailable

MOST_AT_ONCE = 1_000
"""Messages in one list for a ``batch`` subscriber at most."""


class InProcessBus:
    """Delivers within this process; nothing survives its end, so what must survive is in the log or in the records.

    A publisher that is itself a handler never waits for room: two subscribers that feed one another would lock up.
    Its excess is bounded by the outer publisher, who does wait.
    """

    def __init__(self) -> None:
        self._settled = threading.Condition()
        self._unhandled = 0
        self._subscribers: tuple[_Subscriber, ...] = ()
        self._hearing: dict[type[Message], tuple[_Subscriber, ...]] = {}
        self._closed = False

    def publish(self, message: Message) -> None:
        hearing = self._hearing.get(type(message))
        if hearing is None:
            hearing = self._find_hearing(type(message))
        if not hearing:
            return
        may_wait = not isinstance(threading.current_thread(), _Worker)
        for subscriber in hearing:
            subscriber.put(message, may_wait=may_wait)

    def subscribe(
        self,
        kind: type[M],
        handler: Handler,
        *,
        name: str,
        bound: int = 10_000,
        lossless: bool = True,
        batch: bool = False,
        direct: bool = False,
        gather_s: float = 0.0,
    ) -> _Subscriber:
        make = _DirectSubscriber if direct else _Subscriber
        subscriber = make(
            self, kind, handler, name=name, bound=bound, lossless=lossless, batch=batch, gather_s=gather_s
        )
        with self._settled:
            if self._closed:
                raise Unavailable("bus.closed", subscriber=name)
            self._set_subscribers((*self._subscribers, subscriber))
        subscriber.start()
        return subscriber

    def hears(self, kind: type[Message]) -> bool:
        found = self._hearing.get(kind)
        return bool(self._find_hearing(kind) if found is None else found)

    def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until all is handled.

        Raises:
            Unavailable: ``bus.not_drained`` after ``timeout_s``.
        """
        with self._settled:
            if not self._settled.wait_for(lambda: self._unhandled == 0, timeout_s):
                raise Unavailable("bus.not_drained", timeout_s=timeout_s, waiting=self._unhandled)

    def close(self) -> None:
        """Stop every subscriber; what still waits is discarded (``drain`` first to keep it)."""
        with self._settled:
            self._closed = True
            subscribers = self._subscribers
        for subscriber in subscribers:
            subscriber.cancel()

    def status(self) -> list[SubscriberStatus]:
        """Return the counters of every live subscriber, for the operations page."""
        return [subscriber.status() for subscriber in self._subscribers]

    def _count(self, change: int) -> None:
        with self._settled:
            self._unhandled += change
            if self._unhandled == 0:
                self._settled.notify_all()

    def _remove(self, gone: _Subscriber) -> None:
        with self._settled:
            self._set_subscribers(tuple(subscriber for subscriber in self._subscribers if subscriber is not gone))

    def _set_subscribers(self, subscribers: tuple[_Subscriber, ...]) -> None:
        self._subscribers, self._hearing = subscribers, {}

    def _find_hearing(self, kind: type[Message]) -> tuple[_Subscriber, ...]:
        """Look up once per type who hears it: most messages, one for each reading, are heard by nobody."""
        with self._settled:
            found = tuple(subscriber for subscriber in self._subscribers if issubclass(kind, subscriber.kind))
            self._hearing[kind] = found
        return found


class _Worker(threading.Thread):
    """Tells a handler's thread from any other."""


class _Subscriber:
    def __init__(
        self,
        bus: InProcessBus,
        kind: type[Any],
        handler: Handler,
        *,
        name: str,
        bound: int,
        lossless: bool,
        batch: bool,
        gather_s: float,
    ) -> None:
        self.kind = kind
        self._bus = bus
        self._handler = handler
        self._name = name
        self._bound = bound
        self._lossless = lossless
        self._batch = batch
        self._gather_s = gather_s if batch else 0.0
        self._enough = min(bound, MOST_AT_ONCE)
        self._not_before_s = 0.0
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._cancelled = False
        self._delivered = self._failed = self._dropped = self._batches = self._most_queued = 0
        self._last_error: str | None = None
        self._thread = _Worker(target=self._run, name=f"bus:{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, message: Message, *, may_wait: bool) -> None:
        with self._changed:
            if len(self._queue) >= self._bound and not self._lossless:
                self._queue.popleft()
                self._dropped += 1
                self._bus._count(-1)
            elif may_wait:
                self._changed.wait_for(lambda: len(self._queue) < self._bound or self._cancelled)
            if self._cancelled:
                return
            self._bus._count(1)
            self._queue.append(message)
            self._most_queued = max(self._most_queued, len(self._queue))
            self._changed.notify_all()

    def cancel(self) -> None:
        self._bus._remove(self)
        with self._changed:
            self._cancelled = True
            discarded = len(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        if discarded:
            self._bus._count(-discarded)
        if threading.current_thread() is not self._thread and not isinstance(threading.current_thread(), _Worker):
            self._thread.join(timeout=5.0)

    def status(self) -> SubscriberStatus:
        with self._changed:
            return SubscriberStatus(
                name=self._name,
                kind=self.kind.__name__,
                delivered=self._delivered,
                failed=self._failed,
                queued=len(self._queue),
                dropped=self._dropped,
                bound=self._bound,
                lossless=self._lossless,
                last_error=self._last_error,
                most_queued=self._most_queued,
                batches=self._batches,
            )

    def _run(self) -> None:
        while (messages := self._take()) is not None:
            self._handle(messages)
            self._bus._count(-len(messages))

    def _handle(self, messages: list[Message]) -> None:
        if self._batch:
            errors = deliver_all(self._name, self._handler, messages)
        else:
            error = deliver(self._name, self._handler, messages[0])
            errors = [] if error is None else [error]
        with self._changed:
            self._delivered += len(messages) - len(errors)
            self._failed += len(errors)
            self._batches += self._batch
            self._last_error = errors[-1] if errors else self._last_error

    def _take(self) -> list[Message] | None:
        """Return what is handled next: one message, or all that wait; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._cancelled)
            if self._gather_s:
                self._gather()
            if self._cancelled:
                return None
            count = min(len(self._queue), MOST_AT_ONCE) if self._batch else 1
            messages = [self._queue.popleft() for _ in range(count)]
            self._changed.notify_all()
            return messages

    def _gather(self) -> None:
        """Let more come, until so long after the list before was taken; not where a publisher waits for room."""
        remaining_s = self._not_before_s - time.monotonic()
        if remaining_s > 0:
            self._changed.wait_for(lambda: len(self._queue) >= self._enough or self._cancelled, remaining_s)
        self._not_before_s = time.monotonic() + self._gather_s


class _DirectSubscriber(_Subscriber):
    """Handles on the publisher's thread."""

    def start(self) -> None:
        """Nothing runs."""

    def put(self, message: Message, *, may_wait: bool) -> None:
        if not self._cancelled:
            self._handle([message])

    def cancel(self) -> None:
        self._bus._remove(self)
        self._cancelled = True
