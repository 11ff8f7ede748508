"""A history of an earlier version becomes one of this version, file by file, beside the old one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from gulou.hub.history.columns import TAIL_SCHEMA
from gulou.hub.history.store_delta import (
    APP_ID,
    EARLIER,
    READINGS,
    RETIRED_ID,
    Lake,
    LakeWriter,
    by_month,
    is_earlier,
    own,
    sort_rows,
    sync,
)
from gulou.kernel.errors import Fault, Unavailable

_CONVERTING = "readings.converting"
_ROWS_AT_ONCE = 1_000_000
_ROOM = 1.2
_SECOND = pa.scalar(1_000_000, pa.int64())
_MOST_DELAY = 2**31 - 1
Progress = Callable[[int, int], None]


def convert_history(directory: Path, progress: Progress = lambda _done, _all: None) -> int:
    """Convert the history in ``directory`` where it is of an earlier version; otherwise change nothing.

    The old table stays as it is until the new one is complete and synced; broken off, it is begun anew. Memory holds a
    million rows at a time. What a merge would leave out of the same million rows is left out.

    Args:
        progress: told after each file: files done, files in all.

    Returns:
        How many rows the new table has got.

    Raises:
        Conflict: ``history.in_use``.
        Unavailable: ``history.no_room``, ``history.write_failed``; the old table is as it was.
        Fault: ``history.damaged``: the old table cannot be read.
    """
    with own(directory):
        _finish(directory)
        if not is_earlier(directory):
            return 0
        shutil.rmtree(directory / _CONVERTING, ignore_errors=True)
        try:
            old = DeltaTable(directory / READINGS)
            rows = _copy(old, directory, progress)
        except (DeltaError, pa.ArrowInvalid) as error:
            raise Fault("history.damaged", path=str(directory), detail=str(error)) from error
        except OSError as error:
            raise Unavailable("history.write_failed", path=str(directory), detail=str(error)) from error
        (directory / READINGS).rename(directory / EARLIER)
        sync(directory)
        _finish(directory)
        return rows


def _finish(directory: Path) -> None:
    """Put a table that is complete in the place of the one that has made way for it."""
    earlier, converted, readings = directory / EARLIER, directory / _CONVERTING, directory / READINGS
    if earlier.exists() and not readings.exists():
        converted.rename(readings)
        sync(directory)
    if earlier.exists():
        shutil.rmtree(earlier)


def _copy(old: DeltaTable, directory: Path, progress: Progress) -> int:
    actions = pa.table(old.get_add_actions(flatten=True)).select(["path", "size_bytes", "num_records"]).to_pylist()
    needed, free = sum(one["size_bytes"] for one in actions) * _ROOM, shutil.disk_usage(directory).free
    if free < needed:
        raise Unavailable("history.no_room", path=str(directory), needed_mb=round(needed / 2**20), free_mb=free >> 20)
    lake, rows = Lake(directory, _CONVERTING), 0
    for done, action in enumerate(actions, 1):
        files, read = [], 0
        for table in _tables(directory / READINGS / action["path"]):
            read += table.num_rows
            for ym, part in by_month(sort_rows(table)):
                rows += len(part)
                writer = LakeWriter(lake, ym)
                writer.write_block(part)
                files += writer.finish()
        if read != action["num_records"]:
            detail = f"{action['path']}: {read} rows, not {action['num_records']}"
            raise Fault("history.damaged", path=str(directory), detail=detail)
        lake.change(files, ())
        progress(done, len(actions))
    lake.change((), (), old.transaction_version(APP_ID) or 0, old.transaction_version(RETIRED_ID) or 0)
    return rows


def _tables(path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            yield _converted(pa.Table.from_batches([batch]))


def _converted(table: pa.Table) -> pa.Table:
    """Say by the delay when readings were received; see ``delay_s`` in ``columns``."""
    received, observed = (table[name].cast(pa.int64()).to_numpy() for name in ("received_at", "observed_at"))
    delay = -(-received // 1_000_000) - observed // 1_000_000
    columns = {
        **{name: table[name] for name in table.column_names},
        "delay_s": pa.array(np.clip(delay, -_MOST_DELAY, _MOST_DELAY).astype(np.int32)),
        "row": pa.array(np.arange(table.num_rows, dtype=np.int32)),
    }
    return pa.table([pc.cast(columns[one.name], one.type) for one in TAIL_SCHEMA], schema=TAIL_SCHEMA)
