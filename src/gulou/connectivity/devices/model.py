"""A device: what sends. Bound to the entities whose properties it measures or drives."""

from __future__ import annotations

import msgspec


class Binding(msgspec.Struct, frozen=True):
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


class Device(msgspec.Struct, frozen=True, kw_only=True):
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
