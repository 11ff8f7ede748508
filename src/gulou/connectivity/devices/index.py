"""Devices in memory: what the hot path asks is answered without a database, but for the first time after a start."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from gulou.connectivity.devices.bound import BoundAtStart
from gulou.connectivity.devices.model import Binding, Device, KindCount
from gulou.connectivity.devices.ports import PropertyNames
from gulou.connectivity.devices.signs import NEVER, OFFLINE, ONLINE, Heads, Signs
from gulou.kernel.compiled import COMPILED
from gulou.kernel.errors import NotFound
from gulou.kernel.names import HashedNames, hash_names

_MANY_BINDINGS = 8
_RESOLVED = 256
_KEPT_CHANGES = 10_000
_FIRST = 1_024
_NO_GATEWAY = -1
_MANY = 10_000
"""From so many devices at the start on, their names are found by their hashes."""


class KnownDevice:
    """A registered device and its presence, which changes without a new version.

    Args:
        signs: hold its presence, at ``number``.
    """

    __slots__ = ("_current", "_signs", "bound", "device", "number", "resolved")

    def __init__(self, device: Device, signs: Signs, number: int) -> None:
        self._signs = signs
        self.number = number
        self.set(device)

    def set(self, device: Device) -> None:
        """Take over a new version of the device; its presence stays."""
        self.device = device
        self._current: Device | None = None
        self.resolved: dict[str, Binding] | None = None
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
        made = self._current
        if made is None or made.online is not online or made.last_seen_at_us != last_seen_us:
            self._current = made = structs.replace(device, online=online, last_seen_at_us=last_seen_us)
        return made

    def may_report(self, entity_id: str, property_name: str) -> bool:
        """Say whether a binding covers this property of this entity."""
        if self.bound is not None:
            return (entity_id, property_name) in self.bound or (entity_id, "*") in self.bound
        for binding in self.device.bindings:
            if binding.entity_id == entity_id and _covered(binding) in ("*", property_name):
                return True
        return False


class DeviceSource(Protocol):
    """Where devices lie that have not been asked for yet."""

    def heads(self) -> Heads:
        """Return what must be known of all devices at once, the earliest registered first."""

    def find(self, device_ids: Sequence[str]) -> list[Device]:
        """Return devices by their ids; those that are not there are left out."""

    def bound(self) -> Iterator[list[tuple[str, tuple[str, ...]]]]:
        """Yield (id, entities that it is bound to) of all devices, some at a time."""


class DeviceIndex:
    """Devices by id, by entity and by gateway. Written under the registry's lock, read from any thread.

    Of a device that was there at the start only its name, its kind, its gateway and its presence are in memory until
    somebody asks for more: a million of them must not keep a start waiting.

    Args:
        source: where those lie; None: there are none.
    """

    def __init__(self, knows: PropertyNames | None, source: DeviceSource | None = None) -> None:
        self._knows = knows
        self._source = source
        self._guard = threading.Lock()
        self._numbers: dict[str, int] = {}
        """Of those that were there at the start, each as soon as it is asked for."""
        self._names: HashedNames | None = None
        self._removed = 0
        self._ids: list[str | None] = []
        self._by_number: list[KnownDevice | None] = []
        self._kinds: dict[str, int] = {}
        self._kind_of: NDArray[np.int32] = np.zeros(_FIRST, np.int32)
        self._by_entity: dict[str, tuple[str, ...]] = {}
        self._at_start: BoundAtStart | None = None
        self._gateways: dict[str | None, int] = {None: _NO_GATEWAY}
        self._gateway_of: NDArray[np.int32] = np.full(_FIRST, _NO_GATEWAY, np.int32)
        self._changes: deque[str] = deque(maxlen=_KEPT_CHANGES)
        self.signs = Signs()
        self.generation = 0
        """Grows with every device that is added, changed or removed."""
        if source is not None:
            self._begin(source.heads())
            self._at_start = BoundAtStart(source, self._numbers_of, is_empty=not self._ids)

    def _begin(self, heads: Heads) -> None:
        """Number what is there."""
        count = len(heads.ids)
        self._ids = list(heads.ids)
        if COMPILED and count > _MANY:
            self._names = HashedNames(hash_names(heads.ids))
        else:
            self._numbers = dict(zip(heads.ids, range(count), strict=True))
        self._by_number = [None] * count
        self._kinds = {kind: place for place, kind in enumerate(dict.fromkeys(heads.kinds))}
        self._kind_of = np.fromiter(map(self._kinds.__getitem__, heads.kinds), np.int32, count)
        gateways = {gateway: place for place, gateway in enumerate(dict.fromkeys(heads.gateways))} | {"": _NO_GATEWAY}
        self._gateway_of = np.fromiter(map(gateways.__getitem__, heads.gateways), np.int32, count)
        self._gateways.update(gateways)
        self.signs.begin(heads.online, heads.last_seen_us, heads.silence_s)
        self.generation = count

    def __len__(self) -> int:
        return len(self._ids) - self._removed

    def __contains__(self, device_id: str) -> bool:
        return self.number_of(device_id) is not None

    def get(self, device_id: str) -> KnownDevice | None:
        number = self.number_of(device_id)
        if number is None:
            return None
        known = self._by_number[number]
        if known is None:
            self.load([device_id])
            known = self._by_number[number]
        return known

    def get_many(self, device_ids: Sequence[str]) -> list[KnownDevice | None]:
        """Return devices by their ids, in that order; None for one that is not there."""
        self.load(device_ids)
        return [self.get(one) for one in device_ids]

    def load(self, device_ids: Iterable[str]) -> None:
        """Have devices in memory that are going to be asked for; quicker than one by one."""
        find, by_number = self.number_of, self._by_number
        wanted = [one for one in device_ids if (number := find(one)) is not None and by_number[number] is None]
        if not wanted or self._source is None:
            return
        for device in self._source.find(wanted):
            with self._guard:  # what was changed or removed meanwhile has been put in its place, or out
                number = self._numbers.get(device.id)
                if number is not None and self._by_number[number] is None:
                    self._by_number[number] = KnownDevice(device, self.signs, number)

    def number_of(self, device_id: str) -> int | None:
        """Return a device's number, or None."""
        number = self._numbers.get(device_id)
        if number is None and self._names is not None:
            with self._guard:
                for one in self._names.candidates(device_id):
                    if self._ids[one] == device_id:  # None where it was removed
                        self._numbers[device_id] = number = one
        return number

    def _numbers_of(self, device_ids: Sequence[str]) -> list[int | None]:
        """Return the number of each device, None of one that is gone; for who asks for all of them once."""
        names, ids = self._names, self._ids
        if names is None:
            return [self._numbers.get(one) for one in device_ids]
        guessed = names.first_candidates(device_ids).tolist()
        return [
            number if number >= 0 and ids[number] == one else self.number_of(one)
            for one, number in zip(device_ids, guessed, strict=True)
        ]

    def id_of(self, number: int) -> str | None:
        """Return the id of a number's device, or None when it was removed."""
        return self._ids[number]

    def changed_since(self, generation: int) -> tuple[str, ...] | None:
        """Return the ids of what has changed since that generation; None: too many to say."""
        count = self.generation - generation
        if count > _KEPT_CHANGES:
            return None
        return tuple(self._changes)[-count:] if count > 0 else ()

    def warm(self) -> None:
        """Read in the background what somebody will ask for."""
        if self._at_start is not None:
            self._at_start.begin()

    def close(self) -> None:
        """Read nothing more in the background."""
        if self._at_start is not None:
            self._at_start.close()

    def put(self, device: Device) -> KnownDevice:
        """Add a device, or its new version; the former one was asked for before the new one was written."""
        device = _interned(device)
        former = self.get(device.id)
        with self._guard:
            if former is None:
                number = self.signs.add(device.online, device.last_seen_at_us or 0)
                known = KnownDevice(device, self.signs, number)
                self._by_number.append(known)
                self._ids.append(device.id)
                if number == len(self._kind_of):
                    more = max(number, _FIRST)
                    self._kind_of = np.concatenate([self._kind_of, np.zeros(more, np.int32)])
                    self._gateway_of = np.concatenate([self._gateway_of, np.full(more, _NO_GATEWAY, np.int32)])
                self._numbers[device.id] = number
            else:
                known = former
                self._unlink(known.device)
                known.set(device)
        self.signs.set_silence(known.number, device.silence_s)
        self._kind_of[known.number] = self._kinds.setdefault(device.kind, len(self._kinds))
        for entity_id in {binding.entity_id for binding in device.bindings}:
            self._by_entity[entity_id] = (*self._by_entity.get(entity_id, ()), device.id)
        self._gateway_of[known.number] = self._gateways.setdefault(device.gateway_id, len(self._gateways))
        self._note_change(device.id)
        return known

    def remove(self, device_id: str) -> None:
        known = self.get(device_id)
        if known is not None:
            with self._guard:
                del self._numbers[device_id]
                self._removed += 1
                self._ids[known.number] = self._by_number[known.number] = None
            self._unlink(known.device)
            self.signs.forget(known.number)
            self._note_change(device_id)

    def _note_change(self, device_id: str) -> None:
        self._changes.append(device_id)
        self.generation += 1

    def children(self, gateway_id: str) -> tuple[str, ...]:
        """Return the ids of the devices that speak through a gateway, in the order of registration."""
        gateway = self._gateways.get(gateway_id)
        if gateway is None:
            return ()
        numbers = np.flatnonzero(self._gateway_of == gateway)
        return tuple([one for number in numbers.tolist() if (one := self._ids[number]) is not None])

    def resolve(self, device_id: str, channel: str) -> Binding | None:
        """Return what a channel is bound to, its property filled in; a channel's own binding goes before ``*``."""
        known = self.get(device_id)
        if known is None:
            return None
        resolved = known.resolved
        found = None if resolved is None else resolved.get(channel)
        if found is None:
            found = find_binding(known.device, channel, self._knows)
            if found is not None and resolved is None:
                known.resolved = {channel: found}
            elif found is not None and resolved is not None and len(resolved) < _RESOLVED:
                resolved[channel] = found
        return found

    def device_of(self, entity_id: str, property_name: str | None) -> str | None:
        """Return the device to command about an entity: bound to just the property, else an actuator, else any."""
        ids = dict.fromkeys(self._by_entity.get(entity_id, ()))
        if self._at_start is not None:
            ids |= dict.fromkeys(one for number in self._at_start.find(entity_id) if (one := self._ids[number]))
        candidates = [
            known
            for known in self.get_many(list(ids))
            if known is not None and any(binding.entity_id == entity_id for binding in known.device.bindings)
        ]
        if property_name is not None:
            candidates = [known for known in candidates if known.may_report(entity_id, property_name)]
        if not candidates:
            return None
        return min(candidates, key=lambda known: _preference(known.device, entity_id, property_name)).device.id

    def counts(self) -> list[KindCount]:
        """Count devices by kind and state."""
        with self._guard:
            numbers = np.flatnonzero(np.fromiter(map(bool, self._ids), np.bool_, len(self._ids)))
            kinds = list(self._kinds)
        online, kind_of = self.signs.online[numbers], self._kind_of[numbers]
        states = [np.bincount(kind_of[online == state], minlength=len(kinds)) for state in (ONLINE, OFFLINE, NEVER)]
        made = [KindCount(kind, sum(n), *n) for kind, *n in zip(kinds, *(one.tolist() for one in states), strict=True)]
        return sorted((one for one in made if one.total), key=lambda one: one.kind)

    def _unlink(self, device: Device) -> None:
        for entity_id in {binding.entity_id for binding in device.bindings}:
            left = tuple(id_ for id_ in self._by_entity.get(entity_id, ()) if id_ != device.id)
            if left:
                self._by_entity[entity_id] = left
            else:
                self._by_entity.pop(entity_id, None)


def find_binding(device: Device, channel: str, knows: PropertyNames | None) -> Binding | None:
    """Return what a channel of a device is bound to, its property filled in; its own binding goes before ``*``."""
    stars: list[Binding] = []
    for binding in device.bindings:
        if binding.channel == channel:
            return structs.replace(binding, property=binding.property or channel)
        if binding.channel == "*":
            stars.append(binding)
    if len(stars) > 1 and knows is not None:
        stars = [binding for binding in stars if _has(knows, binding.entity_type, channel)] or stars
    return structs.replace(stars[0], property=channel) if stars else None


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
