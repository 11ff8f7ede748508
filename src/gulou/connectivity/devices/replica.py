"""The registry as another process sees it: from the same records, told of every change; it writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from gulou.connectivity.devices.events import DeviceChanged
from gulou.connectivity.devices.index import find_binding
from gulou.connectivity.devices.model import Binding, Device, DevicePage, DeviceQuery, KindCount
from gulou.connectivity.devices.ports import PropertyNames
from gulou.connectivity.devices.store_sql import SqlDevices, count_states, find_one, list_children, list_page
from gulou.kernel.errors import NotFound
from gulou.records import Database

_MOST_KEPT = 100_000


class DeviceReplica:
    """Answers what a device is and what it is bound to, by reading it when it is first asked for. Safe from any thread.

    Who is online it knows only as far as the registry has written it down (within a minute), and of a device that it
    has read, as it was then.

    Args:
        knows: as for ``DeviceRegistry``.

    Attributes:
        generation: grows with every change that was heard.
    """

    def __init__(self, database: Database, knows: PropertyNames | None = None) -> None:
        self._database = database
        self._source = SqlDevices(database)
        self._knows = knows
        self._writing = threading.Lock()
        self._kept: dict[str, Device] = {}
        self.generation = 0

    def reload(self) -> None:
        """Read everything anew; for when changes may have been missed."""
        with self._writing:
            self._kept = {}
            self.generation += 1

    def hear(self, changed: DeviceChanged) -> None:
        """Follow one change."""
        if changed.change == "credentials":
            return
        with self._writing:
            self.generation += 1
            self._kept.pop(changed.device_id, None)

    def load(self, device_ids: Iterable[str]) -> None:
        """Read devices that are going to be asked for one by one."""
        wanted = [one for one in device_ids if one not in self._kept]
        if not wanted:
            return
        generation = self.generation
        found = self._source.find(wanted)
        with self._writing:
            if generation != self.generation:  # what was read may be old already: the next who asks reads it again
                return
            if len(self._kept) + len(found) > _MOST_KEPT:
                self._kept = {}
            self._kept.update((device.id, device) for device in found)

    def find_device(self, device_id: str) -> Device | None:
        """Return a device, or None."""
        kept = self._kept.get(device_id)
        if kept is None:
            self.load([device_id])
            kept = self._kept.get(device_id) or find_one(self._database, device_id)
        return kept

    def get_device(self, device_id: str) -> Device:
        """Return a device. Raises NotFound ``device.unknown``."""
        found = self.find_device(device_id)
        if found is None:
            raise NotFound("device.unknown", device_id=device_id[:128])
        return found

    def resolve(self, device_id: str, channel: str) -> Binding | None:
        """Return what a device's channel is bound to, or None."""
        device = self.find_device(device_id)
        return None if device is None else find_binding(device, channel, self._knows)

    def children(self, gateway_id: str) -> tuple[str, ...]:
        """Return the ids of the devices that speak through a gateway."""
        return list_children(self._database, gateway_id)

    def list_devices(self, query: DeviceQuery) -> DevicePage:
        """Return a page, as ``DeviceRegistry`` does, with presence as it is written down."""
        return list_page(self._database, query)

    def summary(self) -> list[KindCount]:
        """Count devices by kind and state, as far as it is written down."""
        return count_states(self._database)
