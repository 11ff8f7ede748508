"""Reads bulk files: one device a line, as CSV or NDJSON. A bad line is reported and the others go on."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from gulou.connectivity.devices.model import Binding
from gulou.kernel.errors import GulouError, Invalid

FIELDS = (
    "id",
    "name",
    "adapter",
    "kind",
    "bindings",
    "mapping",
    "gateway_id",
    "department",
    "longitude",
    "latitude",
    "silence_s",
    "sleepy",
    "enabled",
    "labels",
)
BINDING_COLUMNS = ("entity_id", "entity_type", "channel", "property", "unit_code")
COLUMNS = (*(field for field in FIELDS if field not in ("bindings", "labels")), *BINDING_COLUMNS, "bindings", "secret")
_LABEL = "labels."
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_MAX_LINE = 1_000_000


class BulkFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a line says about a device. What is left out stays as it is, or gets its default in a new device."""

    id: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    adapter: str | msgspec.UnsetType = msgspec.UNSET
    kind: str | msgspec.UnsetType = msgspec.UNSET
    bindings: tuple[Binding, ...] | msgspec.UnsetType = msgspec.UNSET
    mapping: str | msgspec.UnsetType | None = msgspec.UNSET
    gateway_id: str | msgspec.UnsetType | None = msgspec.UNSET
    department: str | msgspec.UnsetType | None = msgspec.UNSET
    longitude: float | msgspec.UnsetType | None = msgspec.UNSET
    latitude: float | msgspec.UnsetType | None = msgspec.UNSET
    silence_s: int | msgspec.UnsetType = msgspec.UNSET
    sleepy: bool | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    secret: str | msgspec.UnsetType | None = msgspec.UNSET
    # What a device that was read from the registry says besides; not for a file to say, so it is passed over.
    online: Any = None
    last_seen_at: Any = None
    created_at: Any = None
    version: Any = None

    def changes(self) -> dict[str, Any]:
        """Return the fields that were given, without the secret."""
        given = {name: getattr(self, name) for name in FIELDS}
        return {name: value for name, value in given.items() if value is not msgspec.UNSET}


Line = tuple[int, BulkFields | GulouError]
_decoder = msgspec.json.Decoder(BulkFields)


def read_ndjson(data: bytes) -> Iterator[Line]:
    """Yield (line, what it says or why it can't be read); empty lines are passed over."""
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            yield number, _read_json(line)


def read_csv(data: bytes) -> Iterator[Line]:
    """Yield (line, what it says or why it can't be read). The first line names the columns, of ``COLUMNS`` and
    ``labels.<name>``; an empty cell says nothing. One binding has its own columns; several are JSON in ``bindings``.

    Raises:
        Invalid: ``device.bulk_not_utf8``, ``device.bulk_column_unknown``, ``device.bulk_no_id``: the file is not begun.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("device.bulk_not_utf8", position=error.start) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    for column in reader.fieldnames or ():
        if column not in COLUMNS and not (column or "").startswith(_LABEL):
            nearest = difflib.get_close_matches(column or "", COLUMNS, 1, 0.0)
            raise Invalid("device.bulk_column_unknown", column=column, nearest=nearest[0] if nearest else "id")
    if "id" not in (reader.fieldnames or ()):
        raise Invalid("device.bulk_no_id")
    yield from _read_rows(reader)


def _read_rows(reader: csv.DictReader[str]) -> Iterator[Line]:
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, Invalid("device.line_malformed", problem=str(error))
            continue
        yield reader.line_num, _read_row(row)


def _read_json(line: bytes) -> BulkFields | GulouError:
    if len(line) > _MAX_LINE:
        return Invalid("device.line_malformed", problem=f"> {_MAX_LINE} bytes")
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Invalid("device.line_malformed", problem=str(error))


def _read_row(row: dict[str, Any]) -> BulkFields | GulouError:
    if None in row:
        return Invalid("device.line_malformed", problem="more cells than columns")
    cells = {name: value.strip() for name, value in row.items() if value is not None and value.strip()}
    fields: dict[str, Any] = {}
    labels = {name.removeprefix(_LABEL): value for name, value in cells.items() if name.startswith(_LABEL)}
    if labels:
        fields["labels"] = labels
    binding = {name: cells[name] for name in BINDING_COLUMNS if name in cells}
    if binding:
        fields["bindings"] = [binding]
    for name, text in cells.items():
        if name.startswith(_LABEL) or name in BINDING_COLUMNS:
            continue
        try:
            fields[name] = _read_cell(name, text)
        except (ValueError, RecursionError):
            return Invalid("device.line_malformed", problem=f"{name}: {text[:64]}")
    try:
        return msgspec.convert(fields, BulkFields)
    except msgspec.ValidationError as error:
        return Invalid("device.line_malformed", problem=str(error))


def _read_cell(name: str, text: str) -> Any:
    if name in ("longitude", "latitude"):
        return float(text)
    if name == "silence_s":
        return int(text)
    if name in ("sleepy", "enabled"):
        if text.lower() not in (*_TRUE, *_FALSE):
            raise ValueError(text)
        return text.lower() in _TRUE
    return msgspec.json.decode(text) if name == "bindings" else text
