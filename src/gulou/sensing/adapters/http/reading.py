"""From a request's body to parts: columns where that is possible, else payloads, one per row where there are rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from gulou.connectivity.intake import Flaw, Payload, Reading
from gulou.kernel.errors import Invalid
from gulou.sensing.adapters.http.columns import ColumnReader, Part, Slice, TableWay, Way, cut_payloads, learning
from gulou.sensing.sdk import (
    AdapterContext,
    DeviceFormat,
    Mapping,
    Program,
    ReadContext,
    payload_of,
    read_program_point,
    read_row,
)
from gulou.sensing.sdk.formats import looks_like_senml, parse_line, parse_lines, precision_ns, read_csv, read_json
from gulou.sensing.sdk.mapping import KEPT_RAW_BYTES, Item

ADDRESS = "/ingest/v1/readings"
_JSON = frozenset(("application/json", "application/ld+json", ""))
_NDJSON = frozenset(("application/x-ndjson", "application/ndjson", "application/jsonl"))
_LINE = frozenset(("text/plain", "application/vnd.influx.line-protocol"))
_SENML = {"application/senml+json": "senml", "application/senml+cbor": "senml-cbor"}
SMALL_BYTES = 512
"""Up to here a body is a few readings: quicker as objects, on the event loop, than a kernel is called in a thread."""
_ARROW = frozenset(("application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file"))
_KNOWN = ", ".join(sorted((_JSON | _NDJSON | _LINE | _SENML.keys() | _ARROW | {"text/csv"}) - {""}))


class Sender(msgspec.Struct, frozen=True):
    """Who sends: a device (for itself or a child), or a program.

    Args:
        speaker_id: the gateway that speaks for the device; None: the device itself.
    """

    device_id: str | None
    program: Program | None
    speaker_id: str | None = None

    @property
    def label(self) -> str:
        """Return a name that is unique among senders."""
        return f"device:{self.device_id}" if self.program is None else f"program:{self.program.id}"


class BodyReader:
    """Makes parts and payloads; bad rows become flaws, only a body that is no such format at all raises.

    Args:
        most_bytes: how large an Arrow body may become when its buffers are decompressed.
    """

    def __init__(self, context: AdapterContext, most_bytes: int = 16_777_216) -> None:
        self._context = context
        self._most_bytes = most_bytes
        self._format = DeviceFormat(context.devices)
        self._columns = None
        if context.vocabulary is not None:
            self._columns = ColumnReader(context.intake, context.devices, context.vocabulary)

    def mapping_of(self, sender: Sender, name: str | None) -> Mapping | None:
        """Return the mapping to use: as asked for, else the device's own. Raises NotFound ``mapping.unknown``."""
        if name is None and sender.device_id is not None:
            device = self._context.devices.find_device(sender.device_id)
            name = device.mapping if device is not None else None
        return self._context.mappings.get(name) if name is not None else None

    def parts(
        self, body: bytes, content_type: str, sender: Sender, mapping: Mapping | None, precision: str
    ) -> Iterator[Part]:
        """Read a body into what the intake is given, in its order.

        Raises:
            Invalid: as ``read``, before the first part.
        """
        parts = None
        if content_type in _ARROW and mapping is None:
            if self._columns is None:
                raise Invalid("http.content_unknown", content=content_type, known=_KNOWN)
            return self._table_parts(self._columns, body, sender)
        if self._columns is not None and mapping is None and len(body) > SMALL_BYTES:
            if content_type in _LINE:
                parts = self._line_parts(self._columns, body, sender, precision)
            elif content_type in _NDJSON or (content_type in _JSON and body.lstrip()[:1] == b"["):
                parts = self._row_parts(self._columns, body, sender, content_type not in _NDJSON)
        if parts is None:
            return cut_payloads(self.read(body, content_type, sender, mapping, precision))
        return parts

    def read(
        self, body: bytes, content_type: str, sender: Sender, mapping: Mapping | None, precision: str
    ) -> list[Payload]:
        """Read a body.

        Raises:
            Invalid: ``http.content_unknown``, ``http.mapping_needed``, ``payload.precision_unknown``.
        """
        now_us = self._context.clock.now_us()
        if mapping is not None:
            payloads = self._mapped(body, content_type, sender, mapping, now_us)
        elif sender.device_id is not None:
            payloads = self._of_device(body, content_type, sender.device_id, precision, now_us)
        else:
            payloads = self._of_program(body, content_type, precision)
        return payloads if sender.program is None else [_permitted(one, sender.program) for one in payloads]

    def _line_parts(self, columns: ColumnReader, body: bytes, sender: Sender, precision: str) -> Iterator[Part]:
        """Read line protocol; lines that do not fit the columns are read as ``read`` does it."""
        unit_ns = precision_ns(precision)
        device_id, program = sender.device_id, sender.program
        now_us = self._context.clock.now_us()
        known = columns.known

        def items(line: bytes) -> list[Item]:
            point = parse_line(line, unit_ns)
            if isinstance(point, Invalid):
                return [("", Flaw(point.code, point.params))]
            if device_id is None:
                return read_program_point(point)
            return self._format.read_point(device_id, point, "", now_us)

        def general(line: bytes) -> Payload:
            if device_id is not None:
                return self._format.read(device_id, line, ADDRESS, now_us, "line", precision)
            return _allowed(payload_of(items(line), line, ADDRESS), program)

        def learn(line: bytes) -> bool:
            return learning.line(known, line, items(line), device_id, program)

        way = Way(general, _raw_of(device_id), learn)
        return columns.lines(
            body,
            way,
            unit_ns=unit_ns,
            default_us=None if device_id is None else now_us,
            device_id=device_id,
            program=program,
        )

    def _table_parts(self, columns: ColumnReader, body: bytes, sender: Sender) -> Iterator[Part]:
        """Read Arrow; one that cannot be read is one flawed payload."""
        device_id, program = sender.device_id, sender.program
        now_us = self._context.clock.now_us()
        known = columns.known

        def general(table: Slice, row: int) -> Payload:
            raw = table.raw(row)
            if device_id is not None:
                items = self._format.read_object(device_id, table.record(row), "", now_us)
                return payload_of(items, raw, ADDRESS, device_id)
            return _allowed(payload_of([read_row(one) for one in table.rows(row)], raw, ADDRESS), program)

        def learn(table: Slice, row: int) -> bool:
            if device_id is not None:
                return learning.channels(known, table.record(row), device_id, self._format, now_us)
            learnt = [learning.row(known, one, program) for one in table.rows(row)]
            return any(learnt)

        def raw(table: Slice, row: int) -> Payload:
            return Payload(table.raw(row)[:KEPT_RAW_BYTES], ADDRESS, device_id=device_id)

        way = TableWay(general, raw, learn)
        try:
            return columns.tables(body, self._most_bytes, way, now_us=now_us, device_id=device_id, program=program)
        except Invalid as error:
            if error.code == "http.body_too_large":
                raise
            return cut_payloads([_flawed(body, error, device_id)])

    def _row_parts(self, columns: ColumnReader, body: bytes, sender: Sender, listed: bool) -> Iterator[Part] | None:
        """Read JSON rows or objects; None where all of the body must be read by ``read``."""
        device_id, program = sender.device_id, sender.program
        now_us = self._context.clock.now_us()
        known = columns.known

        def general(item: bytes) -> Payload:
            if device_id is not None:
                return self._format.read(device_id, item, ADDRESS, now_us)
            return _allowed(_program_row(item), program)

        def learn(item: bytes) -> bool:
            if device_id is None:
                return learning.row(known, learning.decoded(item), program)
            return learning.channels(known, learning.decoded(item), device_id, self._format, now_us)

        way = Way(general, _raw_of(device_id), learn)
        return columns.rows(body, way, listed=listed, now_us=now_us, device_id=device_id, program=program)

    def _of_device(self, body: bytes, kind: str, device_id: str, precision: str, now_us: int) -> list[Payload]:
        if kind in _SENML:
            content: Any = _SENML[kind]
            return [self._format.read(device_id, body, ADDRESS, now_us, content)]
        if kind in _LINE:
            return [
                self._format.read(device_id, line, ADDRESS, now_us, "line", precision)
                for line, _ in parse_lines(body, precision)
            ]
        if kind in _NDJSON:
            return [self._format.read(device_id, line, ADDRESS, now_us) for line in _lines(body)]
        if kind not in _JSON:
            raise Invalid("http.content_unknown", content=kind[:80], known=_KNOWN)
        try:
            items = _items(body)
            if looks_like_senml([read_json(one) for one in items[:8]]):
                items = [body]
        except Invalid as error:
            return [_flawed(body, error, device_id)]
        return [self._format.read(device_id, one, ADDRESS, now_us) for one in items]

    def _of_program(self, body: bytes, kind: str, precision: str) -> list[Payload]:
        if kind in _SENML or kind == "text/csv":
            raise Invalid("http.mapping_needed", content=kind)
        if kind in _LINE:
            return list(_program_lines(body, precision))
        if kind not in _JSON and kind not in _NDJSON:
            raise Invalid("http.content_unknown", content=kind[:80], known=_KNOWN)
        try:
            rows: Iterable[bytes] = _lines(body) if kind in _NDJSON else _items(body)
        except Invalid as error:
            return [_flawed(body, error, None)]
        return [_program_row(row) for row in rows]

    def _mapped(self, body: bytes, kind: str, sender: Sender, mapping: Mapping, now_us: int) -> list[Payload]:
        context = ReadContext(now_us, sender.device_id)
        try:
            if mapping.format == "rows" and kind == "text/csv":
                return [
                    mapping.read_row(record, row, ADDRESS, msgspec.structs.replace(context, row=number))
                    for number, (row, record) in enumerate(read_csv(body))
                ]
            if mapping.format in ("rows", "json") and kind in _NDJSON:
                return _numbered(mapping, _lines(body), context)
            if mapping.format == "rows":
                return _numbered(mapping, _items(body), context)
        except Invalid as error:
            return [_flawed(body, error, sender.device_id)]
        return [mapping.read(body, ADDRESS, context)]


def _numbered(mapping: Mapping, rows: Iterable[bytes], context: ReadContext) -> list[Payload]:
    return [mapping.read(row, ADDRESS, msgspec.structs.replace(context, row=number)) for number, row in enumerate(rows)]


def _lines(body: bytes) -> list[bytes]:
    return [line for line in (part.strip() for part in body.split(b"\n")) if line]


def _items(body: bytes) -> list[bytes]:
    """Cut a top-level JSON list into the bytes of its items; anything else is one item.

    Raises:
        Invalid: ``payload.malformed``.
    """
    try:
        if body.lstrip()[:1] != b"[":
            return [body]
        return [bytes(item) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("payload.malformed", format="json", detail=str(error)[:200]) from None


def _program_row(row: bytes) -> Payload:
    try:
        record = read_json(row)
    except Invalid as error:
        return _flawed(row, error, None)
    return payload_of([read_row(record)], row, ADDRESS)


def _program_lines(body: bytes, precision: str) -> Iterator[Payload]:
    for line, point in parse_lines(body, precision):
        if isinstance(point, Invalid):
            yield _flawed(line, point, None)
        else:
            yield payload_of(read_program_point(point), line, ADDRESS)


def _raw_of(device_id: str | None) -> Callable[[bytes], Payload]:
    return lambda raw: Payload(raw[:KEPT_RAW_BYTES], ADDRESS, device_id=device_id)


def _allowed(payload: Payload, program: Program | None) -> Payload:
    return payload if program is None else _permitted(payload, program)


def _flawed(raw: bytes, error: Invalid, device_id: str | None) -> Payload:
    return payload_of([("", Flaw(error.code, error.params))], raw, ADDRESS, device_id)


def _permitted(payload: Payload, program: Program) -> Payload:
    """Turn readings of types that the program may not write into flaws."""
    types = {reading.entity_type for reading in payload.readings}
    denied = {one for one in types if not program.may("intake.write", None, one)}
    if not denied:
        return payload
    readings = tuple(reading for reading in payload.readings if reading.entity_type not in denied)
    flaws = tuple(_denied(reading) for reading in payload.readings if reading.entity_type in denied)
    return msgspec.structs.replace(payload, readings=readings, flaws=payload.flaws + flaws)


def _denied(reading: Reading) -> Flaw:
    params = {"action": "intake.write", "department": "", "entity_type": reading.entity_type}
    return Flaw("access.denied", params, f"{reading.entity_id} {reading.property}")
