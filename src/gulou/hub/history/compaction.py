"""Compaction: many small files of a month become one that is sorted by series and time, with bounded memory.

Only sorting makes a month of one series quick; merging alone gains nothing. Files are merged with others of like size,
so that each reading is rewritten a few times only, however long the city runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import duckdb

from gulou.hub.history.columns import LAKE_SCHEMA, SAME_SERIES_SQL
from gulou.hub.history.store_delta import SORT_SQL, Lake, LakeFile
from gulou.kernel.errors import Unavailable

_SMALLEST = 64 * 1024
_FACTOR = 8


def choose(files: Iterable[LakeFile], *, enough: int, max_bytes: int, quiet_before_ns: int) -> list[LakeFile]:
    """Return the files of one month that are worth merging now, smallest first; empty when none are.

    Args:
        enough: how many of like size are worth it.
        max_bytes: larger files are left alone.
        quiet_before_ns: in a month that nobody has written to since then, two are worth it.
    """
    months: dict[str, list[LakeFile]] = defaultdict(list)
    for file in files:
        if file.bytes <= max_bytes:
            months[file.ym].append(file)
    for _, members in sorted(months.items()):
        members.sort(key=lambda file: file.bytes)
        quiet = max(file.written_ns for file in members) < quiet_before_ns
        bound = _SMALLEST
        while members and bound <= max_bytes * _FACTOR:
            like = [file for file in members if file.bytes <= bound]
            if len(like) >= (2 if quiet else enough):
                return like
            bound *= _FACTOR
    return []


def merge(lake: Lake, files: list[LakeFile], spill: Path, memory_mb: int) -> LakeFile:
    """Write the readings of ``files`` as one sorted file and put it in their place.

    Raises:
        Unavailable: ``history.write_failed``: no room on disk, or not enough memory. Nothing has changed.
    """
    ym = files[0].ym
    path = lake.new_path(ym)
    target = lake.table_directory / path
    alone = {file.path for file in lake.state.files if file.ym == ym} == {file.path for file in files}
    late = any(file.late for file in files)
    try:
        rows = _rewrite(lake, files, target, spill, memory_mb, repeats=late, clear=alone)
    except (duckdb.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise Unavailable("history.write_failed", path=str(lake.directory), detail=str(error)) from error
    merged = lake.adopt(path, ym, files, rows=rows, late=late and not alone)
    lake.replace(files, merged)
    return merged


def _rewrite(
    lake: Lake, files: list[LakeFile], target: Path, spill: Path, memory_mb: int, *, repeats: bool, clear: bool
) -> int:
    """Copy rows sorted.

    Args:
        repeats: leave out readings that a later one of the same series and time replaces.
        clear: these are all files of the month, so that nothing is left that a late row could replace.
    """
    names = ", ".join("0::TINYINT AS late" if clear and name == "late" else f"r.{name}" for name in LAKE_SCHEMA.names)
    replaced = f"""WHERE NOT EXISTS (SELECT 1 FROM found l WHERE l.late = 1 AND {SAME_SERIES_SQL}
        AND l.observed_at = r.observed_at AND l.sequence > r.sequence)"""
    literal = "'" + str(target).replace("'", "''") + "'"
    paths = [str(lake.table_directory / file.path) for file in files]
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": f"{memory_mb}MB",
        "temp_directory": str(spill),
    }
    with duckdb.connect(":memory:", config=config) as database:
        database.execute("SET TimeZone = 'UTC'")
        copied = database.execute(
            f"""COPY (
              WITH found AS (SELECT * FROM read_parquet($files, hive_partitioning = false))
              SELECT {names} FROM found r {replaced if repeats else ""} ORDER BY {SORT_SQL}
            ) TO {literal} (FORMAT parquet, COMPRESSION zstd, PARQUET_VERSION v2, ROW_GROUP_SIZE 122880)""",
            {"files": paths},
        ).fetchone()
    return int(copied[0]) if copied else 0
