"""Commands in the records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping

from gulou.connectivity.commands.model import Command, CommandPage, CommandQuery, ExpectedEffect
from gulou.connectivity.commands.tables import commands
from gulou.kernel.errors import Invalid
from gulou.records import Database, Prepared, PreparedList

_MAX_PAGE = 1_000
_CHANGING = (
    "state",
    "attempts",
    "sent_at_us",
    "acknowledged_at_us",
    "effect_seen_at_us",
    "ended_at_us",
    "reason",
)
_FIELDS = Command.__struct_fields__
_RECORDED = PreparedList(
    lambda count: select(commands.c.id, commands.c.ended_at_us).where(
        commands.c.id.in_([bindparam(f"a{number}") for number in range(count)])
    )
)
_NEW = Prepared(lambda _: insert(commands), [one.name for one in commands.c])
_CHANGED = Prepared(lambda _: update(commands).where(commands.c.id == bindparam("which")), _CHANGING)


def load_active(database: Database) -> list[Command]:
    """Return the commands that have not ended, oldest first; at start."""
    query = select(commands).where(commands.c.ended_at_us.is_(None))
    with database.reading() as connection:
        rows = connection.execute(query.order_by(commands.c.requested_at_us, commands.c.id)).mappings().all()
    return [_from_row(row) for row in rows]


def find_command(database: Database, command_id: str) -> Command | None:
    with database.reading() as connection:
        row = connection.execute(select(commands).where(commands.c.id == command_id)).mappings().one_or_none()
    return None if row is None else _from_row(row)


def recent_ids(database: Database, limit: int) -> list[str]:
    """Return the ids of the newest commands, oldest first; at start."""
    query = select(commands.c.id).order_by(commands.c.requested_at_us.desc(), commands.c.id.desc()).limit(limit)
    with database.reading() as connection:
        return [row.id for row in connection.execute(query)][::-1]


def recorded(connection: Connection, ids: list[str]) -> dict[str, bool]:
    """Return which of these commands are recorded already, and whether they have ended."""
    return {row.id: row.ended_at_us is not None for row in _RECORDED.rows(connection, ids)}


def insert_commands(connection: Connection, new: list[tuple[Command, str | None]]) -> None:
    """Insert commands, each with its device's department."""
    _NEW.run_all(connection, [_to_row(command, department) for command, department in new])


def insert_command(connection: Connection, command: Command, department: str | None) -> None:
    insert_commands(connection, [(command, department)])


def update_commands(connection: Connection, changed: Iterable[Command]) -> None:
    rows = [{"which": command.id, **{name: getattr(command, name) for name in _CHANGING}} for command in changed]
    _CHANGED.run_all(connection, rows)


def delete_ended(connection: Connection, before_us: int) -> None:
    connection.execute(delete(commands).where(commands.c.ended_at_us < before_us))


def list_page(database: Database, query: CommandQuery) -> CommandPage:
    """Return a page, newest first.

    Raises:
        Invalid: ``command.page_limit``, ``command.cursor_malformed``.
    """
    if not 1 <= query.limit <= _MAX_PAGE:
        raise Invalid("command.page_limit", limit=query.limit, maximum=_MAX_PAGE)
    filters = _filters(query)
    statement = select(commands).where(*filters)
    if query.cursor is not None:
        statement = statement.where(_after(query.cursor))
    ordered = statement.order_by(commands.c.requested_at_us.desc(), commands.c.id.desc()).limit(query.limit + 1)
    with database.reading() as connection:
        rows = connection.execute(ordered).mappings().all()
        total = connection.execute(select(func.count()).select_from(commands).where(*filters)).scalar_one()
    items = tuple(_from_row(row) for row in rows[: query.limit])
    following = None
    if len(rows) > query.limit:
        following = msgspec.json.encode((items[-1].requested_at_us, items[-1].id)).decode()
    return CommandPage(items, total, following)


def _filters(query: CommandQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    for column, wanted in (
        (commands.c.device_id, query.device_id),
        (commands.c.state, query.state),
        (commands.c.cause, query.cause),
    ):
        if wanted is not None:
            filters.append(column == wanted)
    if query.active is not None:
        ended = commands.c.ended_at_us
        filters.append(ended.is_(None) if query.active else ended.is_not(None))
    if query.departments is not None:
        department = commands.c.department
        filters.append(or_(department.is_(None), department.in_(sorted(query.departments))))
    return filters


def _after(cursor: str) -> ColumnElement[bool]:
    try:
        at_us, command_id = msgspec.json.decode(cursor, type=tuple[int, str])
    except msgspec.MsgspecError:
        raise Invalid("command.cursor_malformed", cursor=cursor[:64]) from None
    at = commands.c.requested_at_us
    return and_(at <= at_us, or_(at < at_us, commands.c.id < command_id))


def _to_row(command: Command, department: str | None) -> dict[str, Any]:
    row = {name: getattr(command, name) for name in _FIELDS}
    row["parameters"] = msgspec.json.encode(command.parameters).decode()
    row["effect"] = msgspec.json.encode(command.effect).decode()
    row["department"] = department
    return row


def _from_row(row: RowMapping) -> Command:
    return Command(
        id=row["id"],
        device_id=row["device_id"],
        name=row["name"],
        parameters=row["parameters"],
        state=row["state"],
        requested_by=row["requested_by"],
        requested_at_us=row["requested_at_us"],
        expires_at_us=row["expires_at_us"],
        cause=row["cause"],
        effect=None if row["effect"] is None else msgspec.convert(row["effect"], ExpectedEffect),
        attempts=row["attempts"],
        sent_at_us=row["sent_at_us"],
        acknowledged_at_us=row["acknowledged_at_us"],
        effect_seen_at_us=row["effect_seen_at_us"],
        ended_at_us=row["ended_at_us"],
        reason=row["reason"],
        acknowledge_within_s=row["acknowledge_within_s"],
        effect_within_s=row["effect_within_s"],
        retries=row["retries"],
    )
