"""A hash table from bytes to small integers that compiled kernels read: topics, channel names.

A key is found only by comparing all of its bytes, so that two keys with the same hash are never taken for each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled

BYTES = "Array(uint8, 1, 'C', True)"
"""The signature of bytes that a kernel reads; takes ``np.frombuffer(some_bytes, np.uint8)``, which is read-only."""
SLOTS = "Array(int64, 2, 'C', True)"
"""The signature of ``ByteTable.slots``."""
_KEPT = "Array(uint8, 1, 'C')"
_SPANS = "Array(int64, 2, 'C', True)"
_NUMBERS = "Array(int64, 1, 'C', True)"
LONGEST_KEY = 65_535
NOT_FOUND = -1

_HASH, _SALT, _PLACE, _VALUE = 0, 1, 2, 3
_MASK = 0xFFFFFFFF
_FIRST_SLOTS = 1_024
_FIRST_BYTES = 16_384


@compiled(f"int64({BYTES}, int64, int64, int64)")
def hash_bytes(data: NDArray[np.uint8], begin: int, end: int, salt: int) -> int:
    """Return a 32-bit hash of ``data[begin:end]``; ``salt`` (0 to 2³¹) tells equal bytes of several meanings apart."""
    mixed = ((np.int64(salt) * 0x9E3779B1 + 0x85EBCA6B) ^ (end - begin)) & _MASK
    at = begin
    while at + 4 <= end:
        word = (
            np.int64(data[at])
            | (np.int64(data[at + 1]) << 8)
            | (np.int64(data[at + 2]) << 16)
            | (np.int64(data[at + 3]) << 24)
        )
        mixed = (mixed ^ word) * 0x2C1B3C6D
        mixed = (mixed ^ (mixed >> 31)) & _MASK
        at += 4
    while at < end:
        mixed = (mixed ^ np.int64(data[at])) * 0x2C1B3C6D
        mixed = (mixed ^ (mixed >> 31)) & _MASK
        at += 1
    mixed ^= mixed >> 15
    mixed = (mixed * 0x297A2D39) & _MASK
    return int(mixed ^ (mixed >> 14))


@compiled(f"int64({SLOTS}, {BYTES}, {BYTES}, int64, int64, int64, int64)")
def _slot_of(
    slots: NDArray[np.int64],
    keys: NDArray[np.uint8],
    data: NDArray[np.uint8],
    begin: int,
    end: int,
    salt: int,
    mixed: int,
) -> int:
    """Return the slot of a key, or the free one where it would go."""
    mask = slots.shape[0] - 1
    at = mixed & mask
    while True:
        place = slots[at, _PLACE]
        if place < 0:
            return int(at)
        if slots[at, _HASH] == mixed and slots[at, _SALT] == salt and (place & 0xFFFF) == end - begin:
            start = place >> 16
            same = True
            for offset in range(end - begin):
                if keys[start + offset] != data[begin + offset]:
                    same = False
                    break
            if same:
                return int(at)
        at = (at + 1) & mask


@compiled(f"int64({SLOTS}, {BYTES}, {BYTES}, int64, int64, int64)")
def find_key(
    slots: NDArray[np.int64], keys: NDArray[np.uint8], data: NDArray[np.uint8], begin: int, end: int, salt: int
) -> int:
    """Return the value of the key ``data[begin:end]``, or ``NOT_FOUND``. For kernels; takes a table's arrays."""
    if end - begin > LONGEST_KEY:
        return NOT_FOUND
    at = _slot_of(slots, keys, data, begin, end, salt, hash_bytes(data, begin, end, salt))
    if slots[at, _PLACE] < 0:
        return NOT_FOUND
    return int(slots[at, _VALUE])


@compiled(f"void(int64[:, ::1], {SLOTS})")
def _rehash(slots: NDArray[np.int64], former: NDArray[np.int64]) -> None:
    mask = slots.shape[0] - 1
    for row in range(former.shape[0]):
        if former[row, _PLACE] < 0 or former[row, _VALUE] < 0:
            continue
        at = former[row, _HASH] & mask
        while slots[at, _PLACE] >= 0:
            at = (at + 1) & mask
        for column in range(4):
            slots[at, column] = former[row, column]


@compiled(f"Tuple((int64, int64))(int64[:, ::1], {_KEPT}, int64, {BYTES}, {_SPANS}, {_NUMBERS}, {_NUMBERS})")
def _put_all(
    slots: NDArray[np.int64],
    keys: NDArray[np.uint8],
    filled: int,
    data: NDArray[np.uint8],
    spans: NDArray[np.int64],
    values: NDArray[np.int64],
    salts: NDArray[np.int64],
) -> tuple[int, int]:
    """Put keys into slots and keys that have room for all.

    Returns:
        (slots more that are used, where the bytes of the keys end now)
    """
    used = 0
    for row in range(spans.shape[0]):
        begin, end, salt = spans[row, 0], spans[row, 1], salts[row]
        mixed = hash_bytes(data, begin, end, salt)
        at = _slot_of(slots, keys, data, begin, end, salt, mixed)
        if slots[at, _PLACE] < 0:
            for offset in range(end - begin):
                keys[filled + offset] = data[begin + offset]
            slots[at, _HASH] = mixed
            slots[at, _SALT] = salt
            slots[at, _PLACE] = (np.int64(filled) << 16) | (end - begin)
            filled += end - begin
            used += 1
        slots[at, _VALUE] = values[row]
    return used, filled


class ByteTable:
    """Maps (salt, bytes) to an integer ≥ 0. Written by one thread; its arrays go to kernels on that same thread.

    Attributes:
        slots: int64[capacity, 4]; replaced when the table grows, so take it anew for each call of a kernel.
        keys: uint8[n], the bytes of all keys; likewise.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.slots: NDArray[np.int64] = _empty(_FIRST_SLOTS)
        self.keys: NDArray[np.uint8] = np.zeros(_FIRST_BYTES, np.uint8)
        self._used = 0
        self._filled = 0

    def __len__(self) -> int:
        return int(np.count_nonzero(self.slots[:, _VALUE] >= 0))

    def find(self, key: bytes, salt: int = 0) -> int:
        """Return a key's value, or ``NOT_FOUND``."""
        return int(find_key(self.slots, self.keys, np.frombuffer(key, np.uint8), 0, len(key), salt))

    def put(self, key: bytes, value: int, salt: int = 0) -> None:
        """Add a key, or give it another value. Raises ValueError for a value < 0 or a key over ``LONGEST_KEY``."""
        if value < 0 or len(key) > LONGEST_KEY:
            raise ValueError(f"{value} for a key of {len(key)} bytes")
        data = np.frombuffer(key, np.uint8)
        mixed = hash_bytes(data, 0, len(key), salt)
        at = _slot_of(self.slots, self.keys, data, 0, len(key), salt, mixed)
        if self.slots[at, _PLACE] >= 0:
            self.slots[at, _VALUE] = value
            return
        if 2 * (self._used + 1) > len(self.slots):
            self._grow()
            at = _slot_of(self.slots, self.keys, data, 0, len(key), salt, mixed)
        self._keep(data)
        self.slots[at] = (mixed, salt, (self._filled - len(key)) << 16 | len(key), value)
        self._used += 1

    def put_many(
        self, data: NDArray[np.uint8], spans: NDArray[np.int64], values: NDArray[np.int64], salts: NDArray[np.int64]
    ) -> None:
        """Put many keys at once, as ``put`` one after the other.

        Args:
            data: uint8, where the keys stand.
            spans: int64[n, 2], from where to where each does.
            values, salts: int64[n].

        Raises:
            ValueError: as ``put``; then nothing was put.
        """
        lengths = spans[:, 1] - spans[:, 0]
        if len(spans) == 0:
            return
        if values.min() < 0 or lengths.max() > LONGEST_KEY:
            raise ValueError(f"{values.min()} for a key of up to {lengths.max()} bytes")
        if 2 * (self._used + len(spans)) > len(self.slots):
            self._grow(len(spans))
        self._make_room(self._filled + int(lengths.sum()))
        used, end = _put_all(self.slots, self.keys, self._filled, data, spans, values, salts)
        self._used += used
        self._filled = int(end)

    def remove(self, key: bytes, salt: int = 0) -> None:
        """Forget a key; unknown ones are fine. Its place is free again when the table grows."""
        data = np.frombuffer(key, np.uint8)
        at = _slot_of(self.slots, self.keys, data, 0, len(key), salt, hash_bytes(data, 0, len(key), salt))
        if self.slots[at, _PLACE] >= 0:
            self.slots[at, _VALUE] = NOT_FOUND

    def _keep(self, data: NDArray[np.uint8]) -> None:
        """Put a key's bytes behind those of the others."""
        end = self._filled + len(data)
        self._make_room(end)
        self.keys[self._filled : end] = data
        self._filled = end

    def _make_room(self, end: int) -> None:
        if end > len(self.keys):
            longer = np.zeros(max(2 * len(self.keys), end), np.uint8)
            longer[: self._filled] = self.keys[: self._filled]
            self.keys = longer

    def _grow(self, more: int = 1) -> None:
        live = len(self)
        size = len(self.slots)
        while 3 * (live + more) > size:
            size *= 2
        slots = _empty(size)
        _rehash(slots, self.slots)
        self.slots = slots
        self._used = live


def _empty(size: int) -> NDArray[np.int64]:
    slots = np.zeros((size, 4), np.int64)
    slots[:, _PLACE] = NOT_FOUND
    slots[:, _VALUE] = NOT_FOUND
    return slots
