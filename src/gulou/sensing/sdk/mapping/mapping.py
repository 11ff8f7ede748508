"""A compiled mapping: from bytes or rows to readings and flaws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gulou.connectivity.intake import Flaw, Payload, Reading
from gulou.kernel.documents import Document, broken
from gulou.kernel.errors import Invalid
from gulou.sensing.sdk.formats import (
    parse_lines,
    read_csv,
    read_json,
    read_ndjson,
    resolve,
    senml_from_cbor,
    senml_from_json,
)
from gulou.sensing.sdk.mapping.document import MappingDocument, check
from gulou.sensing.sdk.mapping.records import Item, ReadContext, RecordReader
from gulou.sensing.sdk.topics import TopicPattern

KEPT_RAW_BYTES = 65_536
_MOST_RECORDS = 100_000


class Mapping:
    """One mapping, compiled and ready; safe to use from several threads.

    Build it by ``parse`` or ``load``.
    """

    def __init__(self, document: MappingDocument, compiled: RecordReader, patterns: tuple[TopicPattern, ...]) -> None:
        self.name = document.mapping
        self.version = document.version
        self.format = document.format
        self.description = dict(document.description)
        self.patterns = patterns
        self._document = document
        self._compiled = compiled

    @property
    def counts_time(self) -> bool:
        """Whether a row's time follows from its number, so that equal rows are no doubles."""
        return self._document.time.start is not None

    @classmethod
    def parse(cls, text: str, file: str) -> Mapping:
        """Compile a mapping from YAML text; ``file`` is shown in complaints.

        Raises:
            Invalid: ``document.broken`` with every problem, each with file, line and column.
        """
        document = Document.parse(text, file)
        checked = check(document)
        place: list[str | int] = []
        try:
            return cls(checked, RecordReader(checked, place), _patterns(checked, place))
        except ValueError as error:
            key = ".".join(map(str, place))
            raise broken([document.problem(tuple(place), "mapping.value_wrong", key=key, detail=str(error))]) from None

    @classmethod
    def load(cls, path: Path) -> Mapping:
        """Compile a mapping file; the same errors as ``parse``, and NotFound ``mapping.unreadable``."""
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Invalid("mapping.unreadable", file=str(path), detail=str(error)) from None
        return cls.parse(text, str(path))

    def read(self, raw: bytes, address: str, context: ReadContext) -> Payload:
        """Read one message, whatever it holds; bad data is in the payload's flaws, never an exception."""
        return self._payload(raw, address, context, self.read_items(raw, context))

    def read_row(self, record: object, raw: bytes, address: str, context: ReadContext) -> Payload:
        """Read one row of a table, already split in columns."""
        items: list[Item] = []
        self._read_record(record, "", context, items)
        return self._payload(raw, address, context, items)

    def read_items(self, raw: bytes, context: ReadContext) -> list[Item]:
        """Read one message into (where, reading or flaw), in the order of the message; for replay."""
        items: list[Item] = []
        try:
            records = list(self._decode(raw, context))
        except Invalid as error:
            return [("", Flaw(error.code, error.params))]
        if len(records) > _MOST_RECORDS:
            return [("", Flaw("payload.too_large", {"limit": _MOST_RECORDS, "unit": "records"}))]
        for index, record in enumerate(records):
            self._read_record(record, f"[{index}]" if len(records) > 1 else "", context, items)
        return items

    def _payload(self, raw: bytes, address: str, context: ReadContext, items: list[Item]) -> Payload:
        readings = tuple(made for _, made in items if isinstance(made, Reading))
        flaws = tuple(made for _, made in items if isinstance(made, Flaw))
        return Payload(raw[:KEPT_RAW_BYTES], address, readings, flaws, context.device_id)

    def _read_record(self, record: object, where: str, context: ReadContext, items: list[Item]) -> None:
        if isinstance(record, Invalid):
            items.append((where, Flaw(record.code, record.params, where)))
            return
        if not isinstance(record, dict):
            items.append((where, Flaw("payload.not_a_record", {"found": type(record).__name__}, where)))
            return
        if context.captures:
            record = {**record, **context.captures}
        if context.device_id is not None:
            record = {**record, "device": context.device_id}
        self._compiled.read(record, where, context, items)

    def _decode(self, raw: bytes, context: ReadContext) -> Iterator[object]:
        kind = self.format
        if kind in ("json", "rows"):
            yield from self._decode_json(raw)
        elif kind == "ndjson":
            yield from (record for _, record in read_ndjson(raw))
        elif kind == "csv":
            yield from (record for _, record in read_csv(raw))
        elif kind == "line":
            for _, point in parse_lines(raw):
                if isinstance(point, Invalid):
                    yield point
                else:
                    yield {**point.fields, **point.tags, "measurement": point.measurement, "time": point.time_ns}
        else:
            pack = senml_from_json(raw) if kind == "senml" else senml_from_cbor(raw)
            for one in resolve(pack, context.received_at_us):
                value = one.value if one.value is not None else one.sum
                yield {"n": one.name, "u": one.unit, "t": one.at_us / 1e6, "v": value}

    def _decode_json(self, raw: bytes) -> Iterator[object]:
        data = read_json(raw)
        compiled = self._compiled
        found = compiled.each(data) if compiled.each is not None else data
        records = found if isinstance(found, list) else [found]
        if found is None:
            raise Invalid("mapping.field_missing", field=self._document.each or "")
        if not compiled.keep:
            yield from records
            return
        kept = {name: find(data) for name, find in compiled.keep.items()}
        yield from ({**record, **kept} if isinstance(record, dict) else record for record in records)


def _patterns(document: MappingDocument, place: list[str | int]) -> tuple[TopicPattern, ...]:
    made: list[TopicPattern] = []
    for index, text in enumerate(document.match):
        place[:] = ["match", index]
        made.append(TopicPattern(text))
    return tuple(made)
