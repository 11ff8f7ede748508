"""RFC 3339 times for kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled
from gulou.sensing.sdk.columns.table import BYTES

NOT_A_TIME = -(2**63)


@compiled(f"int64({BYTES}, int64, int64)")
def _digits(data: NDArray[np.uint8], begin: int, end: int) -> int:
    """Return the number that the digits make, or -1 where one is none."""
    number = 0
    for at in range(begin, end):
        if data[at] < 48 or data[at] > 57:
            return -1
        number = number * 10 + int(np.int64(data[at])) - 48
    return number


@compiled("int64(int64, int64, int64)")
def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1970-01-01 of a Gregorian date, or ``NOT_A_TIME`` where there is no such date."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if year < 1 or month < 1 or month > 12 or day < 1:
        return NOT_A_TIME
    length = 31
    if month == 2:
        length = 29 if leap else 28
    elif month in (4, 6, 9, 11):
        length = 30
    if day > length:
        return NOT_A_TIME
    # Years begin in March here, so that the leap day is a year's last.
    shifted = year - 1 if month <= 2 else year
    months = month + 9 if month <= 2 else month - 3
    of_year = (153 * months + 2) // 5 + day - 1
    return shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + of_year - 719_468


@compiled(f"int64({BYTES}, int64, int64)")
def parse_rfc3339(data: NDArray[np.uint8], begin: int, end: int) -> int:
    """Read ``2026-07-01T08:00:00Z``, with up to six decimals and with ``±hh:mm`` in place of ``Z``.

    Returns:
        µs since the Unix epoch, UTC, as ``kernel.clock.from_rfc3339`` gives it; ``NOT_A_TIME`` for all else, which is
        left to that function: it reads more forms, and says what is wrong.

    Source: RFC 3339 §5.6
    """
    if end - begin < 20 or end - begin > 32:
        return NOT_A_TIME
    separator = data[begin + 10]
    if (
        data[begin + 4] != 45
        or data[begin + 7] != 45
        or separator not in (84, 32)
        or data[begin + 13] != 58
        or data[begin + 16] != 58
    ):
        return NOT_A_TIME
    year, month, day = (
        _digits(data, begin, begin + 4),
        _digits(data, begin + 5, begin + 7),
        _digits(data, begin + 8, begin + 10),
    )
    hour, minute, second = (
        _digits(data, begin + 11, begin + 13),
        _digits(data, begin + 14, begin + 16),
        _digits(data, begin + 17, begin + 19),
    )
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return NOT_A_TIME
    days = _days(year, month, day)
    if days == NOT_A_TIME:
        return NOT_A_TIME
    at = begin + 19
    micros = 0
    if data[at] == 46:
        at += 1
        start = at
        while at < end and 48 <= data[at] <= 57:
            at += 1
        if at == start or at > start + 6:
            return NOT_A_TIME
        micros = _digits(data, start, at)
        for _ in range(6 - (at - start)):
            micros *= 10
    if at >= end:
        return NOT_A_TIME
    offset_s = 0
    if data[at] == 90:
        if at + 1 != end:
            return NOT_A_TIME
    elif data[at] == 43 or data[at] == 45:
        if at + 6 != end or data[at + 3] != 58:
            return NOT_A_TIME
        hours, minutes = _digits(data, at + 1, at + 3), _digits(data, at + 4, at + 6)
        if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
            return NOT_A_TIME
        offset_s = hours * 3_600 + minutes * 60
        if data[at] == 45:
            offset_s = -offset_s
    else:
        return NOT_A_TIME
    seconds = days * 86_400 + hour * 3_600 + minute * 60 + second - offset_s
    return seconds * 1_000_000 + micros
