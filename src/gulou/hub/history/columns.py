"""The columns of the history, in memory, in Parquet and in Delta; and readings turned into them and back."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gulou.connectivity.intake import LogBatch, Reading, Value
from gulou.hub.history.model import HistoryRow

_TIME = pa.timestamp("us", tz="UTC")
Time = TypeVar("Time", int, NDArray[np.int64])

LAKE_SCHEMA = pa.schema(
    [
        pa.field("entity_type", pa.string(), nullable=False),
        pa.field("entity_id", pa.string(), nullable=False),
        pa.field("property", pa.string(), nullable=False),
        pa.field("dataset_id", pa.string()),
        pa.field("observed_at", _TIME, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("unit_code", pa.string()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("device_id", pa.string()),
        pa.field("flags", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("delay_s", pa.int32(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("late", pa.int8(), nullable=False),
    ]
)
"""One row a reading.

``value`` holds numbers, and 0 or 1 for truth values. ``text`` is the JSON of everything that ``value`` alone does not
tell: texts, truth values, geometries, lists, whole numbers past 2**53. ``flags`` are separated by spaces. ``delay_s``
is when it was received: whole seconds, rounded up, after the second of ``observed_at`` (a time of its own would cost
as much as all the rest of the row). ``late`` is not 0 where the reading was not newer than all of its series before
it: only such rows can replace an earlier one; 2 says that it came as a column, behind the objects (1) of the same log
record.
"""

TAIL_SCHEMA = LAKE_SCHEMA.append(pa.field("row", pa.int32(), nullable=False))
"""In memory also the place within the log record, which settles two readings of one series and time in one record."""

PARTITION = "ym"

SAME_SERIES_SQL = (
    "l.entity_type = r.entity_type AND l.entity_id = r.entity_id AND l.property = r.property "
    "AND l.dataset_id IS NOT DISTINCT FROM r.dataset_id"
)
"""Says that rows ``l`` and ``r`` are of one series."""

_EXACT = 2**53


def split_value(value: Value) -> tuple[float | None, str | None]:
    """Return the number and the JSON text that together give ``value`` back."""
    if value is True or value is False:
        return float(value), "true" if value else "false"
    if isinstance(value, float):
        return value, None
    if isinstance(value, int):
        if -_EXACT <= value <= _EXACT:
            return float(value), None
        try:
            return float(value), str(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf, str(value)
    return None, msgspec.json.encode(value).decode()


def join_value(number: float | None, text: str | None) -> Value:
    """Undo ``split_value``."""
    if text is None:
        return math.nan if number is None else number
    value: Value = json.loads(text)
    return value


class Columns:
    """Readings gathered as Python lists, one a column; cheap to append to."""

    __slots__ = ("_lists", "rows")

    def __init__(self) -> None:
        self._lists: list[list[Any]] = [[] for _ in TAIL_SCHEMA]
        self.rows = 0

    def extend(self, batch: LogBatch, readings: tuple[Reading, ...], late: list[int], first_row: int) -> None:
        """Append ``readings`` of ``batch`` that begin at place ``first_row`` of it."""
        count = len(readings)
        pairs = [(r.value, None) if type(r.value) is float else split_value(r.value) for r in readings]
        columns: tuple[list[Any], ...] = (
            [r.entity_type for r in readings],
            [r.entity_id for r in readings],
            [r.property for r in readings],
            [r.dataset_id for r in readings],
            [r.observed_at_us for r in readings],
            [number for number, _ in pairs],
            [text for _, text in pairs],
            [r.unit_code for r in readings],
            [r.kind for r in readings],
            [r.device_id for r in readings],
            [" ".join(r.flags) if r.flags else None for r in readings],
            [batch.source] * count,
            [delay_s(batch.received_at_us, r.observed_at_us) for r in readings],
            [batch.sequence] * count,
            late,
            list(range(first_row, first_row + count)),
        )
        for held, column in zip(self._lists, columns, strict=True):
            held.extend(column)
        self.rows += count

    def seal(self) -> pa.RecordBatch:
        """Turn the lists into Arrow arrays."""
        arrays = [pa.array(held, field.type) for held, field in zip(self._lists, TAIL_SCHEMA, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=TAIL_SCHEMA)


ROW_SQL = (
    "entity_id, entity_type, property, dataset_id, epoch_us(observed_at), value, text, unit_code, kind, device_id, "
    "flags, source, delay_s, sequence"
)
"""The select list that ``to_rows`` reads."""


def to_reading(row: HistoryRow) -> Reading:
    """Build the reading that a row was made from."""
    return Reading(
        row.entity_id, row.entity_type, row.property, row.value, row.observed_at_us, row.unit_code, row.dataset_id,
        row.device_id, row.kind, row.flags,
    )  # fmt: skip


_MOST_DELAY = 2**31 - 1


def delay_s(received_at_us: int, observed_at_us: int) -> int:
    """Return the seconds that ``received_us`` undoes."""
    delay = -(-received_at_us // 1_000_000) - observed_at_us // 1_000_000
    return max(-_MOST_DELAY, min(_MOST_DELAY, delay))


def received_us(observed_at_us: Time, delay: Time) -> Time:
    """Return when a reading, or each of an array, was received: µs since the Unix epoch, UTC, whole seconds up."""
    return (observed_at_us // 1_000_000 + delay) * 1_000_000


def to_rows(batch: pa.RecordBatch) -> Iterator[HistoryRow]:
    """Build rows from columns in the order of ``ROW_SQL``; a word that repeats is one object, however many say it."""
    entity_id, entity_type, name, dataset_id, observed_at, number, text, *others = batch.columns
    unit_code, kind, device_id, flags, source, delay, sequence = others
    at_us, delays_s = observed_at.to_numpy(), delay.to_numpy()
    return map(
        HistoryRow,
        _words(entity_id),
        _words(entity_type),
        _words(name),
        _words(dataset_id),
        at_us.tolist(),
        _values(number, text),
        _words(unit_code),
        _words(kind),
        _words(device_id),
        _flags(flags),
        _words(source),
        received_us(at_us, delays_s.astype(np.int64)).tolist(),
        sequence.to_numpy().tolist(),
    )


def _words(column: pa.Array) -> list[str | None]:
    """Return texts; each that is there more than once as the same object."""
    if column.null_count == len(column):
        return [None] * len(column)
    encoded = column.dictionary_encode()
    words: list[str | None] = encoded.dictionary.to_pylist()
    if len(words) == 1 and not column.null_count:
        return words * len(column)
    places = encoded.indices.fill_null(len(words)).to_numpy().tolist()
    words.append(None)
    return [words[place] for place in places]


def _flags(column: pa.Array) -> list[tuple[str, ...]]:
    words = _words(column)
    known = {word: tuple(word.split(" ")) if word else () for word in set(words)}
    return [known[word] for word in words]


def _values(number: pa.Array, text: pa.Array) -> list[Value]:
    if text.null_count == len(text) and not number.null_count:
        plain: list[Value] = number.to_numpy().tolist()
        return plain
    pairs = zip(number.to_pylist(), text.to_pylist(), strict=True)
    return [join_value(one, word) for one, word in pairs]
