"""JSON numbers for kernels: the float that Python would read, or "not mine"."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled
from gulou.sensing.sdk.columns.table import BYTES

NOT_MINE = -1
_POWERS = np.array([10.0**power for power in range(23)])  # exact, all of them
_MOST_DIGITS = 18
_EXACT = 2**53
_SPLIT = 134_217_729.0
_DOUBT = 2.0**-95


@compiled("Tuple((float64, float64))(float64, float64)")
def _product(a: float, b: float) -> tuple[float, float]:
    """Return a·b as the sum of two floats, exactly (Dekker)."""
    product = a * b
    shifted = _SPLIT * a
    a_high = shifted - (shifted - a)
    a_low = a - a_high
    shifted = _SPLIT * b
    b_high = shifted - (shifted - b)
    b_low = b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@compiled("Tuple((boolean, float64))(int64, int64)")
def _scaled(digits: int, power: int) -> tuple[bool, float]:
    """Return digits·10^power rounded once, as ``float`` would; False where two floats are too nearly as close."""
    high = float(digits)
    if digits <= _EXACT:
        return True, high / _POWERS[-power] if power < 0 else high * _POWERS[power]
    low = float(digits - np.int64(high))
    if power >= 0:
        first, rest = _product(high, _POWERS[power])
        rest += low * _POWERS[power]
    else:
        first = high / _POWERS[-power]
        back, back_low = _product(first, _POWERS[-power])
        rest = (((high - back) - back_low) + low) / _POWERS[-power]
    total = first + rest
    left = rest - (total - first)
    doubt = total * _DOUBT
    return total + (left + doubt) == total and total + (left - doubt) == total, total


@compiled(f"Tuple((int64, float64))({BYTES}, int64, int64)")
def parse_number(data: NDArray[np.uint8], begin: int, end: int) -> tuple[int, float]:
    """Read the JSON number that begins at ``begin``.

    Mine are numbers of up to 18 digits and a power of ten of ±22 behind the last of them, whole ones up to 2⁵³: what
    devices send. Whether what follows may follow is for the caller to see.

    Returns:
        (where it ends, the float that ``float(text)`` gives), or (``NOT_MINE``, 0.0): leave it to the general way,
        which knows all numbers and what is wrong with the others.
    """
    at = begin
    negative = at < end and data[at] == 45
    if negative:
        at += 1
    digits = 0
    count = 0
    power = 0
    start = at
    while at < end and 48 <= data[at] <= 57:
        digits = digits * 10 + int(np.int64(data[at])) - 48
        at += 1
        count += 1
        if count > _MOST_DIGITS:
            return NOT_MINE, 0.0
    if at == start or (data[start] == 48 and at > start + 1):
        return NOT_MINE, 0.0
    whole = True
    if digits == 0:
        count = 0
    if at < end and data[at] == 46:
        whole = False
        at += 1
        start = at
        while at < end and 48 <= data[at] <= 57:
            digits = digits * 10 + int(np.int64(data[at])) - 48
            at += 1
            power -= 1
            if digits != 0:  # compiled, the one digit too many may have made it negative
                count += 1
            if count > _MOST_DIGITS:
                return NOT_MINE, 0.0
        if at == start:
            return NOT_MINE, 0.0
    if at < end and (data[at] == 101 or data[at] == 69):
        whole = False
        at += 1
        down = at < end and data[at] == 45
        if at < end and (data[at] == 45 or data[at] == 43):
            at += 1
        start = at
        exponent = 0
        while at < end and 48 <= data[at] <= 57 and at < start + 4:
            exponent = exponent * 10 + int(np.int64(data[at])) - 48
            at += 1
        if at == start or at == start + 4:
            return NOT_MINE, 0.0
        power += -exponent if down else exponent
    if whole and (digits > _EXACT or (negative and digits == 0)):
        return NOT_MINE, 0.0
    if digits == 0:
        return at, -0.0 if negative else 0.0
    if power < -22 or power > 22:
        return NOT_MINE, 0.0
    sure, value = _scaled(digits, power)
    if not sure:
        return NOT_MINE, 0.0
    return at, -value if negative else value
