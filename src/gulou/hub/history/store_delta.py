"""The lake: a Delta table on local disk, one partition a month, each file sorted by series and time.

What makes it safe: data files are synced before the commit that names them; a commit carries the log sequence as the
application's transaction version, so that readings and position become durable together, once; ``position`` is told
only after the commit itself is synced. A last commit that a power failure has torn was therefore never told, and is
set aside when the table is opened; the log still has its readings.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from gulou.hub.history.block import Block, Coded, from_arrow
from gulou.hub.history.columns import LAKE_SCHEMA, PARTITION
from gulou.hub.history.kernels import order_rows
from gulou.hub.history.series import SeriesNames
from gulou.hub.history.tail import Piece
from gulou.kernel.errors import Conflict, Fault, Unavailable
from gulou.kernel.writing import write_out_path

APP_ID = "gulou-history"
RETIRED_ID = "gulou-history-retired"
READINGS = "readings"
EARLIER = "readings.earlier"
"""What makes way for a converted table; it is there only while, or because, that was broken off."""
ROW_GROUP = 131_072
_CONFIGURATION = {
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}
_DELTA_PACKED = "DELTA_BINARY_PACKED"
_SERIES = ("entity_type", "property", "entity_id", "dataset_id")
_NAMES = ("entity_type", "property", "entity_id")


class LakeFile(msgspec.Struct, frozen=True):
    """A live data file and what lets a query pass it by.

    Args:
        first, last: least and greatest entity type, property and entity id, each for itself.
    """

    path: str
    ym: str
    rows: int
    bytes: int
    first_us: int
    last_us: int
    first: tuple[str, str, str]
    last: tuple[str, str, str]
    late: bool

    @property
    def group(self) -> str:
        """What the files of one flush or merge into one month have in common: when they were written, and a number."""
        return "-".join(self.path.rpartition("/")[2].removesuffix(".parquet").split("-")[:3])

    @property
    def written_ns(self) -> int:
        """When it was written, ns since the Unix epoch; 0 for a file of another writer."""
        stamp = self.path.rpartition("/")[2].partition("-")[0]
        return int(stamp) if stamp.isdecimal() else 0


class LakeState(msgspec.Struct, frozen=True):
    """The live files, and the log sequence up to which everything is in them, durably. Replaced as a whole."""

    files: tuple[LakeFile, ...]
    position: int


class Lake:
    """A Delta table in a directory of its own, a partition a month; one writer.

    Args:
        directory: of the history.
        name: of the table: ``readings``, or a roll-up's.
        schema: the columns, without the partition's.
        time: the column whose bounds files tell.

    Raises:
        Fault: ``history.damaged``: the table cannot be read, or has other columns.
        Conflict: ``history.earlier``: it is of an earlier version and is to be converted first.
    """

    def __init__(
        self, directory: Path, name: str = READINGS, schema: pa.Schema = LAKE_SCHEMA, time: str = "observed_at"
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.table_directory = directory / name
        self._schema = pa.schema([pa.field(PARTITION, pa.string(), nullable=False), *schema])
        self._time = time
        self._uncertain = False
        self._names = 0
        self._lock = threading.Lock()  # one commit at a time, and the file list with it
        try:
            if name == READINGS and is_earlier(directory):
                raise Conflict("history.earlier", path=str(directory))
            self._table = self._open()
            if {one.name for one in self._table.schema().fields} != set(self._schema.names):
                raise Fault("history.damaged", path=str(directory), detail=f"{name}: other columns than expected")
            self.state = LakeState(tuple(self._list_files()), self._table.transaction_version(APP_ID) or 0)
            self.retired = self._table.transaction_version(RETIRED_ID) or 0
        except (DeltaError, OSError) as error:
            raise Fault("history.damaged", path=str(directory), detail=str(error)) from error

    @property
    def time_column(self) -> str:
        """The column whose bounds files tell."""
        return self._time

    def append(self, blocks: Iterable[Block], sequence: int) -> None:
        """Add sorted rows and move the position to ``sequence``, both or neither.

        Raises:
            Unavailable: ``history.write_failed``; nothing was added.
            Fault: ``history.uncertain``; not known whether it was added. Opening the table again tells.
        """
        files: list[LakeFile] = []
        try:
            for block in blocks:
                for ym, part in by_month(block):
                    writer = LakeWriter(self, ym)
                    writer.write_block(part)
                    files += writer.finish()
        except OSError as error:
            self._forget(files)
            raise Unavailable("history.write_failed", path=str(self.directory), detail=str(error)) from error
        self.change(files, (), sequence)

    def change(
        self, added: Sequence[LakeFile], gone: Iterable[LakeFile], sequence: int | None = None, retired: int = 0
    ) -> None:
        """Take files in and out in one commit; both or neither. Files that could not be added are deleted.

        Args:
            sequence: moves the position.
            retired: a month (2026 * 12 + 11) up to which readings are deleted for good.

        Raises:
            Unavailable, Fault: as ``append``.
        """
        left = {file.path for file in gone}
        with self._lock:
            if not added and sequence is None and not retired and not left:
                return
            try:
                self._commit(added, [file for file in self.state.files if file.path in left], sequence, retired)
            except (DeltaError, OSError) as error:
                self._forget(added)
                raise Unavailable("history.write_failed", path=str(self.directory), detail=str(error)) from error
            kept = (file for file in self.state.files if file.path not in left) if left else self.state.files
            self.state = LakeState((*kept, *added), self.state.position if sequence is None else sequence)
            self.retired = max(self.retired, retired)

    def new_group(self) -> str:
        """Return a name for files written together, unique and growing with time."""
        with self._lock:
            self._names += 1
            return f"{time.time_ns():020d}-{os.getpid()}-{self._names}"

    def tidy(self, vacuum_hours: int) -> None:
        """Delete replaced and orphaned files older than ``vacuum_hours``, and log entries that a checkpoint covers."""
        with self._lock:
            try:
                self._table.vacuum(vacuum_hours, dry_run=False, enforce_retention_duration=False, full=True)
                self._table.update_incremental()
                self._table.create_checkpoint()
                self._table.cleanup_metadata()
            except (DeltaError, OSError) as error:
                raise Unavailable("history.write_failed", path=str(self.directory), detail=str(error)) from error

    def _open(self) -> DeltaTable:
        _set_torn_commit_aside(self.table_directory / "_delta_log")
        try:
            return DeltaTable(self.table_directory)
        except TableNotFoundError:
            table = DeltaTable.create(
                self.table_directory, self._schema, partition_by=[PARTITION], configuration=_CONFIGURATION
            )
            self._sync_commit(0)
            return table

    def _list_files(self) -> Iterable[LakeFile]:
        actions = pa.table(self._table.get_add_actions(flatten=True))
        if not actions.num_rows:
            return
        bounds = [f"{end}.{name}" for end in ("min", "max") for name in (self._time, *_NAMES)]
        late = ["max.late"] if "max.late" in actions.column_names else []
        for row in actions.select(["path", "partition.ym", "num_records", "size_bytes", *late, *bounds]).to_pylist():
            low, high = (_three(row[f"{end}.{name}"] for name in _NAMES) for end in ("min", "max"))
            yield LakeFile(
                row["path"], row["partition.ym"], row["num_records"], row["size_bytes"],
                _micros(row[f"min.{self._time}"]), _micros(row[f"max.{self._time}"]),
                low, high,                late=row.get("max.late", 0) > 0,
            )  # fmt: skip

    def _commit(
        self, add: Sequence[LakeFile], remove: Sequence[LakeFile], sequence: int | None, retired: int = 0
    ) -> None:
        """Commit, and sync the commit; ``sequence`` moves the position with it."""
        if self._uncertain:
            raise Fault("history.uncertain", path=str(self.directory))
        now_ms = time.time_ns() // 1_000_000  # the file system's affair, not the city's
        new_data = not (add and remove)
        actions: list[AddAction | RemoveAction] = [_add_action(file, now_ms, new_data, self._time) for file in add]
        actions += [RemoveAction(file.path, new_data, now_ms, file.bytes, {PARTITION: file.ym}) for file in remove]
        marks = [] if sequence is None else [Transaction(APP_ID, sequence)]
        marks += [Transaction(RETIRED_ID, retired)] if retired else []
        before = self._table.version()
        self._uncertain = True
        try:
            self._table.create_write_transaction(
                actions, "append", self._schema, partition_by=[PARTITION],
                commit_properties=CommitProperties(app_transactions=marks),
            )  # fmt: skip
        except (DeltaError, OSError):
            self._table.update_incremental()
            if self._table.version() == before:  # we are the only writer: it did not go in
                self._uncertain = False
                raise
        self._table.update_incremental()
        for version in range(before + 1, self._table.version() + 1):
            self._sync_commit(version)
        self._uncertain = False

    def _sync_commit(self, version: int) -> None:
        log = self.table_directory / "_delta_log"
        sync(log / f"{version:020d}.json")
        sync(log)
        sync(self.table_directory)

    def _forget(self, files: Iterable[LakeFile]) -> None:
        """Delete files that no commit names."""
        if self._uncertain:
            raise Fault("history.uncertain", path=str(self.directory))
        for file in files:
            (self.table_directory / file.path).unlink(missing_ok=True)


class LakeWriter:
    """Writes sorted rows as the files of one group: row groups of equal size, each with only its own words.

    Args:
        split_bytes: a new file is begun when one has grown past this; 0 never.
    """

    def __init__(
        self, lake: Lake, ym: str, *, group: str | None = None, level: int = 1, split_bytes: int = 0, part: str = ""
    ) -> None:
        self._lake, self._ym, self._level, self._split = lake, ym, level, split_bytes
        self._group = group or lake.new_group()
        self._part = part
        self._files: list[LakeFile] = []
        self._writer: pq.ParquetWriter | None = None
        self._schema = pa.schema([])
        self._paths: list[Path] = []
        self._bounds: list[tuple[Any, ...]] = []
        self._rows, self._late, self._written_out = 0, False, 0
        (lake.table_directory / f"{PARTITION}={ym}").mkdir(exist_ok=True)

    @property
    def group(self) -> str:
        return self._group

    def write_block(self, block: Block) -> None:
        """Add rows as one or more row groups."""
        for start, stop in _shares(len(block)):
            if self._writer is None:
                self._schema = block.schema()
            self._write_group(block.to_arrow(start, stop, self._schema))

    def write(self, table: pa.Table) -> None:
        """Add rows as one or more row groups."""
        for start, stop in _shares(table.num_rows):
            self._write_group(table.slice(start, stop - start))

    def end_file(self) -> None:
        """Finish the file that is being written; the next row group begins another."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        path = self._paths[-1]
        sync(path)
        first_us, last_us, *names = zip(*self._bounds, strict=True)
        self._files.append(
            LakeFile(
                f"{PARTITION}={self._ym}/{path.name}",
                self._ym,
                self._rows,
                path.stat().st_size,
                min(first_us),
                max(last_us),
                tuple(min(n) for n in names[::2]),
                tuple(max(n) for n in names[1::2]),
                self._late,
            )
        )
        self._bounds, self._rows, self._late = [], 0, False

    def finish(self) -> list[LakeFile]:
        """Return the files, synced; they are part of the table when a commit says so."""
        self.end_file()
        if self._files:
            sync(self._paths[-1].parent)
        return self._files

    def discard(self) -> None:
        """Delete what was written."""
        if self._writer is not None:
            self._writer.close()
        for path in self._paths:
            path.unlink(missing_ok=True)

    def _write_group(self, table: pa.Table) -> None:
        if self._writer is None:
            name = "-".join(part for part in (self._group, self._part, f"p{len(self._paths)}") if part)
            path = self._lake.table_directory / f"{PARTITION}={self._ym}" / f"{name}.parquet"
            self._paths.append(path)
            self._writer = self._open(path, table.schema)
            self._written_out = 0
        try:
            self._writer.write_table(table, row_group_size=table.num_rows)
        except OSError:
            self.discard()
            raise
        self._written_out = write_out_path(self._paths[-1], self._written_out)
        at = pc.min_max(table[self._lake.time_column].cast(pa.int64()))
        bounds: list[Any] = [at["min"].as_py(), at["max"].as_py()]
        for name in _NAMES:
            words = table[name].unify_dictionaries().chunk(0)
            used = pc.min_max(words.dictionary if words.offset == 0 else words.dictionary_decode())
            bounds += [used["min"].as_py(), used["max"].as_py()]
        self._bounds.append(tuple(bounds))
        self._rows += table.num_rows
        if "late" in table.column_names:
            self._late = self._late or bool(pc.max(table["late"]).as_py())
        if self._split and self._paths[-1].stat().st_size > self._split:
            self.end_file()

    def _open(self, path: Path, schema: pa.Schema) -> pq.ParquetWriter:
        packed = {one.name: _DELTA_PACKED for one in schema if _is_packed(one)}
        return pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=self._level, column_encoding=packed,
            use_dictionary=[one.name for one in schema if one.name not in packed], store_schema=False,
            dictionary_pagesize_limit=4 * 2**20, write_page_index=True, coerce_timestamps="us",
        )  # fmt: skip


def _three(names: Iterable[str]) -> tuple[str, str, str]:
    first, second, third = names
    return first, second, third


def _shares(rows: int) -> Iterable[tuple[int, int]]:
    groups = -(-rows // ROW_GROUP)
    for one in range(groups):
        yield rows * one // groups, rows * (one + 1) // groups


def _is_packed(field: pa.Field) -> bool:
    return bool(pa.types.is_timestamp(field.type) or field.type == pa.int64())


def sort_pieces(rows: Piece, names: SeriesNames, sources: Sequence[str]) -> Block:
    """Sort rows that came as columns by series and time; of one series and time keep the one latest in the log."""
    count = int(rows.series.max()) + 1
    ranks = names.ranks(count)
    words = names.upto(count)
    order = np.empty(len(rows), np.int64)
    kept = order_rows(ranks[rows.series], rows.at_us, len(ranks), order)
    rows = rows.take(order[:kept])
    series = rows.series
    nothing = Coded(None, pa.array([], pa.string()))
    return Block(
        ranks[series].astype(np.int64), rows.at_us, rows.value, None, None, rows.delay_s, rows.sequence, rows.late,
        {
            **{name: Coded(series, words[name]) for name in ("entity_type", "entity_id", "property", "device_id")},
            **dict.fromkeys(("dataset_id", "unit_code", "flags"), nothing),
            "kind": Coded(None, pa.array(["Property"])),
            "source": Coded(rows.source, pa.array(sources, pa.string())),
        },
    )  # fmt: skip


def sort_rows(rows: pa.Table) -> Block:
    """Sort rows that came as objects by series and time; of one series and time keep the one latest in the log."""
    keys = [_ranks(rows[name]) for name in _SERIES]
    at_us = rows["observed_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((rows["row"].to_numpy(), rows["sequence"].to_numpy(), at_us, *reversed(keys)))
    compared = [at_us[order], *(key[order] for key in keys)]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = np.logical_or.reduce([column[1:] != column[:-1] for column in compared])
    return from_arrow(rows.take(pa.array(order[last])).select(LAKE_SCHEMA.names))


def by_month(block: Block) -> Iterable[tuple[str, Block]]:
    """Yield ("2026-11", its rows) for each UTC month."""
    if not len(block):
        return
    first, last = np.array([block.at_us.min(), block.at_us.max()]).view("datetime64[us]").astype("datetime64[M]")
    if first == last:
        yield str(first), block
        return
    months = block.at_us.view("datetime64[us]").astype("datetime64[M]")
    for month in np.unique(months):
        rows = np.flatnonzero(months == month)
        yield str(month), block.take(rows, block.group[rows])


def month_number(ym: str) -> int:
    """Return a number that grows with months."""
    year, month = (int(part) for part in ym.split("-"))
    return year * 12 + month


def month_end(ym: str) -> date:
    """Return the first day after a month."""
    year, month = (int(part) for part in ym.split("-"))
    return date(year + month // 12, month % 12 + 1, 1)


def _ranks(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Number texts in their order; absent ones first."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.unify_dictionaries().combine_chunks()
    words = encoded.dictionary.to_pylist()
    rank = np.empty(len(words) + 1, dtype=np.int64)
    rank[-1] = -1
    rank[np.array(sorted(range(len(words)), key=words.__getitem__), dtype=np.int64)] = np.arange(len(words))
    codes = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
    ranks: np.ndarray[Any, np.dtype[np.int64]] = rank[codes]
    return ranks


def _add_action(file: LakeFile, now_ms: int, data_change: bool, time_name: str) -> AddAction:
    low = {time_name: _text(file.first_us), **dict(zip(_NAMES, file.first, strict=True)), "late": 0}
    high = {time_name: _text(file.last_us), **dict(zip(_NAMES, file.last, strict=True)), "late": int(file.late)}
    stats = {"numRecords": file.rows, "minValues": low, "maxValues": high, "nullCount": {time_name: 0}}
    return AddAction(file.path, file.bytes, {PARTITION: file.ym}, now_ms, data_change, json.dumps(stats))


def _text(instant_us: int) -> str:
    return f"{np.datetime64(instant_us, 'us')}Z"


def _micros(moment: Any) -> int:
    return int(np.datetime64(moment.replace(tzinfo=None), "us").astype(np.int64))


def is_earlier(directory: Path) -> bool:
    """Say whether a history is of an earlier version, or its conversion was broken off at the last step.

    Earlier versions kept the time at which a reading was received in a column of its own.
    """
    if (directory / EARLIER).exists():
        return True
    _set_torn_commit_aside(directory / READINGS / "_delta_log")
    try:
        return "received_at" in {one.name for one in DeltaTable(directory / READINGS).schema().fields}
    except TableNotFoundError:
        return False


def own(directory: Path) -> Any:
    """Take a directory for this process alone; closing what is returned lets it go.

    Raises:
        Conflict: ``history.in_use``: another process has it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    handle = (directory / ".owner").open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        raise Conflict("history.in_use", path=str(directory)) from None
    return handle


def _set_torn_commit_aside(log: Path) -> None:
    """Rename the last commit when it does not read as whole lines of JSON."""
    commits = sorted(log.glob("[0-9]*.json")) if log.is_dir() else []
    if not commits:
        return
    try:
        lines = [msgspec.json.decode(line) for line in commits[-1].read_bytes().splitlines()]
    except msgspec.DecodeError:
        lines = []
    if not lines:
        commits[-1].rename(commits[-1].with_suffix(".torn"))


def sync(path: Path) -> None:
    """Have what a file or directory holds on the disk when this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
