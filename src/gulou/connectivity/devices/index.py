"""All devices in memory: what the hot path asks is answered without a database."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable

from msgspec import structs

from gulou.connectivity.devices.model import Binding, Device, KindCount
from gulou.connectivity.devices.ports import PropertyNames
from gulou.connectivity.devices.signs import Signs
from gulou.kernel.errors import NotFound

_MANY_BINDINGS = 8
_RESOLVED = 256
_KEPT_CHANGES = 10_000


class KnownDevice:
    """A registered device and its presence, which changes without a new version.

    Args:
        signs: hold its presence, at ``number``.
    """

    __slots__ = ("_current", "_signs", "bound", "connections", "device", "number", "resolved")

    def __init__(self, device: Device, signs: Signs) -> None:
        self._signs = signs
        self.number = signs.add(device.online, device.last_seen_at_us or 0)
        self.connections = 0
        self.set(device)

    def set(self, device: Device) -> None:
        """Take over a new version of the device; its presence stays."""
        self.device = device
        self._signs.set_silence(self.number, device.silence_s)
        self._current = (device, device)
        self.resolved: dict[str, Binding] = {}
        self.bound: frozenset[tuple[str, str]] | None = None
        if len(device.bindings) > _MANY_BINDINGS:
            self.bound = frozenset((binding.entity_id, _covered(binding)) for binding in device.bindings)

    @property
    def online(self) -> bool | None:
        """Whether it is there; None before its first word."""
        return self._signs.is_online(self.number)

    @property
    def last_seen_us(self) -> int:
        """When it said its last word; 0 before the first."""
        return int(self._signs.last_seen_us[self.number])

    def current(self) -> Device:
        """Return the device with its presence; the same copy until either changes: it is asked for at each message."""
        device, online, last_seen_us = self.device, self.online, self.last_seen_us or None
        made_of, made = self._current
        if made_of is not device or made.online is not online or made.last_seen_at_us != last_seen_us:
            made = structs.replace(device, online=online, last_seen_at_us=last_seen_us)
            self._current = (device, made)
        return made

    def may_report(self, entity_id: str, property_name: str) -> bool:
        """Say whether a binding covers this property of this entity."""
        if self.bound is not None:
            return (entity_id, property_name) in self.bound or (entity_id, "*") in self.bound
        for binding in self.device.bindings:
            if binding.entity_id == entity_id and _covered(binding) in ("*", property_name):
                return True
        return False


class DeviceIndex:
    """Devices by id, by entity and by gateway. Written under the registry's lock, read from any thread without one."""

    def __init__(self, knows: PropertyNames | None) -> None:
        self._knows = knows
        self._known: dict[str, KnownDevice] = {}
        self._by_entity: dict[str, tuple[str, ...]] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._by_number: list[KnownDevice | None] = []
        self._changes: deque[str] = deque(maxlen=_KEPT_CHANGES)
        self.signs = Signs()
        self.generation = 0
        """Grows with every device that is added, changed or removed."""

    def __len__(self) -> int:
        return len(self._known)

    def get(self, device_id: str) -> KnownDevice | None:
        return self._known.get(device_id)

    def by_number(self, number: int) -> KnownDevice | None:
        """Return the device of a number, or None when it was removed."""
        return self._by_number[number]

    def changed_since(self, generation: int) -> tuple[str, ...] | None:
        """Return the ids of what has changed since that generation; None: too many to say."""
        count = self.generation - generation
        if count > _KEPT_CHANGES:
            return None
        return tuple(self._changes)[-count:] if count > 0 else ()

    def all(self) -> Iterable[KnownDevice]:
        """Return a snapshot of every device."""
        return list(self._known.values())

    def put(self, device: Device) -> KnownDevice:
        """Add a device, or its new version."""
        device = _interned(device)
        known = self._known.get(device.id)
        if known is None:
            known = KnownDevice(device, self.signs)
            self._by_number.append(known)
        else:
            self._unlink(known.device)
            known.set(device)
        for entity_id in {binding.entity_id for binding in device.bindings}:
            self._by_entity[entity_id] = (*self._by_entity.get(entity_id, ()), device.id)
        if device.gateway_id is not None:
            self._children.setdefault(device.gateway_id, {})[device.id] = None
        self._known[device.id] = known
        self._note_change(device.id)
        return known

    def remove(self, device_id: str) -> None:
        known = self._known.pop(device_id, None)
        if known is not None:
            self._unlink(known.device)
            self._by_number[known.number] = None
            self.signs.forget(known.number)
            self._note_change(device_id)

    def _note_change(self, device_id: str) -> None:
        self._changes.append(device_id)
        self.generation += 1

    def children(self, gateway_id: str) -> tuple[str, ...]:
        """Return the ids of the devices that speak through a gateway, in the order of registration."""
        return tuple(self._children.get(gateway_id, ()))

    def resolve(self, device_id: str, channel: str) -> Binding | None:
        """Return what a channel is bound to, its property filled in; a channel's own binding goes before ``*``."""
        known = self._known.get(device_id)
        if known is None:
            return None
        found = known.resolved.get(channel)
        if found is None:
            found = self._find_binding(known.device, channel)
            if found is not None and len(known.resolved) < _RESOLVED:
                known.resolved[channel] = found
        return found

    def device_of(self, entity_id: str, property_name: str | None) -> str | None:
        """Return the device to command about an entity: bound to just the property, else an actuator, else any."""
        candidates = [
            known for id_ in self._by_entity.get(entity_id, ()) if (known := self._known.get(id_)) is not None
        ]
        if property_name is not None:
            candidates = [known for known in candidates if known.may_report(entity_id, property_name)]
        if not candidates:
            return None
        return min(candidates, key=lambda known: _preference(known.device, entity_id, property_name)).device.id

    def counts(self) -> list[KindCount]:
        """Count devices by kind and state."""
        counted: dict[str, list[int]] = {}
        for known in self.all():
            states = counted.setdefault(known.device.kind, [0, 0, 0])
            states[0 if known.online else 2 if known.online is None else 1] += 1
        return [KindCount(kind, sum(states), *states) for kind, states in sorted(counted.items())]

    def _find_binding(self, device: Device, channel: str) -> Binding | None:
        stars: list[Binding] = []
        for binding in device.bindings:
            if binding.channel == channel:
                return structs.replace(binding, property=binding.property or channel)
            if binding.channel == "*":
                stars.append(binding)
        if len(stars) > 1 and self._knows is not None:
            stars = [binding for binding in stars if _has(self._knows, binding.entity_type, channel)] or stars
        return structs.replace(stars[0], property=channel) if stars else None

    def _unlink(self, device: Device) -> None:
        for entity_id in {binding.entity_id for binding in device.bindings}:
            left = tuple(id_ for id_ in self._by_entity.get(entity_id, ()) if id_ != device.id)
            if left:
                self._by_entity[entity_id] = left
            else:
                self._by_entity.pop(entity_id, None)
        if device.gateway_id is not None:
            siblings = self._children.get(device.gateway_id, {})
            siblings.pop(device.id, None)
            if not siblings:
                self._children.pop(device.gateway_id, None)


def _has(names: PropertyNames, entity_type: str, property_name: str) -> bool:
    try:
        names.get_property(entity_type, property_name)
    except NotFound:
        return False
    return True


def _covered(binding: Binding) -> str:
    return binding.property or binding.channel


def _preference(device: Device, entity_id: str, property_name: str | None) -> tuple[bool, bool, bool, str]:
    exact = any(
        binding.entity_id == entity_id and property_name is not None and _covered(binding) == property_name
        for binding in device.bindings
    )
    return (not device.enabled, not exact, device.kind == "sensor", device.id)


def _interned(device: Device) -> Device:
    """Share the words that thousands of devices have in common."""
    bindings = tuple(
        structs.replace(binding, entity_type=sys.intern(binding.entity_type), channel=sys.intern(binding.channel))
        for binding in device.bindings
    )
    department = None if device.department is None else sys.intern(device.department)
    return structs.replace(
        device,
        adapter=sys.intern(device.adapter),
        kind=sys.intern(device.kind),
        department=department,
        bindings=bindings,
    )
