"""What the operations page knows about a subscriber, and about what is done by the clock."""

from __future__ import annotations

import msgspec


class SubscriberStatus(msgspec.Struct, frozen=True):
    """One subscriber's counters since the start.

    Args:
        kind: name of the message type that it asked for.
        delivered: handled without an error.
        failed: the handler raised; the message is not given again.
        queued: waiting now.
        dropped: given up because the queue of a ``lossless=False`` subscriber was full.
        most_queued: the longest that the queue has been.
        batches: lists handed over to a ``batch`` subscriber.
        last_error: type name of the newest failure; None if there was none.
    """

    name: str
    kind: str
    delivered: int
    failed: int
    queued: int
    dropped: int
    bound: int
    lossless: bool
    last_error: str | None = None
    most_queued: int = 0
    batches: int = 0


class TimerStatus(msgspec.Struct, frozen=True):
    """How what a part does about once a second fares.

    Args:
        part: ``rules``, ``commands`` …; in another process with that one's name before it.
        done: how often it came through.
        failed: how often it raised; it is tried again a second later.
        problem: of the last time, code or type name; None: it came through.
    """

    part: str
    done: int
    failed: int
    problem: str | None = None
