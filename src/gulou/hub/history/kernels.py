"""Loops over rows that NumPy cannot say, compiled where that is possible; off the interpreter's lock."""

from __future__ import annotations

from typing import Any

import numpy as np

from gulou.kernel.compiled import compiled

NEVER_US = -(2**63)
"""Time of a series without a reading."""


@compiled(
    "int64(int32[::1], int64[::1], float64[::1], int64[::1], float64[::1], int8[::1])",
    "int64(Array(int32, 1, 'C', readonly=True), Array(int64, 1, 'C', readonly=True), "
    "Array(float64, 1, 'C', readonly=True), int64[::1], float64[::1], int8[::1])",
)
def mark_rows(series: Any, at_us: Any, value: Any, newest_us: Any, newest: Any, late: Any) -> Any:
    """Set ``late`` to 2 for each row that is not newer than all of its series before it, else 0; keep the newest.

    Args:
        series, at_us, value: (n,), in the order of the log.
        newest_us, newest: (series,), time and value of the newest reading of each series; changed.
        late: (n,), filled.

    Returns:
        How many are late.
    """
    count = 0
    for row in range(len(series)):
        number = series[row]
        known = newest_us[number]
        if at_us[row] > known:
            late[row] = 0
            newest_us[number] = at_us[row]
            newest[number] = value[row]
        else:
            late[row] = 2
            count += 1
            if at_us[row] == known:
                newest[number] = value[row]
    return count


@compiled("int64(int32[::1], int64[::1], int64, int64[::1])", makes_arrays=True)
def order_rows(rank: Any, at_us: Any, ranks: int, order: Any) -> Any:
    """Order rows by rank, then time; of one rank and time only the last row stays.

    Args:
        rank: (n,), from 0 up to ``ranks``, exclusive.
        order: (n,), filled from the front with row numbers.

    Returns:
        How many rows stay.
    """
    n = len(rank)
    begin = np.zeros(ranks + 1, np.int64)
    for row in range(n):
        begin[rank[row] + 1] += 1
    for one in range(ranks):
        begin[one + 1] += begin[one]
    place = begin[:ranks].copy()
    for row in range(n):
        one = rank[row]
        order[place[one]] = row
        place[one] += 1
    kept = 0
    for one in range(ranks):
        low, high = begin[one], begin[one + 1]
        if high == low:
            continue
        sorted_already = True
        for spot in range(low + 1, high):
            if at_us[order[spot]] < at_us[order[spot - 1]]:
                sorted_already = False
                break
        if not sorted_already:
            segment = order[low:high].copy()
            by_time = np.argsort(at_us[segment], kind="mergesort")
            for spot in range(high - low):
                order[low + spot] = segment[by_time[spot]]
        for spot in range(low, high):
            if spot + 1 < high and at_us[order[spot + 1]] == at_us[order[spot]]:
                continue
            order[kept] = order[spot]
            kept += 1
    return kept


@compiled(
    "int64(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int8[::1], int64[::1], int64[::1])",
    "int64(int64[::1], int64[::1], int64[::1], Array(int64, 1, 'C', readonly=True), "
    "Array(int64, 1, 'C', readonly=True), Array(int8, 1, 'C', readonly=True), int64[::1], int64[::1])",
    makes_arrays=True,
)
def merge_runs(
    start: Any, length: Any, group: Any, at_us: Any, sequence: Any, late: Any, order: Any, out_group: Any
) -> Any:
    """Put runs of rows that are each sorted by time together, by group and time; a reading later in the log wins.

    Args:
        start, length, group: (runs,), sorted by group.
        at_us, sequence, late: (n,); of one group and time, the greatest (sequence, late) stays alone.
        order, out_group: (n,), filled from the front: row numbers, and the group of each.

    Returns:
        How many rows stay.
    """
    kept = 0
    runs = len(start)
    run = 0
    while run < runs:
        this = group[run]
        first = kept
        in_order = True
        before = np.int64(0)
        while run < runs and group[run] == this:
            for row in range(start[run], start[run] + length[run]):
                if kept > first and at_us[row] <= before:
                    in_order = False
                before = at_us[row]
                order[kept] = row
                kept += 1
            run += 1
        if not in_order:
            segment = order[first:kept].copy()
            segment = segment[np.argsort(late[segment], kind="mergesort")]
            segment = segment[np.argsort(sequence[segment], kind="mergesort")]
            segment = segment[np.argsort(at_us[segment], kind="mergesort")]
            last = kept - first
            kept = first
            for spot in range(last):
                if spot + 1 < last and at_us[segment[spot + 1]] == at_us[segment[spot]]:
                    continue
                order[kept] = segment[spot]
                kept += 1
        for spot in range(first, kept):
            out_group[spot] = this
    return kept


@compiled(
    "int64(int64[::1], int64[::1], float64[::1], boolean[::1], int64, "
    "int64[::1], int64[::1], int64[::1], int64[::1], float64[::1], float64[::1], float64[::1], int64[::1], int64[::1])"
)
def roll_up(
    group: Any,
    at_us: Any,
    value: Any,
    numeric: Any,
    unit_us: int,
    first_row: Any,
    time_us: Any,
    count: Any,
    numbers: Any,
    total: Any,
    least: Any,
    most: Any,
    first: Any,
    last: Any,
) -> Any:
    """Gather sorted rows into steps of ``unit_us``, one for each group and step that has rows.

    Args:
        group, at_us, value, numeric: (n,), sorted by group, then time; ``numeric`` False where there is no number.
        first_row … last: (n,), filled from the front, one entry a step: its first row; its start; how many rows; how
            many numbers, their sum, least and greatest; rows of the first and the last number (-1: none).

    Returns:
        How many steps.
    """
    steps = 0
    before = np.int64(0)
    for row in range(len(group)):
        start = at_us[row] - at_us[row] % unit_us
        if row == 0 or group[row] != before or start != time_us[steps - 1]:
            first_row[steps] = row
            time_us[steps] = start
            count[steps] = 0
            numbers[steps] = 0
            total[steps] = 0.0
            least[steps] = np.inf
            most[steps] = -np.inf
            first[steps] = -1
            last[steps] = -1
            steps += 1
        before = group[row]
        at = steps - 1
        count[at] += 1
        if numeric[row]:
            number = value[row]
            numbers[at] += 1
            total[at] += number
            least[at] = min(least[at], number)
            most[at] = max(most[at], number)
            if first[at] < 0:
                first[at] = row
            last[at] = row
    return steps
