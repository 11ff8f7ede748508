"""Gulou's own payload formats: channel values of a device, rows of a program. For who has no own format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gulou.connectivity.intake import Flaw, Payload, Reading
from gulou.kernel.clock import from_rfc3339
from gulou.kernel.errors import Invalid
from gulou.kernel.ids import entity_id, parse_entity_id
from gulou.sensing.sdk.formats import (
    Point,
    SenmlRecord,
    looks_like_senml,
    parse_lines,
    read_json,
    resolve,
    senml_from_cbor,
    senml_from_json,
    ucum_of,
)
from gulou.sensing.sdk.mapping import KEPT_RAW_BYTES, Item
from gulou.sensing.sdk.ports import DeviceDirectory

Content = Literal["json", "senml", "senml-cbor", "line"]
_TIME_KEY = "observedAt"
_MOST_CHANNELS = 1_000
_MOST_ITEMS = 100_000
_ROW_KEYS = frozenset(("entity", "type", "property", "value", "observedAt", "unit", "dataset"))


class DeviceFormat:
    """Reads what a device sends in Gulou's own formats; the registry says what its channels mean.

    - JSON: ``{"level": 2.5, "observedAt": "2026-07-01T08:00:00Z"}``, or a list of such. Without ``observedAt`` the
      time of arrival counts. ``null`` is no value.
    - SenML: the whole name is the channel, or, if that is not bound by name, what follows its last ``:`` or ``/``.
    - Line protocol: each field is a channel; measurement and tags say nothing.
    """

    def __init__(self, devices: DeviceDirectory) -> None:
        self._devices = devices

    def read(
        self, device_id: str, raw: bytes, address: str, now_us: int, content: Content = "json", precision: str = "ns"
    ) -> Payload:
        """Read one message as one payload; bad data becomes flaws."""
        return _payload(self.read_items(device_id, raw, now_us, content, precision), raw, address, device_id)

    def read_items(
        self, device_id: str, raw: bytes, now_us: int, content: Content = "json", precision: str = "ns"
    ) -> list[Item]:
        """Read one message into (where, reading or flaw)."""
        if self._devices.find_device(device_id) is None:
            return [("", Flaw("device.unknown", {"device_id": device_id}))]
        try:
            if content == "json":
                return self._read_json(device_id, raw, now_us)
            if content == "line":
                return self._read_lines(device_id, raw, now_us, precision)
            pack = senml_from_json(raw) if content == "senml" else senml_from_cbor(raw)
            return self._read_senml(device_id, resolve(pack, now_us))
        except Invalid as error:
            return [("", Flaw(error.code, error.params))]

    def read_object(self, device_id: str, record: object, where: str, now_us: int) -> list[Item]:
        """Read one decoded JSON object of channel values."""
        if not isinstance(record, dict):
            return [(where, Flaw("payload.not_a_record", {"found": type(record).__name__}, where))]
        if len(record) > _MOST_CHANNELS:
            return [(where, Flaw("payload.too_large", {"limit": _MOST_CHANNELS, "unit": "channels"}, where))]
        try:
            at_us = _time(record, now_us)
        except Invalid as error:
            return [(where, Flaw(error.code, error.params, where))]
        prefix = f"{where}." if where else ""
        return [
            self._item(device_id, channel, value, at_us, prefix + channel)
            for channel, value in record.items()
            if channel != _TIME_KEY and value is not None
        ]

    def _read_json(self, device_id: str, raw: bytes, now_us: int) -> list[Item]:
        data = read_json(raw)
        if looks_like_senml(data):
            return self._read_senml(device_id, resolve(data, now_us))
        if not isinstance(data, list):
            return self.read_object(device_id, data, "", now_us)
        if len(data) > _MOST_ITEMS:
            raise Invalid("payload.too_large", limit=_MOST_ITEMS, unit="records")
        return [
            item
            for index, record in enumerate(data)
            for item in self.read_object(device_id, record, f"[{index}]", now_us)
        ]

    def _read_lines(self, device_id: str, raw: bytes, now_us: int, precision: str) -> list[Item]:
        items: list[Item] = []
        for index, (_, point) in enumerate(parse_lines(raw, precision)):
            where = f"[{index}]"
            if isinstance(point, Point):
                items += self.read_point(device_id, point, where, now_us)
            else:
                items.append((where, Flaw(point.code, point.params, where)))
        return items

    def read_point(self, device_id: str, point: Point, where: str, now_us: int) -> list[Item]:
        """Read one point of line protocol."""
        at_us = now_us if point.time_ns is None else point.time_ns // 1_000
        prefix = f"{where}." if where else ""
        return [self._item(device_id, name, value, at_us, prefix + name) for name, value in point.fields.items()]

    def _read_senml(self, device_id: str, records: list[SenmlRecord]) -> list[Item]:
        items: list[Item] = []
        for index, record in enumerate(records):
            where = f"[{index}]"
            value = record.value if record.value is not None else record.sum
            if isinstance(value, bytes):
                items.append((where, Flaw("payload.data_value", {"name": record.name}, where)))
                continue
            channel = record.name
            binding = self._devices.resolve(device_id, channel)
            if binding is None or binding.channel == "*":  # "*" means properties, and none has a base name before it
                channel = record.name.replace("/", ":").rsplit(":", 1)[-1]
            items.append(self._item(device_id, channel, value, record.at_us, where, ucum_of(record.unit)))
        return items

    def _item(self, device_id: str, channel: str, value: Any, at_us: int, where: str, unit: str | None = None) -> Item:
        binding = self._devices.resolve(device_id, channel)
        if binding is None:
            return where, Flaw("payload.channel_unbound", {"device_id": device_id, "channel": channel[:128]}, where)
        return where, Reading(
            binding.entity_id,
            binding.entity_type,
            binding.property or channel,
            value,
            at_us,
            unit or binding.unit_code,
            None,
            device_id,
            kind_of(value),
        )


def read_row(record: object, where: str = "") -> Item:
    """Read one row of a program: ``{"entity", "type"?, "property", "value", "observedAt", "unit"?, "dataset"?}``.

    ``entity`` is a URN, or a local id beside ``type``. Nothing is guessed: a row without ``observedAt`` is a flaw.
    """
    if not isinstance(record, dict):
        return where, Flaw("payload.not_a_record", {"found": type(record).__name__}, where)
    try:
        return where, _row(record)
    except Invalid as error:
        return where, Flaw(error.code, error.params, where)


def _row(record: Mapping[str, Any]) -> Reading:
    for key in record:
        if key not in _ROW_KEYS:
            raise Invalid("payload.unknown_key", key=key[:64], known=", ".join(sorted(_ROW_KEYS)))
    for key in ("entity", "property", "observedAt"):
        if not isinstance(record.get(key), str) or not record[key]:
            raise Invalid("payload.field_missing", field=key)
    if record.get("value") is None:
        raise Invalid("payload.field_missing", field="value")
    for key in ("type", "unit", "dataset"):
        if not isinstance(record.get(key), str | None):
            raise Invalid("payload.field_missing", field=key)
    urn, type_ = _entity(record["entity"], record.get("type"))
    value = record["value"]
    return Reading(
        urn,
        type_,
        record["property"],
        value,
        from_rfc3339(record["observedAt"]),
        record.get("unit"),
        record.get("dataset"),
        None,
        kind_of(value),
    )


def read_program_point(point: Point, where: str = "") -> list[Item]:
    """Read one point of a program's line protocol: measurement = type, tag ``entity``, fields = properties."""
    try:
        if "entity" not in point.tags:
            raise Invalid("payload.field_missing", field="tag entity")
        if point.time_ns is None:
            raise Invalid("payload.field_missing", field="time")
        urn, type_ = _entity(point.tags["entity"], point.measurement)
    except Invalid as error:
        return [(where, Flaw(error.code, error.params, where))]
    prefix = f"{where}." if where else ""
    at_us = point.time_ns // 1_000
    return [(prefix + name, Reading(urn, type_, name, value, at_us)) for name, value in point.fields.items()]


def kind_of(value: object) -> str:
    """Return the NGSI-LD kind of attribute that a value is: GeoJSON geometries are GeoProperties."""
    is_geometry = isinstance(value, dict) and isinstance(value.get("type"), str) and "coordinates" in value
    return "GeoProperty" if is_geometry else "Property"


def _entity(entity: str, type_: str | None) -> tuple[str, str]:
    if not entity.startswith("urn:"):
        if type_ is None:
            raise Invalid("payload.field_missing", field="type")
        return entity_id(type_, entity), type_
    found, _ = parse_entity_id(entity)
    if type_ is not None and type_ != found:
        raise Invalid("payload.type_contradicts", type=type_, entity=entity)
    return entity, found


def _time(record: Mapping[str, Any], now_us: int) -> int:
    text = record.get(_TIME_KEY)
    if text is None:
        return now_us
    if not isinstance(text, str):
        raise Invalid("time.unreadable", value=str(text)[:64])
    return from_rfc3339(text[:64])


def _payload(items: list[Item], raw: bytes, address: str, device_id: str | None) -> Payload:
    readings = tuple(made for _, made in items if isinstance(made, Reading))
    flaws = tuple(made for _, made in items if isinstance(made, Flaw))
    return Payload(raw[:KEPT_RAW_BYTES], address, readings, flaws, device_id)


def payload_of(items: list[Item], raw: bytes, address: str, device_id: str | None = None) -> Payload:
    """Put items of one message or row together as a payload."""
    return _payload(items, raw, address, device_id)
