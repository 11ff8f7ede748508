"""Queries by DuckDB over the lake's files and the tail, with bounds on time, memory and rows.

Every value that a caller gives is bound as a parameter; the statement's text is built from constants only. The engine
may read the lake's directory and its spill directory, nothing else, and loads no extension.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from gulou.hub.history.columns import LAKE_SCHEMA, ROW_SQL, SAME_SERIES_SQL, to_rows
from gulou.hub.history.model import DEFAULT_INSTANCE, AggregateQuery, Bucket, HistoryQuery, HistoryRow
from gulou.hub.history.rollups import UNITS, Unit
from gulou.hub.history.store_delta import LakeFile
from gulou.kernel.errors import Fault, Invalid, Unavailable

_Found = TypeVar("_Found")
_FETCH_ROWS = 2_048
_MIN_US, _MAX_US = -62_135_596_800_000_000, 253_370_764_800_000_000  # years 1 to 9998
_NAMES = ", ".join(LAKE_SCHEMA.names)
_LAKE = f"SELECT {_NAMES}, 0::INTEGER AS row FROM read_parquet(${{files}}, hive_partitioning = false)"
_TAIL = f"SELECT {_NAMES}, row FROM tail"
_TAIL_COLUMNS = f"SELECT {_NAMES}, row FROM tail_columns"
_CURRENT = f"""
SELECT r.* FROM found r WHERE NOT EXISTS (
  SELECT 1 FROM late l WHERE {SAME_SERIES_SQL} AND l.observed_at = r.observed_at
     AND (l.sequence > r.sequence OR (l.sequence = r.sequence AND (l.row > r.row OR l.late > r.late))))
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


_ROLLED = {
    "mean": "sum(total) / sum(numbers)",
    "min": "min(least)",
    "max": "max(most)",
    "sum": "sum(total)",
    "count": "sum(rows)::DOUBLE",
    "first": "arg_min(first, (first_at, entity_id, first_sequence))",
    "last": "arg_max(last, (last_at, entity_id, last_sequence))",
}
"""The functions that roll-ups answer."""
_SERIES_PARTS = "entity_type, entity_id, property, dataset_id"


class Snapshot(msgspec.Struct, frozen=True):
    """What a query reads: the same readings are never in both, none is in neither.

    Args:
        tail, tail_columns: ``TAIL_SCHEMA``, what came as objects and (only what may match) as columns.
        late_us: first and last time of late rows of the tail; None when there are none.
        rollups: unit → group of readings → its roll-up files.
        retired: groups whose readings are deleted for their age, while roll-ups stay.
    """

    files: tuple[LakeFile, ...]
    tail: pa.Table
    tail_columns: pa.Table
    late_us: tuple[int, int] | None
    rollups: Mapping[Unit, Mapping[str, Sequence[LakeFile]]] = {}
    retired: frozenset[str] = frozenset()

    def bounds(self) -> tuple[int, int] | None:
        """Return times between which everything is, or None when there is nothing."""
        spans = [(file.first_us, file.last_us) for file in self.files]
        spans += [
            (file.first_us, file.last_us + UNITS[unit] - 1)
            for unit, groups in self.rollups.items()
            for group in self.retired
            for file in groups.get(group, ())
        ]
        for table in (self.tail, self.tail_columns):
            if table.num_rows:
                found = pc.min_max(table["observed_at"].cast(pa.int64()))
                spans.append((found["min"].as_py(), found["max"].as_py()))
        return (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None


class Stop:
    """Lets another thread end a query: ``Unavailable`` ``history.cancelled``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[Any] = []
        self.asked = False

    def ask(self) -> None:
        """End what runs with this, and what begins."""
        with self._lock:
            self.asked = True
            for cursor in self._running:
                cursor.interrupt()

    def begin(self, cursor: Any) -> None:
        """Note a query that begins."""
        with self._lock:
            self._running.append(cursor)
        if self.asked:
            raise Unavailable("history.cancelled")

    def end(self, cursor: Any) -> None:
        """Note a query that is over."""
        with self._lock:
            self._running = [one for one in self._running if one is not cursor]


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

    def rows(
        self, snapshot: Snapshot, query: HistoryQuery, limit: int, stop: Stop | None = None
    ) -> Iterator[HistoryRow]:
        """Yield readings in order of time."""
        direction = "DESC NULLS LAST" if query.order == "desc" else "ASC NULLS FIRST"
        asked = _Asked(self._paths, snapshot, query)
        order = ", ".join(f"{name} {direction}" for name in ("observed_at", *_open_names(query)))
        statement = f"SELECT {ROW_SQL} FROM current ORDER BY {order} LIMIT {limit:d}"
        with self._turn(snapshot, stop=stop) as cursor:
            found = self._guarded(
                lambda: cursor.sql(asked.text(statement), params=asked.parameters).to_arrow_reader(_FETCH_ROWS), stop
            )
            while (batch := self._guarded(lambda: next(found, None), stop)) is not None:
                yield from to_rows(batch)

    def bounds(self, snapshot: Snapshot, query: HistoryQuery, stop: Stop | None = None) -> tuple[int, int] | None:
        """Return the first and last time of the readings asked for, or None when there are none."""
        statement = "SELECT epoch_us(min(observed_at)), epoch_us(max(observed_at)) FROM found"
        first, last = self._fetch(snapshot, _Asked(self._paths, snapshot, query), statement, stop=stop)[0]
        return None if first is None else (first, last)

    def aggregate(
        self, snapshot: Snapshot, query: AggregateQuery, edges: Sequence[int], limit: int, stop: Stop | None = None
    ) -> list[Bucket]:
        """Return steps; ``edges`` are their starts, growing, the first not after any reading asked for."""
        asked = _Asked(self._paths, snapshot, query)
        if query.function in _ROLLED:
            asked.use_rollups(edges)
        if query.function == "percentile":
            asked.parameters["percentile"] = query.percentile
        by = ", entity_id" if query.by == "id" else ""
        if asked.rolled:
            value, rows = _ROLLED[query.function], "sum(rows)" if query.function == "count" else "sum(numbers)"
            number = "" if query.function == "count" else "WHERE numbers > 0"
            source = f"(SELECT * FROM parts {number})"
        else:
            value, rows = _VALUES[query.function], "count(*)"
            number = "" if query.function == "count" else "WHERE value IS NOT NULL"
            source = f"(SELECT *, epoch_us(observed_at) AS at_us FROM current {number})"
        step = _even_step(edges)
        tables = {}
        if step is None:
            tables["edges"] = pa.table({"edge": pa.array(edges, pa.int64())})
            source = f"{source} c ASOF JOIN edges e ON c.at_us >= e.edge"
        else:
            first = edges[0]
            place = f"least((at_us - {first:d}) // {step:d}, {len(edges) - 1:d})"  # the last one may be longer
            source = f"(SELECT *, {first:d} + {place} * {step:d} AS edge FROM {source})"
        statement = f"""
            SELECT edge, {value}, ({rows})::BIGINT{by} FROM {source}
            GROUP BY edge{by} ORDER BY edge{by} LIMIT {limit:d}"""
        return [Bucket(*row) for row in self._fetch(snapshot, asked, statement, tables, stop)]

    def newest(
        self, files: Sequence[LakeFile]
    ) -> list[tuple[str, str, str, str | None, int, float | None, str | None]]:
        """Return (type, entity, property, dataset, newest time in µs, its number, its text) of every series."""
        if not files:
            return []
        cursor = self._database.cursor()
        order = "(observed_at, sequence, late)"
        try:
            found: list[tuple[str, str, str, str | None, int, float | None, str | None]] = cursor.execute(
                f"SELECT {_SERIES_PARTS}, epoch_us(max(observed_at)), "
                f"arg_max(struct_pack(value := value), {order}).value, arg_max(struct_pack(t := text), {order}).t "
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

    def _paths(self, files: Sequence[LakeFile], table: str = "readings") -> list[str]:
        return [str(self._lake / table / file.path) for file in files]

    def _fetch(
        self,
        snapshot: Snapshot,
        asked: _Asked,
        statement: str,
        tables: dict[str, pa.Table] | None = None,
        stop: Stop | None = None,
    ) -> list[tuple[Any, ...]]:
        with self._turn(snapshot, tables, stop) as cursor:
            return self._guarded(lambda: cursor.execute(asked.text(statement), asked.parameters).fetchall(), stop)

    @contextmanager
    def _turn(
        self, snapshot: Snapshot, tables: dict[str, pa.Table] | None = None, stop: Stop | None = None
    ) -> Iterator[Any]:
        """Give a cursor that knows the tail and ``tables`` when the query's turn has come; it is stopped in time."""
        if not self._turns.acquire(timeout=self._timeout_s):
            raise Unavailable("history.busy", limit_s=self._timeout_s)
        cursor = self._database.cursor()
        timer = threading.Timer(self._timeout_s, cursor.interrupt)
        timer.daemon = True
        timer.start()
        try:
            if stop is not None:
                stop.begin(cursor)
            registered = {"tail": snapshot.tail, "tail_columns": snapshot.tail_columns, **(tables or {})}
            for name, table in registered.items():
                cursor.register(name, table)
            yield cursor
        finally:
            timer.cancel()
            if stop is not None:
                stop.end(cursor)
            cursor.close()
            self._turns.release()

    def _guarded(self, step: Callable[[], _Found], stop: Stop | None = None) -> _Found:
        try:
            return step()
        except (duckdb.Error, OSError) as error:  # an Arrow stream says the same as OSError
            text = str(error)
            if text.startswith("INTERRUPT"):
                if stop is not None and stop.asked:
                    raise Unavailable("history.cancelled") from error
                raise Unavailable("history.too_slow", limit_s=self._timeout_s) from error
            if text.startswith("Out of Memory"):
                raise Unavailable("history.too_large") from error
            raise Fault("history.unreadable", path=str(self._lake), detail=text) from error


class _Asked:
    """A query put into SQL: which files it reads and what it calls their rows.

    ``found`` are the rows that match. With roll-ups these are only what no roll-up tells: rows of groups without one,
    of the tail, outside the whole steps of the unit, and every row of a series and step (``dirty``) that a late row
    touches, which then are not taken from roll-ups. ``parts`` are roll-ups and single rows alike.
    """

    def __init__(self, paths: Callable[..., list[str]], snapshot: Snapshot, query: HistoryQuery) -> None:
        self._paths = paths
        self._snapshot = snapshot
        self._query = query
        self._names, self._times, self.parameters = _conditions(query)
        self._files = [file for file in snapshot.files if _may_hold(file, query)]
        self._covered: list[LakeFile] = []
        self.rolled: dict[Unit, list[LakeFile]] = {}
        self._span = self._window = (0, 0)
        self._unit_us = 1

    def use_rollups(self, edges: Sequence[int]) -> None:
        """Take roll-ups where the steps that begin at ``edges`` are made of whole ones."""
        query = self._query
        from_us = edges[0] if query.from_us is None else query.from_us
        to_us = _MAX_US if query.to_us is None else query.to_us
        units: list[Unit] = []
        for unit, width in UNITS.items():
            if any(edge % width for edge in edges[1:]):
                continue
            start, end = -(-from_us // width) * width, to_us // width * width
            if units or (end - start) * 10 >= (to_us - from_us) * 9 or (unit == "minute" and start < end):
                units.append(unit)
                if len(units) == 1:
                    self._unit_us, self._window = width, (start, end)
        if not units:
            return
        self._span = from_us, to_us
        start, end = self._window
        one_series = query.id_glob is not None and not _is_glob(query.id_glob)
        if one_series and units[0] != "day":
            units_live: list[Unit] = []  # one entity is quicker in its sorted readings than in every day's roll-ups
        else:
            units_live = units
        groups = {file.group for file in self._files}
        covered = set()
        for group, among in [*((g, units_live) for g in groups), *((g, units) for g in self._snapshot.retired)]:
            for unit in among:
                files = self._snapshot.rollups.get(unit, {}).get(group)
                if files:
                    covered.add(group)
                    held = [file for file in files if _may_hold(file, query, within=(start, end))]
                    self.rolled.setdefault(unit, []).extend(held)
                    break
        self._covered = [file for file in self._files if file.group in covered]
        self._files = [file for file in self._files if file.group not in covered]

    def text(self, statement: str) -> str:
        """Put what the statement may name before it: ``found``, ``current`` (not replaced) and ``parts``."""
        return f"WITH {self._definitions()} {statement}"

    def _definitions(self) -> str:
        snapshot = self._snapshot
        lates = [(file.first_us, file.last_us) for file in (*self._files, *self._covered) if file.late]
        lates += [snapshot.late_us] if snapshot.late_us else []
        where = " AND ".join([*self._names, *self._times])
        plain = [_TAIL] if snapshot.tail.num_rows else []
        plain += [_TAIL_COLUMNS] if snapshot.tail_columns.num_rows else []
        plain += [self._source("files", self._files)] if self._files else []
        plain = plain or [_TAIL]
        found = f"SELECT * FROM ({' UNION ALL '.join(plain)}) WHERE {where}"
        made = []
        covered = self._covered_rows(where, lates)
        if self.rolled or self._covered:
            made.append(f"dirty AS ({self._dirty(plain, where, lates)})")
        made.append(f"found AS ({' UNION ALL '.join([found, *covered])})")
        made.append("late AS (SELECT * FROM found WHERE late <> 0)")
        made.append(f"current AS ({_CURRENT if lates else 'SELECT * FROM found'})")
        if self.rolled:
            made.append(f"parts AS ({self._parts(bool(lates))})")
        return ", ".join(made)

    def _source(self, name: str, files: Sequence[LakeFile]) -> str:
        self.parameters[name] = self._paths(files)
        return _LAKE.format(files=name)

    def _dirty(self, plain: list[str], where: str, lates: list[tuple[int, int]]) -> str:
        sources = list(plain)
        held = [file for file in self._covered if file.late]
        if held:
            sources.append(self._source("late_files", held))
        if not lates:
            return f"SELECT {_SERIES_PARTS}, 0::BIGINT AS step FROM tail WHERE false"
        return f"""SELECT DISTINCT {_SERIES_PARTS}, {self._step("epoch_us(observed_at)")} AS step
            FROM ({" UNION ALL ".join(sources)}) WHERE late <> 0 AND {where}"""

    def _covered_rows(self, where: str, lates: list[tuple[int, int]]) -> list[str]:
        """Return where rows come from that have a roll-up and are asked for all the same."""
        start, end = self._window
        width = self._unit_us
        sources = []
        from_us, to_us = self._span
        edge = [
            file
            for file in self._covered
            if (from_us < start and file.first_us < start) or (end < to_us and end <= file.last_us)
        ]
        outside = f"(epoch_us(observed_at) < {start:d} OR epoch_us(observed_at) >= {end:d})"
        if edge:
            sources.append(f"SELECT * FROM ({self._source('edge_files', edge)}) WHERE {outside} AND {where}")
        if lates:
            low = min(first for first, _ in lates) // width * width
            high = max(last for _, last in lates) // width * width + width
            touched = [file for file in self._covered if file.first_us < high and file.last_us >= low]
            if touched:
                sources.append(
                    f"""SELECT * FROM ({self._source("dirty_files", touched)}) r
                    WHERE NOT {outside} AND {where} AND observed_at >= make_timestamptz({low:d}::BIGINT)
                    AND observed_at < make_timestamptz({high:d}::BIGINT) AND EXISTS (SELECT 1 FROM dirty l
                    WHERE {SAME_SERIES_SQL} AND l.step = {self._step("epoch_us(r.observed_at)")})"""
                )
        return sources

    def _parts(self, dirty: bool) -> str:
        start, end = self._window
        steps = []
        names = " AND ".join(self._names)
        for unit, files in self.rolled.items():
            if not files:
                continue
            self.parameters[f"rolled_{unit}"] = self._paths(files, unit)
            steps.append(
                f"""SELECT *, epoch_us(time) AS at_us FROM read_parquet($rolled_{unit}, hive_partitioning = false)
                WHERE {names} AND time >= make_timestamptz({start:d}::BIGINT)
                AND time < make_timestamptz({end:d}::BIGINT)"""
            )
        clean = ""
        if dirty:
            clean = f"""WHERE NOT EXISTS (SELECT 1 FROM dirty l WHERE {SAME_SERIES_SQL}
                AND l.step = {self._step("r.at_us")})"""
        rows = """SELECT entity_id, epoch_us(observed_at) AS at_us, 1::BIGINT AS rows,
            (value IS NOT NULL)::BIGINT AS numbers, value AS total, value AS least, value AS most,
            value AS first, observed_at AS first_at, sequence AS first_sequence,
            value AS last, observed_at AS last_at, sequence AS last_sequence FROM current"""
        if not steps:
            return rows
        return f"""{rows} UNION ALL SELECT entity_id, at_us, count, numbers, sum, min, max, first, first_at,
            first_sequence, last, last_at, last_sequence FROM ({" UNION ALL ".join(steps)}) r {clean}"""

    def _step(self, at: str) -> str:
        """Return SQL that numbers whole units; floors, also before 1970."""
        return f"(({at}) - ((({at}) % {self._unit_us:d}) + {self._unit_us:d}) % {self._unit_us:d})"


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


def _conditions(query: HistoryQuery) -> tuple[list[str], list[str], dict[str, Any]]:
    """Return conditions on names, conditions on ``observed_at``, and the parameters of both."""
    names: list[str] = ["true"]
    times: list[str] = ["true"]
    parameters: dict[str, Any] = {}

    def add(parts: list[str], condition: str, name: str, value: Any) -> None:
        parts.append(condition)
        parameters[name] = value

    if query.type is not None:
        add(names, "entity_type = $type", "type", query.type)
    if query.id_glob is not None and _is_glob(query.id_glob):
        add(names, r"entity_id LIKE $id ESCAPE '\'", "id", like_pattern(query.id_glob))
    elif query.id_glob is not None:
        add(names, "entity_id = $id", "id", query.id_glob)
    if query.property is not None:
        add(names, "property = $property", "property", query.property)
    if query.properties is not None:
        add(names, "list_contains($properties, property)", "properties", list(query.properties))
    if query.dataset_id == DEFAULT_INSTANCE:
        names.append("dataset_id IS NULL")
    elif query.dataset_id is not None:
        add(names, "dataset_id = $dataset", "dataset", query.dataset_id)
    if query.from_us is not None:
        add(times, "observed_at >= make_timestamptz($from_us::BIGINT)", "from_us", query.from_us)
    if query.to_us is not None:
        add(times, "observed_at < make_timestamptz($to_us::BIGINT)", "to_us", query.to_us)
    return names, times, parameters


def _open_names(query: HistoryQuery) -> list[str]:
    """Return by what rows of one time differ: names that the query does not give."""
    given = {
        "entity_id": query.id_glob is not None and not _is_glob(query.id_glob),
        "property": query.property is not None,
        "dataset_id": query.dataset_id is not None,
    }
    return [name for name, is_given in given.items() if not is_given]


def _is_glob(text: str) -> bool:
    return "*" in text or "?" in text


def _even_step(edges: Sequence[int]) -> int | None:
    """Return the distance of the edges if it is the same everywhere."""
    if len(edges) < 2:
        return 2 * (_MAX_US - _MIN_US)
    step = edges[1] - edges[0]
    return step if all(after - before == step for before, after in pairwise(edges)) else None


def _may_hold(file: LakeFile, query: HistoryQuery, within: tuple[int, int] | None = None) -> bool:
    names = (query.type, query.property, None if query.id_glob is None or _is_glob(query.id_glob) else query.id_glob)
    for name, first, last in zip(names, file.first, file.last, strict=True):
        if name is not None and not first <= name <= last:
            return False
    from_us, to_us = (query.from_us, query.to_us) if within is None else within
    if from_us is not None and file.last_us < from_us:
        return False
    return to_us is None or file.first_us < to_us
