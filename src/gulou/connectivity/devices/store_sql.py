"""Devices in the records: rows, pages, presence."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from gulou.connectivity.device_heads import HEADS, Joined
from gulou.connectivity.devices.model import Binding, Device, DevicePage, DeviceQuery, KindCount
from gulou.connectivity.devices.signs import Heads
from gulou.connectivity.devices.tables import NEVER, OFFLINE, ONLINE, devices
from gulou.kernel.errors import Invalid, Unavailable
from gulou.records import Database, Prepared, PreparedList

_MAX_PAGE = 1_000
_SEARCH_LENGTH = 4_000
_SORTS = {"id": devices.c.id, "name": devices.c.name, "last_seen": devices.c.last_seen_at_us}
_bindings = msgspec.json.Decoder(tuple[Binding, ...])
_labels = msgspec.json.Decoder(dict[str, str])
_NO_LABELS: dict[str, str] = {}
_BY_ONE = 1
"""The states of ``Signs`` are by so much smaller than those of the table."""
_AT_A_TIME = 2_000


class _Bound(msgspec.Struct, gc=False):
    entity_id: str


_entities = msgspec.json.Decoder(tuple[_Bound, ...])
_HEADS = select(
    devices.c.id,
    devices.c.kind,
    func.coalesce(devices.c.gateway_id, ""),
    devices.c.presence,
    devices.c.last_seen_at_us,
    devices.c.silence_s,
)
_COLUMNS = [column for column in devices.c if column.name != "search"]
_BY_IDS = PreparedList(
    lambda count: select(*_COLUMNS).where(devices.c.id.in_([bindparam(f"a{number}") for number in range(count)]))
)
_NEW = Prepared(lambda _: insert(devices), [column.name for column in devices.c])
_PRESENT = Prepared(
    lambda _: update(devices).where(devices.c.id == bindparam("which")), ["presence", "last_seen_at_us"]
)
_BOUND = select(devices.c.id, devices.c.bindings).order_by(devices.c.id)
_ALL = select(devices).order_by(devices.c.id)


class SqlDevices:
    """The devices of the records, for an index that asks for them when it needs them. See ``DeviceSource``.

    Args:
        ahead: returns what somebody has read already; asked once, when heads are.
    """

    def __init__(self, database: Database, ahead: Callable[[], Joined | None] = lambda: None) -> None:
        self._database = database
        self._ahead = ahead

    def heads(self) -> Heads:
        """Return what must be known of all devices at once, the earliest registered first."""
        if not self._database.url.startswith("sqlite"):
            with self._database.reading() as connection:
                rows = connection.execute(_HEADS.order_by(devices.c.created_at_us, devices.c.id)).all()
            columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in _HEADS.selected_columns]
        else:
            joined = self._ahead()
            if joined is None:
                with self._database.reading() as connection:
                    joined = tuple(connection.exec_driver_sql(HEADS).one())
            columns = _split(joined)
        ids, kinds, gateways = columns[:3]
        presence, seen, silence = (np.array(column, np.int64) for column in columns[3:])
        return Heads(ids, kinds, gateways, (presence - _BY_ONE).astype(np.int8), seen, silence)

    def find(self, device_ids: Sequence[str]) -> list[Device]:
        """Return devices by their ids, in no order; those that are not there are left out."""
        with self._database.reading() as connection:
            return [_from_columns(*row) for row in _BY_IDS.rows(connection, device_ids)]

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


def _split(joined: Joined) -> list[Any]:
    """Return (ids, kinds, gateways, presence, last seen, silence) as SQLite has joined them."""
    if joined[0] is None:
        return [[] for _ in joined]
    return [
        *((text or "").split("\n") for text in joined[:3]),
        *(np.fromstring(text or "", np.int64, sep=" ") for text in joined[3:]),
    ]


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
    _NEW.run_all(connection, (_to_row(device) | _presence(device) for device in added))


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
    _PRESENT.run_all(connection, rows)


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
    return _from_columns(*(row[column] for column in _COLUMNS))


def _from_columns(
    device_id: str,
    name: str,
    adapter: str,
    kind: str,
    bindings: str,
    mapping: str | None,
    gateway_id: str | None,
    department: str | None,
    longitude: float | None,
    latitude: float | None,
    silence_s: int,
    sleepy: bool,
    enabled: bool,
    labels: str,
    presence: int,
    last_seen_at_us: int,
    created_at_us: int,
    version: int,
) -> Device:
    """Make a device of ``_COLUMNS``; words that thousands of devices have in common are one object."""
    return Device(
        id=device_id,
        name=device_id if name == device_id else name,
        adapter=sys.intern(adapter),
        kind=sys.intern(kind),
        bindings=tuple([_shared(one) for one in _bindings.decode(bindings)]),
        mapping=mapping,
        gateway_id=None if gateway_id is None else sys.intern(gateway_id),
        department=None if department is None else sys.intern(department),
        longitude=longitude,
        latitude=latitude,
        silence_s=silence_s,
        sleepy=bool(sleepy),  # as the driver gives it
        enabled=bool(enabled),
        labels=_NO_LABELS if labels == "{}" else _labels.decode(labels),
        online=None if presence == NEVER else presence == ONLINE,
        last_seen_at_us=last_seen_at_us or None,
        created_at_us=created_at_us,
        version=version,
    )


def _shared(one: Binding) -> Binding:
    return Binding(one.entity_id, sys.intern(one.entity_type), sys.intern(one.channel), one.property, one.unit_code)
