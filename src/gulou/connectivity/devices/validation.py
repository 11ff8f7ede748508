"""What a device must look like to be registered."""

from __future__ import annotations

import re
from collections.abc import Collection

from gulou.connectivity.devices.model import Binding, Device
from gulou.connectivity.devices.ports import PropertyNames
from gulou.kernel.documents import nearest
from gulou.kernel.errors import Invalid, NotFound

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAX_BINDINGS = 1_000
_MAX_LABELS = 64
_MAX_SILENCE_S = 31_622_400


def check_device(device: Device) -> None:
    """Refuse a device that cannot be registered.

    Raises:
        Invalid: ``device.id_malformed`` or ``device.field_invalid`` with ``device_id``, ``field`` and ``allowed``.
    """
    if not _ID.fullmatch(device.id):
        raise Invalid("device.id_malformed", device_id=device.id[:128])
    _text(device, "name", device.name, 256)
    _text(device, "adapter", device.adapter, 64)
    _text(device, "kind", device.kind, 64)
    for field, value, longest in (
        ("mapping", device.mapping, 256),
        ("gateway_id", device.gateway_id, 128),
        ("department", device.department, 128),
    ):
        if value is not None:
            _text(device, field, value, longest)
    if device.gateway_id == device.id:
        raise _wrong(device, "gateway_id", "≠ id")
    _range(device, "longitude", device.longitude, -180, 180)
    _range(device, "latitude", device.latitude, -90, 90)
    if (device.longitude is None) != (device.latitude is None):
        raise _wrong(device, "longitude", "longitude + latitude")
    if not 1 <= device.silence_s <= _MAX_SILENCE_S:
        raise _wrong(device, "silence_s", f"1-{_MAX_SILENCE_S}")
    if len(device.labels) > _MAX_LABELS:
        raise _wrong(device, "labels", f"≤ {_MAX_LABELS}")
    for name, value in device.labels.items():
        _text(device, "labels", name, 64)
        _text(device, f"labels.{name}", value, 256, empty=True)
    if len(device.bindings) > _MAX_BINDINGS:
        raise _wrong(device, "bindings", f"≤ {_MAX_BINDINGS}")
    for index, binding in enumerate(device.bindings):
        _check_binding(device, f"bindings[{index}]", binding)


def check_adapter(device: Device, adapters: Collection[str]) -> None:
    """Refuse an adapter that is not here. Raises Invalid ``device.adapter_unknown``."""
    if device.adapter not in adapters:
        known = ", ".join(sorted(adapters))
        near = nearest(device.adapter, adapters) or known
        raise Invalid(
            "device.adapter_unknown", device_id=device.id, adapter=device.adapter, nearest=near, adapters=known
        )


def check_bound(device: Device, knows: PropertyNames, unchecked: Collection[Binding] = ()) -> None:
    """Refuse bindings to what the vocabulary does not know, but for those of ``unchecked``.

    Raises:
        Invalid: ``device.type_unknown``, ``device.property_unknown``, with the nearest name.
    """
    for binding in device.bindings:
        if binding in unchecked:
            continue
        try:
            knows.get_type(binding.entity_type)
        except NotFound as error:
            near = str(error.params.get("nearest") or "-")
            raise Invalid("device.type_unknown", device_id=device.id, type=binding.entity_type, nearest=near) from None
        name = binding.property or binding.channel
        if name == "*":
            continue
        try:
            knows.get_property(binding.entity_type, name)
        except NotFound as error:
            near = str(error.params.get("nearest") or "-")
            raise Invalid(
                "device.property_unknown", device_id=device.id, type=binding.entity_type, property=name, nearest=near
            ) from None


def _check_binding(device: Device, field: str, binding: Binding) -> None:
    if not binding.entity_id.startswith(("urn:", "http://", "https://")) or " " in binding.entity_id:
        raise _wrong(device, f"{field}.entity_id", "urn:ngsi-ld:<Type>:<id>")
    _text(device, f"{field}.entity_id", binding.entity_id, 512)
    _text(device, f"{field}.entity_type", binding.entity_type, 256)
    _text(device, f"{field}.channel", binding.channel, 128)
    if binding.property is not None:
        _text(device, f"{field}.property", binding.property, 256)
        if binding.channel == "*":
            raise _wrong(device, f"{field}.channel", "≠ *")
    if binding.unit_code is not None:
        _text(device, f"{field}.unit_code", binding.unit_code, 64)


def _text(device: Device, field: str, value: str, longest: int, *, empty: bool = False) -> None:
    if not (len(value) <= longest and (value or empty) and value.isprintable()):
        raise _wrong(device, field, f"1-{longest} characters")


def _range(device: Device, field: str, value: float | None, lowest: float, highest: float) -> None:
    if value is not None and not lowest <= value <= highest:
        raise _wrong(device, field, f"{lowest}-{highest}")


def _wrong(device: Device, field: str, allowed: str) -> Invalid:
    return Invalid("device.field_invalid", device_id=device.id, field=field, allowed=allowed)
