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

from gulou.hub.history.columns import LAKE_SCHEMA, PARTITION, TABLE_SCHEMA
from gulou.kernel.errors import Conflict, Fault, Unavailable

_APP_ID = "gulou-history"
_ROW_GROUP = 131_072
_CONFIGURATION = {
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 1 hours",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}
_DELTA_PACKED = {"observed_at": "DELTA_BINARY_PACKED", "sequence": "DELTA_BINARY_PACKED"}
_SERIES = ("entity_type", "property", "entity_id", "dataset_id")
SORT_SQL = "entity_type, property, entity_id, dataset_id NULLS FIRST, observed_at"
"""The order of rows in a file: a query by type and property, or of one series, reads neighbouring rows."""


class LakeFile(msgspec.Struct, frozen=True):
    """A live data file and what lets a query pass it by."""

    path: str
    ym: str
    rows: int
    bytes: int
    first_us: int
    last_us: int
    first_type: str
    last_type: str
    late: bool

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
    """The Delta table ``readings`` in ``directory``; the only writer there.

    Raises:
        Conflict: ``history.in_use``: another process has it open.
        Fault: ``history.damaged``: the table cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.table_directory = directory / "readings"
        self._uncertain = False
        self._names = 0
        self._lock = threading.Lock()  # one commit at a time, and the file list with it
        self._owner = _own(directory)
        try:
            self._table = self._open()
            self.state = LakeState(tuple(self._list_files()), self._table.transaction_version(_APP_ID) or 0)
        except (DeltaError, OSError) as error:
            self._owner.close()
            raise Fault("history.damaged", path=str(directory), detail=str(error)) from error

    @property
    def version(self) -> int:
        """The table's version."""
        return int(self._table.version())

    def append(self, rows: pa.Table, sequence: int) -> None:
        """Add rows (columns of ``LAKE_SCHEMA``) and move the position to ``sequence``, both or neither.

        Raises:
            Unavailable: ``history.write_failed``; nothing was added.
            Fault: ``history.uncertain``; not known whether it was added. Opening the table again tells.
        """
        with self._lock:
            files: list[LakeFile] = []
            try:
                for ym, part in by_month(rows):
                    files.append(self._write(part, ym))
                self._commit(files, (), sequence)
            except (DeltaError, OSError) as error:
                self._forget(files)
                raise Unavailable("history.write_failed", path=str(self.directory), detail=str(error)) from error
            self.state = LakeState((*self.state.files, *files), sequence)

    def replace(self, old: Iterable[LakeFile], new: LakeFile | None) -> None:
        """Put one file in the place of others that hold the same readings; or, with None, delete them.

        Raises:
            Unavailable, Fault: as ``append``.
        """
        gone = {file.path for file in old}
        added = (new,) if new else ()
        with self._lock:
            try:
                self._commit(added, [file for file in self.state.files if file.path in gone], None)
            except (DeltaError, OSError) as error:
                self._forget(added)
                raise Unavailable("history.write_failed", path=str(self.directory), detail=str(error)) from error
            kept = (file for file in self.state.files if file.path not in gone)
            self.state = LakeState((*kept, *added), self.state.position)

    def new_path(self, ym: str) -> str:
        """Return the name of a file to be written for a month, relative to the table; unique."""
        self._names += 1
        (self.table_directory / f"{PARTITION}={ym}").mkdir(exist_ok=True)
        return f"{PARTITION}={ym}/{time.time_ns():020d}-{os.getpid()}-{self._names}.parquet"

    def adopt(self, path: str, ym: str, parts: Sequence[LakeFile], *, rows: int, late: bool) -> LakeFile:
        """Sync a Parquet file that was written at ``new_path`` from the rows of ``parts``; bounds are theirs."""
        full = self.table_directory / path
        _sync(full)
        _sync(full.parent)
        return LakeFile(
            path, ym, rows, full.stat().st_size,
            min(part.first_us for part in parts), max(part.last_us for part in parts),
            min(part.first_type for part in parts), max(part.last_type for part in parts), late,
        )  # fmt: skip

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

    def close(self) -> None:
        """Let another process open the table."""
        self._owner.close()

    def _open(self) -> DeltaTable:
        _set_torn_commit_aside(self.table_directory / "_delta_log")
        try:
            return DeltaTable(self.table_directory)
        except TableNotFoundError:
            table = DeltaTable.create(
                self.table_directory, TABLE_SCHEMA, partition_by=[PARTITION], configuration=_CONFIGURATION
            )
            self._sync_commit(0)
            return table

    def _list_files(self) -> Iterable[LakeFile]:
        for row in pa.table(self._table.get_add_actions(flatten=True)).to_pylist():
            yield LakeFile(
                row["path"], row["partition.ym"], row["num_records"], row["size_bytes"],
                _micros(row["min.observed_at"]), _micros(row["max.observed_at"]),
                row["min.entity_type"], row["max.entity_type"], row["max.late"] > 0,
            )  # fmt: skip

    def _write(self, rows: pa.Table, ym: str) -> LakeFile:
        path = self.new_path(ym)
        full = self.table_directory / path
        try:
            pq.write_table(
                rows, full, compression="zstd", row_group_size=_ROW_GROUP, coerce_timestamps="us",
                use_dictionary=[name for name in LAKE_SCHEMA.names if name not in _DELTA_PACKED],
                column_encoding=_DELTA_PACKED,
            )  # fmt: skip
        except OSError:
            full.unlink(missing_ok=True)
            raise
        at_us, types = pc.min_max(rows["observed_at"].cast(pa.int64())), pc.min_max(rows["entity_type"])
        bounds = LakeFile(
            path, ym, rows.num_rows, 0, at_us["min"].as_py(), at_us["max"].as_py(),
            types["min"].as_py(), types["max"].as_py(), pc.max(rows["late"]).as_py() > 0,
        )  # fmt: skip
        return self.adopt(path, ym, [bounds], rows=bounds.rows, late=bounds.late)

    def _commit(self, add: Sequence[LakeFile], remove: Sequence[LakeFile], sequence: int | None) -> None:
        """Commit, and sync the commit; ``sequence`` moves the position with it."""
        if self._uncertain:
            raise Fault("history.uncertain", path=str(self.directory))
        now_ms = time.time_ns() // 1_000_000  # the file system's affair, not the city's
        new_data = not (add and remove)
        actions: list[AddAction | RemoveAction] = [_add_action(file, now_ms, new_data) for file in add]
        actions += [RemoveAction(file.path, new_data, now_ms, file.bytes, {PARTITION: file.ym}) for file in remove]
        marks = [] if sequence is None else [Transaction(_APP_ID, sequence)]
        before = self._table.version()
        self._uncertain = True
        try:
            self._table.create_write_transaction(
                actions, "append", TABLE_SCHEMA, partition_by=[PARTITION],
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
        _sync(log / f"{version:020d}.json")
        _sync(log)
        _sync(self.table_directory)

    def _forget(self, files: Iterable[LakeFile]) -> None:
        """Delete files that no commit names."""
        if self._uncertain:
            raise Fault("history.uncertain", path=str(self.directory))
        for file in files:
            (self.table_directory / file.path).unlink(missing_ok=True)


def sort_rows(rows: pa.Table) -> pa.Table:
    """Sort tail rows by series and time; of one series and time keep the one latest in the log."""
    keys = [_ranks(rows[name]) for name in _SERIES]
    at_us = rows["observed_at"].cast(pa.int64()).to_numpy()
    order = np.lexsort((rows["row"].to_numpy(), rows["sequence"].to_numpy(), at_us, *reversed(keys)))
    compared = [at_us[order], *(key[order] for key in keys)]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = np.logical_or.reduce([column[1:] != column[:-1] for column in compared])
    return rows.take(pa.array(order[last])).select(LAKE_SCHEMA.names)


def by_month(rows: pa.Table) -> Iterable[tuple[str, pa.Table]]:
    """Yield ("2026-11", its rows) for each UTC month."""
    moments = rows["observed_at"].cast(pa.int64()).to_numpy().view("datetime64[us]")
    months = moments.astype("datetime64[M]")
    for month in np.unique(months):
        chosen = np.flatnonzero(months == month)
        yield str(month), rows.take(pa.array(chosen)) if len(chosen) < len(months) else rows


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


def _add_action(file: LakeFile, now_ms: int, data_change: bool) -> AddAction:
    low = {"observed_at": _text(file.first_us), "entity_type": file.first_type, "late": 0}
    high = {"observed_at": _text(file.last_us), "entity_type": file.last_type, "late": int(file.late)}
    stats = {"numRecords": file.rows, "minValues": low, "maxValues": high, "nullCount": {"observed_at": 0}}
    return AddAction(file.path, file.bytes, {PARTITION: file.ym}, now_ms, data_change, json.dumps(stats))


def _text(instant_us: int) -> str:
    return f"{np.datetime64(instant_us, 'us')}Z"


def _micros(moment: Any) -> int:
    return int(np.datetime64(moment.replace(tzinfo=None), "us").astype(np.int64))


def _own(directory: Path) -> Any:
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


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
