"""A device: what sends. Bound to the entities whose properties it measures or drives."""

from __future__ import annotations

from typing import Any

import msgspec


class Binding(msgspec.Struct, frozen=True, gc=False):
    """One channel of a device ↔ one property of one entity.

    Args:
        channel: the name that the device uses; ``*`` binds every channel whose name is a property of the type.
        property: the entity's property; None: the channel's own name.
        unit_code: UCUM unit in which the device sends; None: the property's own unit.
    """

    entity_id: str
    entity_type: str
    channel: str = "*"
    property: str | None = None
    unit_code: str | None = None


class Device(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A registered device.

    Args:
        id: 1-128 of ``[A-Za-z0-9._:-]``; also its MQTT user name.
        adapter: which protocol it speaks (``mqtt``, ``http``, …).
        mapping: name of its payload mapping; None: the adapter's own format.
        gateway_id: the device through which it speaks, if it has no connection of its own.
        department: who answers for it; permissions are by department.
        silence_s: after so many seconds without a word it counts as offline.
        sleepy: it is reached only while awake; commands wait for it until they expire.
        online: None before its first word.
        latitude and longitude: EPSG:4326, degrees.
        version: grows with each change; for optimistic locking.
    """

    id: str
    name: str
    adapter: str
    kind: str = "sensor"
    bindings: tuple[Binding, ...] = ()
    mapping: str | None = None
    gateway_id: str | None = None
    department: str | None = None
    longitude: float | None = None
    latitude: float | None = None
    silence_s: int = 900
    sleepy: bool = False
    enabled: bool = True
    labels: dict[str, str] = {}
    online: bool | None = None
    last_seen_at_us: int | None = None
    created_at_us: int = 0
    version: int = 1


class DeviceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which devices to list, and in which order.

    Args:
        text: part of the id, the name, or a bound entity's id; upper and lower case are alike.
        online: True, False, or None for both; ``never`` for those that have not said a word.
        departments: only these, and devices that belong to none; None: all.
        sort: ``id``, ``name`` or ``last_seen``, with ``-`` before it for the other direction.
        cursor: ``next`` of the page before.
    """

    text: str | None = None
    kind: str | None = None
    adapter: str | None = None
    department: str | None = None
    departments: frozenset[str] | None = None
    gateway_id: str | None = None
    enabled: bool | None = None
    online: bool | None = None
    never: bool = False
    sort: str = "id"
    limit: int = 50
    cursor: str | None = None


class DevicePage(msgspec.Struct, frozen=True):
    """One page of devices; ``next`` is None on the last one."""

    items: tuple[Device, ...]
    total: int
    next: str | None


class KindCount(msgspec.Struct, frozen=True):
    """How many devices of one kind are in which state."""

    kind: str
    total: int
    online: int
    offline: int
    never: int


class BulkLine(msgspec.Struct, frozen=True):
    """What became of one line of a bulk file.

    Args:
        line: counted from 1, the heading of a CSV file included.
        result: ``created``, ``updated``, ``unchanged`` or ``failed``.
        code, params: why it failed.
        secret: made up for a new device, if that was asked for; shown this once only.
    """

    line: int
    device_id: str | None
    result: str
    code: str | None = None
    params: dict[str, Any] = {}
    secret: str | None = None


class BulkReport(msgspec.Struct, frozen=True):
    """What became of a bulk file. ``lines``: the failed ones and those with a secret, in order, at most 1,000 each."""

    dry_run: bool
    created: int
    updated: int
    unchanged: int
    failed: int
    lines: tuple[BulkLine, ...]
