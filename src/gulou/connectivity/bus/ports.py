"""Upward traffic: a lower layer publishes what has happened, a higher one subscribes. Never an import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec

from gulou.connectivity.bus.model import SubscriberStatus

_kinds: dict[str, type[Message]] = {}


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every bus message: a past-tense name, frozen, declared below both of its sides.

    Every kind is known by name once its module is imported (``message_kinds``), and holds only what MessagePack can
    carry, so that it can go to another process (``encode_message``).

    Args:
        at_us: when it happened, µs since the Unix epoch, UTC.
    """

    at_us: int

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        _kinds[name_of(cls)] = cls


def name_of(kind: type[Message]) -> str:
    """Return the name under which a kind of message travels: its module and class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def message_kinds() -> dict[str, type[Message]]:
    """Return every kind of message whose module is imported, by name."""
    return dict(_kinds)


M = TypeVar("M", bound=Message)
Handler = Callable[[Any], Any]


class Subscription(Protocol):
    """A live subscription."""

    def cancel(self) -> None:
        """Stop; messages still queued are discarded."""

    def status(self) -> SubscriberStatus:
        """Return its counters."""


class Bus(Protocol):
    """Delivers each message to every subscriber of its type, in order per subscriber.

    Each subscriber has its own bounded queue and its own thread, so that a slow one hurts nobody; its counters
    (delivered, failed, queued, dropped) are on the operations page. A handler that raises is logged and counted,
    and gets the next message.
    """

    def publish(self, message: Message) -> None:
        """Hand over; returns at once unless a ``lossless`` subscriber's queue is full, then waits for room."""

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
    ) -> Subscription:
        """Register a plain (not async) handler.

        Args:
            handler: takes a message, or with ``batch`` a list of them.
            bound: messages that may wait. When full: ``lossless`` makes the publisher wait, otherwise the oldest
                waiting message is dropped and counted (for live views, and for who can ask for what it missed).
            batch: give all that wait in one list, at most ``MOST_AT_ONCE``, in order. A list that fails is given again
                message by message, so that a bad one does not take the others with it: the handler must not mind
                what it had taken already.
            direct: call the handler on the publisher's thread, before ``publish`` returns; for what takes microseconds
                and must not wait for a thread to wake. Nothing queues; ``bound`` and ``lossless`` have no effect.
            gather_s: of a ``batch`` subscriber: what comes within so long after a list was handed over waits, and goes
                in the next one. What comes after a pause goes at once. For handlers whose cost is by the list.
        """

    def hears(self, kind: type[Message]) -> bool:
        """Say whether anybody subscribes to a kind; for who would have to gather a message first."""

    def drain(self, timeout_s: float = 30.0) -> None:
        """Wait until everything published so far, and what its handlers published, has been handled."""

    def close(self) -> None: ...
