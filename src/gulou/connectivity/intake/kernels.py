"""The row loops of the door, compiled (``kernel/compiled.py``): clock and range checks, and the memory of duplicates.

The memory is an array of (time, value) and two open-addressing tables of (number of series + 1 or 0, time, value), all
int64; a value is the bits of its float64 (a digest for what is no number). Linear probing, a power of two of places,
never full.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled

I32 = "Array(int32, 1, 'C', True)"
I64 = "Array(int64, 1, 'C', True)"
F64 = "Array(float64, 1, 'C', True)"

UNSEEN = -(2**63)
"""The time of a series of which nothing is known."""

NEWS, DUPLICATE, CORRECTED, LATE_NEWS = 0, 1, 2, 3

MOVED, REPLACED, FILED = 1, 2, 3
"""What a line of the journal takes back: a newer reading; another value of the newest; a late reading."""

JOURNAL_WIDTH = 6


@compiled(f"int64({I32}, {I64}, {F64}, {I32}, {F64}, {F64}, int64, int64, uint8[::1])")
def screen_rows(
    series: NDArray[np.int32],
    at_us: NDArray[np.int64],
    value: NDArray[np.float64],
    kind_of: NDArray[np.int32],
    lowest: NDArray[np.float64],
    highest: NDArray[np.float64],
    earliest_us: int,
    latest_us: int,
    passed: NDArray[np.uint8],
) -> int:
    """Set ``passed`` to 1 for rows in time and in range; return how many are not.

    Args:
        kind_of: by number of series, an index into the limits.
        lowest, highest: by kind; NaN where nothing is known or the property is no plain number.
    """
    known, kinds = len(kind_of), len(lowest)
    failed = 0
    for row in range(len(series)):
        number = int(series[row])
        sound = False
        if 0 <= number < known:
            kind = int(kind_of[number])
            if kind < kinds:
                in_range = lowest[kind] <= value[row] <= highest[kind]
                sound = in_range and earliest_us <= at_us[row] <= latest_us
        if sound:
            passed[row] = 1
        else:
            passed[row] = 0
            failed += 1
    return failed


@compiled("int64(int64, int64, int64)")
def place_of(number: int, at_us: int, mask: int) -> int:
    """Return where a key's search begins. No step leaves 63 bits, so that plain Python gives the same."""
    mixed = (
        (at_us & 0x7FFFFFFF) * 0x2545F491
        + ((at_us >> 31) & 0x7FFFFFFF) * 0x1B873593
        + (number & 0x7FFFFFFF) * 0x27D4EB2F
    )
    mixed = ((mixed ^ (mixed >> 29)) & 0x7FFFFFFF) * 0x165667B1
    return (mixed >> 24) & mask


@compiled("int64(int64[:, ::1], int64, int64)")
def find_place(table: NDArray[np.int64], number: int, at_us: int) -> int:
    """Return the place of a key, or ``-1 - place`` of the empty one where it would go."""
    mask = len(table) - 1
    place = place_of(number, at_us, mask)
    while True:
        owner = table[place, 0]
        if owner == 0:
            return -1 - place
        if owner == number + 1 and table[place, 1] == at_us:
            return place
        place = (place + 1) & mask


@compiled("int64(int64[:, ::1], int64, int64, int64, int64[:, ::1], int64)")
def file_older(
    table: NDArray[np.int64], number: int, at_us: int, word: int, journal: NDArray[np.int64], line: int
) -> int:
    """Put or replace a key's value and note in the journal's line what was there; return 1 when the key is new."""
    place = find_place(table, number, at_us)
    if place >= 0:
        journal[line, 4] = 1
        journal[line, 5] = table[place, 2]
        table[place, 2] = word
        return 0
    place = -1 - place
    table[place, 0] = number + 1
    table[place, 1] = at_us
    table[place, 2] = word
    journal[line, 4] = 0
    journal[line, 5] = 0
    return 1


@compiled(
    f"void({I32}, {I64}, {I64}, int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1], uint8[::1])"
)
def note_rows(
    series: NDArray[np.int32],
    at_us: NDArray[np.int64],
    words: NDArray[np.int64],
    newest: NDArray[np.int64],
    young: NDArray[np.int64],
    old: NDArray[np.int64],
    journal: NDArray[np.int64],
    counts: NDArray[np.int64],
    verdicts: NDArray[np.uint8],
) -> None:
    """Remember rows in their order, and say of each what it is (``NEWS`` …).

    Args:
        newest: (series, 2): time and value.
        young, old: the tables; ``young`` has room for all rows.
        journal: (lines, 6): what was done, series, time and value before, whether a filed key was there, and its value.
        counts: lines used in the journal, keys in ``young``; both are moved on.
    """
    line, filed = counts[0], counts[1]
    for row in range(len(series)):
        number, time, word = int(series[row]), at_us[row], words[row]
        newest_at, newest_word = newest[number, 0], newest[number, 1]
        if time == newest_at and word == newest_word:
            verdicts[row] = DUPLICATE
            continue
        verdict, done = NEWS, MOVED
        if time == newest_at:
            verdict, done = CORRECTED, REPLACED
            newest[number, 1] = word
        elif time > newest_at:
            if newest_at != UNSEEN:
                filed += file_older(young, number, newest_at, newest_word, journal, line)
            newest[number, 0] = time
            newest[number, 1] = word
        else:
            verdict, done = LATE_NEWS, FILED
            place = find_place(young, number, time)
            known = 0
            if place >= 0:
                verdict = CORRECTED
                known = young[place, 2]
            else:
                place = find_place(old, number, time)
                if place >= 0:
                    verdict = CORRECTED
                    known = old[place, 2]
            if verdict == CORRECTED and known == word:
                verdicts[row] = DUPLICATE
                continue
            filed += file_older(young, number, time, word, journal, line)
            newest_at = time
        verdicts[row] = verdict
        journal[line, 0] = done
        journal[line, 1] = number
        journal[line, 2] = newest_at
        journal[line, 3] = newest_word
        line += 1
    counts[0], counts[1] = line, filed


@compiled("void(int64[:, ::1], int64)")
def remove_place(table: NDArray[np.int64], place: int) -> None:
    """Empty a place, and move up what the searches behind it would no longer find."""
    mask = len(table) - 1
    hole = place
    place = (place + 1) & mask
    while table[place, 0] != 0:
        begin = place_of(table[place, 0] - 1, table[place, 1], mask)
        if ((place - begin) & mask) >= ((place - hole) & mask):
            table[hole, 0] = table[place, 0]
            table[hole, 1] = table[place, 1]
            table[hole, 2] = table[place, 2]
            hole = place
        place = (place + 1) & mask
    table[hole, 0] = 0


@compiled("void(int64[:, ::1], int64[:, ::1], int64[:, ::1], int64[::1])")
def undo_rows(
    newest: NDArray[np.int64], young: NDArray[np.int64], journal: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Take back the journal, the last line first."""
    for line in range(counts[0] - 1, -1, -1):
        done, number, time, word = journal[line, 0], journal[line, 1], journal[line, 2], journal[line, 3]
        if done == FILED or (done == MOVED and time != UNSEEN):
            place = find_place(young, number, time)
            if place >= 0 and journal[line, 4] == 1:
                young[place, 2] = journal[line, 5]
            elif place >= 0:
                remove_place(young, place)
                counts[1] -= 1
        if done != FILED:
            newest[number, 0] = time
            newest[number, 1] = word
    counts[0] = 0


@compiled("void(int64[:, ::1], int64[:, ::1])")
def rehash(source: NDArray[np.int64], target: NDArray[np.int64]) -> None:
    """Put every key of one table into a larger, empty one."""
    for place in range(len(source)):
        if source[place, 0] != 0:
            free = -1 - find_place(target, source[place, 0] - 1, source[place, 1])
            target[free, 0] = source[place, 0]
            target[free, 1] = source[place, 1]
            target[free, 2] = source[place, 2]
