"""Series as their file has them, made into objects when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from gulou.kernel.compiled import COMPILED, compiled
from gulou.kernel.names import BEGIN, BYTES, HashedNames, hash_bytes

_MOST_KINDS = 1 << 14
_INT64 = "Array(int64, 1, 'C', True)"


class Series(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One property of one entity (its default instance), as a device or a program reports it in numbers.

    Args:
        number: 0, 1, 2 …; an index into the arrays of whoever keeps state by series.
        device_id: which device reports it. Readings of the same series from another device go as objects.
    """

    number: int
    entity_id: str
    entity_type: str
    property: str
    device_id: str | None = None


@compiled(f"int64({BYTES}, int64, int64)")
def _array_length(data: NDArray[np.uint8], place: int, end: int) -> int:
    """Return how many elements an array has whose MessagePack begins here, or -1 if none does."""
    lead = int(data[place]) if place < end else 0
    if lead >> 4 == 9:
        return lead & 0xF
    if lead == 0xDC and place + 3 <= end:
        return (int(data[place + 1]) << 8) | int(data[place + 2])
    if lead == 0xDD and place + 5 <= end:
        high = (int(data[place + 1]) << 8) | int(data[place + 2])
        return (high << 16) | (int(data[place + 3]) << 8) | int(data[place + 4])
    return -1


@compiled("int64(int64)")
def _head_length(length: int) -> int:
    """Return how many bytes stand before that many elements, as short as they can be."""
    return 1 if length < 16 else 3 if length < 0x10000 else 5


@compiled(f"int64({BYTES}, int64, int64, int64)")
def _after_number(data: NDArray[np.uint8], place: int, end: int, expected: int) -> int:
    """Return the place behind a MessagePack integer of that value, or -1."""
    lead = int(data[place]) if place < end else 0xC1
    if lead < 0x80:
        return place + 1 if lead == expected else -1
    size = 1 << (lead - 0xCC) if 0xCC <= lead <= 0xCE else 0
    if size == 0 or place + size >= end:
        return -1
    value = 0
    for step in range(size):
        value = (value << 8) | int(data[place + 1 + step])
    return place + 1 + size if value == expected else -1


@compiled(f"int64({BYTES}, int64)")
def _text_begin(data: NDArray[np.uint8], place: int) -> int:
    """Return where the bytes of a MessagePack string begin whose head is here."""
    lead = int(data[place])
    return place + (1 if lead >> 5 == 5 else 2 if lead == 0xD9 else 3)


@compiled(f"int64({BYTES}, int64, int64)")
def _after_text(data: NDArray[np.uint8], place: int, end: int) -> int:
    """Return the place behind a MessagePack string, or -1 where none is here or it goes on beyond ``end``."""
    lead = int(data[place]) if place < end else 0
    if lead >> 5 == 5:
        after = place + 1 + (lead & 0x1F)
    elif lead == 0xD9 and place + 2 <= end:
        after = place + 2 + int(data[place + 1])
    elif lead == 0xDA and place + 3 <= end:
        after = place + 3 + ((int(data[place + 1]) << 8) | int(data[place + 2]))
    else:
        return -1
    return after if after <= end else -1


@compiled(f"int64({BYTES}, int64, int64, int64, int64)")
def _same(data: NDArray[np.uint8], begin: int, end: int, other: int, other_end: int) -> int:
    if end - begin != other_end - other:
        return 0
    for step in range(end - begin):
        if data[begin + step] != data[other + step]:
            return 0
    return 1


@compiled(f"int64({BYTES}, int64[::1], int64, int64, int64, int64)")
def _is_kind(
    data: NDArray[np.uint8], kind: NDArray[np.int64], word: int, word_end: int, name: int, name_end: int
) -> int:
    """Return 1 where a kind has this entity type and this property, else 0."""
    if _same(data, word, word_end, kind[0], kind[1]) == 0:
        return 0
    return _same(data, name, name_end, kind[2], kind[3])


@compiled(f"int64({BYTES}, {_INT64}, {_INT64})")
def count_rows(data: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]) -> int:
    """Return how many series there are in bodies of frames, or -1 where one is no array."""
    rows = 0
    for frame in range(len(begins)):
        length = _array_length(data, begins[frame], ends[frame])
        if length < 0:
            return -1
        rows += length
    return rows


@compiled(
    f"int64({BYTES}, {_INT64}, {_INT64}, int64[::1], int32[::1], int64[::1], int32[::1], int32[::1], int64[:, ::1])"
)
def scan_rows(
    data: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    places: NDArray[np.int64],
    lengths: NDArray[np.int32],
    hashes: NDArray[np.int64],
    kind_of: NDArray[np.int32],
    table: NDArray[np.int32],
    kinds: NDArray[np.int64],
) -> int:
    """Find each series in bodies of frames; return how many kinds there are, -1 where something is not as expected.

    Args:
        begins, ends: of the bodies; rows in them are numbered 0, 1, 2 …
        places, lengths: by row, set: where its MessagePack lies.
        hashes: by row, set: of the entity's id with the property behind it.
        kind_of: by row, set: an index into the kinds, which are numbered as they first appear.
        table: zeros, a power of two: where kinds are looked up.
        kinds: (kinds, 4), set: begin and end of the entity type, begin and end of the property.
    """
    row, known, kind, mask = 0, 0, 0, len(table) - 1
    for frame in range(len(begins)):
        place, end = begins[frame], ends[frame]
        count = _array_length(data, place, end)
        place += _head_length(count)
        for _ in range(count):
            begin = place
            if place >= end or int(data[place]) != 0x95:
                return -1
            place = _after_number(data, place + 1, end, row)
            if place < 0:
                return -1
            entity_end = _after_text(data, place, end)
            word_end = -1 if entity_end < 0 else _after_text(data, entity_end, end)
            name_end = -1 if word_end < 0 else _after_text(data, word_end, end)
            if name_end < 0:
                return -1
            word, name = _text_begin(data, entity_end), _text_begin(data, word_end)
            entity = hash_bytes(data, _text_begin(data, place), entity_end, BEGIN)
            hashes[row] = hash_bytes(data, name, name_end, entity)
            has_device = name_end >= end or int(data[name_end]) != 0xC0
            place = _after_text(data, name_end, end) if has_device else name_end + 1
            if place < 0:
                return -1
            # most are of the kind of the one before
            if row == 0 or _is_kind(data, kinds[kind], word, word_end, name, name_end) == 0:
                spot = hash_bytes(data, name, name_end, hash_bytes(data, word, word_end, BEGIN)) & mask
                while table[spot] != 0:
                    if _is_kind(data, kinds[int(table[spot]) - 1], word, word_end, name, name_end) == 1:
                        break
                    spot = (spot + 1) & mask
                if table[spot] == 0:
                    if known == len(kinds):
                        return -1
                    kinds[known, 0], kinds[known, 1] = word, word_end
                    kinds[known, 2], kinds[known, 3] = name, name_end
                    known += 1
                    table[spot] = known
                kind = int(table[spot]) - 1
            kind_of[row] = kind
            places[row], lengths[row] = begin, place - begin
            row += 1
        if place != end:
            return -1
    return known


class SeriesRows:
    """The series that a catalogue begins with: where each lies among the bytes of its file.

    Attributes:
        kinds: (entity type, property), as they first appear.
        kind_of: int32[n], by number an index into ``kinds``.
        names: numbers by the entity's id with the property behind it.
    """

    def __init__(
        self,
        data: bytes,
        places: NDArray[np.int64],
        lengths: NDArray[np.int32],
        kinds: list[tuple[str, str]],
        kind_of: NDArray[np.int32],
        names: HashedNames,
    ) -> None:
        self._data = memoryview(data)
        self._places, self._lengths = places, lengths
        self._decode = msgspec.msgpack.Decoder(Series).decode
        self.kinds, self.kind_of, self.names = kinds, kind_of, names

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Series:
        begin = int(self._places[number])
        return self._decode(self._data[begin : begin + int(self._lengths[number])])


def read_rows(bodies: Sequence[bytes]) -> SeriesRows | None:
    """Return the series of the bodies of frames, numbered from 0; None where that cannot be done without objects."""
    if not COMPILED:
        return None
    joined = b"".join(bodies)
    ends = np.cumsum(np.fromiter(map(len, bodies), np.int64, len(bodies)))
    begins = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    data = np.frombuffer(joined, np.uint8)
    count = count_rows(data, begins, ends)
    if count <= 0:
        return None
    places, lengths, hashes = np.empty(count, np.int64), np.empty(count, np.int32), np.empty(count, np.int64)
    kind_of, table = np.empty(count, np.int32), np.zeros(4 * _MOST_KINDS, np.int32)
    spans = np.empty((_MOST_KINDS, 4), np.int64)
    known = scan_rows(data, begins, ends, places, lengths, hashes, kind_of, table, spans)
    if known < 0:
        return None
    try:
        kinds = [
            (joined[word:word_end].decode(), joined[name:name_end].decode())
            for word, word_end, name, name_end in spans[:known].tolist()
        ]
    except UnicodeDecodeError:
        return None
    return SeriesRows(joined, places, lengths, kinds, kind_of, HashedNames(hashes))
