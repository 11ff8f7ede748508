"""Reads and writes warnings and incidents inside a given transaction; knows nothing of rules and permissions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from gulou.kernel.errors import Conflict, Invalid, NotFound, Unavailable
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
    warning_commands,
    warning_detections,
    warnings,
)
from gulou.records import Database

Query = Select[*tuple[Any, ...]]
T = TypeVar("T")
LONGEST_TIMELINE = 100_000
_ASKED_AT_ONCE = 400
MOST_PER_PAGE = 1_000
_OPEN = incidents.c.kind == bindparam("kind"), incidents.c.state != "closed"
_SINCE = incidents.c.opened_at_us >= bindparam("since_us")
_ABOUT = incidents.c.entity_id == bindparam("entity")
_NEAR = and_(
    incidents.c.longitude.between(bindparam("west"), bindparam("east")),
    incidents.c.latitude.between(bindparam("south"), bindparam("north")),
)
_NEWEST_OPEN = select(incidents.c.body).order_by(incidents.c.opened_at_us.desc()).limit(100).with_for_update()
_OPEN_ABOUT = _NEWEST_OPEN.where(*_OPEN, _SINCE, _ABOUT)
_OPEN_NEAR = _NEWEST_OPEN.where(*_OPEN, _SINCE, or_(_ABOUT, _NEAR))
_GROWN = (
    update(incidents)
    .where(incidents.c.id == bindparam("which"))
    .values(timeline_length=incidents.c.timeline_length + 1)
    .returning(incidents.c.timeline_length)
)
_NEW_LINE = insert(incident_timeline)
# Statements of every warning are made once: to make one costs more than to run it.


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
    found = []
    for part in _parts(list(dict.fromkeys(pairs))):
        query = (
            select(warnings.c.body)
            .where(tuple_(warnings.c.rule_id, warnings.c.entity_id).in_(part), warnings.c.state == "active")
            .with_for_update()
        )
        found += [msgspec.convert(row.body, Warning) for row in connection.execute(query)]
    return found


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
    if new:
        connection.execute(insert(warnings), [{"id": one.id, **_columns_of(one)} for one in new])
    if later:
        where = (warnings.c.id == bindparam("which"), warnings.c.version == bindparam("before"))
        rows = [{**_columns_of(one), "which": one.id, "before": before} for one, before in later]
        written = connection.execute(update(warnings).where(*where), rows).rowcount
        if 0 <= written < len(rows):
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
        "body": msgspec.to_builtins(warning),
    }


def _save_commands(connection: Connection, saved: list[Warning]) -> None:
    """Write which commands belong to which warning, where that is not there yet."""
    wanted = {one.command_id: warning.id for warning in saved for one in warning.actions if one.command_id is not None}
    for part in _parts(list(wanted)):
        known = select(warning_commands.c.command_id).where(warning_commands.c.command_id.in_(part))
        for row in connection.execute(known).all():
            del wanted[row.command_id]
    if wanted:
        rows = [{"command_id": command_id, "warning_id": warning_id} for command_id, warning_id in wanted.items()]
        connection.execute(insert(warning_commands), rows)


def find_by_commands(connection: Connection, command_ids: Iterable[str]) -> list[tuple[str, Warning]]:
    """Return the warnings that commands belong to, (command, warning), locked."""
    found = []
    for part in _parts(list(dict.fromkeys(command_ids))):
        query = (
            select(warning_commands.c.command_id, warnings.c.body)
            .join(warning_commands, warning_commands.c.warning_id == warnings.c.id)
            .where(warning_commands.c.command_id.in_(part))
            .with_for_update(of=warnings)
        )
        found += [(row.command_id, msgspec.convert(row.body, Warning)) for row in connection.execute(query)]
    return found


def forget_before(connection: Connection, at_us: int) -> None:
    """Drop what is only remembered so that messages are not taken twice, once they cannot come again."""
    newest = select(func.max(warning_detections.c.at_us)).scalar_subquery()
    old = (warning_detections.c.at_us < at_us, warning_detections.c.at_us < newest)
    connection.execute(delete(warning_detections).where(*old))
    connection.execute(delete(incident_commands).where(incident_commands.c.at_us < at_us))


def note_command(connection: Connection, key: str, at_us: int) -> bool:
    """Remember that a timeline was told of a command's step; False where it was told before."""
    if connection.execute(select(incident_commands.c.key).where(incident_commands.c.key == key)).first() is not None:
        return False
    connection.execute(insert(incident_commands).values(key=key, at_us=at_us))
    return True


def seen_detections(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Return those of the keys that were taken before."""
    found: set[str] = set()
    for part in _parts(list(keys)):
        query = select(warning_detections.c.key).where(warning_detections.c.key.in_(part))
        found.update(row.key for row in connection.execute(query))
    return found


def note_detections(connection: Connection, taken: dict[str, tuple[str, int]]) -> None:
    """Remember keys: each with its warning's id and the detection's time, µs UTC."""
    if taken:
        rows = [{"key": key, "warning_id": warning_id, "at_us": at_us} for key, (warning_id, at_us) in taken.items()]
        connection.execute(insert(warning_detections), rows)


def newest_detection_us(connection: Connection) -> int:
    """Return when the newest detection that was heard happened; 0 before any."""
    return int(connection.execute(select(func.coalesce(func.max(warning_detections.c.at_us), 0))).scalar_one())


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


def save_incident(connection: Connection, incident: Incident, press_at_us: int | None) -> None:
    """Insert an incident, or write its next version.

    Args:
        press_at_us: when its deadline is looked at next; None: not any more.
    """
    longitude, latitude = point_of(incident.location)
    columns = {
        "kind": incident.kind,
        "state": incident.state,
        "severity": incident.severity,
        "department": incident.department,
        "entity_id": incident.entity_id,
        "longitude": longitude,
        "latitude": latitude,
        "overdue": incident.overdue,
        "press_at_us": press_at_us,
        "opened_at_us": incident.opened_at_us,
        "search": " ".join([*incident.title.values(), incident.kind, incident.id]).lower(),
        "version": incident.version,
        "body": msgspec.to_builtins(incident),
    }
    if incident.version == 1:
        columns["timeline_length"] = 0
    _save(connection, incidents, incident.id, incident.version, columns)


def find_open_near(
    connection: Connection, kind: str, since_us: int, entity_id: str, box: tuple[float, float, float, float] | None
) -> list[Incident]:
    """Return open incidents of a kind about an entity, or inside a box (west, south, east, north); newest first."""
    asked: dict[str, Any] = {"kind": kind, "since_us": since_us, "entity": entity_id}
    if box is not None:
        asked |= dict(zip(("west", "south", "east", "north"), box, strict=True))
    rows = connection.execute(_OPEN_ABOUT if box is None else _OPEN_NEAR, asked)
    return [msgspec.convert(row.body, Incident) for row in rows]


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


def add_entry(connection: Connection, incident_id: str, values: dict[str, Any]) -> TimelineEntry:
    """Append a line to a timeline; raises Conflict ``incident.timeline_full``."""
    number = int(connection.execute(_GROWN, {"which": incident_id}).scalar_one())
    if number > LONGEST_TIMELINE:
        raise Conflict("incident.timeline_full", incident_id=incident_id, limit=LONGEST_TIMELINE)
    connection.execute(_NEW_LINE, {"incident_id": incident_id, "number": number, **values})
    return TimelineEntry(id=f"{incident_id}-{number}", incident_id=incident_id, number=number, **values)


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


def _parts(items: list[T]) -> Iterator[list[T]]:
    """Cut a list into what one statement may ask for."""
    return (items[start : start + _ASKED_AT_ONCE] for start in range(0, len(items), _ASKED_AT_ONCE))


def _save(connection: Connection, table: Table, row_id: str, version: int, columns: dict[str, Any]) -> None:
    if version == 1:
        connection.execute(insert(table), {"id": row_id, **columns})
        return
    where = (table.c.id == bindparam("which"), table.c.version == bindparam("before"))
    written = update(table).where(*where)
    if connection.execute(written, {**columns, "which": row_id, "before": version - 1}).rowcount != 1:
        raise Conflict("incident.changed_meanwhile", id=row_id)


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
