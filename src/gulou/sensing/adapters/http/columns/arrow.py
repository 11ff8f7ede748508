"""Arrow IPC: bodies checked before they are unpacked, record batches cut into slices of plain arrays.

Source: Apache Arrow Columnar Format 1.5, "Serialization and Interprocess Communication (IPC)"
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gulou.kernel.clock import to_rfc3339
from gulou.kernel.compiled import compiled
from gulou.kernel.errors import Invalid
from gulou.sensing.adapters.http.columns.parts import GOOD, NEW, ODD
from gulou.sensing.adapters.http.columns.trie import (
    ENTITY,
    FOLLOW,
    NODES,
    PROPERTY,
    ROOT,
    TYPE,
    UNIT,
    UNKNOWN,
    step,
)
from gulou.sensing.sdk.columns import BYTES, SLOTS

SLICE = 8_192
"""Readings of one slice."""
MOST_COLUMNS = 1_000
_MAGIC = b"ARROW1\0\0"
_RECORD_BATCH, _DICTIONARY_BATCH = "record batch", "dictionary"
_TEXTS = ("entity", "property", "type", "unit")
_LONG = frozenset(("entity", "type", "property", "value", "observedAt", "unit", "dataset"))
_LONG_OF_DEVICE = frozenset(("channel", "value", "observedAt"))
_UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_ABSENT = -1
_DEEPEST = 16
UNSEEN = -3


# --- the body --------------------------------------------------------------------------------------------------------


def read_batches(body: bytes, limit: int) -> tuple[pa.Schema, list[pa.RecordBatch]]:
    """Decode a stream, or the stream that a file holds.

    Args:
        limit: most bytes that buffers may have once they are decompressed.

    Raises:
        Invalid: ``payload.malformed``, ``http.body_too_large``.
    """
    source = pa.py_buffer(body)
    if body[:8] == _MAGIC:
        source = source.slice(8)
    try:
        _check_sizes(source, limit)
        with pa.ipc.open_stream(source) as reader:
            batches = list(reader)
            for batch in batches:
                batch.validate(full=True)
            len(reader.schema.names)  # decodes them
            return reader.schema, batches
    except (pa.ArrowException, struct.error, OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise _malformed(str(error)) from None


def _check_sizes(source: pa.Buffer, limit: int) -> None:
    """Add up what compressed buffers say of their length, before anything is made room for."""
    total = 0
    for message in pa.ipc.MessageReader.open_stream(source):
        if message.type in (_RECORD_BATCH, _DICTIONARY_BATCH):
            total += _unpacked_size(message)
            if total > limit:
                raise Invalid("http.body_too_large", limit=limit)


def _unpacked_size(message: pa.ipc.Message) -> int:
    """Return the length of a message's buffers once they are decompressed."""
    metadata, body = memoryview(message.metadata), memoryview(message.body)
    header = _field(metadata, _root(metadata), 2)
    table = _target(metadata, header)
    if message.type == _DICTIONARY_BATCH:
        table = _target(metadata, _field(metadata, table, 1))
    if not _field(metadata, table, 3):
        return len(body)
    buffers = _target(metadata, _field(metadata, table, 2))
    (count,) = struct.unpack_from("<I", metadata, buffers)
    total = 0
    for index in range(count):
        offset, length = struct.unpack_from("<qq", metadata, buffers + 4 + 16 * index)
        if length < 8:
            total += max(length, 0)
            continue
        (size,) = struct.unpack_from("<q", body, offset)
        total += size if size >= 0 else length
    return total


def _root(data: memoryview) -> int:
    return int(struct.unpack_from("<I", data, 0)[0])


def _field(data: memoryview, table: int, number: int) -> int:
    """Return where a field of a FlatBuffers table stands; 0 when it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    (size,) = struct.unpack_from("<H", data, vtable)
    if 4 + 2 * number >= size:
        return 0
    offset = int(struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0])
    return table + offset if offset else 0


def _target(data: memoryview, field: int) -> int:
    return field + int(struct.unpack_from("<I", data, field)[0])


# --- the schema ------------------------------------------------------------------------------------------------------


class Shape:
    """What the columns of a body are.

    Attributes:
        is_long: one reading a row (``property``, ``value``); else one column per property.
        values: names of the columns that hold values.
    """

    def __init__(self, schema: pa.Schema, *, of_device: bool) -> None:
        names = list(schema.names)
        if len(set(names)) != len(names):
            raise _malformed("a column is named twice")
        if len(names) > MOST_COLUMNS:
            raise Invalid("payload.too_large", limit=MOST_COLUMNS, unit="columns")
        self.of_device = of_device
        self.is_long = {"channel" if of_device else "property", "value"} <= set(names)
        self.name = "channel" if of_device else "property"
        own = (_LONG_OF_DEVICE if of_device else _LONG) if self.is_long else frozenset(("observedAt",))
        if not self.is_long and not of_device:
            own = frozenset(("entity", "type", "observedAt"))
        self.values = ["value"] if self.is_long else [name for name in names if name not in own]
        unknown = [name for name in names if name not in own] if self.is_long else []
        if unknown:
            raise Invalid("payload.unknown_key", key=unknown[0][:64], known=", ".join(sorted(own)))
        for name in () if of_device else ("entity", "observedAt"):
            if name not in names:
                raise Invalid("payload.field_missing", field=name)
        self.time_ns = 0
        for field in schema:
            self._check(field)
        self.texts = [name for name in ("entity", self.name, "type", "unit", "dataset") if name in own & set(names)]

    def _check(self, field: pa.Field) -> None:
        kind = field.type
        if field.name == "observedAt":
            self._check_time(kind)
        elif field.name in self.values:
            if not _is_value(kind):
                raise _malformed(f"column {field.name[:64]}: {str(kind)[:64]} is no value")
        elif not _is_text(kind):
            raise _malformed(f"column {field.name[:64]} must be of strings, not {str(kind)[:64]}")

    def _check_time(self, kind: pa.DataType) -> None:
        if pa.types.is_timestamp(kind):
            if kind.tz is None:
                raise _malformed("column observedAt: a timestamp needs a time zone, such as UTC")
            self.time_ns = _UNIT_NS[kind.unit]
        elif kind == pa.int64():
            self.time_ns = _UNIT_NS["us"]
        else:
            raise _malformed(f"column observedAt: timestamp with a zone or int64 (µs) is wanted, not {str(kind)[:64]}")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_value(kind: pa.DataType, depth: int = 0) -> bool:
    if pa.types.is_list(kind) or pa.types.is_struct(kind):
        inner = [kind.field(index).type for index in range(kind.num_fields)]
        return depth < _DEEPEST and all(_is_value(one, depth + 1) for one in inner)
    plain = _is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    return bool(plain or _is_text(kind))


# --- slices ----------------------------------------------------------------------------------------------------------


class Slice:
    """Some rows of a batch as the kernel takes them. Rows are the items of the body.

    Attributes:
        texts: of its batch.
        index: int32[4, n]: which texts are entity, property, type and unit of each reading; negative: none.
        observed_at_us, value: of each reading.
        item: int32[n], the row of each reading.
        odd: bool[m], rows that are to go the general way.
    """

    def __init__(self, batch: pa.RecordBatch, begin: int, rows: int, texts: Texts, shape: Shape, now_us: int) -> None:
        self._batch = batch.slice(begin, rows)
        self._begin = begin
        self._shape = shape
        self.texts = texts
        rows = self._batch.num_rows
        self.odd = np.zeros(rows, np.bool_)
        at_us = self._times(now_us)
        value, there, plain = self._values()
        width = len(shape.values)
        # Reading by reading, a row's readings one after the other.
        kept = np.flatnonzero((there & plain).ravel())
        self.item = (kept // max(width, 1)).astype(np.int32)
        self.odd |= (there & ~plain).any(axis=1)
        self.value = value.ravel()[kept]
        self.observed_at_us = at_us[self.item]
        self.index = self._index(kept, width)

    def record(self, row: int) -> dict[str, Any]:
        """Return a row as JSON would have it; what is null is left out."""
        record: dict[str, Any] = {}
        for name in self._batch.schema.names:
            scalar = self._batch.column(name)[row]
            if not scalar.is_valid:
                continue
            record[name] = self._moment(scalar) if name == "observedAt" else scalar.as_py()
        if self._shape.of_device and self._shape.is_long and "channel" in record:
            value = {str(record["channel"]): record.get("value")}
            return {**value, "observedAt": record["observedAt"]} if "observedAt" in record else value
        return record

    def raw(self, row: int) -> bytes:
        """Return a row as JSON text."""
        return json.dumps(self.record(row), ensure_ascii=False, default=str).encode(errors="replace")

    def rows(self, row: int) -> list[dict[str, Any]]:
        """Return a program's row as rows of one reading each."""
        record = self.record(row)
        if self._shape.is_long:
            return [record] if "value" in record else []
        own: dict[str, Any] = {name: record[name] for name in ("entity", "type", "observedAt") if name in record}
        return [{**own, "property": name, "value": record[name]} for name in self._shape.values if name in record]

    def _moment(self, scalar: pa.Scalar) -> str:
        count = int(scalar.cast(pa.int64()).as_py())
        at_us = count // 1_000 if self._shape.time_ns == 1 else count * (self._shape.time_ns // 1_000)
        try:
            return to_rfc3339(at_us)
        except OverflowError:
            return f"{at_us} µs"

    def _times(self, now_us: int) -> NDArray[np.int64]:
        rows = self._batch.num_rows
        if "observedAt" not in self._batch.schema.names:
            return np.full(rows, now_us, np.int64)
        column = self._batch.column("observedAt")
        counts = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        if self._shape.time_ns == 1:
            at_us = counts // 1_000
        else:
            factor = self._shape.time_ns // 1_000
            most = 2**62 // factor
            self.odd |= (counts > most) | (counts < -most)
            at_us = np.clip(counts, -most, most) * factor
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            if self._shape.of_device:
                at_us = np.where(missing, now_us, at_us)
            else:
                self.odd |= missing
        return np.ascontiguousarray(at_us, np.int64)

    def _values(self) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return values, which of them are there, and which are numbers; each [rows, columns of values]."""
        rows, names = self._batch.num_rows, self._shape.values
        value = np.zeros((rows, len(names)))
        there = np.ones((rows, len(names)), np.bool_)
        plain = np.zeros((rows, len(names)), np.bool_)
        for place, name in enumerate(names):
            column = self._batch.column(name)
            if column.null_count:
                there[:, place] = column.is_valid().to_numpy(zero_copy_only=False)
            if _is_number(column.type):
                filled = column.fill_null(0) if column.null_count else column
                value[:, place] = filled.to_numpy(zero_copy_only=False)
                plain[:, place] = True
        return value, there, plain

    def _index(self, kept: NDArray[np.intp], width: int) -> NDArray[np.int32]:
        """Return which texts are entity, property, type and unit of each reading."""
        found = np.full((len(_TEXTS), len(kept)), _ABSENT, np.int32)
        for place, text in enumerate(_TEXTS):
            name = self._shape.name if text == "property" else text
            if name not in self.texts.first:
                continue
            index = self.texts.index_of(name, self._begin, self._batch.num_rows)
            if name in ("entity", self._shape.name):
                self.odd |= index < 0
            found[place] = index[self.item]
        if not self._shape.is_long:
            found[1] = kept % max(width, 1) + self.texts.first_value
        if "dataset" in self._shape.texts:
            self.odd |= self._batch.column("dataset").is_valid().to_numpy(zero_copy_only=False)
        return found


class Texts:
    """The texts of a whole batch, so that a dictionary is looked at once however many slices speak of it.

    Attributes:
        data: bytes of all texts; ``begins`` and ``ends`` say where each lies in them.
        first: number of the first text of each column.
        first_value: number of the first of the columns' own names, where they are the properties.
        roots: int64 of each text, for the kernel: the node of an entity, or that it is not known yet.
    """

    def __init__(self, batch: pa.RecordBatch, shape: Shape) -> None:
        self._batch = batch
        self.first: dict[str, int] = {}
        blocks: list[NDArray[np.uint8]] = []
        lengths: list[NDArray[np.int64]] = []
        count = 0
        for name in shape.texts:
            if name == "dataset":
                continue
            data, offsets = _bytes_of(batch.column(name))
            self.first[name] = count
            blocks.append(data)
            lengths.append(np.diff(offsets))
            count += len(offsets) - 1
        self.first_value = count
        if not shape.is_long:
            named = [name.encode() for name in shape.values]
            blocks.append(np.frombuffer(b"".join(named), np.uint8))
            lengths.append(np.array([len(name) for name in named], np.int64))
        self.data = np.concatenate(blocks) if blocks else np.zeros(0, np.uint8)
        sizes = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)
        self.ends = np.cumsum(sizes, dtype=np.int64)
        self.begins = self.ends - sizes
        self.roots = np.full(len(sizes), UNSEEN, np.int64)
        self._generation = 0

    def index_of(self, name: str, begin: int, rows: int) -> NDArray[np.int64]:
        """Return the number of each row's text, -1 for none."""
        column = self._batch.column(name).slice(begin, rows)
        if not pa.types.is_dictionary(column.type):
            index = np.arange(begin, begin + rows, dtype=np.int64)
            if column.null_count:
                index[column.is_null().to_numpy(zero_copy_only=False)] = _ABSENT
        else:
            index = column.indices.cast(pa.int64()).fill_null(_ABSENT).to_numpy(zero_copy_only=False)
            texts = column.dictionary
            if texts.null_count:
                empty = texts.is_null().to_numpy(zero_copy_only=False)
                index = np.where((index >= 0) & empty[index], _ABSENT, index)
        return np.where(index < 0, _ABSENT, index + self.first[name])

    def begin(self, generation: int, *, again: bool) -> None:
        """Forget what was found in another state of the tree; ``again``: only what was not found."""
        if generation != self._generation:
            self.roots.fill(UNSEEN)
            self._generation = generation
        elif again:
            self.roots[self.roots == UNKNOWN] = UNSEEN


def slices(batch: pa.RecordBatch, shape: Shape, now_us: int) -> Iterator[Slice]:
    """Cut a batch into slices of some thousand readings."""
    step_rows = max(SLICE // max(len(shape.values), 1), 1)
    texts = Texts(batch, shape)
    for begin in range(0, batch.num_rows, step_rows):
        yield Slice(batch, begin, step_rows, texts, shape, now_us)


def _bytes_of(column: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of a column's texts or of its dictionary, and where each begins and the last ends."""
    texts = column.dictionary if pa.types.is_dictionary(column.type) else column
    _, places, data = texts.buffers()
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    if places is None or not len(texts):
        return np.zeros(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    offsets = np.frombuffer(places, width)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    block = np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8)
    return block[offsets[0] : offsets[-1]], offsets - offsets[0]


def _malformed(detail: str) -> Invalid:
    return Invalid("payload.malformed", format="arrow", detail=detail[:200])


@compiled(
    f"int64({BYTES}, int64[::1], int64[::1], int32[:, ::1], int64, {SLOTS}, {BYTES}, {NODES}, {BYTES}, int64[::1], "
    "int64, int64[::1], uint8[::1])"
)
def walk_texts(
    texts: NDArray[np.uint8],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    index: NDArray[np.int32],
    device: int,
    slots: NDArray[np.int64],
    keys: NDArray[np.uint8],
    nodes: NDArray[np.int32],
    names: NDArray[np.uint8],
    roots: NDArray[np.int64],
    last: int,
    node_of: NDArray[np.int64],
    state_of: NDArray[np.uint8],
) -> int:
    """Find the node of each reading by its texts; return the last one.

    Args:
        device: the node of the device that sends; ``ROOT``: a program, and the first text is the entity.
        roots: int64 of each text, ``-3`` at first: what was found for an entity, so that it is looked up once.
        node_of, state_of: of each reading, written.
    """
    for row in range(index.shape[1]):
        state_of[row] = ODD
        name = int(index[1, row])
        if name < 0:
            continue
        guess = int(nodes[last, FOLLOW]) if last >= 0 else UNKNOWN
        node = device
        if device == ROOT:
            entity = int(index[0, row])
            if entity < 0:
                continue
            node = int(roots[entity])
            if node == UNSEEN:
                node = step(texts, begins[entity], ends[entity], ROOT, ENTITY, 0, guess, slots, keys, nodes, names)
                roots[entity] = node
        level = 1
        if node >= 0:
            node = step(texts, begins[name], ends[name], node, PROPERTY, level, guess, slots, keys, nodes, names)
        for place in range(2, 4):
            text = int(index[place, row])
            if text >= 0 and node >= 0:
                level += 1
                kind = TYPE if place == 2 else UNIT
                node = step(texts, begins[text], ends[text], node, kind, level, guess, slots, keys, nodes, names)
        if node < 0:
            state_of[row] = NEW
            continue
        state_of[row] = GOOD
        node_of[row] = node
        if last >= 0:
            nodes[last, FOLLOW] = node
        last = node
    return last
