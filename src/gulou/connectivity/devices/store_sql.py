"""Devices in the records: rows, pages, presence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping

from gulou.connectivity.devices.model import Binding, Device, DevicePage, DeviceQuery
from gulou.connectivity.devices.tables import NEVER, OFFLINE, ONLINE, devices
from gulou.kernel.errors import Invalid
from gulou.records import Database

_MAX_PAGE = 1_000
_SEARCH_LENGTH = 4_000
_SORTS = {"id": devices.c.id, "name": devices.c.name, "last_seen": devices.c.last_seen_at_us}
_bindings = msgspec.json.Decoder(tuple[Binding, ...])
_labels = msgspec.json.Decoder(dict[str, str])


def load_all(database: Database) -> Iterator[Device]:
    """Yield every device; at start."""
    with database.reading() as connection:
        for row in connection.execute(select(devices)).mappings():
            yield _from_row(row)


def find_one(database: Database, device_id: str) -> Device | None:
    """Return one device with its presence as it was last written, or None."""
    with database.reading() as connection:
        row = connection.execute(select(devices).where(devices.c.id == device_id)).mappings().one_or_none()
    return None if row is None else _from_row(row)


def insert_rows(connection: Connection, added: Iterable[Device]) -> None:
    rows = [_to_row(device) | _presence(device) for device in added]
    if rows:
        connection.execute(insert(devices), rows)


def update_rows(connection: Connection, changed: Iterable[Device]) -> None:
    """Write new versions; presence is left alone."""
    rows = [{**_to_row(device), "which": device.id} for device in changed]
    for row in rows:
        del row["id"], row["created_at_us"]
    if rows:
        connection.execute(update(devices).where(devices.c.id == bindparam("which")), rows)


def delete_row(connection: Connection, device_id: str) -> None:
    connection.execute(delete(devices).where(devices.c.id == device_id))


def update_presence(connection: Connection, present: Iterable[tuple[str, bool | None, int]]) -> None:
    """Write (id, online, last seen µs) of devices."""
    rows = [{"which": id_, "presence": _state(online), "last_seen_at_us": seen} for id_, online, seen in present]
    if rows:
        connection.execute(update(devices).where(devices.c.id == bindparam("which")), rows)


def list_page(database: Database, query: DeviceQuery) -> DevicePage:
    """Return a page in order; each page is reached through an index, however far it is.

    Raises:
        Invalid: ``device.page_limit``, ``device.sort_unknown``, ``device.cursor_malformed``.
    """
    statement, filters = page_statement(query)
    with database.reading() as connection:
        rows = connection.execute(statement).mappings().all()
        total = connection.execute(select(func.count()).select_from(devices).where(*filters)).scalar_one()
    items = tuple(_from_row(row) for row in rows[: query.limit])
    return DevicePage(items, total, _cursor(query.sort, items[-1]) if len(rows) > query.limit else None)


def page_statement(query: DeviceQuery) -> tuple[Select[Any], list[ColumnElement[bool]]]:
    """Return the query for a page and the filters for its total."""
    if not 1 <= query.limit <= _MAX_PAGE:
        raise Invalid("device.page_limit", limit=query.limit, maximum=_MAX_PAGE)
    name = query.sort.removeprefix("-")
    column = _SORTS.get(name)
    if column is None:
        raise Invalid("device.sort_unknown", sort=query.sort, allowed=", ".join(_SORTS))
    filters = _filters(query)
    downward = query.sort.startswith("-")
    statement = select(devices).where(*filters)
    if query.cursor is not None:
        statement = statement.where(_after(query.cursor, column, name, downward=downward))
    keys = [column] if name == "id" else [column, devices.c.id]
    ordered = statement.order_by(*(key.desc() if downward else key.asc() for key in keys))
    return ordered.limit(query.limit + 1), filters


def _filters(query: DeviceQuery) -> list[ColumnElement[bool]]:
    filters: list[ColumnElement[bool]] = []
    for column, wanted in (
        (devices.c.kind, query.kind),
        (devices.c.adapter, query.adapter),
        (devices.c.department, query.department),
        (devices.c.gateway_id, query.gateway_id),
        (devices.c.enabled, query.enabled),
    ):
        if wanted is not None:
            filters.append(column == wanted)
    if query.never:
        filters.append(devices.c.presence == NEVER)
    elif query.online is not None:
        filters.append(devices.c.presence == (ONLINE if query.online else OFFLINE))
    if query.departments is not None:
        filters.append(or_(devices.c.department.is_(None), devices.c.department.in_(sorted(query.departments))))
    if query.text:
        filters.append(devices.c.search.contains(query.text.lower(), autoescape=True))
    return filters


def _after(cursor: str, column: Any, name: str, *, downward: bool) -> ColumnElement[bool]:
    try:
        value, device_id = msgspec.json.decode(cursor, type=tuple[str | int, str])
    except msgspec.MsgspecError:
        raise Invalid("device.cursor_malformed", cursor=cursor[:64]) from None
    if isinstance(value, int) != (name == "last_seen"):
        raise Invalid("device.cursor_malformed", cursor=cursor[:64])
    if name == "id":
        past: ColumnElement[bool] = devices.c.id < device_id if downward else devices.c.id > device_id
        return past
    if downward:  # the first half alone says where in the index to begin
        return and_(column <= value, or_(column < value, devices.c.id < device_id))
    return and_(column >= value, or_(column > value, devices.c.id > device_id))


def _cursor(sort: str, last: Device) -> str:
    values: dict[str, str | int] = {"id": last.id, "name": last.name, "last_seen": last.last_seen_at_us or 0}
    return msgspec.json.encode((values[sort.removeprefix("-")], last.id)).decode()


def _state(online: bool | None) -> int:
    return NEVER if online is None else ONLINE if online else OFFLINE


def _presence(device: Device) -> dict[str, Any]:
    return {"presence": _state(device.online), "last_seen_at_us": device.last_seen_at_us or 0}


def _to_row(device: Device) -> dict[str, Any]:
    words = [device.id, device.name, *(binding.entity_id for binding in device.bindings)]
    return {
        "id": device.id,
        "name": device.name,
        "adapter": device.adapter,
        "kind": device.kind,
        "bindings": msgspec.json.encode(device.bindings).decode(),
        "mapping": device.mapping,
        "gateway_id": device.gateway_id,
        "department": device.department,
        "longitude": device.longitude,
        "latitude": device.latitude,
        "silence_s": device.silence_s,
        "sleepy": device.sleepy,
        "enabled": device.enabled,
        "labels": msgspec.json.encode(device.labels).decode(),
        "created_at_us": device.created_at_us,
        "version": device.version,
        "search": " ".join(words).lower()[:_SEARCH_LENGTH],
    }


def _from_row(row: RowMapping) -> Device:
    return Device(
        id=row["id"],
        name=row["name"],
        adapter=row["adapter"],
        kind=row["kind"],
        bindings=_bindings.decode(row["bindings"]),
        mapping=row["mapping"],
        gateway_id=row["gateway_id"],
        department=row["department"],
        longitude=row["longitude"],
        latitude=row["latitude"],
        silence_s=row["silence_s"],
        sleepy=row["sleepy"],
        enabled=row["enabled"],
        labels=_labels.decode(row["labels"]),
        online=None if row["presence"] == NEVER else row["presence"] == ONLINE,
        last_seen_at_us=row["last_seen_at_us"] or None,
        created_at_us=row["created_at_us"],
        version=row["version"],
    )
