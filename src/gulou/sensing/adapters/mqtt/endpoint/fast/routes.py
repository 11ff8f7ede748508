"""What the kernel knows: topics of devices, their channels, and which series those feed. Learned as they come."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.intake import SeriesCatalogue
from gulou.kernel.ids import is_entity_id
from gulou.sensing.adapters.mqtt.codec import V5
from gulou.sensing.adapters.mqtt.endpoint.topics import parse_device_topic
from gulou.sensing.sdk import DeviceDirectory
from gulou.sensing.sdk.columns import ByteTable
from gulou.vocabulary import Vocabulary

NOBODY = -1
_FIRST = 1_024
_MANY_CHANGES = 1_000


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
        try:
            text = topic.decode()
        except UnicodeDecodeError:
            return False
        parts = parse_device_topic(text)
        if parts is None or parts[1] != "readings" or "\0" in text:
            return False
        device = self._directory.find_device(parts[0])
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
        binding = None if device is None else self._directory.resolve(device.id, channel)
        if device is None or binding is None:
            return False
        found = self._route_of(device, binding, binding.property or channel)
        if found is None:
            return False
        route = self._routes
        if route == len(self.series):
            self.series = np.concatenate([self.series, np.zeros(route, np.int32)])
            self.factor = np.concatenate([self.factor, np.ones(route)])
            self.offset = np.concatenate([self.offset, np.zeros(route)])
        self.series[route], self.factor[route], self.offset[route] = found
        self._routes += 1
        self.channels.put(name, route, number)
        return True

    def learn_ahead(self, data: bytes, at: int, end: int, version: int) -> None:
        """Learn what the frames from ``at`` on speak of, so that the kernel does not stop at each of them."""
        while end - at >= 2:
            length = shift = 0
            body = at + 1
            while body < end and shift < 28:
                digit = data[body]
                length |= (digit & 0x7F) << shift
                shift += 7
                body += 1
                if digit < 0x80:
                    break
            after = body + length
            if after > end or shift >= 28:
                return
            if data[at] in (0x30, 0x32, 0x3A) and length >= 2:
                topic_end = body + 2 + int.from_bytes(data[body : body + 2], "big")
                payload = topic_end + (0 if data[at] == 0x30 else 2) + (1 if version == V5 else 0)
                if payload <= after:
                    self._learn_message(data[body + 2 : topic_end], data[payload:after])
            at = after

    def _learn_message(self, topic: bytes, payload: bytes) -> None:
        number = self.topics.find(topic)
        if number < 0:
            if not self.learn_topic(topic):
                return
            number = self.topics.find(topic)
        try:
            record = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for name in record:
            key = name.encode()
            if self.channels.find(key, number) < 0:
                self.learn_channel(number, key)

    def take_seen(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return who has sent since the last call, by the registry's numbers, and when."""
        numbers = np.nonzero(self.seen_us[: len(self.ids)])[0]
        at_us = self.seen_us[numbers]
        self.seen_us[numbers] = 0
        return self._registered[numbers], at_us

    def _route_of(self, device: Device, binding: Binding, property_name: str) -> tuple[int, float, float] | None:
        """Return (series, factor, offset), or None when the general way must judge."""
        linear = self._vocabulary.linear(binding.entity_type, property_name, binding.unit_code)
        if linear is None or not is_entity_id(binding.entity_id):
            return None
        number = self._catalogue.number_of(binding.entity_id, binding.entity_type, property_name, device.id)
        series = self._catalogue.get(number)
        if series.device_id != device.id or series.entity_type != binding.entity_type:
            return None
        return number, *linear

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
        self._routes = 0
