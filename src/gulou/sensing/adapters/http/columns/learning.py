"""Makes known what a kernel met for the first time: the general way reads it, its names lead there from now on."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gulou.connectivity.intake import Reading
from gulou.sensing.adapters.http.columns.reader import Known
from gulou.sensing.adapters.http.columns.trie import ENTITY, FIELD, LINE_HEAD, PROPERTY, ROOT, TYPE, UNIT
from gulou.sensing.sdk import DeviceFormat, Program, read_row
from gulou.sensing.sdk.mapping import Item


def line(known: Known, raw: bytes, items: Sequence[Item], device_id: str | None, program: Program | None) -> bool:
    """Learn a line's head and fields. ``items``: as the general way reads them, their places the fields' names."""
    if b"\\" in raw or b'"' in raw:
        return False
    head = raw.partition(b" ")[0]
    device = ROOT if device_id is None else known.device_node(device_id)
    kind = LINE_HEAD if device_id is None else FIELD
    learnt = False
    for where, made in items:
        if isinstance(made, Reading) and _is_number(made):
            learnt |= known.add([(kind, head), (FIELD, where.encode())], device, made, program)
    return learnt


def row(known: Known, record: object, program: Program | None) -> bool:
    """Learn a program's row."""
    if not isinstance(record, dict):
        return False
    _, made = read_row(record)
    if not isinstance(made, Reading) or not _is_number(made):
        return False
    path = [(ENTITY, record["entity"].encode()), (PROPERTY, record["property"].encode())]
    path += [(kind, record[key].encode()) for kind, key in ((TYPE, "type"), (UNIT, "unit")) if key in record]
    return known.add(path, ROOT, made, program)


def channels(known: Known, record: object, device_id: str, form: DeviceFormat, now_us: int) -> bool:
    """Learn the channels of a device's object."""
    items = form.read_object(device_id, record, "", now_us)
    device = known.device_node(device_id)
    learnt = False
    for where, made in items:
        if isinstance(made, Reading) and _is_number(made):
            learnt |= known.add([(PROPERTY, where.encode())], device, made, None)
    return learnt


def decoded(raw: bytes) -> object:
    """Decode an item that the kernel has found to be sound JSON without escapes."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _is_number(reading: Reading) -> bool:
    return type(reading.value) in (int, float) and reading.dataset_id is None
