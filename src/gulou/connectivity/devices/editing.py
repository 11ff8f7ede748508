"""From what somebody wants to the device as it will be stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import structs

from gulou.connectivity.devices.bulk import FIELDS
from gulou.connectivity.devices.index import DeviceIndex
from gulou.connectivity.devices.model import Device
from gulou.connectivity.devices.ports import PropertyNames
from gulou.connectivity.devices.settings import DeviceSettings
from gulou.connectivity.devices.validation import check_adapter, check_bound, check_device
from gulou.kernel.clock import Clock
from gulou.kernel.errors import Conflict, Invalid


class Editor:
    """Checks new devices and changes against what is registered; changes nothing itself.

    What a change leaves as it is stays valid: an adapter or a pack may have gone since.

    Args:
        knows: tells which types and properties may be bound; None: any.
        adapters: the adapters that are here; None: any.
    """

    def __init__(
        self,
        index: DeviceIndex,
        clock: Clock,
        settings: DeviceSettings,
        *,
        knows: PropertyNames | None = None,
        adapters: Collection[str] | None = None,
    ) -> None:
        self._index = index
        self._clock = clock
        self._settings = settings
        self._knows = knows
        self._adapters = adapters

    def fresh(self, device: Device, planned: Collection[str] = ()) -> Device:
        """Return a new device as it will be stored.

        Args:
            planned: ids of devices that are about to be stored with it.

        Raises:
            Conflict: ``device.exists``.
            Invalid: ``device.too_many`` or what is wrong with it.
        """
        check_device(device)
        if device.id in self._index:
            raise Conflict("device.exists", device_id=device.id)
        if len(self._index) + len(planned) >= self._settings.max_devices:
            raise Invalid("device.too_many", limit=self._settings.max_devices)
        self._check_gateway(device, planned)
        self._check_names(device, None)
        return structs.replace(device, online=None, last_seen_at_us=None, created_at_us=self._clock.now_us(), version=1)

    def changed(self, before: Device, changes: Mapping[str, Any], planned: Collection[str] = ()) -> Device:
        """Return ``before`` with changes, its version as it was.

        Raises:
            Invalid: ``device.field_unknown`` or what is wrong with it.
        """
        for name in changes:
            if name not in FIELDS or (name == "id" and changes[name] != before.id):
                raise Invalid("device.field_unknown", device_id=before.id, field=name)
        after: Device = structs.replace(before, **dict(changes))
        check_device(after)
        if after.gateway_id != before.gateway_id:
            self._check_gateway(after, planned)
        self._check_names(after, before)
        return after

    def _check_names(self, device: Device, before: Device | None) -> None:
        if self._adapters is not None and (before is None or device.adapter != before.adapter):
            check_adapter(device, self._adapters)
        if self._knows is not None and (before is None or device.bindings != before.bindings):
            check_bound(device, self._knows, before.bindings if before is not None else ())

    def _check_gateway(self, device: Device, planned: Collection[str]) -> None:
        gateway_id = device.gateway_id
        if gateway_id is not None and gateway_id not in self._index and gateway_id not in planned:
            raise Invalid("device.gateway_unknown", device_id=device.id, gateway_id=gateway_id)
