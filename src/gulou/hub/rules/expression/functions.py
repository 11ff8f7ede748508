"""The functions that expressions may call. Every one of them takes None for unknown and gives None for unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Samples = tuple[Sequence[int], Sequence[float]]


def known(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a plain function answer None when an argument is None or the result does not exist."""

    def answer(*arguments: Any) -> Any:
        if any(argument is None for argument in arguments):
            return None
        try:
            result = function(*arguments)
        except (ArithmeticError, ValueError, TypeError):
            return None
        if isinstance(result, float) and not math.isfinite(result):
            return None
        return result

    return answer


def _sql_round(number: float, decimals: float = 0) -> float:
    """Round half away from zero, as SQL does (Python rounds half to even)."""
    scale = 10.0 ** int(decimals)
    return math.copysign(math.floor(abs(number) * scale + 0.5) / scale, number)


SCALAR: dict[str, tuple[Callable[..., Any], int, int, str, str]] = {
    # name: (function, fewest and most arguments, type of the arguments, type of the result)
    "ABS": (known(abs), 1, 1, "num", "num"),
    "ROUND": (known(_sql_round), 1, 2, "num", "num"),
    "FLOOR": (known(lambda x: float(math.floor(x))), 1, 1, "num", "num"),
    "CEIL": (known(lambda x: float(math.ceil(x))), 1, 1, "num", "num"),
    "SQRT": (known(math.sqrt), 1, 1, "num", "num"),
    "LN": (known(math.log), 1, 1, "num", "num"),
    "EXP": (known(math.exp), 1, 1, "num", "num"),
    "POWER": (known(math.pow), 2, 2, "num", "num"),
    "LOWER": (known(lambda text: text.lower()), 1, 1, "text", "text"),
    "UPPER": (known(lambda text: text.upper()), 1, 1, "text", "text"),
    "LENGTH": (known(lambda text: float(len(text))), 1, 1, "text", "num"),
}


def least(*values: Any) -> Any:
    """Return the smallest of what is known."""
    there = [value for value in values if value is not None]
    return min(there) if there else None


def greatest(*values: Any) -> Any:
    """Return the largest of what is known."""
    there = [value for value in values if value is not None]
    return max(there) if there else None


def coalesce(*values: Any) -> Any:
    """Return the first that is known."""
    return next((value for value in values if value is not None), None)


def nullif(value: Any, other: Any) -> Any:
    """Return unknown where the two are equal."""
    return None if value == other else value


def mean(samples: Samples) -> float | None:
    """Return the arithmetic mean, independent of the order of arrival."""
    values = samples[1]
    return math.fsum(values) / len(values) if values else None


def total(samples: Samples) -> float | None:
    values = samples[1]
    return math.fsum(values) if values else None


def lowest(samples: Samples) -> float | None:
    return min(samples[1], default=None)


def highest(samples: Samples) -> float | None:
    return max(samples[1], default=None)


def count(samples: Samples) -> float:
    return float(len(samples[1]))


def spread(samples: Samples) -> float | None:
    """Return highest less lowest."""
    values = samples[1]
    return max(values) - min(values) if values else None


def last(samples: Samples) -> float | None:
    return samples[1][-1] if samples[1] else None


def change(samples: Samples) -> float | None:
    """Return newest less oldest; unknown with fewer than two readings."""
    values = samples[1]
    return values[-1] - values[0] if len(values) > 1 else None


def rate(samples: Samples, per_us: int, minimum_span_us: int) -> float | None:
    """Return the change per ``per_us`` between the oldest and the newest reading.

    Unknown while the two are less than ``minimum_span_us`` apart: two readings in quick succession make no spike.
    """
    times, values = samples
    if len(times) < 2 or times[-1] - times[0] < max(minimum_span_us, 1):
        return None
    return (values[-1] - values[0]) * per_us / (times[-1] - times[0])


AGGREGATES: dict[str, Callable[[Samples], float | None]] = {
    "mean": mean,
    "min": lowest,
    "max": highest,
    "sum": total,
    "count": count,
    "range": spread,
    "last": last,
}
OVER: dict[str, Callable[[Samples], float | None]] = {
    "mean_over": mean,
    "min_over": lowest,
    "max_over": highest,
    "sum_over": total,
    "count_over": count,
}
