"""The newest readings, in memory until they are in the lake; every query sees them."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gulou.connectivity.intake import Columns, LogBatch
from gulou.hub.history.columns import TAIL_SCHEMA
from gulou.hub.history.columns import Columns as Lists
from gulou.hub.history.model import HistoryQuery
from gulou.hub.history.series import SeriesNames, SeriesTimes

_CHUNK_ROWS = 8_192
_PIECE_ROWS = 131_072


class Piece(msgspec.Struct, frozen=True, eq=False):
    """Rows that came as columns, in the order of the log; (n,) each. Never changed.

    Args:
        source: place in ``sources``.
        row: place within the log record.
    """

    series: NDArray[np.int32]
    at_us: NDArray[np.int64]
    value: NDArray[np.float64]
    late: NDArray[np.int8]
    sequence: NDArray[np.int64]
    received_s: NDArray[np.int64]
    source: NDArray[np.int32]
    row: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.series)

    def take(self, rows: NDArray[Any] | slice) -> Piece:
        return Piece(*(getattr(self, name)[rows] for name in self.__struct_fields__))

    @property
    def delay_s(self) -> NDArray[np.int32]:
        """Seconds from the second of observation until receipt, rounded up."""
        delay = self.received_s - self.at_us // 1_000_000
        clipped: NDArray[np.int32] = np.clip(delay, -(2**31) + 1, 2**31 - 1).astype(np.int32)
        return clipped


def join(pieces: list[Piece]) -> Piece:
    """Put pieces one behind the other."""
    if len(pieces) == 1:
        return pieces[0]
    return Piece(*(np.concatenate([getattr(one, name) for one in pieces]) for name in Piece.__struct_fields__))


class TailView(msgspec.Struct, frozen=True):
    """The tail at one moment.

    Args:
        objects: readings that came as objects, ``TAIL_SCHEMA``.
        pieces: rows that came as columns.
        sources: names of the sources that ``Piece.source`` counts.
        chunks: how many chunks of the tail ``objects`` covers, for ``discard``; ``pieces`` are discarded by number.
        sequence: last log sequence applied, also when its batch had no readings.
        late: whether some row of it may replace an earlier reading.
    """

    objects: pa.Table
    pieces: tuple[Piece, ...]
    sources: tuple[str, ...]
    chunks: int
    sequence: int
    late: bool

    @property
    def rows(self) -> int:
        return int(self.objects.num_rows) + sum(map(len, self.pieces))


class Tail:
    """Columns in memory, in the order of the log. One thread appends; any thread views; one discards."""

    def __init__(self, times: SeriesTimes) -> None:
        self._times = times
        self._lock = threading.Lock()
        self._sealed: list[pa.RecordBatch] = []
        self._open = Lists()
        self._late: list[bool] = []  # per sealed chunk
        self._open_late = False
        self._pieces: list[Piece] = []
        self._pieces_late: list[bool] = []
        self._records: list[tuple[Columns, NDArray[np.int8], int, int, int, int]] = []
        self._records_rows = 0
        self._records_late = False
        self._sources: dict[str, int] = {}
        self.rows = self.objects = 0
        self.sequence = 0

    def append(self, batch: LogBatch) -> None:
        """Add a batch; a view sees all of it or nothing."""
        late = self._times.mark_objects(batch) if batch.readings else []
        columns = batch.columns
        rows = 0 if columns is None else len(columns)
        if columns is not None and rows:
            marks, any_late = self._times.mark_columns(columns)
        with self._lock:
            self.sequence = batch.sequence
            self.rows += rows + len(late)
            if late:
                self._open.extend(batch, batch.readings, late, 0)
                self._open_late = self._open_late or 1 in late
                self.objects += len(late)
                if self._open.rows >= _CHUNK_ROWS:
                    self._seal_objects()
            if columns is not None and rows:
                source = self._sources.setdefault(batch.source, len(self._sources))
                received_s = -(-batch.received_at_us // 1_000_000)
                self._records.append((columns, marks, batch.sequence, received_s, source, len(late)))
                self._records_late = self._records_late or any_late
                self._records_rows += rows
                if self._records_rows >= _PIECE_ROWS:
                    self._seal_records()

    def view(self) -> TailView:
        """Return everything held, without copying what is sealed."""
        with self._lock:
            if self._open.rows:
                self._seal_objects()
            if self._records:
                self._seal_records()
            table = pa.Table.from_batches(self._sealed, TAIL_SCHEMA)
            return TailView(
                table, tuple(self._pieces), tuple(self._sources), len(self._sealed), self.sequence,
                any(self._late) or any(self._pieces_late),
            )  # fmt: skip

    def discard(self, view: TailView) -> None:
        """Forget what a view holds: the lake has it."""
        with self._lock:
            chunks, pieces = view.chunks, len(view.pieces)
            gone = sum(chunk.num_rows for chunk in self._sealed[:chunks])
            self.objects -= gone
            self.rows -= gone + sum(map(len, view.pieces))
            del self._sealed[:chunks], self._late[:chunks]
            del self._pieces[:pieces], self._pieces_late[:pieces]

    def _seal_objects(self) -> None:
        self._sealed.append(self._open.seal())
        self._late.append(self._open_late)
        self._open, self._open_late = Lists(), False

    def _seal_records(self) -> None:
        held = self._records
        counts = np.array([len(one[0]) for one in held])
        starts = np.repeat(np.cumsum(counts) - counts - np.array([one[5] for one in held]), counts)
        self._pieces.append(
            Piece(
                np.concatenate([one[0].series for one in held]),
                np.concatenate([one[0].observed_at_us for one in held]),
                np.concatenate([one[0].value for one in held]),
                np.concatenate([one[1] for one in held]),
                np.repeat(np.array([one[2] for one in held], np.int64), counts),
                np.repeat(np.array([one[3] for one in held], np.int64), counts),
                np.repeat(np.array([one[4] for one in held], np.int32), counts),
                (np.arange(len(starts)) - starts).astype(np.int32),
            )
        )
        self._pieces_late.append(self._records_late)
        self._records, self._records_rows, self._records_late = [], 0, False


def pieces_to_arrow(view: TailView, names: SeriesNames, position: int, query: HistoryQuery) -> pa.Table:
    """Return rows that came as columns, past a log position, that a query may ask for, as ``TAIL_SCHEMA`` with
    dictionaries. Names and times are looked at before a row is copied, patterns not at all."""
    found = []
    for piece in view.pieces:
        if piece.sequence[-1] <= position:
            continue
        chosen = piece.sequence > position
        if query.from_us is not None:
            chosen &= piece.at_us >= query.from_us
        if query.to_us is not None:
            chosen &= piece.at_us < query.to_us
        wanted = _wanted(names.upto(int(piece.series.max()) + 1), query)
        if wanted is not None:
            chosen &= wanted[piece.series]
        places = np.flatnonzero(chosen)
        if len(places):
            found.append(piece.take(places))
    if not found:
        return _TAIL_COLUMNS.empty_table()
    rows = join(found)
    present: NDArray[np.bool_] = np.zeros(int(rows.series.max()) + 1, np.bool_)
    present[rows.series] = True
    numbers = np.flatnonzero(present)
    code = pa.array((np.cumsum(present) - 1)[rows.series], pa.int32())
    arrays = names.upto(len(present))
    made: dict[str, Any] = {
        name: pa.DictionaryArray.from_arrays(code, arrays[name].take(pa.array(numbers)))
        for name in ("entity_type", "entity_id", "property", "device_id")
    }
    count = len(rows)
    made["kind"] = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["Property"]))
    made["source"] = pa.DictionaryArray.from_arrays(pa.array(rows.source), pa.array(view.sources, pa.string()))
    made["observed_at"] = pa.array(rows.at_us).view(_TAIL_COLUMNS.field("observed_at").type)
    for name, one in (("value", rows.value), ("delay_s", rows.delay_s), ("sequence", rows.sequence),
                      ("late", rows.late), ("row", rows.row)):  # fmt: skip
        made[name] = pa.array(one)
    arrays_made = [made.get(one.name) for one in _TAIL_COLUMNS]
    return pa.Table.from_arrays(
        [
            pa.nulls(count, field.type) if one is None else one
            for one, field in zip(arrays_made, _TAIL_COLUMNS, strict=True)
        ],
        schema=_TAIL_COLUMNS,
    )


_WORDS = {"entity_type", "entity_id", "property", "device_id", "kind", "source"}
_TAIL_COLUMNS = pa.schema(
    [
        pa.field(one.name, pa.dictionary(pa.int32(), pa.string()), one.nullable) if one.name in _WORDS else one
        for one in TAIL_SCHEMA
    ]
)


def _wanted(arrays: dict[str, pa.Array], query: HistoryQuery) -> NDArray[np.bool_] | None:
    """Return which series a query may mean; None when it names none."""
    exact = query.id_glob if query.id_glob is not None and not {"*", "?"} & set(query.id_glob) else None
    asked = (("entity_type", query.type), ("entity_id", exact), ("property", query.property))
    masks = [pc.equal(arrays[name], text).to_numpy(zero_copy_only=False) for name, text in asked if text is not None]
    if query.properties is not None:
        masks.append(
            pc.is_in(arrays["property"], pa.array(query.properties, pa.string())).to_numpy(zero_copy_only=False)
        )
    if not masks:
        return None
    every: NDArray[np.bool_] = np.logical_and.reduce(masks)
    return every
