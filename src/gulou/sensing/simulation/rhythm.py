"""The city's day: how its people and its sun move through 24 hours. Hours are local (Asia/Shanghai, UTC+8)."""

from __future__ import annotations

import math

from gulou.kernel.clock import SECOND_US

_UTC_OFFSET_S = 8 * 3_600
_DAY_S = 86_400


def local_hour(now_us: int) -> float:
    """Return the local hour of the day, 0 up to 24."""
    return ((now_us // SECOND_US + _UTC_OFFSET_S) % _DAY_S) / 3_600


def is_weekend(now_us: int) -> bool:
    """Tell whether the local day is a Saturday or a Sunday (1970-01-01 was a Thursday)."""
    return ((now_us // SECOND_US + _UTC_OFFSET_S) // _DAY_S + 3) % 7 >= 5


def bump(hour: float, at: float, width: float) -> float:
    """Return a bell around an hour of the day, 1 at its top, wrapping at midnight."""
    distance = abs(hour - at)
    distance = min(distance, 24 - distance)
    return math.exp(-((distance / width) ** 2))


def traffic_demand(now_us: int) -> float:
    """Return how busy the roads are, about 0.08 (night) to 1 (rush hours)."""
    hour = local_hour(now_us)
    if is_weekend(now_us):
        return 0.08 + 0.55 * bump(hour, 11, 3) + 0.6 * bump(hour, 17, 3.5)
    return 0.08 + 0.85 * bump(hour, 8, 1.3) + 0.5 * bump(hour, 12.8, 3) + 0.9 * bump(hour, 18, 1.6)


def presence(now_us: int, purpose: str) -> float:
    """Return how full places of a purpose are, 0 to 1: ``work``, ``home`` or ``leisure``."""
    hour = local_hour(now_us)
    weekend = is_weekend(now_us)
    match purpose:
        case "work":
            busy = 0.05 + 0.8 * max(bump(hour, 10, 2.2), bump(hour, 15.2, 2.6))
            return busy * (0.35 if weekend else 1.0)
        case "home":
            return 0.8 - (0.25 if weekend else 0.52) * max(bump(hour, 10.5, 3), bump(hour, 15, 3))
        case _:
            return 0.06 + (0.9 if weekend else 0.6) * max(bump(hour, 14, 2.5), bump(hour, 19.3, 2.0))


def daylight(now_us: int) -> float:
    """Return the daylight, 0 at night to 1 at noon."""
    return max(0.0, math.sin((local_hour(now_us) - 6) / 12 * math.pi))
