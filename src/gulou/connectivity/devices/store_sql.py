"""Devices in the records: rows, pages, presence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from gulou.connectivity.devices.model import Binding, Device, DevicePage, DeviceQuery, KindCount
from gulou.connectivity.devices.signs import Heads
from gulou.connectivity.devices.tables import NEVER, OFFLINE, ONLINE, devices
from gulou.kernel.errors import Invalid, Unavailable
from gulou.records import Database

_MAX_PAGE = 1_000
_SEARCH_LENGTH = 4_000
_SORTS = {"id": devices.c.id, "name": devices.c.name, "last_seen": devices.c.last_seen_at_us}
_bindings = msgspec.json.Decoder(tuple[Binding, ...])
_labels = msgspec.json.Decoder(dict[str, str])
_BY_ONE = 1
"""The states of ``Signs`` are by so much smaller than those of the table."""
_AT_ONCE = 500
_AT_A_TIME = 2_000


class _Bound(msgspec.Struct, gc=False):
    entity_id: str


_entities = msgspec.json.Decoder(tuple[_Bound, ...])
_HEADS = select(
    devices.c.id,
    devices.c.kind,
    devices.c.gateway_id,
    devices.c.presence,
    devices.c.last_seen_at_us,
    devices.c.silence_s,
)
_BOUND = select(devices.c.id, devices.c.bindings).order_by(devices.c.id)
_ALL = select(devices).order_by(devices.c.id)


class SqlDevices:
    """The devices of the records, for an index that asks for them when it needs them. See ``DeviceSource``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def heads(self) -> Heads:
        """Return what must be known of all devices at once, the earliest registered first."""
        found = (
            _HEADS
            if self._database.url.startswith("sqlite")
            else _HEADS.order_by(devices.c.created_at_us, devices.c.id)
        )
        with self._database.reading() as connection:
            result: Any = connection.execute(found)
            rows = result.cursor.fetchall()  # plain tuples: a million rows of SQLAlchemy's take seconds
            result.close()
        ids, kinds, gateways, presence, seen, silence = zip(*rows, strict=True) if rows else ((),) * 6
        online = np.array(presence, np.int8) - np.int8(_BY_ONE)
        return Heads(ids, kinds, gateways, online, np.array(seen, np.int64), np.array(silence, np.int64))

    def find(self, device_ids: Sequence[str]) -> list[Device]:
        """Return devices by their ids, in no order; those that are not there are left out."""
        found: list[Device] = []
        with self._database.reading() as connection:
            for begin in range(0, len(device_ids), _AT_ONCE):
                some = device_ids[begin : begin + _AT_ONCE]
                rows = connection.execute(select(devices).where(devices.c.id.in_(some))).mappings()
                found += [_from_row(row) for row in rows]
        return found

    def bound(self) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
        """Yield (id, entities that it is bound to) of all devices, some at a time."""
        last = ""
        while True:
            some = _BOUND.where(devices.c.id > last).limit(_AT_A_TIME)
            try:
                with self._database.reading() as connection:
                    rows = connection.execute(some).all()
            except SQLAlchemyError as error:  # closed meanwhile
                raise Unavailable("records.unavailable", detail=str(error)[:200]) from error
            if not rows:
                return
            yield [(device_id, tuple({one.entity_id for one in _entities.decode(text)})) for device_id, text in rows]
            last = rows[-1][0]


def list_all(database: Database) -> Iterator[Device]:
    """Yield every device, by id, as it was last written."""
    with database.reading() as connection:
        for row in connection.execution_options(yield_per=1_000).execute(_ALL).mappings():
            yield _from_row(row)


def count_states(database: Database) -> list[KindCount]:
    """Count devices by kind and state, as it was last written."""
    query = select(devices.c.kind, devices.c.presence, func.count()).group_by(devices.c.kind, devices.c.presence)
    counted: dict[str, list[int]] = {}
    with database.reading() as connection:
        for kind, presence, count in connection.execute(query):
            counted.setdefault(kind, [0, 0, 0])[(ONLINE, OFFLINE, NEVER).index(presence)] = count
    return [KindCount(kind, sum(states), *states) for kind, states in sorted(counted.items())]


def list_children(database: Database, gateway_id: str) -> tuple[str, ...]:
    """Return the ids of the devices that speak through a gateway, in the order of registration."""
    query = select(devices.c.id).where(devices.c.gateway_id == gateway_id)
    with database.reading() as connection:
        return tuple(connection.execute(query.order_by(devices.c.created_at_us, devices.c.id)).scalars())


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


def update_presence(connection: Connection, present: Iterable[tuple[str, int, int]]) -> None:
    """Write (id, state as ``Signs.online`` has it, last seen µs) of devices."""
    rows = [{"which": id_, "presence": state + _BY_ONE, "last_seen_at_us": seen} for id_, state, seen in present]
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
