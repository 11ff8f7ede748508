"""The guard: most readings change nothing, and are only noted. Compiled; the same in plain Python.

A lane is what is kept of one series of the catalogue, eight words of 64 bits, one line of the processor's cache:

====  =========  ==============================================================================================
word  as         what
====  =========  ==============================================================================================
0, 1  float64    LOW, HIGH: strictly between them nothing can change for any rule
2     int64      UNTIL: from this moment on (µs UTC) the lane must be looked at whatever comes
3     int64      MAX_AGE: of the least patient rule, µs; below zero: nobody listens
4     int64      LAST_US: time of the newest reading, µs UTC
5, 6  float64    LAST, BEFORE: its value, and that of the one before it
7     int64      COUNT: how many readings have come, each newer than all before it
====  =========  ==============================================================================================

A lane of zeros is closed: every reading is judged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled

LOW, HIGH, UNTIL, MAX_AGE, LAST_US, LAST, BEFORE, COUNT = range(8)
WORDS = 8
KEPT_WORDS = 4
"""LAST_US to COUNT: what a checkpoint keeps of a lane."""
BLOCK_BITS = 9
"""Lanes are kept in blocks of 512: 16 KiB each."""
_AHEAD = 128
"""Lanes that are fetched together."""
IDLE = 2**62
"""Cursor of a snapshot that is not being taken."""
NEVER = 2**62


@compiled(
    "int64(Array(int32, 1, 'C', True), Array(int64, 1, 'C', True), Array(float64, 1, 'C', True), int64, int64, "
    "int64[:, ::1], float64[:, ::1], uint8[::1], int64, int32, int32[::1], int64[:, ::1], int64[::1])",
    makes_arrays=True,
)
def sift(
    series: NDArray[np.int32],
    observed_us: NDArray[np.int64],
    value: NDArray[np.float64],
    received_us: int,
    now_us: int,
    cells: NDArray[np.int64],
    reals: NDArray[np.float64],
    changed: NDArray[np.uint8],
    cursor: int,
    snapshot: int,
    marks: NDArray[np.int32],
    shadow: NDArray[np.int64],
    out: NDArray[np.int64],
) -> int:
    """Note the readings that change nothing; name the others.

    Once a row of a lane is named, the lane is closed: its later rows are named as well.

    Args:
        series, observed_us, value: shape (n,); the columns of a batch.
        received_us, now_us: of the batch, and of the engine (never earlier), µs UTC.
        cells, reals: shape (lanes, 8); the lanes, two views of the same memory.
        changed: shape (blocks,); set to 1 where a lane was noted.
        cursor, snapshot, marks, shadow: a snapshot that is being taken: lanes from ``cursor`` on are copied to
            ``shadow`` (lanes, 4) before their first change, and marked with the snapshot's number.
        out: shape (n,) or longer; receives the numbers of the rows to judge.

    Returns:
        How many rows are to be judged.
    """
    found = 0
    patience_us = np.empty(_AHEAD, np.int64)
    for first in range(0, len(series), _AHEAD):
        last = min(first + _AHEAD, len(series))
        for row in range(first, last):  # by itself, so that the processor fetches many lanes at once
            patience_us[row - first] = cells[np.uint64(series[row]), MAX_AGE]
        for row in range(first, last):
            if patience_us[row - first] < 0:
                continue
            lane = np.uint64(series[row])  # without a sign, nothing asks whether it counts from the end
            at_us = observed_us[row]
            number = value[row]
            moment_us = at_us if at_us > now_us else now_us
            if (
                number > reals[lane, LOW]
                and number < reals[lane, HIGH]
                and at_us > cells[lane, LAST_US]
                and moment_us < cells[lane, UNTIL]
                and received_us - at_us <= patience_us[row - first]
            ):
                if series[row] >= cursor and marks[lane] != snapshot:
                    marks[lane] = snapshot
                    shadow[lane, 0] = cells[lane, 4]
                    shadow[lane, 1] = cells[lane, 5]
                    shadow[lane, 2] = cells[lane, 6]
                    shadow[lane, 3] = cells[lane, 7]
                cells[lane, LAST_US] = at_us
                reals[lane, BEFORE] = reals[lane, LAST]
                reals[lane, LAST] = number
                cells[lane, COUNT] += 1
                changed[series[row] >> BLOCK_BITS] = 1
            else:
                reals[lane, LOW] = np.inf
                out[found] = row
                found += 1
    return found


@compiled("void(int64[:, ::1], int64, int64, int32, int32[::1], int64[:, ::1], int64[:, ::1])")
def copy_block(
    cells: NDArray[np.int64],
    first: int,
    last: int,
    snapshot: int,
    marks: NDArray[np.int32],
    shadow: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    """Copy lanes ``first`` to before ``last`` as they were when the snapshot began, to ``out`` (last - first, 4)."""
    for lane in range(first, last):
        if marks[lane] == snapshot:
            for word in range(KEPT_WORDS):
                out[lane - first, word] = shadow[lane, word]
        else:
            for word in range(KEPT_WORDS):
                out[lane - first, word] = cells[lane, LAST_US + word]
