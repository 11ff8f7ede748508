"""The registry as another process sees it: from the same records, told of every change; it writes nothing."""

from __future__ import annotations

import threading

from gulou.connectivity.devices.events import DeviceChanged
from gulou.connectivity.devices.index import DeviceIndex
from gulou.connectivity.devices.model import Binding, Device, DevicePage, DeviceQuery, KindCount
from gulou.connectivity.devices.ports import PropertyNames
from gulou.connectivity.devices.store_sql import find_one, list_page, load_all
from gulou.kernel.errors import NotFound
from gulou.records import Database


class DeviceReplica:
    """Answers from memory what a device is and what it is bound to. Safe from any thread.

    Who is online it knows only as far as the registry has written it down (within a minute).

    Args:
        knows: as for ``DeviceRegistry``.

    Attributes:
        generation: grows with every change that was heard.
    """

    def __init__(self, database: Database, knows: PropertyNames | None = None) -> None:
        self._database = database
        self._knows = knows
        self._writing = threading.Lock()
        self._index = DeviceIndex(knows)
        self.generation = 0
        self.reload()

    def reload(self) -> None:
        """Read everything anew; for when changes may have been missed."""
        with self._writing:
            index = DeviceIndex(self._knows)
            for device in load_all(self._database):
                index.put(device)
            self._index = index
            self.generation += 1

    def hear(self, changed: DeviceChanged) -> None:
        """Follow one change."""
        if changed.change == "credentials":
            return
        with self._writing:
            device = find_one(self._database, changed.device_id)
            self.generation += 1
            if device is None:
                self._index.remove(changed.device_id)
            else:
                self._index.put(device)

    def find_device(self, device_id: str) -> Device | None:
        """Return a device, or None."""
        known = self._index.get(device_id)
        return None if known is None else known.current()

    def get_device(self, device_id: str) -> Device:
        """Return a device. Raises NotFound ``device.unknown``."""
        found = self.find_device(device_id)
        if found is None:
            raise NotFound("device.unknown", device_id=device_id[:128])
        return found

    def resolve(self, device_id: str, channel: str) -> Binding | None:
        """Return what a device's channel is bound to, or None."""
        return self._index.resolve(device_id, channel)

    def children(self, gateway_id: str) -> tuple[str, ...]:
        """Return the ids of the devices that speak through a gateway."""
        return self._index.children(gateway_id)

    def list_devices(self, query: DeviceQuery) -> DevicePage:
        """Return a page, as ``DeviceRegistry`` does, with presence as it is written down."""
        return list_page(self._database, query)

    def summary(self) -> list[KindCount]:
        """Count devices by kind and state, as far as it is written down."""
        return self._index.counts()
