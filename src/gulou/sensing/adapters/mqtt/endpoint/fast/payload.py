"""The parts of a payload's JSON that both kernels step over: blanks, plain texts, the key of the time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled
from gulou.sensing.sdk.columns import BYTES


@compiled(f"int64({BYTES}, int64, int64)")
def after_blanks(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Return where the blanks from ``at`` on end."""
    while at < end and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@compiled(f"boolean({BYTES}, int64, int64)")
def is_time_key(data: NDArray[np.uint8], begin: int, end: int) -> bool:
    """Tell whether a key is ``observedAt``."""
    return bool(
        end - begin == 10
        and data[begin] == 111
        and data[begin + 1] == 98
        and data[begin + 2] == 115
        and data[begin + 3] == 101
        and data[begin + 4] == 114
        and data[begin + 5] == 118
        and data[begin + 6] == 101
        and data[begin + 7] == 100
        and data[begin + 8] == 65
        and data[begin + 9] == 116
    )


@compiled(f"int64({BYTES}, int64, int64)")
def after_text(data: NDArray[np.uint8], at: int, end: int) -> int:
    """Return where the text whose opening quote is at ``at`` is closed; -1: it is none, or not a plain one."""
    if at >= end or data[at] != 34:
        return -1
    at += 1
    while at < end and data[at] != 34:
        if data[at] < 32 or data[at] == 92:
            return -1
        at += 1
    return at if at < end else -1
