"""Reads and writes warnings and incidents inside a given transaction; knows nothing of rules and permissions."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from gulou.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from gulou.operations.incidents import statements
from gulou.operations.incidents.model import (
    Incident,
    IncidentFilter,
    TimelineEntry,
    Warning,  # noqa: A004
    WarningFilter,
)
from gulou.operations.incidents.tables import (
    incident_commands,
    incident_timeline,
    incidents,
    warning_detections,
    warnings,
)
from gulou.records import Database

Query = Select[*tuple[Any, ...]]
T = TypeVar("T")
LONGEST_TIMELINE = 100_000
_warnings = msgspec.json.Decoder(Warning)
_incidents = msgspec.json.Decoder(Incident)
MOST_PER_PAGE = 1_000


class Place(NamedTuple):
    """Where an open incident is."""

    id: str
    entity_id: str | None
    longitude: float | None
    latitude: float | None


@contextmanager
def writing(database: Database) -> Iterator[Connection]:
    """Run a block as one transaction; raises Unavailable ``incident.store_failed`` where it cannot be kept."""
    try:
        with database.transaction() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise Unavailable("incident.store_failed", detail=type(error).__name__) from error


@contextmanager
def reading(database: Database) -> Iterator[Connection]:
    """Run a block of queries; raises Unavailable ``incident.store_failed``."""
    try:
        with database.reading() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise Unavailable("incident.store_failed", detail=type(error).__name__) from error


# ---- warnings


def find_standing(connection: Connection, pairs: Iterable[tuple[str, str]]) -> list[Warning]:
    """Return the active warnings of rules on entities, (rule, entity), locked for this transaction."""
    return [warning_of(row.body) for row in statements.STANDING.rows(connection, pairs)]


def find_by_detection(connection: Connection, detection_id: str) -> Warning | None:
    query = (
        select(warnings.c.body)
        .where(warnings.c.detection_id == detection_id)
        .order_by(warnings.c.raised_at_us.desc())
        .limit(1)
        .with_for_update()
    )
    row = connection.execute(query).first()
    return None if row is None else msgspec.convert(row.body, Warning)


def get_warning(connection: Connection, warning_id: str, *, lock: bool = False) -> Warning:
    """Raises NotFound ``warning.unknown``."""
    query = select(warnings.c.body).where(warnings.c.id == warning_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound("warning.unknown", warning_id=warning_id)
    return msgspec.convert(row.body, Warning)


def save_warning(connection: Connection, warning: Warning) -> None:
    """Insert a warning, or write its next version."""
    if warning.version == 1:
        save_warnings(connection, [warning], [])
    else:
        save_warnings(connection, [], [(warning, warning.version - 1)])


def save_warnings(connection: Connection, new: list[Warning], later: list[tuple[Warning, int]]) -> None:
    """Insert warnings, and write later versions of others.

    Args:
        later: each with the version that is there.

    Raises:
        Conflict: ``incident.changed_meanwhile``.
    """
    statements.NEW_WARNING.run_all(connection, [{"id": one.id, **_columns_of(one)} for one in new])
    rows = [{**_columns_of(one), "which": one.id, "before": before} for one, before in later]
    if 0 <= statements.NEXT_WARNING.run_all(connection, rows) < len(rows):
        raise Conflict("incident.changed_meanwhile", id=later[0][0].id)
    _save_commands(connection, [*new, *(one for one, _ in later)])


def _columns_of(warning: Warning) -> dict[str, Any]:
    return {
        "message_id": warning.message_id,
        "detection_id": warning.detection_id,
        "rule_id": warning.rule_id,
        "entity_id": warning.entity_id,
        "state": warning.state,
        "severity": warning.severity,
        "acknowledged": warning.acknowledged,
        "department": warning.department,
        "entity_type": warning.entity_type,
        "incident_id": warning.incident_id,
        "raised_at_us": warning.raised_at_us,
        "search": " ".join([*warning.headline.values(), warning.rule_id, warning.entity_id, warning.id]).lower(),
        "version": warning.version,
        "body": msgspec.json.encode(warning).decode(),
    }


def _save_commands(connection: Connection, saved: list[Warning]) -> None:
    """Write which commands belong to which warning, where that is not there yet."""
    wanted = {one.command_id: warning.id for warning in saved for one in warning.actions if one.command_id is not None}
    rows = [{"command_id": command_id, "warning_id": warning_id} for command_id, warning_id in wanted.items()]
    statements.NEW_WARNING_COMMAND.run_all(connection, rows)


def find_by_commands(connection: Connection, command_ids: Iterable[str]) -> list[tuple[str, Warning]]:
    """Return the warnings that commands belong to, (command, warning), locked."""
    found = statements.OF_COMMANDS.rows(connection, command_ids)
    return [(row.command_id, warning_of(row.body)) for row in found]


def forget_before(connection: Connection, at_us: int) -> None:
    """Drop what is only remembered so that messages are not taken twice, once they cannot come again."""
    newest = select(func.max(warning_detections.c.at_us)).scalar_subquery()
    old = (warning_detections.c.at_us < at_us, warning_detections.c.at_us < newest)
    connection.execute(delete(warning_detections).where(*old))
    connection.execute(delete(incident_commands).where(incident_commands.c.at_us < at_us))


def told_commands(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Return those steps of commands that timelines were told of before."""
    return {row.key for row in statements.TOLD.rows(connection, keys)}


def note_commands(connection: Connection, told: dict[str, int]) -> None:
    """Remember steps of commands that timelines are told of now, each with its time, µs UTC."""
    statements.NEW_TOLD.run_all(connection, [{"key": key, "at_us": at_us} for key, at_us in told.items()])


def seen_detections(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Return those of the keys that were taken before."""
    return {row.key for row in statements.SEEN.rows(connection, keys)}


def note_detections(connection: Connection, taken: dict[str, tuple[str, int]]) -> None:
    """Remember keys: each with its warning's id and the detection's time, µs UTC."""
    rows = [{"key": key, "warning_id": warning_id, "at_us": at_us} for key, (warning_id, at_us) in taken.items()]
    statements.NEW_DETECTION.run_all(connection, rows)


def newest_message_id(connection: Connection, sender: str) -> str | None:
    """Return the sender's newest message id, by the time in it."""
    column = warnings.c.message_id
    query = select(column).where(column > f"{sender}_", column < f"{sender}`").order_by(column.desc()).limit(1)
    found: str | None = connection.execute(query).scalar_one_or_none()
    return found


def list_warnings(
    connection: Connection,
    wanted: WarningFilter,
    scope: tuple[frozenset[str] | None, frozenset[str] | None],
    limit: int,
    cursor: str | None,
) -> tuple[list[Warning], int, str | None]:
    """Return a page, the count of all that match, and the next cursor.

    Args:
        scope: departments and entity types that may be seen; None means all.
    """
    column = warnings.c
    query: Query = select(column.body, column.raised_at_us, column.id)
    query = _equal(query, ((column.state, wanted.state), (column.acknowledged, wanted.acknowledged)))
    query = _equal(query, ((column.entity_id, wanted.entity_id), (column.rule_id, wanted.rule_id)))
    query = _equal(query, ((column.incident_id, wanted.incident_id),))
    query = _between(query, column.raised_at_us, wanted.from_us, wanted.to_us)
    query = _searched(query, column.search, wanted.q)
    if wanted.severities:
        query = query.where(column.severity.in_(wanted.severities))
    query = _scoped(query, column.department, scope[0])
    if scope[1] is not None:
        query = query.where(column.entity_type.in_(sorted(scope[1])))
    rows, total, following = _page(connection, query, column.raised_at_us, column.id, limit, cursor)
    return [msgspec.convert(row.body, Warning) for row in rows], total, following


# ---- incidents


def get_incident(connection: Connection, incident_id: str, *, lock: bool = False) -> Incident:
    """Raises NotFound ``incident.unknown``."""
    query = select(incidents.c.body).where(incidents.c.id == incident_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise NotFound("incident.unknown", incident_id=incident_id)
    return msgspec.convert(row.body, Incident)


def find_open_near(
    connection: Connection, kind: str, since_us: int, entity_id: str, box: tuple[float, float, float, float] | None
) -> list[Place]:
    """Return open incidents of a kind about an entity, or inside a box (west, south, east, north); newest first."""
    asked: dict[str, Any] = {"kind": kind, "since_us": since_us, "entity": entity_id}
    found = {row.id: row for row in statements.OPEN_ABOUT.run(connection, asked)}
    if box is not None:
        asked |= dict(zip(("west", "south", "east", "north"), box, strict=True))
        found |= {row.id: row for row in statements.OPEN_NEAR.run(connection, asked)}
    newest = sorted(found.values(), key=lambda row: -row.opened_at_us)
    return [Place(row.id, row.entity_id, row.longitude, row.latitude) for row in newest]


def find_pressing(connection: Connection, now_us: int, limit: int = 200) -> list[Incident]:
    """Return incidents whose deadline is to be looked at, locked."""
    column = incidents.c
    query = select(column.body).where(column.press_at_us <= now_us).order_by(column.press_at_us).limit(limit)
    return [msgspec.convert(row.body, Incident) for row in connection.execute(query.with_for_update())]


def next_pressing_us(connection: Connection) -> int | None:
    """Return when the next deadline is to be looked at."""
    found = connection.execute(select(func.min(incidents.c.press_at_us))).scalar_one_or_none()
    return None if found is None else int(found)


def list_incidents(
    connection: Connection, wanted: IncidentFilter, departments: frozenset[str] | None, limit: int, cursor: str | None
) -> tuple[list[Incident], int, str | None]:
    """Return a page, the count of all that match, and the next cursor."""
    column = incidents.c
    query: Query = select(column.body, column.opened_at_us, column.id)
    query = _equal(query, ((column.state, wanted.state), (column.department, wanted.department)))
    query = _equal(query, ((column.overdue, wanted.overdue),))
    query = _between(query, column.opened_at_us, wanted.from_us, wanted.to_us)
    query = _searched(query, column.search, wanted.q)
    if wanted.severities:
        query = query.where(column.severity.in_(wanted.severities))
    query = _scoped(query, column.department, departments)
    rows, total, following = _page(connection, query, column.opened_at_us, column.id, limit, cursor)
    return [msgspec.convert(row.body, Incident) for row in rows], total, following


def list_timeline(connection: Connection, incident_id: str, after: int, limit: int) -> list[TimelineEntry]:
    """Return lines after a number, oldest first."""
    column = incident_timeline.c
    query = (
        select(incident_timeline)
        .where(column.incident_id == incident_id, column.number > after)
        .order_by(column.number)
        .limit(limit)
    )
    return [TimelineEntry(id=f"{incident_id}-{row.number}", **dict(row._mapping)) for row in connection.execute(query)]


def point_of(location: dict[str, Any] | None) -> tuple[float | None, float | None]:
    """Return (longitude, latitude) of a GeoJSON point, or of the first corner of another geometry."""
    found: Any = (location or {}).get("coordinates")
    while isinstance(found, list | tuple) and found and isinstance(found[0], list | tuple):
        found = found[0]
    if isinstance(found, list | tuple) and len(found) >= 2 and all(isinstance(one, int | float) for one in found[:2]):
        return float(found[0]), float(found[1])
    return None, None


# ---- shared


def text_of(value: Any) -> str:
    """Return what is bound for a JSON column."""
    return msgspec.json.encode(value).decode()


def warning_of(body: Any) -> Warning:
    """Read a warning as the driver gives it: text, or what JSON says already."""
    return _read(_warnings, body, Warning)


def incident_of(body: Any) -> Incident:
    """Read an incident as the driver gives it."""
    return _read(_incidents, body, Incident)


def _read(decoder: msgspec.json.Decoder[T], body: Any, kind: type[T]) -> T:
    if not isinstance(body, str | bytes):
        return msgspec.convert(body, kind)
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:  # Python's NaN and Infinity, of earlier versions
        return msgspec.convert(json.loads(body), kind)


def _equal(query: Query, pairs: Sequence[tuple[ColumnElement[Any], Any]]) -> Query:
    for column, value in pairs:
        if value is not None:
            query = query.where(column == value)
    return query


def _between(query: Query, column: ColumnElement[Any], from_us: int | None, to_us: int | None) -> Query:
    if from_us is not None:
        query = query.where(column >= from_us)
    return query if to_us is None else query.where(column < to_us)


def _searched(query: Query, column: ColumnElement[Any], words: str | None) -> Query:
    for word in (words or "").lower().split()[:8]:
        query = query.where(column.contains(word, autoescape=True))
    return query


def _scoped(query: Query, column: ColumnElement[Any], departments: frozenset[str] | None) -> Query:
    """What belongs to no department is common to all."""
    if departments is None:
        return query
    return query.where(or_(column.is_(None), column.in_(sorted(departments))))


def _page(
    connection: Connection,
    query: Query,
    at: ColumnElement[Any],
    key: ColumnElement[Any],
    limit: int,
    cursor: str | None,
) -> tuple[list[Any], int, str | None]:
    limit = max(1, min(limit, MOST_PER_PAGE))
    total = int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())
    if cursor is not None:
        at_us, row_id = _read_cursor(cursor)
        query = query.where(or_(at < at_us, and_(at == at_us, key < row_id)))
    rows = list(connection.execute(query.order_by(at.desc(), key.desc()).limit(limit + 1)).all())
    following = None
    if len(rows) > limit:
        rows = rows[:limit]
        following = base64.urlsafe_b64encode(f"{rows[-1][1]}|{rows[-1][2]}".encode()).decode()
    return rows, total, following


def _read_cursor(cursor: str) -> tuple[int, str]:
    try:
        at, _, row_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        return int(at), row_id
    except (ValueError, binascii.Error):
        raise Invalid("request.bad_cursor", cursor=cursor[:64]) from None
