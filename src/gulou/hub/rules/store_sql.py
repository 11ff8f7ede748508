"""Keeps rule states and detections in the record store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Connection, TextClause, delete, func, insert, select, text, tuple_
from sqlalchemy.exc import SQLAlchemyError

from gulou.hub.rules.engine import Finding, State
from gulou.hub.rules.events import Detection
from gulou.hub.rules.tables import (
    rule_detections,
    rule_lanes,
    rule_position,
    rule_quarantines,
    rule_states,
    rule_ticks,
)
from gulou.kernel.errors import NotFound, Unavailable
from gulou.records import Database

_CHUNK = 500
_BLOCKS = 32
_ROWS_AT_ONCE = (500, 50, 5, 1)
_encoder = msgspec.msgpack.Encoder()
_states = msgspec.msgpack.Decoder(State)
_FIXARRAY, _ARRAY16 = 0x90, 0xDC
_detections = msgspec.msgpack.Decoder(Detection)


@dataclass(frozen=True)
class Kept:
    """Where the rules stood at the last checkpoint."""

    sequence: int = 0
    now_us: int = 0
    listening_since_us: int = 0


@dataclass(frozen=True)
class TickRecord:
    """A moment at which timers ran between two batches: after ``sequence``.

    Args:
        resumed: listening began anew.
        number: in the order in which they were recorded.
    """

    sequence: int
    now_us: int
    resumed: bool
    number: int = 0


@dataclass
class Page:
    """What one checkpoint writes.

    Args:
        gone: ids of rules whose kept states are void.
        rows: rule id, key, state version, encoded state.
        let_go: rule id and key of states that are kept no more, unless they are among ``rows``.
        quarantines: rule id → (state version, reason, since when) or None for one that is released.
        forget_before_us: detections older than this are deleted.
        last_tick: moments up to this number need not be run again.
    """

    kept: Kept
    gone: list[str]
    rows: list[tuple[str, str, str, bytes]]
    let_go: list[tuple[str, str]]
    findings: list[Finding]
    quarantines: dict[str, tuple[str, str, int] | None]
    forget_before_us: int
    last_tick: int


class RuleStore:
    """Reads and writes what the rules keep; one checkpoint is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Run a block as one transaction; raises Unavailable ``rules.store_failed`` where it cannot be kept."""
        try:
            with self._database.transaction(urgent=True) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise Unavailable("rules.store_failed", detail=type(error).__name__) from error

    def kept(self) -> Kept:
        with self._database.reading() as connection:
            row = connection.execute(select(rule_position)).first()
        return Kept() if row is None else Kept(row.sequence, row.now_us, row.listening_since_us)

    def states(self) -> Iterator[tuple[str, str, list[State]]]:
        """Yield (rule id, state version, states) of everything kept, some of one rule at a time."""
        columns = rule_states.c.rule_id, rule_states.c.state_version, rule_states.c.state
        query = select(*columns)
        decode = _decode_state
        with self._database.reading() as connection:
            for part in connection.execution_options(yield_per=_CHUNK).execute(query).partitions():
                for (rule_id, version), rows in groupby(part, itemgetter(0, 1)):
                    yield rule_id, version, [decode(row[2]) for row in rows]

    def lanes(self, sequence: int) -> Iterator[tuple[int, bytes]]:
        """Yield (number, content) of the blocks of lanes as they were at a position of the log."""
        query = select(rule_lanes).where(rule_lanes.c.sequence <= sequence)
        query = query.order_by(rule_lanes.c.block, rule_lanes.c.sequence)  # the last of a block wins
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=_BLOCKS).execute(query):
                yield row.block, row.lanes

    def stage_lanes(self, sequence: int, blocks: Sequence[tuple[int, bytes]]) -> None:
        """Write blocks that will count once a checkpoint reaches ``sequence``; they do not hold other writers up."""
        if not blocks:
            return
        with self._writing() as connection:
            numbers = [number for number, _ in blocks]
            connection.execute(
                delete(rule_lanes).where(rule_lanes.c.sequence == sequence, rule_lanes.c.block.in_(numbers))
            )
            rows = [{"block": number, "sequence": sequence, "lanes": content} for number, content in blocks]
            connection.execute(insert(rule_lanes), rows)

    def forget_lanes(self, sequence: int, numbers: Sequence[int]) -> None:
        """Delete what newer blocks stand in for."""
        for start in range(0, len(numbers), _BLOCKS):
            part = numbers[start : start + _BLOCKS]
            with self._writing() as connection:
                connection.execute(
                    delete(rule_lanes).where(rule_lanes.c.sequence < sequence, rule_lanes.c.block.in_(part))
                )

    def quarantines(self) -> dict[str, tuple[str, str, int]]:
        """Return rule id → (state version, reason, since when in µs UTC)."""
        with self._database.reading() as connection:
            rows = connection.execute(select(rule_quarantines)).all()
        return {row.rule_id: (row.state_version, row.reason, row.at_us) for row in rows}

    def ticks(self) -> list[TickRecord]:
        """Return the moments recorded since the last checkpoint, in order."""
        with self._database.reading() as connection:
            rows = connection.execute(select(rule_ticks).order_by(rule_ticks.c.number)).all()
        return [TickRecord(row.sequence, row.now_us, bool(row.resumed), row.number) for row in rows]

    def add_tick(self, tick: TickRecord) -> int:
        """Record a moment durably, before what it finds is told to anyone; return its number."""
        with self._writing() as connection:
            values = {"sequence": tick.sequence, "now_us": tick.now_us, "resumed": int(tick.resumed)}
            key = connection.execute(insert(rule_ticks).values(**values)).inserted_primary_key
            return int(key[0]) if key is not None else 0

    def checkpoint(self, page: Page) -> None:
        """Write everything that changed since the last checkpoint, as one."""
        with self._writing() as connection:
            _delete_rules(connection, page.gone)
            _delete_states(connection, page.let_go)
            _write_states(connection, page.rows)
            self._write_findings(connection, page.findings)
            _write_quarantines(connection, page.quarantines)
            connection.execute(delete(rule_detections).where(rule_detections.c.at_us < page.forget_before_us))
            connection.execute(delete(rule_ticks).where(rule_ticks.c.number <= page.last_tick))
            connection.execute(delete(rule_position))
            kept = page.kept
            position = {"sequence": kept.sequence, "now_us": kept.now_us, "listening_since_us": kept.listening_since_us}
            connection.execute(insert(rule_position).values(id=1, **position))

    def _write_findings(self, connection: Connection, findings: Sequence[Finding]) -> None:
        if not findings:
            return
        first = connection.execute(select(func.coalesce(func.max(rule_detections.c.number), 0))).scalar_one() + 1
        rows = {
            (key := one.detection.key()): {
                "key": key,
                "detection_id": one.detection.id,
                "rule_id": one.detection.rule_id,
                "at_us": one.detection.at_us,
                "number": first + index,
                "detection": _encoder.encode(one.detection),
                "explanation": one.explanation,
            }
            for index, one in enumerate(findings)
        }
        keys = list(rows)
        for start in range(0, len(keys), _CHUNK):  # a replay after a crash finds the same again
            part = keys[start : start + _CHUNK]
            there = select(rule_detections.c.key).where(rule_detections.c.key.in_(part))
            for row in connection.execute(there).all():
                del rows[row.key]
        if rows:
            connection.execute(insert(rule_detections), list(rows.values()))

    def detections_since(self, at_us: int, limit: int) -> list[Detection]:
        """Return kept detections that happened at ``at_us`` or later, in the order in which they were found."""
        query = (
            select(rule_detections.c.detection)
            .where(rule_detections.c.at_us >= at_us)
            .order_by(rule_detections.c.number)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [_detections.decode(row.detection) for row in connection.execute(query)]

    def explanations(self, detection_id: str) -> list[dict[str, Any]]:
        """Return what each state of an occurrence rests on, oldest first.

        Raises:
            NotFound: ``rules.detection_unknown``.
        """
        query = (
            select(rule_detections.c.explanation)
            .where(rule_detections.c.detection_id == detection_id)
            .order_by(rule_detections.c.number)
        )
        with self._database.reading() as connection:
            found = [dict(row.explanation) for row in connection.execute(query)]
        if not found:
            raise NotFound("rules.detection_unknown", detection_id=detection_id)
        return found


def _decode_state(data: bytes) -> State:
    return _states.decode(data) if data[0] & 0xF0 == _FIXARRAY or data[0] == _ARRAY16 else _from_map(data)


def _from_map(data: bytes) -> State:
    """Read a state as it was written at first, with the fields' names."""
    known = msgspec.msgpack.decode(data)
    names = State.__struct_fields__
    defaults = _encoder.encode(State(known["key"]))
    plain = dict(zip(names, msgspec.msgpack.decode(defaults), strict=True))
    return _states.decode(_encoder.encode([known.get(name, value) for name, value in plain.items()]))


def _delete_rules(connection: Connection, gone: Sequence[str]) -> None:
    for start in range(0, len(gone), _CHUNK):
        connection.execute(delete(rule_states).where(rule_states.c.rule_id.in_(gone[start : start + _CHUNK])))


def _delete_states(connection: Connection, let_go: Sequence[tuple[str, str]]) -> None:
    key = tuple_(rule_states.c.rule_id, rule_states.c.state_key)
    for start in range(0, len(let_go), _CHUNK):
        connection.execute(delete(rule_states).where(key.in_(let_go[start : start + _CHUNK])))


def _write_quarantines(connection: Connection, changed: dict[str, tuple[str, str, int] | None]) -> None:
    for rule_id, entry in changed.items():
        connection.execute(delete(rule_quarantines).where(rule_quarantines.c.rule_id == rule_id))
        if entry is not None:
            version, reason, at_us = entry
            values = {"rule_id": rule_id, "state_version": version, "reason": reason, "at_us": at_us}
            connection.execute(insert(rule_quarantines).values(**values))


def _write_states(connection: Connection, rows: list[tuple[str, str, str, bytes]]) -> None:
    start = 0
    for size in _ROWS_AT_ONCE:
        while len(rows) - start >= size:
            connection.execute(_upsert(size), _numbered(rows[start : start + size]))
            start += size


def _numbered(rows: list[tuple[str, str, str, bytes]]) -> dict[str, str | bytes]:
    values: dict[str, str | bytes] = {}
    for n, row in enumerate(rows):
        values[f"a{n}"], values[f"b{n}"], values[f"c{n}"], values[f"d{n}"] = row
    return values


@cache
def _upsert(size: int) -> TextClause:
    """Return a statement that writes so many states, whether they exist or not.

    One statement for many rows: with one for each, this thread would give the interpreter away, and wait to have it
    back, at every row, and whoever else wants to write would wait for all of it.
    """
    rows = ", ".join(f"(:a{n}, :b{n}, :c{n}, :d{n})" for n in range(size))
    return text(
        f"INSERT INTO rule_states (rule_id, state_key, state_version, state) VALUES {rows} "
        "ON CONFLICT (rule_id, state_key) DO UPDATE SET state_version = excluded.state_version, state = excluded.state"
    )
