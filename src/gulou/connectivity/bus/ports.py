"""Upward traffic: a lower layer publishes what has happened, a higher one subscribes. Never an import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every bus message: a past-tense name, frozen, declared below both of its sides.

    Args:
        at_us: when it happened, µs since the Unix epoch, UTC.
    """

    at_us: int


M = TypeVar("M", bound=Message)


class Subscription(Protocol):
    """A live subscription."""

    def cancel(self) -> None:
        """Stop; messages still queued are discarded."""


class Bus(Protocol):
    """Delivers each message to every subscriber of its type, in order per subscriber.

    Each subscriber has its own bounded queue and its own thread, so that a slow one hurts nobody; its counters
    (delivered, failed, queued, dropped) are on the operations page. A handler that raises is logged and counted,
    and gets the next message.
    """

    def publish(self, message: Message) -> None:
        """Hand over; returns at once unless a ``lossless`` subscriber's queue is full, then waits for room."""

    def subscribe(
        self, kind: type[M], handler: Callable[[M], Any], *, name: str, bound: int = 10_000, lossless: bool = True
    ) -> Subscription:
        """Register a plain (not async) handler.

        Args:
            bound: messages that may wait. When full: ``lossless`` makes the publisher wait, otherwise the oldest
                waiting message is dropped and counted (for live views).
        """

    def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until everything published so far, and what its handlers published, has been handled."""

    def close(self) -> None: ...
