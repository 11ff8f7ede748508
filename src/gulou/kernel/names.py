"""Many names that are there at a start, found by their hashes; a dictionary of a million takes ten times as long.

A name's hash is a number below 2**38, made of its UTF-8 bytes one after the other; whoever finds a place by it compares
the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled

BYTES = "Array(uint8, 1, 'C', True)"
_INT64 = "Array(int64, 1, 'C', True)"
_INT32 = "Array(int32, 1, 'C', True)"
_MASK = (1 << 38) - 1
BEGIN = 0x1CE4E5B9
"""The hash of nothing."""


@compiled(f"int64({BYTES}, int64, int64, int64)")
def hash_bytes(data: NDArray[np.uint8], begin: int, end: int, mixed: int) -> int:
    """Return the hash of ``data[begin:end]``. No step leaves 63 bits, so that plain Python gives the same.

    Args:
        mixed: ``BEGIN``, or the hash of the bytes that stand before these.
    """
    for place in range(begin, end):
        mixed = ((mixed ^ int(data[place])) * 0x1000193) & _MASK
    return mixed


@compiled(f"void({BYTES}, {_INT64}, int64[::1])")
def _hash_all(data: NDArray[np.uint8], ends: NDArray[np.int64], hashes: NDArray[np.int64]) -> None:
    begin = 0
    for number in range(len(ends)):
        hashes[number] = hash_bytes(data, begin, ends[number], BEGIN)
        begin = ends[number]


@compiled(f"void({_INT64}, int32[::1])")
def _fill(hashes: NDArray[np.int64], table: NDArray[np.int32]) -> None:
    """Put each number + 1 into the first free place from its hash's on; 0 is free."""
    mask = len(table) - 1
    for number in range(len(hashes)):
        place = (hashes[number] ^ (hashes[number] >> 17)) & mask
        while table[place] != 0:
            place = (place + 1) & mask
        table[place] = number + 1


@compiled(f"int64({_INT64}, {_INT32}, int64, int64)")
def _next(hashes: NDArray[np.int64], table: NDArray[np.int32], wanted: int, after: int) -> int:
    """Return the lowest number above ``after`` with a hash, or -1."""
    mask = len(table) - 1
    place = (wanted ^ (wanted >> 17)) & mask
    while table[place] != 0:
        number = int(table[place]) - 1
        if number > after and hashes[number] == wanted:
            return number
        place = (place + 1) & mask
    return -1


@compiled(f"void({_INT64}, {_INT32}, {_INT64}, int64[::1])")
def _first_of_each(
    hashes: NDArray[np.int64], table: NDArray[np.int32], wanted: NDArray[np.int64], found: NDArray[np.int64]
) -> None:
    for row in range(len(wanted)):
        found[row] = _next(hashes, table, wanted[row], -1)


class HashedNames:
    """Numbers by the hashes of their names, all given at once. Any thread may ask.

    Args:
        hashes: by number, as ``hash_bytes`` and ``hash_names`` make them; int64[n].
    """

    def __init__(self, hashes: NDArray[np.int64]) -> None:
        self._hashes = hashes
        self._table = np.zeros(1 << max(2 * len(hashes), 2).bit_length(), np.int32)
        _fill(hashes, self._table)

    def candidates(self, name: str) -> Iterator[int]:
        """Yield the numbers that may have a name, the lowest first."""
        data = np.frombuffer(_encode(name), np.uint8)
        wanted, number = hash_bytes(data, 0, len(data), BEGIN), -1
        while (number := _next(self._hashes, self._table, wanted, number)) >= 0:
            yield number

    def first_candidates(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return the lowest number that may have each name, -1 for none; shape (n,)."""
        found = np.empty(len(names), np.int64)
        _first_of_each(self._hashes, self._table, hash_names(names), found)
        return found


def hash_names(names: Sequence[str]) -> NDArray[np.int64]:
    """Return the hash of each name; shape (n,)."""
    joined = "".join(names)
    if joined.isascii():
        data = joined.encode()
        lengths = np.fromiter(map(len, names), np.int64, len(names))
    else:
        encoded = [_encode(name) for name in names]
        data = b"".join(encoded)
        lengths = np.fromiter(map(len, encoded), np.int64, len(names))
    hashes = np.empty(len(names), np.int64)
    _hash_all(np.frombuffer(data, np.uint8), np.cumsum(lengths), hashes)
    return hashes


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")
