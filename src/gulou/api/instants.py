"""Spans of time as they are asked for."""

from __future__ import annotations

import re
from datetime import datetime

from gulou.kernel import SECOND_US, Invalid, to_rfc3339, to_us

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def to_span_us(start: datetime | None, end: datetime | None) -> tuple[int | None, int | None]:
    """Convert the ends of a span to µs UTC.

    Raises:
        Invalid: ``request.bad_span`` where it ends before it begins.
    """
    from_us = to_us(start) if start is not None else None
    until_us = to_us(end) if end is not None else None
    if from_us is not None and until_us is not None and until_us <= from_us:
        raise Invalid("request.bad_span", **{"from": to_rfc3339(from_us), "to": to_rfc3339(until_us)})
    return from_us, until_us


def to_instant_us(moment: datetime | None) -> int | None:
    """Convert an instant that may be left out."""
    return to_us(moment) if moment is not None else None


def duration_us(text: str) -> int:
    """Read ``24h``, ``15m``, ``7d``; the caller has checked the pattern ``[0-9]+[smhdw]``."""
    number, unit = re.fullmatch(r"(\d+)([smhdw])", text, re.ASCII).groups()  # type: ignore[union-attr]
    return int(number) * _UNITS_S[unit] * SECOND_US
