"""A bus without threads, for stories and tests: everything is handled before ``publish`` returns."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from gulou.connectivity.bus.delivery import deliver
from gulou.connectivity.bus.model import SubscriberStatus
from gulou.connectivity.bus.ports import Handler, M, Message
from gulou.kernel.errors import Unavailable


class MemoryBus:
    """Delivers on the publisher's thread, in the order of publication.

    What a handler publishes waits until the present message has reached every subscriber; what another thread
    publishes meanwhile is delivered by the thread that is delivering already. Queues therefore never fill, and
    ``bound``, ``lossless`` and ``gather_s`` have no effect, and lists have one message each.
    """

    def __init__(self) -> None:
        self._subscribers: tuple[_Listener, ...] = ()
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._delivering = False
        self._closed = False

    def publish(self, message: Message) -> None:
        with self._changed:
            if self._closed:
                return
            self._queue.append(message)
            if self._delivering:
                return
            self._delivering = True
        self._deliver()

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
    ) -> _Listener:
        listener = _Listener(self, kind, handler, name=name, bound=bound, lossless=lossless, batch=batch)
        with self._changed:
            if self._closed:
                raise Unavailable("bus.closed", subscriber=name)
            self._subscribers = (*self._subscribers, listener)
        return listener

    def hears(self, kind: type[Message]) -> bool:
        return any(issubclass(kind, listener.kind) for listener in self._subscribers)

    def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until another thread that is delivering has done so.

        Raises:
            Unavailable: ``bus.not_drained`` after ``timeout_s``.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._delivering, timeout_s):
                raise Unavailable("bus.not_drained", timeout_s=timeout_s, waiting=len(self._queue))

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._subscribers = ()
            self._queue.clear()

    def status(self) -> list[SubscriberStatus]:
        """Return the counters of every live subscriber."""
        return [listener.status() for listener in self._subscribers]

    def _deliver(self) -> None:
        while (message := self._take()) is not None:
            for listener in self._subscribers:
                if isinstance(message, listener.kind) and not listener.cancelled:
                    listener.take(message)

    def _take(self) -> Message | None:
        with self._changed:
            if self._queue:
                return self._queue.popleft()
            self._delivering = False
            self._changed.notify_all()
            return None

    def _remove(self, gone: _Listener) -> None:
        with self._changed:
            self._subscribers = tuple(listener for listener in self._subscribers if listener is not gone)


class _Listener:
    def __init__(
        self, bus: MemoryBus, kind: type[Any], handler: Handler, *, name: str, bound: int, lossless: bool, batch: bool
    ) -> None:
        self.kind = kind
        self.cancelled = False
        self._bus = bus
        self._handler = handler
        self._name = name
        self._bound = bound
        self._lossless = lossless
        self._batch = batch
        self._delivered = self._failed = 0
        self._last_error: str | None = None

    def take(self, message: Message) -> None:
        error = deliver(self._name, self._handler, [message] if self._batch else message)
        if error is None:
            self._delivered += 1
        else:
            self._failed += 1
            self._last_error = error

    def cancel(self) -> None:
        self.cancelled = True
        self._bus._remove(self)

    def status(self) -> SubscriberStatus:
        return SubscriberStatus(
            name=self._name,
            kind=self.kind.__name__,
            delivered=self._delivered,
            failed=self._failed,
            queued=0,
            dropped=0,
            bound=self._bound,
            lossless=self._lossless,
            last_error=self._last_error,
            batches=self._delivered if self._batch else 0,
        )
