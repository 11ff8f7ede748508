"""Time: one clock for the product, one for stories and tests.

Inside Gulou an instant is an ``int``: microseconds since 1970-01-01T00:00:00Z (no leap seconds), named ``*_us``.
At the edges it is an aware ``datetime`` in UTC, or RFC 3339 text.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from gulou.kernel.errors import Invalid

SECOND_US = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Where a component reads the time; never ``time.time()`` directly."""

    def now_us(self) -> int:
        """Return microseconds since the Unix epoch, UTC."""


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000


class VirtualClock:
    """A clock that moves only when told; for stories, replays and tests."""

    def __init__(self, start_us: int = 0) -> None:
        self._now_us = start_us

    def now_us(self) -> int:
        return self._now_us

    def advance(self, seconds: float) -> None:
        """Move forward; a story never goes back."""
        self.set_us(self._now_us + round(seconds * SECOND_US))

    def set_us(self, now_us: int) -> None:
        """Move to an instant that is not before the present one."""
        if now_us < self._now_us:
            raise Invalid("clock.backwards", now=to_rfc3339(self._now_us), asked=to_rfc3339(now_us))
        self._now_us = now_us


def to_us(moment: datetime) -> int:
    """Convert an aware datetime; exact to the microsecond."""
    if moment.tzinfo is None:
        raise Invalid("time.zone_missing", value=moment.isoformat())
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * SECOND_US + since.microseconds


def from_us(instant_us: int) -> datetime:
    """Convert to an aware UTC datetime."""
    return _EPOCH + timedelta(microseconds=instant_us)


def to_rfc3339(instant_us: int) -> str:
    """Write as RFC 3339 in UTC: ``2026-07-01T08:00:00Z``, with six decimals only where they are not zero."""
    text = from_us(instant_us).isoformat(timespec="microseconds" if instant_us % SECOND_US else "seconds")
    return text.replace("+00:00", "Z")


def from_rfc3339(text: str, zone: ZoneInfo | None = None) -> int:
    """Read RFC 3339 or ISO 8601 text; a text without a zone needs ``zone``, else it is refused.

    Raises:
        Invalid: ``time.unreadable`` or ``time.zone_missing``.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("time.unreadable", value=text) from None
    if moment.tzinfo is None and zone is not None:
        moment = moment.replace(tzinfo=zone)
    return to_us(moment)
