"""A hash table from bytes to small integers that compiled kernels read: topics, channel names.

A key is found only by comparing all of its bytes, so that two keys with the same hash are never taken for each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import compiled

BYTES = "Array(uint8, 1, 'C', True)"
"""The signature of bytes that a kernel reads; takes ``np.frombuffer(some_bytes, np.uint8)``, which is read-only."""
SLOTS = "Array(int64, 1, 'C', True)"
"""The signature of ``ByteTable.slots``."""
LONGEST_KEY = 65_535
NOT_FOUND = -1

_KEPT = "uint8[::1]"
_SPANS = "Array(int64, 2, 'C', True)"
_NUMBERS = "Array(int64, 1, 'C', True)"
_MASK = 0xFFFFFFFF
_HASH_BITS = 0x7FFFFFFF
_MOST = 0x7FFFFFFF
_HEAD = 10
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


@compiled(f"int64({BYTES}, int64)")
def _read_32(keys: NDArray[np.uint8], at: int) -> int:
    return int(
        np.int64(keys[at])
        | (np.int64(keys[at + 1]) << 8)
        | (np.int64(keys[at + 2]) << 16)
        | (np.int64(keys[at + 3]) << 24)
    )


@compiled(f"void({_KEPT}, int64, int64)")
def _write_32(keys: NDArray[np.uint8], at: int, number: int) -> None:
    for byte in range(4):
        keys[at + byte] = (number >> (8 * byte)) & 0xFF


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
    mixed &= _HASH_BITS
    at = mixed & mask
    while True:
        slot = slots[at]
        if slot == 0:
            return int(at)
        if slot >> 32 == mixed:
            start = (slot & _MASK) - 1
            length = np.int64(keys[start + 8]) | (np.int64(keys[start + 9]) << 8)
            if length == end - begin and _read_32(keys, start + 4) == salt:
                start += _HEAD
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
    slot = slots[_slot_of(slots, keys, data, begin, end, salt, hash_bytes(data, begin, end, salt))]
    if slot == 0:
        return NOT_FOUND
    value = _read_32(keys, (slot & _MASK) - 1)
    return int(value) if value <= _MOST else NOT_FOUND


@compiled(f"int64(int64[::1], {SLOTS}, {BYTES})")
def _rehash(slots: NDArray[np.int64], former: NDArray[np.int64], keys: NDArray[np.uint8]) -> int:
    """Put what is not forgotten into empty slots; return how many those are."""
    mask = slots.shape[0] - 1
    used = 0
    for row in range(former.shape[0]):
        slot = former[row]
        if slot == 0 or _read_32(keys, (slot & _MASK) - 1) > _MOST:
            continue
        at = (slot >> 32) & mask
        while slots[at] != 0:
            at = (at + 1) & mask
        slots[at] = slot
        used += 1
    return used


@compiled(f"Tuple((int64, int64))(int64[::1], {_KEPT}, int64, {BYTES}, {_SPANS}, {_NUMBERS}, {_NUMBERS})")
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
        (slots more that are used, where what is kept of the keys ends now)
    """
    used = 0
    for row in range(spans.shape[0]):
        begin, end, salt = spans[row, 0], spans[row, 1], salts[row]
        mixed = hash_bytes(data, begin, end, salt)
        at = _slot_of(slots, keys, data, begin, end, salt, mixed)
        if slots[at] == 0:
            slots[at] = (np.int64(mixed & _HASH_BITS) << 32) | (filled + 1)
            _write_32(keys, filled + 4, salt)
            keys[filled + 8] = (end - begin) & 0xFF
            keys[filled + 9] = (end - begin) >> 8
            for offset in range(end - begin):
                keys[filled + _HEAD + offset] = data[begin + offset]
            filled += _HEAD + end - begin
            used += 1
        _write_32(keys, (slots[at] & _MASK) - 1, values[row])
    return used, filled


class ByteTable:
    """Maps (salt, bytes) to an integer from 0 to 2³¹ - 1. Written by one thread; kernels of that thread get its arrays.

    A search touches one slot, and then what stands at its key: keys stand in the order in which they came, so whoever
    asks in about that order finds most of them in the processor's cache.

    Attributes:
        slots: int64[capacity], 0 where free, else 31 bits of the hash and, in the lower 32 bits, 1 + where the key
            stands; replaced when the table grows, so take it anew for each call of a kernel.
        keys: uint8[n], of each key its value, its salt (4 bytes each), its length (2), its bytes; likewise. All bits
            of the value are set where the key is forgotten.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.slots: NDArray[np.int64] = np.zeros(_FIRST_SLOTS, np.int64)
        self.keys: NDArray[np.uint8] = np.zeros(_FIRST_BYTES, np.uint8)
        self._used = 0
        self._filled = 0

    def __len__(self) -> int:
        return int(_rehash(np.zeros(len(self.slots), np.int64), self.slots, self.keys))

    def find(self, key: bytes, salt: int = 0) -> int:
        """Return a key's value, or ``NOT_FOUND``."""
        return int(find_key(self.slots, self.keys, np.frombuffer(key, np.uint8), 0, len(key), salt))

    def put(self, key: bytes, value: int, salt: int = 0) -> None:
        """Add a key, or give it another value. Raises ValueError for a value out of range or a key too long."""
        span = np.array([[0, len(key)]], np.int64)
        self.put_many(np.frombuffer(key, np.uint8), span, np.array([value], np.int64), np.array([salt], np.int64))

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
        if len(spans) == 0:
            return
        lengths = spans[:, 1] - spans[:, 0]
        if values.min() < 0 or values.max() > _MOST or lengths.max() > LONGEST_KEY:
            raise ValueError(f"{values.min()} to {values.max()} for keys of up to {lengths.max()} bytes")
        if 2 * (self._used + len(spans)) > len(self.slots):
            self._grow(len(spans))
        self._make_room(self._filled + int(lengths.sum()) + _HEAD * len(spans))
        used, end = _put_all(self.slots, self.keys, self._filled, data, spans, values, salts)
        self._used += int(used)
        self._filled = int(end)

    def remove(self, key: bytes, salt: int = 0) -> None:
        """Forget a key; unknown ones are fine. Its slot is free again when the table grows."""
        data = np.frombuffer(key, np.uint8)
        at = _slot_of(self.slots, self.keys, data, 0, len(key), salt, hash_bytes(data, 0, len(key), salt))
        if self.slots[at]:
            _write_32(self.keys, (int(self.slots[at]) & _MASK) - 1, _MASK)

    def _make_room(self, end: int) -> None:
        if end > len(self.keys):
            longer = np.zeros(max(2 * len(self.keys), end), np.uint8)
            longer[: self._filled] = self.keys[: self._filled]
            self.keys = longer

    def _grow(self, more: int) -> None:
        live = len(self)
        size = len(self.slots)
        while 3 * (live + more) > size:
            size *= 2
        slots = np.zeros(size, np.int64)
        self._used = int(_rehash(slots, self.slots, self.keys))
        self.slots = slots
