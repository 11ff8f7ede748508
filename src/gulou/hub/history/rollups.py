"""Roll-ups: what the readings of a series in a minute, an hour or a day come to, kept beside them as Delta tables.

The rule that makes them exact: a roll-up file belongs to the readings written in the same merge, by name, and counts
just those. A query takes a roll-up only while those readings are what the lake holds (or are deleted for their age);
what has no roll-up is asked from the readings themselves; and a step that a late reading touches, which may replace
one that is counted, is asked from the readings too until a merge has settled it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gulou.hub.history.block import SERIES, Block, Coded, concat_words
from gulou.hub.history.kernels import roll_up
from gulou.hub.history.store_delta import Lake, LakeFile, LakeWriter
from gulou.kernel.clock import SECOND_US

Unit = Literal["minute", "hour", "day"]
UNITS: dict[Unit, int] = {"day": 86_400 * SECOND_US, "hour": 3_600 * SECOND_US, "minute": 60 * SECOND_US}
"""From the largest to the smallest, in µs."""
_TIME = pa.timestamp("us", tz="UTC")
ROLLUP_SCHEMA = pa.schema(
    [
        pa.field("entity_type", pa.string(), nullable=False),
        pa.field("entity_id", pa.string(), nullable=False),
        pa.field("property", pa.string(), nullable=False),
        pa.field("dataset_id", pa.string()),
        pa.field("time", _TIME, nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("numbers", pa.int64(), nullable=False),
        pa.field("sum", pa.float64()),
        pa.field("min", pa.float64()),
        pa.field("max", pa.float64()),
        pa.field("first", pa.float64()),
        pa.field("first_at", _TIME),
        pa.field("first_sequence", pa.int64()),
        pa.field("last", pa.float64()),
        pa.field("last_at", _TIME),
        pa.field("last_sequence", pa.int64()),
    ]
)
"""One row a series and step (``time`` is its start, UTC): all readings, how many of them are numbers, and of those the
sum, the least, the greatest, and the first and last by time."""
_WRITTEN = pa.schema(
    [
        pa.field(one.name, pa.dictionary(pa.int32(), pa.string()), one.nullable) if one.name in SERIES else one
        for one in ROLLUP_SCHEMA
    ]
)
_BUFFER_ROWS = 65_536
WORTH = 4
"""A roll-up of readings that will be merged again is written where it is at most one in so many of their rows."""


def open_rollups(directory: Any) -> dict[Unit, Lake]:
    """Open the tables ``minute``, ``hour`` and ``day``."""
    return {unit: Lake(directory, unit, ROLLUP_SCHEMA, "time") for unit in UNITS}


class RollupWriter:
    """Writes the roll-ups of one merge while its rows go by: each day's hours and minutes in files of their own.

    So a day of all series lies together however the readings themselves are sorted.

    Args:
        group: of the readings' files.
        whole: these readings are not expected to be merged again: write what is asked for at any size.
        units: which to write.
    """

    def __init__(self, lakes: dict[Unit, Lake], ym: str, group: str, units: tuple[Unit, ...], *, whole: bool) -> None:
        self._lakes, self._ym, self._group = lakes, ym, group
        self._units = list(units)
        self._whole = whole
        self._writers: dict[tuple[Unit, int], LakeWriter] = {}
        self._waiting: dict[tuple[Unit, int], list[_Steps]] = defaultdict(list)
        self._waiting_rows: dict[tuple[Unit, int], int] = defaultdict(int)
        self._types: dict[tuple[Unit, int], str | None] = {}

    def write(self, block: Block) -> None:
        """Add rows; all rows of a series come in one call."""
        for unit in tuple(self._units):
            steps = _steps(block, UNITS[unit])
            if not self._worth(unit, len(steps.count), len(block)):
                self._drop(unit)
                continue
            if unit == "day":
                self._keep(unit, 0, steps)
                continue
            days = steps.time_us // UNITS["day"]
            if days.min() == days.max():
                self._keep(unit, int(days[0]), steps)
                continue
            for day in np.unique(days).tolist():
                self._keep(unit, day, steps.take(np.flatnonzero(days == day)))

    def finish(self) -> dict[Unit, list[LakeFile]]:
        """Return the files by unit."""
        for key in tuple(self._waiting):
            self._flush(key)
        found: dict[Unit, list[LakeFile]] = {unit: [] for unit in UNITS}
        for (unit, _), writer in self._writers.items():
            found[unit] += writer.finish()
        return found

    def discard(self) -> None:
        """Delete what was written."""
        for writer in self._writers.values():
            writer.discard()

    def _worth(self, unit: Unit, steps: int, rows: int) -> bool:
        if self._whole and unit != "minute":
            return True
        return steps * WORTH <= rows

    def _drop(self, unit: Unit) -> None:
        """Give a unit up: a file that lacked some series would be wrong."""
        self._units.remove(unit)
        for key in [key for key in self._writers if key[0] == unit]:
            self._writers.pop(key).discard()
        for key in [key for key in self._waiting if key[0] == unit]:
            del self._waiting[key], self._waiting_rows[key]

    def _keep(self, unit: Unit, day: int, steps: _Steps) -> None:
        key = unit, day
        self._waiting[key].append(steps)
        self._waiting_rows[key] += len(steps.count)
        if self._waiting_rows[key] >= _BUFFER_ROWS:
            self._flush(key)

    def _flush(self, key: tuple[Unit, int]) -> None:
        unit, day = key
        waiting = self._waiting.pop(key, [])
        self._waiting_rows.pop(key, None)
        if not waiting:
            return
        if key not in self._writers:
            self._writers[key] = LakeWriter(self._lakes[unit], self._ym, group=self._group, part=f"d{day}", level=3)
        writer, steps = self._writers[key], _join(waiting)
        for name, part in steps.by_type() if self._whole else [(None, steps)]:
            if name != self._types.get(key):
                writer.end_file()
            self._types[key] = name
            writer.write(part.to_arrow())


class _Steps:
    """Steps of many series, sorted by series, then time."""

    __slots__ = ("arrays", "words")

    def __init__(self, arrays: dict[str, NDArray[Any]], words: dict[str, Coded]) -> None:
        self.arrays, self.words = arrays, words

    @property
    def count(self) -> NDArray[Any]:
        return self.arrays["count"]

    @property
    def time_us(self) -> NDArray[Any]:
        return self.arrays["time"]

    def take(self, rows: NDArray[Any]) -> _Steps:
        return _Steps(
            {name: one[rows] for name, one in self.arrays.items()},
            {name: one.take(rows) for name, one in self.words.items()},
        )

    def by_type(self) -> Iterator[tuple[str, _Steps]]:
        """Yield each entity type and its steps."""
        types = self.words["entity_type"]
        codes = np.zeros(len(self.count), np.int32) if types.codes is None else types.codes
        bounds = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(codes)]
        for start, stop in pairwise(bounds):
            yield types.words[int(codes[start])].as_py(), self.take(np.arange(start, stop))

    def to_arrow(self) -> pa.Table:
        rows = len(self.count)
        none = self.arrays["numbers"] == 0
        mask = none if none.any() else None
        columns: list[pa.Array] = []
        for field in ROLLUP_SCHEMA:
            if field.name in SERIES:
                columns.append(self.words[field.name].encode(0, rows))
                continue
            made = pa.array(self.arrays[field.name], mask=mask if field.nullable else None)
            columns.append(made.cast(field.type))
        return pa.Table.from_arrays(columns, schema=_WRITTEN)


def _join(parts: list[_Steps]) -> _Steps:
    if len(parts) == 1:
        return parts[0]
    return _Steps(
        {name: np.concatenate([one.arrays[name] for one in parts]) for name in parts[0].arrays},
        {name: concat_words([p.words[name] for p in parts], [len(p.count) for p in parts]) for name in SERIES},
    )


def _steps(block: Block, unit_us: int) -> _Steps:
    rows = len(block)
    numeric = np.ones(rows, bool) if block.numeric is None else block.numeric
    whole = {name: np.empty(rows, np.int64) for name in ("row", "time", "count", "numbers")}
    parts = {name: np.empty(rows) for name in ("sum", "min", "max")}
    ends = {name: np.empty(rows, np.int64) for name in ("first", "last")}
    steps = roll_up(
        block.group, block.at_us, block.value, numeric, unit_us, *whole.values(), *parts.values(), *ends.values()
    )
    # copies: a view would keep room for every row, and the steps of very many blocks wait to be written
    arrays: dict[str, NDArray[Any]] = {n: one[:steps].copy() for n, one in (*whole.items(), *parts.items())}
    for end, found in ends.items():
        place = found[:steps]
        arrays[end] = block.value[place]  # -1, where there is no number, is masked later
        arrays[f"{end}_at"] = block.at_us[place]
        arrays[f"{end}_sequence"] = block.sequence[place]
    starts = arrays.pop("row")
    return _Steps(arrays, {name: block.words[name].take(starts) for name in SERIES})
