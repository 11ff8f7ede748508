"""Time steps in a civil time zone, worked out to UTC edges once, so that rows are compared as plain integers.

Steps shorter than a day run in elapsed time from each local midnight: a day of 23 or 25 hours has 23 or 25 steps of an
hour, and every day starts a step. Days, weeks (from Monday), months and years begin at local midnight; where a zone
skips midnight itself, at the first instant that exists.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from gulou.kernel.clock import SECOND_US, from_us, to_us
from gulou.kernel.errors import Invalid

DAY_S = 86_400
_SECONDS = {"s": 1, "m": 60, "h": 3_600}
_PATTERN = re.compile(r"([0-9]{1,5})(s|m|h|d|w|mo|y)")
_MONDAY = date(1970, 1, 5)


class Every(msgspec.Struct, frozen=True):
    """A step: so many seconds within a day, days, weeks or months."""

    unit: Literal["second", "day", "week", "month"]
    count: int


def parse_every(text: str) -> Every:
    """Read ``15m``, ``1h``, ``1d``, ``2w``, ``1mo``, ``1y``.

    Raises:
        Invalid: ``history.every``: not of that form, zero, or a part of a day that does not divide it.
    """
    match = _PATTERN.fullmatch(text)
    if match is None or int(match[1]) == 0:
        raise Invalid("history.every", value=text)
    count, unit = int(match[1]), match[2]
    if unit in _SECONDS:
        seconds = count * _SECONDS[unit]
        if DAY_S % seconds:
            raise Invalid("history.every", value=text)
        return Every("day", 1) if seconds == DAY_S else Every("second", seconds)
    if unit in {"mo", "y"}:
        return Every("month", count if unit == "mo" else 12 * count)
    return Every("day" if unit == "d" else "week", count)


def get_zone(name: str) -> ZoneInfo:
    """Return a zone of the IANA database; Invalid ``history.zone``."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid("history.zone", zone=name) from error


def bucket_edges(every: Every, zone: ZoneInfo, from_us: int, to_us: int, *, limit: int) -> list[int]:
    """Return the starts of every step that touches [from_us, to_us), growing; the first is at or before ``from_us``.

    Raises:
        Invalid: ``history.too_many_steps``: more than ``limit``.
    """
    edges: list[int] = []
    day = _first_day(every, from_us, zone)
    start = _midnight_us(day, zone)
    while start < to_us:
        following = _next_day(every, day)
        end = _midnight_us(following, zone)
        if every.unit == "second":
            step_us = every.count * SECOND_US
            first = start + max(0, (from_us - start) // step_us) * step_us
            edges.extend(range(first, min(end, to_us), step_us))
        elif end > start:  # a zone may leave out a whole day (Apia, 2011-12-30)
            edges.append(start)
        if len(edges) > limit:
            raise Invalid("history.too_many_steps", limit=limit)
        day, start = following, end
    return edges


def _first_day(every: Every, instant_us: int, zone: ZoneInfo) -> date:
    day = from_us(instant_us).astimezone(zone).date()
    if every.unit == "month":
        month = (day.year * 12 + day.month - 1) // every.count * every.count
        return date(max(month // 12, 1), month % 12 + 1, 1)
    if every.unit == "second":
        return day
    days = every.count * (7 if every.unit == "week" else 1)
    origin = _MONDAY if every.unit == "week" else date(1970, 1, 1)
    return origin + timedelta((day - origin).days // days * days)


def _next_day(every: Every, day: date) -> date:
    if every.unit == "month":
        month = day.year * 12 + day.month - 1 + every.count
        return date(month // 12, month % 12 + 1, 1)
    if every.unit == "week":
        return day + timedelta(7 * every.count)
    return day + timedelta(every.count if every.unit == "day" else 1)


def _midnight_us(day: date, zone: ZoneInfo) -> int:
    """Return when a local day begins; fold 0 is the first of two midnights, and the gap's end for a skipped one."""
    local = datetime(day.year, day.month, day.day, tzinfo=zone)
    utc = local.astimezone(UTC)
    if utc.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        return _gap_end_us(utc, day, zone)
    return to_us(utc)


def _gap_end_us(guess: datetime, day: date, zone: ZoneInfo) -> int:
    """Find, to the second, the first instant whose local date is ``day`` or later, near ``guess``."""
    low, high = guess - timedelta(days=2), guess + timedelta(days=2)
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle.astimezone(zone).date() >= day:
            high = middle
        else:
            low = middle
    return to_us(high)
