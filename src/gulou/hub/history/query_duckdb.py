"""Queries by DuckDB over the lake's files and the tail, with bounds on time, memory and rows.

Every value that a caller gives is bound as a parameter; the statement's text is built from constants only. The engine
may read the lake's directory and its spill directory, nothing else, and loads no extension.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa

from gulou.hub.history.columns import LAKE_SCHEMA, ROW_SQL, SAME_SERIES_SQL, to_row
from gulou.hub.history.model import DEFAULT_INSTANCE, AggregateQuery, Bucket, HistoryQuery, HistoryRow
from gulou.hub.history.store_delta import LakeFile
from gulou.kernel.errors import Fault, Invalid, Unavailable

_FETCH_ROWS = 2_048
_MIN_US, _MAX_US = -62_135_596_800_000_000, 253_370_764_800_000_000  # years 1 to 9998
_SEP = ", "
_LAKE = f"SELECT {_SEP.join(LAKE_SCHEMA.names)}, 0::INTEGER AS row FROM read_parquet($files, hive_partitioning = false)"
_TAIL = f"SELECT {_SEP.join(LAKE_SCHEMA.names)}, row FROM tail"
_CURRENT = f"""
SELECT r.* FROM found r WHERE NOT EXISTS (
  SELECT 1 FROM late l WHERE {SAME_SERIES_SQL} AND l.observed_at = r.observed_at
     AND (l.sequence > r.sequence OR (l.sequence = r.sequence AND l.row > r.row)))
"""
_VALUES = {
    "mean": "avg(value)",
    "min": "min(value)",
    "max": "max(value)",
    "sum": "sum(value)",
    "count": "count(*)::DOUBLE",
    "first": "arg_min(value, (observed_at, entity_id, sequence))",
    "last": "arg_max(value, (observed_at, entity_id, sequence))",
    "stddev": "stddev_samp(value)",
    "median": "quantile_cont(value, 0.5)",
    "percentile": "quantile_cont(value, $percentile)",
}


class Snapshot(msgspec.Struct, frozen=True):
    """What a query reads: the same readings are never in both, none is in neither."""

    files: tuple[LakeFile, ...]
    tail: pa.Table
    tail_late: bool


class QueryEngine:
    """An embedded DuckDB without tables of its own; safe from any thread.

    Args:
        lake: directory of the Parquet files that queries may read.
        spill: directory for what does not fit in memory.
        threads, memory_mb: for all queries together.
        timeout_s: of one query, waiting for its turn included.
        max_queries: that run at the same time.
    """

    def __init__(
        self, lake: Path, spill: Path, *, threads: int, memory_mb: int, timeout_s: float, max_queries: int
    ) -> None:
        spill.mkdir(parents=True, exist_ok=True)
        self._lake = lake
        self._timeout_s = timeout_s
        self._turns = threading.BoundedSemaphore(max_queries)
        self._database = duckdb.connect(
            ":memory:",
            config={
                "threads": threads,
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": str(spill),
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        allowed = ", ".join("'" + str(path).replace("'", "''") + "/'" for path in (lake, spill))
        for statement in (
            "SET TimeZone = 'UTC'",
            "SET parquet_metadata_cache = true",  # files never change, they are only replaced
            f"SET allowed_directories = [{allowed}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            self._database.execute(statement)

    def rows(self, snapshot: Snapshot, query: HistoryQuery, limit: int) -> Iterator[HistoryRow]:
        """Yield readings in order of time."""
        direction = "DESC NULLS LAST" if query.order == "desc" else "ASC NULLS FIRST"
        order = ", ".join(f"{name} {direction}" for name in ("observed_at", "entity_id", "property", "dataset_id"))
        where, parameters = _conditions(query)
        with self._run(
            snapshot, query, where, f"SELECT {ROW_SQL} FROM current ORDER BY {order} LIMIT {limit:d}", parameters
        ) as cursor:
            while chunk := self._guarded(cursor, lambda: cursor.fetchmany(_FETCH_ROWS)):
                yield from map(to_row, chunk)

    def bounds(self, snapshot: Snapshot, query: HistoryQuery) -> tuple[int, int] | None:
        """Return the first and last time of the readings asked for, or None when there are none."""
        where, parameters = _conditions(query)
        statement = "SELECT epoch_us(min(observed_at)), epoch_us(max(observed_at)) FROM found"
        with self._run(snapshot, query, where, statement, parameters) as cursor:
            first, last = self._guarded(cursor, cursor.fetchall)[0]
        return None if first is None else (first, last)

    def aggregate(self, snapshot: Snapshot, query: AggregateQuery, edges: Sequence[int], limit: int) -> list[Bucket]:
        """Return steps; ``edges`` are their starts, growing, the first not after any reading asked for."""
        where, parameters = _conditions(query)
        if query.function == "percentile":
            parameters["percentile"] = query.percentile
        value = _VALUES[query.function]
        number = "" if query.function == "count" else "WHERE value IS NOT NULL"
        by = ", entity_id" if query.by == "id" else ""
        statement = f"""
            SELECT edge, {value}, count(*){by}
            FROM (SELECT * FROM current {number}) c ASOF JOIN edges e ON epoch_us(c.observed_at) >= e.edge
            GROUP BY edge{by} ORDER BY edge{by} LIMIT {limit:d}"""
        tables = {"edges": pa.table({"edge": pa.array(edges, pa.int64())})}
        with self._run(snapshot, query, where, statement, parameters, tables) as cursor:
            return [Bucket(*row) for row in self._guarded(cursor, cursor.fetchall)]

    def newest(self, files: Sequence[LakeFile]) -> list[tuple[str, str, str | None, int]]:
        """Return (entity, property, dataset, newest time in µs) of every series."""
        if not files:
            return []
        cursor = self._database.cursor()
        try:
            found: list[tuple[str, str, str | None, int]] = cursor.execute(
                "SELECT entity_id, property, dataset_id, epoch_us(max(observed_at)) "
                "FROM read_parquet($files, hive_partitioning = false) GROUP BY ALL",
                {"files": self._paths(files)},
            ).fetchall()
        except duckdb.Error as error:
            raise Fault("history.damaged", path=str(self._lake), detail=str(error)) from error
        finally:
            cursor.close()
        return found

    def close(self) -> None:
        """Release memory; queries that still run fail."""
        self._database.close()

    def _paths(self, files: Sequence[LakeFile]) -> list[str]:
        return [str(self._lake / file.path) for file in files]

    @contextmanager
    def _run(
        self,
        snapshot: Snapshot,
        query: HistoryQuery,
        where: str,
        statement: str,
        parameters: dict[str, Any],
        tables: dict[str, pa.Table] | None = None,
    ) -> Iterator[Any]:
        """Execute with ``found`` (rows that match) and ``current`` (of them, those not replaced) defined."""
        files = [file for file in snapshot.files if _may_hold(file, query)]
        late = snapshot.tail_late or any(file.late for file in files)
        if files:
            parameters["files"] = self._paths(files)
        sources = " UNION ALL ".join(([_LAKE] if files else []) + [_TAIL])
        current = _CURRENT if late else "SELECT * FROM found"
        text = (
            f"WITH found AS (SELECT * FROM ({sources}) WHERE {where}), late AS (SELECT * FROM found WHERE late = 1), "
            f"current AS ({current}) {statement}"
        )
        if not self._turns.acquire(timeout=self._timeout_s):
            raise Unavailable("history.busy", limit_s=self._timeout_s)
        cursor = self._database.cursor()
        timer = threading.Timer(self._timeout_s, cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            for name, table in {"tail": snapshot.tail, **(tables or {})}.items():
                cursor.register(name, table)
            self._guarded(cursor, lambda: cursor.execute(text, parameters))
            yield cursor
        finally:
            timer.cancel()
            cursor.close()
            self._turns.release()

    def _guarded(self, cursor: Any, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except duckdb.InterruptException as error:
            raise Unavailable("history.too_slow", limit_s=self._timeout_s) from error
        except duckdb.OutOfMemoryException as error:
            raise Unavailable("history.too_large") from error
        except duckdb.Error as error:
            raise Fault("history.unreadable", path=str(self._lake), detail=str(error)) from error


def check(query: HistoryQuery) -> None:
    """Refuse what no history can answer: Invalid ``history.range``, ``history.limit``, ``history.percentile``."""
    for instant in (query.from_us, query.to_us):
        if instant is not None and not _MIN_US <= instant <= _MAX_US:
            raise Invalid("history.range")
    if query.from_us is not None and query.to_us is not None and query.from_us > query.to_us:
        raise Invalid("history.range")
    if query.limit is not None and query.limit < 0:
        raise Invalid("history.limit", value=query.limit)
    if isinstance(query, AggregateQuery):
        if query.function not in _VALUES:
            raise Invalid("history.function", value=query.function, known=", ".join(_VALUES))
        if not 0 <= query.percentile <= 1:
            raise Invalid("history.percentile", value=query.percentile)


def like_pattern(glob: str) -> str:
    r"""Turn a glob into a LIKE pattern with ``\`` as escape."""
    return re.sub(r"[%_\\]", r"\\\g<0>", glob).replace("*", "%").replace("?", "_")


def _conditions(query: HistoryQuery) -> tuple[str, dict[str, Any]]:
    parts: list[str] = ["true"]
    parameters: dict[str, Any] = {}

    def add(condition: str, name: str, value: Any) -> None:
        parts.append(condition)
        parameters[name] = value

    if query.type is not None:
        add("entity_type = $type", "type", query.type)
    if query.id_glob is not None and ("*" in query.id_glob or "?" in query.id_glob):
        add(r"entity_id LIKE $id ESCAPE '\'", "id", like_pattern(query.id_glob))
    elif query.id_glob is not None:
        add("entity_id = $id", "id", query.id_glob)
    if query.property is not None:
        add("property = $property", "property", query.property)
    if query.properties is not None:
        add("list_contains($properties, property)", "properties", list(query.properties))
    if query.dataset_id == DEFAULT_INSTANCE:
        parts.append("dataset_id IS NULL")
    elif query.dataset_id is not None:
        add("dataset_id = $dataset", "dataset", query.dataset_id)
    if query.from_us is not None:
        add("observed_at >= make_timestamptz($from_us::BIGINT)", "from_us", query.from_us)
    if query.to_us is not None:
        add("observed_at < make_timestamptz($to_us::BIGINT)", "to_us", query.to_us)
    return " AND ".join(parts), parameters


def _may_hold(file: LakeFile, query: HistoryQuery) -> bool:
    if query.type is not None and not file.first_type <= query.type <= file.last_type:
        return False
    if query.from_us is not None and file.last_us < query.from_us:
        return False
    return query.to_us is None or file.first_us < query.to_us
