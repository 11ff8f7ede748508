"""A history in plain Python lists: for stories and tests, and as the plain statement of what the lake must answer."""

from __future__ import annotations

import math
import re
import statistics
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator

from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.history.buckets import bucket_edges, get_zone, parse_every
from gulou.hub.history.columns import delay_s, join_value, received_us, split_value, to_reading
from gulou.hub.history.model import DEFAULT_INSTANCE, AggregateQuery, Bucket, HistoryQuery, HistoryRow
from gulou.hub.history.query_duckdb import check

_MOST_STEPS = 100_000
_Key = tuple[str, str, str, str, int]


class MemoryHistory:
    """Implements ``History`` and the log's consumer; nothing survives it. Not safe from several threads."""

    name = "history"

    def __init__(self) -> None:
        self._rows: dict[_Key, HistoryRow] = {}
        self._applied = 0

    def position(self) -> int:
        """Return what was applied: there is nothing more durable here."""
        return self._applied

    def apply(self, batch: LogBatch) -> None:
        """Take a batch; a later reading of the same series and time replaces the earlier."""
        if batch.sequence <= self._applied:
            return
        self._applied = batch.sequence
        for reading in batch.readings:
            row = _row(reading, batch)
            dataset = "" if row.dataset_id is None else "=" + row.dataset_id
            self._rows[row.entity_type, row.entity_id, row.property, dataset, row.observed_at_us] = row

    def checkpoint(self) -> None:
        """Do nothing."""

    def query(self, query: HistoryQuery) -> list[HistoryRow]:
        """Return readings; see ``History``."""
        return list(self.stream(query))

    def stream(self, query: HistoryQuery) -> Iterator[HistoryRow]:
        """Yield readings; see ``History``."""
        check(query)
        found = sorted(
            self._find(query),
            key=lambda row: (row.observed_at_us, row.entity_id, row.property, row.dataset_id or ""),
            reverse=query.order == "desc",
        )
        return iter(found[: query.limit])

    def readings(
        self,
        entity_type: str,
        properties: tuple[str, ...] | None,
        from_us: int,
        to_us: int,
        entity_id: str | None = None,
    ) -> Iterator[Reading]:
        """Yield readings in order of time; see ``History``."""
        query = HistoryQuery(type=entity_type, id_glob=entity_id, properties=properties, from_us=from_us, to_us=to_us)
        return map(to_reading, self.stream(query))

    def aggregate(self, query: AggregateQuery) -> list[Bucket]:
        """Return time steps; see ``History``."""
        check(query)
        every, zone = parse_every(query.every), get_zone(query.zone)
        rows = self._find(query)
        if not rows:
            return []
        first = min(row.observed_at_us for row in rows) if query.from_us is None else query.from_us
        end = max(row.observed_at_us for row in rows) + 1 if query.to_us is None else query.to_us
        edges = bucket_edges(every, zone, first, end, limit=_MOST_STEPS)
        groups: dict[tuple[int, str | None], list[HistoryRow]] = defaultdict(list)
        for row in rows:
            number, _ = split_value(row.value)
            if number is not None or query.function == "count":
                edge = edges[bisect_right(edges, row.observed_at_us) - 1]
                groups[edge, row.entity_id if query.by == "id" else None].append(row)
        keys = sorted(groups, key=lambda key: (key[0], key[1] or ""))
        return [Bucket(key[0], _value(query, groups[key]), len(groups[key]), key[1]) for key in keys][: query.limit]

    def _find(self, query: HistoryQuery) -> list[HistoryRow]:
        pattern = None if query.id_glob is None else _glob(query.id_glob)
        dataset = None if query.dataset_id == DEFAULT_INSTANCE else query.dataset_id
        return [
            row
            for row in self._rows.values()
            if query.type in {None, row.entity_type}
            and query.property in {None, row.property}
            and (query.properties is None or row.property in query.properties)
            and (pattern is None or pattern.fullmatch(row.entity_id))
            and (query.dataset_id is None or row.dataset_id == dataset)
            and (query.from_us is None or row.observed_at_us >= query.from_us)
            and (query.to_us is None or row.observed_at_us < query.to_us)
        ]


def _row(reading: Reading, batch: LogBatch) -> HistoryRow:
    value = join_value(*split_value(reading.value))
    return HistoryRow(
        reading.entity_id, reading.entity_type, reading.property, reading.dataset_id, reading.observed_at_us, value,
        reading.unit_code, reading.kind, reading.device_id, reading.flags, batch.source,
        received_us(reading.observed_at_us, delay_s(batch.received_at_us, reading.observed_at_us)), batch.sequence,
    )  # fmt: skip


def _glob(text: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(character, re.escape(character)) for character in text), re.DOTALL)


def _value(query: AggregateQuery, rows: list[HistoryRow]) -> float | None:
    if query.function == "count":
        return float(len(rows))
    rows = sorted(rows, key=lambda row: (row.observed_at_us, row.entity_id, row.sequence))
    numbers = [number for row in rows if (number := split_value(row.value)[0]) is not None]
    if query.function == "stddev":
        return statistics.stdev(numbers) if len(numbers) > 1 else None
    if query.function in {"median", "percentile"}:
        return _percentile(numbers, query.percentile if query.function == "percentile" else 0.5)
    functions: dict[str, Callable[[list[float]], float]] = {
        "mean": lambda values: math.fsum(values) / len(values),
        "sum": math.fsum,
        "min": min,
        "max": max,
        "first": lambda values: values[0],
        "last": lambda values: values[-1],
    }
    return functions[query.function](numbers)


def _percentile(numbers: list[float], fraction: float) -> float:
    ordered = sorted(numbers)
    place = fraction * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
