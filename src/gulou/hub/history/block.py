"""Rows of the lake in memory as arrays: what flushing, compaction and roll-ups work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gulou.hub.history.columns import LAKE_SCHEMA

Ints = NDArray[np.int64]

WORDS = (
    "entity_type", "entity_id", "property", "dataset_id", "unit_code", "kind", "device_id", "flags", "source",
)  # fmt: skip
"""The columns that hold few different texts."""
SERIES = ("entity_type", "property", "entity_id", "dataset_id")
"""The columns that name a series, in the order that rows are sorted by."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A text column as numbers into a list of words; -1 is no text. A word may stand in the list more than once.

    Args:
        codes: int32[n]; None: word 0 in every row (no text at all if there are no words).
    """

    codes: NDArray[np.int32] | None
    words: pa.Array

    def take(self, rows: NDArray[Any]) -> Coded:
        return self if self.codes is None else Coded(self.codes[rows], self.words)

    def encode(self, start: int, stop: int) -> pa.DictionaryArray:
        """Return rows as Arrow holds them, with only the words that occur, each once."""
        if self.codes is None:
            runs, lengths = np.array([0 if len(self.words) else -1]), np.array([stop - start])
        else:
            codes = self.codes[start:stop]
            bounds = np.concatenate(([0], np.flatnonzero(codes[1:] != codes[:-1]) + 1, [len(codes)]))
            runs, lengths = codes[bounds[:-1]], np.diff(bounds)
        found = self.words.take(pa.array(runs, pa.int64(), mask=runs < 0)).dictionary_encode()
        indices = np.repeat(found.indices.fill_null(-1).to_numpy(zero_copy_only=False), lengths)
        return pa.DictionaryArray.from_arrays(
            pa.array(indices, pa.int32(), mask=indices < 0 if found.null_count else None), found.dictionary
        )


@dataclass(frozen=True, slots=True)
class Block:
    """Rows, sorted by series and time.

    Args:
        group: int64[n], the same for the rows of one series, different for neighbouring series.
        at_us, value, delay_s, sequence, late: (n,).
        numeric: bool[n], False where there is no number; None: everywhere is one.
        text: (n,), None where no row has any.
        words: by the names in ``WORDS``.
    """

    group: Ints
    at_us: Ints
    value: NDArray[np.float64]
    numeric: NDArray[np.bool_] | None
    text: pa.Array | None
    delay_s: NDArray[np.int32]
    sequence: Ints
    late: NDArray[np.int8]
    words: dict[str, Coded]

    def __len__(self) -> int:
        return len(self.at_us)

    def take(self, rows: NDArray[Any], group: Ints) -> Block:
        """Return some rows in another order."""
        return Block(
            group, self.at_us[rows], self.value[rows], None if self.numeric is None else self.numeric[rows],
            None if self.text is None else self.text.take(pa.array(rows)), self.delay_s[rows], self.sequence[rows],
            self.late[rows], {name: one.take(rows) for name, one in self.words.items()},
        )  # fmt: skip

    def cut(self, start: int, stop: int) -> Block:
        """Return neighbouring rows without copying."""
        rows = slice(start, stop)
        text = None if self.text is None else self.text.slice(start, stop - start)
        words = {n: one if one.codes is None else Coded(one.codes[rows], one.words) for n, one in self.words.items()}
        return Block(
            self.group[rows], self.at_us[rows], self.value[rows], None if self.numeric is None else self.numeric[rows],
            text, self.delay_s[rows], self.sequence[rows], self.late[rows], words,
        )  # fmt: skip

    def schema(self) -> pa.Schema:
        """Return ``LAKE_SCHEMA`` with dictionaries for the columns that have words here; on disk it is the same."""
        return pa.schema(
            [
                pa.field(one.name, _DICTIONARY, one.nullable) if len(self.words.get(one.name, _NONE).words) else one
                for one in LAKE_SCHEMA
            ]
        )

    def to_arrow(self, start: int, stop: int, schema: pa.Schema) -> pa.Table:
        """Return rows as a table of ``LAKE_SCHEMA``, dictionaries where ``schema`` has them."""
        made: dict[str, pa.Array] = {}
        for name, one in self.words.items():
            if pa.types.is_dictionary(schema.field(name).type):
                made[name] = one.encode(start, stop)
            elif one.codes is None and not len(one.words):
                made[name] = pa.nulls(stop - start, pa.string())
            else:
                made[name] = one.encode(start, stop).dictionary_decode()
        missing = None if self.numeric is None else ~self.numeric[start:stop]
        made["observed_at"] = pa.array(self.at_us[start:stop]).view(LAKE_SCHEMA.field("observed_at").type)
        made["value"] = pa.array(self.value[start:stop], mask=missing)
        made["text"] = pa.nulls(stop - start, pa.string()) if self.text is None else self.text[start:stop]
        made["delay_s"] = pa.array(self.delay_s[start:stop])
        made["sequence"] = pa.array(self.sequence[start:stop])
        made["late"] = pa.array(self.late[start:stop])
        return pa.Table.from_arrays([made[name] for name in LAKE_SCHEMA.names], schema=schema)


_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_NONE = Coded(None, pa.array([], pa.string()))


def from_arrow(table: pa.Table) -> Block:
    """Turn sorted rows of ``LAKE_SCHEMA`` (dictionaries or texts) into a block."""
    words = {name: _coded(table[name]) for name in WORDS}
    value, text = table["value"], table["text"]
    numeric = None if not value.null_count else value.is_valid().to_numpy()
    at_us = table["observed_at"].cast(pa.int64()).to_numpy()
    return Block(
        group_of(words, len(at_us)),
        at_us,
        np.ascontiguousarray(value.fill_null(0.0).to_numpy(), np.float64),
        numeric,
        None if text.null_count == len(text) else _whole(text),
        table["delay_s"].to_numpy(),
        table["sequence"].to_numpy(),
        table["late"].to_numpy(),
        words,
    )


def group_of(words: dict[str, Coded], rows: int) -> Ints:
    """Number the series of sorted rows, growing."""
    change = np.zeros(rows, bool)
    for name in SERIES:
        codes = words[name].codes
        if codes is not None:
            change[1:] |= codes[1:] != codes[:-1]
    return np.cumsum(change, dtype=np.int64)


def read_block(file: pq.ParquetFile, row_group: int) -> Block:
    """Read sorted rows of one row group; columns that their statistics tell whole are not read."""
    described = file.metadata.row_group(row_group)
    rows = described.num_rows
    words: dict[str, Coded] = {}
    late: NDArray[np.int8] | None = None
    no_text = False
    for place in range(described.num_columns):
        column = described.column(place)
        name, known = column.path_in_schema, column.statistics
        if known is None or not known.has_null_count:
            continue
        same = known.has_min_max and known.null_count == 0 and known.min == known.max
        if name in WORDS and (same or known.null_count == rows):
            words[name] = Coded(None, pa.array([known.min] if same else [], pa.string()))
        elif name == "text":
            no_text = known.null_count == rows
        elif name == "late" and same:
            late = np.full(rows, known.min, np.int8)
    skipped = {*words, *(("text",) if no_text else ()), *(() if late is None else ("late",))}
    wanted = [name for name in LAKE_SCHEMA.names if name not in skipped]
    table = file.read_row_group(row_group, columns=wanted, use_threads=False)
    words.update({name: _coded(table[name]) for name in WORDS if name not in words})
    value = table["value"]
    return Block(
        group_of(words, rows),
        table["observed_at"].cast(pa.int64()).to_numpy(),
        np.ascontiguousarray(value.fill_null(0.0).to_numpy(), np.float64),
        None if not value.null_count else value.is_valid().to_numpy(),
        None if no_text else _whole(table["text"]),
        table["delay_s"].to_numpy(),
        table["sequence"].to_numpy(),
        table["late"].to_numpy() if late is None else late,
        words,
    )


def concat(blocks: Sequence[Block], names: Sequence[str] = WORDS) -> Block:
    """Put blocks one behind the other, of the words only ``names``; ``group`` is then without meaning."""
    if len(blocks) == 1:
        return blocks[0]
    numeric = None
    if any(one.numeric is not None for one in blocks):
        numeric = np.concatenate([np.ones(len(b), bool) if b.numeric is None else b.numeric for b in blocks])
    text = None
    if any(one.text is not None for one in blocks):
        text = pa.concat_arrays([pa.nulls(len(one), pa.string()) if one.text is None else one.text for one in blocks])
    return Block(
        np.concatenate([one.group for one in blocks]),
        np.concatenate([one.at_us for one in blocks]),
        np.concatenate([one.value for one in blocks]),
        numeric,
        text,
        np.concatenate([one.delay_s for one in blocks]),
        np.concatenate([one.sequence for one in blocks]),
        np.concatenate([one.late for one in blocks]),
        {name: concat_words([one.words[name] for one in blocks], [len(one) for one in blocks]) for name in names},
    )


def words_at(coded: Coded, rows: NDArray[Any]) -> pa.Array:
    """Return the texts of some rows."""
    codes = np.full(len(rows), 0 if len(coded.words) else -1) if coded.codes is None else coded.codes[rows]
    return coded.words.take(pa.array(codes, pa.int64(), mask=codes < 0))


def join_key(entity_type: pa.Array, name: pa.Array, entity_id: pa.Array, dataset_id: pa.Array) -> pa.Array:
    """Join the parts of a series' name to one text in the order of ``SERIES``; no dataset comes first."""
    return pc.binary_join_element_wise(entity_type, name, entity_id, dataset_id, "\x00", null_handling="skip")


def concat_words(parts: Sequence[Coded], rows: Sequence[int]) -> Coded:
    """Put coded columns of so many rows each one behind the other."""
    first = parts[0]
    if all(one.codes is None and one.words.equals(first.words) for one in parts):
        return first
    offset, codes = 0, []
    for one, count in zip(parts, rows, strict=True):
        if one.codes is None:
            codes.append(np.full(count, offset if len(one.words) else -1, np.int32))
        else:
            moved = one.codes + np.int32(offset)
            if one.codes.min(initial=0) < 0:
                moved[one.codes < 0] = -1
            codes.append(moved)
        offset += len(one.words)
    return Coded(np.concatenate(codes), pa.concat_arrays([one.words for one in parts]))


def _coded(column: pa.ChunkedArray) -> Coded:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    encoded = _whole(column.unify_dictionaries())
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    if not len(codes) or (codes == codes[0]).all():
        only = encoded.dictionary.slice(int(codes[0]), 1) if len(codes) and codes[0] >= 0 else pa.array([], pa.string())
        return Coded(None, only)
    return Coded(codes, encoded.dictionary)


def _whole(column: pa.ChunkedArray) -> Any:
    """Return one array of a column of any number of chunks."""
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
