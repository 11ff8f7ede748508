"""What the kernel knows: topics of devices, their channels, and which series those feed. Learned as they come."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.intake import SeriesCatalogue
from gulou.kernel.ids import is_entity_id
from gulou.sensing.adapters.mqtt.endpoint.fast.survey import FOUND_COLUMNS, find_unknown
from gulou.sensing.adapters.mqtt.endpoint.topics import parse_device_topic
from gulou.sensing.sdk import DeviceDirectory
from gulou.sensing.sdk.columns import ByteTable
from gulou.vocabulary import Vocabulary

NOBODY = -1
_FIRST = 1_024
_MANY_CHANGES = 1_000
_AT_ONCE = 512
"""Channels that are learned in one go, some ms."""
_NONE: tuple[int, Device | None] = (NOBODY, None)


class Routes:
    """Lives on the endpoint's loop. Devices have numbers of their own here, which stay.

    Only what the general way would store as just this number of just this series is learned: the device is there,
    enabled and without a mapping, the channel is bound to a plain number whose conversion is a multiply-add, and no
    other device reports the series.

    Attributes:
        ids: of the devices, by number.
        topics: topic → device's number.
        channels: channel's name, with the device's number for salt → route.
        gateway_of: int64 by device, the number of the gateway that may speak for it, or ``NOBODY``.
        seen_us: int64 by device, when the kernel last took a message; 0 once that was handed over.
        series, factor, offset: by route.
    """

    def __init__(self, directory: DeviceDirectory, vocabulary: Vocabulary, catalogue: SeriesCatalogue) -> None:
        self._directory = directory
        self._vocabulary = vocabulary
        self._catalogue = catalogue
        self._numbers: dict[str, int] = {}
        self.ids: list[str] = []
        self._routes = 0
        self._linear: dict[tuple[str, str, str | None], tuple[float, float] | None] = {}
        self._found: NDArray[np.int64] = np.empty((_AT_ONCE, FOUND_COLUMNS), np.int64)
        self._devices_seen = directory.generation
        self._types_seen = vocabulary.generation
        self.topics = ByteTable()
        self.channels = ByteTable()
        self.gateway_of: NDArray[np.int64] = np.full(_FIRST, NOBODY, np.int64)
        self.seen_us: NDArray[np.int64] = np.zeros(_FIRST, np.int64)
        self._registered: NDArray[np.int64] = np.zeros(_FIRST, np.int64)
        self.series: NDArray[np.int32] = np.zeros(_FIRST, np.int32)
        self.factor: NDArray[np.float64] = np.ones(_FIRST)
        self.offset: NDArray[np.float64] = np.zeros(_FIRST)

    def refresh(self) -> None:
        """Forget what no longer holds; to be called before each reading of bytes."""
        generation = self._directory.generation
        if self._vocabulary.generation != self._types_seen:
            self._types_seen, self._devices_seen = self._vocabulary.generation, generation
            self._forget_all()
        elif generation != self._devices_seen:
            changed = self._directory.changed_since(self._devices_seen)
            self._devices_seen = generation
            if changed is None or len(changed) > _MANY_CHANGES:
                self._forget_all()
                return
            for device_id in changed:
                self._forget(device_id)

    def number_of(self, device_id: str) -> int:
        """Return a device's number here, given now if it has none."""
        number = self._numbers.get(device_id)
        if number is None:
            number = self._numbers[device_id] = len(self.ids)
            self.ids.append(device_id)
            if number == len(self.gateway_of):
                self.gateway_of = np.concatenate([self.gateway_of, np.full(number, NOBODY, np.int64)])
                self.seen_us = np.concatenate([self.seen_us, np.zeros(number, np.int64)])
                self._registered = np.concatenate([self._registered, np.zeros(number, np.int64)])
        return number

    def learn_topic(self, topic: bytes) -> bool:
        """Learn the topic of a device's readings; False when it is not one for the kernel."""
        device_id = _device_of(topic)
        device = None if device_id is None else self._directory.find_device(device_id)
        if device is None or not device.enabled or device.mapping is not None:
            return False
        registered = self._directory.number_of(device.id)
        if registered is None:
            return False
        number = self.number_of(device.id)
        self._registered[number] = registered
        self.gateway_of[number] = NOBODY if device.gateway_id is None else self.number_of(device.gateway_id)
        self.topics.put(topic, number)
        return True

    def learn_channel(self, number: int, name: bytes) -> bool:
        """Learn a channel of a device whose topic is known; False when it is not one for the kernel."""
        device = self._directory.find_device(self.ids[number])
        try:
            channel = name.decode()
        except UnicodeDecodeError:
            return False
        if device is None:
            return False
        found = self._describe(device, channel)
        if found is None:
            return False
        series = self._catalogue.get(self._catalogue.number_of(*found[0]))
        if series.device_id != device.id or series.entity_type != found[0][1]:
            return False
        route = self._routes
        self._routes += 1
        self._make_room()
        self.series[route], self.factor[route], self.offset[route] = series.number, *found[1]
        self.channels.put(name, route, number)
        return True

    def learn_ahead(self, data: bytes, at: int, end: int, version: int) -> None:
        """Learn what the next frames from ``at`` on speak of, so that the kernel does not stop at each of them."""
        array, found = np.frombuffer(data, np.uint8), self._found
        count = find_unknown(
            array, at, end, version,
            self.topics.slots, self.topics.keys, self.channels.slots, self.channels.keys, found,
        )  # fmt: skip
        if count:
            self._learn(data, array, found[:count])

    def _learn(self, data: bytes, array: NDArray[np.uint8], found: NDArray[np.int64]) -> None:
        """Learn many channels at once, those of unknown devices too. Those that are not for the kernel are left."""
        rows = found.tolist()
        devices = self._learn_devices(data, array, rows)
        texts: dict[bytes, str] = {}
        wanted: list[tuple[str, str, str, str | None]] = []
        learned: dict[tuple[int, bytes], tuple[int, int]] = {}
        linears: list[tuple[float, float]] = []
        for topic, topic_end, key, key_end, owner in rows:
            number, device = devices.get(owner if owner >= 0 else data[topic:topic_end], _NONE)
            if device is None:
                continue
            name = data[key:key_end]
            if (number, name) in learned:
                continue
            channel = texts.get(name)
            if channel is None:
                channel = texts[name] = name.decode(errors="replace")
            if "\ufffd" in channel:
                continue
            route = self._describe(device, channel)
            if route is None:
                continue
            learned[number, name] = key, key_end
            wanted.append(route[0])
            linears.append(route[1])
        if not wanted:
            return
        numbers = self._catalogue.numbers_of(wanted)
        spans, salts, series, factors = [], [], [], []
        known = self._catalogue.get_many(numbers)
        for (number, _), span, what, one, linear in zip(learned, learned.values(), wanted, known, linears, strict=True):
            if one.device_id == what[3] and one.entity_type == what[1]:
                salts.append(number)
                spans.append(span)
                series.append(one.number)
                factors.append(linear)
        kept = len(series)
        first, self._routes = self._routes, self._routes + kept
        self._make_room()
        routes = slice(first, first + kept)
        self.series[routes] = series
        self.factor[routes] = [factor for factor, _ in factors]
        self.offset[routes] = [offset for _, offset in factors]
        if kept:
            self.channels.put_many(array, np.array(spans), np.arange(first, first + kept), np.array(salts))

    def _learn_devices(
        self, data: bytes, array: NDArray[np.uint8], rows: list[list[int]]
    ) -> dict[int | bytes, tuple[int, Device | None]]:
        """Learn the devices whose topics are unknown; return all that are spoken of, by number and by those topics."""
        spans: dict[bytes, tuple[int, int]] = {}
        owners: dict[int, None] = {}
        for begin, end, _, _, owner in rows:
            if owner < 0:
                spans[data[begin:end]] = begin, end
            else:
                owners[owner] = None
        named = [(topic, device_id) for topic in spans if (device_id := _device_of(topic)) is not None]
        described = self._directory.find_registered([device_id for _, device_id in named])
        devices: dict[int | bytes, tuple[int, Device | None]] = {}
        numbers, registered, gateways, places = [], [], [], []
        for (topic, _), one in zip(named, described, strict=True):
            if one is None or not one[1].enabled or one[1].mapping is not None:
                continue
            device = one[1]
            number = self.number_of(device.id)
            devices[topic] = number, device
            numbers.append(number)
            registered.append(one[0])
            gateways.append(NOBODY if device.gateway_id is None else self.number_of(device.gateway_id))
            places.append(spans[topic])
        if numbers:
            self._registered[numbers] = registered
            self.gateway_of[numbers] = gateways
            self.topics.put_many(array, np.array(places), np.array(numbers), np.zeros(len(numbers), np.int64))
        if owners:
            for number, one in zip(owners, self._directory.find_registered([self.ids[n] for n in owners]), strict=True):
                devices[number] = number, None if one is None else one[1]
        return devices

    def _describe(
        self, device: Device, channel: str
    ) -> tuple[tuple[str, str, str, str | None], tuple[float, float]] | None:
        """Return the series that a channel feeds and (factor, offset), or None when the general way must judge."""
        binding: Binding | None = device.bindings[0] if len(device.bindings) == 1 else None
        if binding is None or binding.channel not in ("*", channel):
            binding = self._directory.resolve(device.id, channel)
            if binding is None:
                return None
        property_name = binding.property or channel
        key = binding.entity_type, property_name, binding.unit_code
        if key not in self._linear:
            self._linear[key] = self._vocabulary.linear(*key)
        linear = self._linear[key]
        if linear is None or not is_entity_id(binding.entity_id):
            return None
        return (binding.entity_id, binding.entity_type, property_name, device.id), linear

    def take_seen(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return who has sent since the last call, by the registry's numbers, and when."""
        numbers = np.nonzero(self.seen_us[: len(self.ids)])[0]
        at_us = self.seen_us[numbers]
        self.seen_us[numbers] = 0
        return self._registered[numbers], at_us

    def _make_room(self) -> None:
        """Let the arrays of routes be as long as there are routes."""
        while self._routes > len(self.series):
            more = len(self.series)
            self.series = np.concatenate([self.series, np.zeros(more, np.int32)])
            self.factor = np.concatenate([self.factor, np.ones(more)])
            self.offset = np.concatenate([self.offset, np.zeros(more)])

    def _forget(self, device_id: str) -> None:
        """A device was changed: its topic is looked up anew, and with it all its channels."""
        former = self._numbers.pop(device_id, None)
        if former is None:
            return
        self.topics.remove(f"gulou/{device_id}/readings".encode())
        fresh = self.number_of(device_id)  # under another number none of its channels is known
        for number in np.nonzero(self.gateway_of[: len(self.ids)] == former)[0].tolist():
            self.gateway_of[number] = fresh

    def _forget_all(self) -> None:
        self.topics.clear()
        self.channels.clear()
        self._linear.clear()
        self._routes = 0


def _device_of(topic: bytes) -> str | None:
    """Return whose readings a topic carries; None when it is not one for the kernel."""
    try:
        text = topic.decode()
    except UnicodeDecodeError:
        return None
    parts = parse_device_topic(text)
    return None if parts is None or parts[1] != "readings" or "\0" in text else parts[0]
