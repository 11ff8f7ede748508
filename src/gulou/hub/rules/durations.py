"""Durations as people write them in rules: ``500ms``, ``30s``, ``5m``, ``1.5h``, ``7d``."""

from __future__ import annotations

import re

from gulou.kernel.errors import Invalid

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h|d)$")
_UNIT_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_LONGEST_US = 3_660 * 86_400_000_000


def read_duration_us(text: object) -> int:
    """Read a duration of at most ten years, in µs.

    Raises:
        Invalid: ``rules.duration_unreadable``.
    """
    found = _DURATION.match(str(text))
    microseconds = round(float(found[1]) * _UNIT_US[found[2]]) if found else -1
    if not 0 <= microseconds <= _LONGEST_US:
        raise Invalid("rules.duration_unreadable", value=str(text))
    return microseconds


def write_duration(microseconds: int) -> str:
    """Write with the largest unit that is not a fraction: ``90s``, ``2h``."""
    for unit in ("d", "h", "m", "s"):
        if microseconds and microseconds % _UNIT_US[unit] == 0:
            return f"{microseconds // _UNIT_US[unit]}{unit}"
    return f"{microseconds / 1_000:g}ms"
