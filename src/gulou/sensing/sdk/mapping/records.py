"""The compiled parts of a mapping: from one record to its readings and flaws."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Record
from functools import lru_cache
from typing import Any

import msgspec

from gulou.connectivity.intake import Flaw, Reading
from gulou.kernel.errors import Invalid
from gulou.kernel.ids import entity_id
from gulou.sensing.sdk.mapping.document import (
    EntityPart,
    LocationPart,
    MappingDocument,
    SourcePart,
    ValueOptions,
    ValuePart,
)
from gulou.sensing.sdk.mapping.expressions import Condition, Finder, condition, find_column, find_path
from gulou.sensing.sdk.mapping.locations import location_reader
from gulou.sensing.sdk.mapping.templates import Template
from gulou.sensing.sdk.mapping.times import time_reader
from gulou.sensing.sdk.mapping.values import (
    Absent,
    CellReader,
    PropertyReader,
    UnitReader,
    source_of,
    wide_columns,
)

_MOST_KEPT = 100_000

Item = tuple[str, Reading | Flaw]
"""Where in the payload, and what was made of it; a record of a list is ``[3]``, a value in it ``[3].pm25``."""


class ReadContext(msgspec.Struct, frozen=True):
    """What is known about a payload beside its bytes.

    Args:
        received_at_us: time of arrival, µs UTC.
        device_id: who sent it, if it came from a device.
        captures: named levels of the topic.
        row: number of the row in its file, from 0; for mappings that count time.
    """

    received_at_us: int
    device_id: str | None = None
    captures: dict[str, str] = {}
    row: int = 0


class _Value:
    """One entry of ``values``."""

    def __init__(self, part: ValuePart, document: MappingDocument) -> None:
        self.cells = CellReader(part, document)
        self.find, self.place = source_of(part, self.cells)
        self.unit = UnitReader(part)
        self.property = PropertyReader(part.property, part.rename)
        self.entity = _Entity(part.entity) if part.entity is not None else None
        self.dataset = _dataset(part, document)


class _Entity:
    """An entity's type and its id's template."""

    def __init__(self, part: EntityPart) -> None:
        self.type = part.type
        self._template = Template(part.id)

    def id_of(self, record: Record[str, Any]) -> str:
        """Return the URN. Raises Invalid ``mapping.field_missing``, ``id.*``."""
        return _urn(self.type, self._template.fill(record))


@lru_cache(maxsize=65_536)
def _urn(entity_type: str, local: str) -> str:
    return local if local.startswith("urn:") else entity_id(entity_type, local)


class RecordReader:
    """The compiled parts of a document; ``place`` follows the part at work, for complaints."""

    def __init__(self, document: MappingDocument, place: list[str | int]) -> None:
        def at(*parts: str | int) -> None:
            place[:] = parts

        at("each")
        self.each = find_path(document.each) if document.each is not None else None
        self.keep: dict[str, Callable[[Any], Any]] = {}
        for name, path in document.keep.items():
            at("keep", name)
            self.keep[name] = find_path(path)
        at("time")
        self.time = time_reader(document.time)
        at("entity")
        self.entity = _Entity(document.entity) if document.entity is not None else None
        at("location")
        self.location = _location(document.location) if document.location is not None else None
        self.values: list[_Value] = []
        for index, part in enumerate(document.values):
            at("values", index)
            self.values.append(_Value(part, document))
        at("wide")
        self.wide = _Wide(document) if document.wide is not None else None
        self.skips: list[Condition] = []
        for index, skip in enumerate(document.skip):
            at("skip", index, "when")
            self.skips.append(condition(skip.when))
        self.rejects: list[tuple[Condition, str, frozenset[str]]] = []
        for index, reject in enumerate(document.reject):
            at("reject", index, "when")
            self.rejects.append((condition(reject.when), reject.reason, frozenset(reject.properties)))
        self.flags: list[tuple[Condition, str, frozenset[str]]] = []
        for index, flag in enumerate(document.flag):
            at("flag", index, "when")
            self.flags.append((condition(flag.when), flag.flag, frozenset(flag.properties)))

    def read(self, record: dict[str, Any], where: str, context: ReadContext, items: list[Item]) -> None:
        """Read one record; appends to ``items``."""
        try:
            if any(skip(record) for skip in self.skips):
                return
            refused = self._refused(record)
            if None in refused:
                raise Invalid(refused[None])
            flags = self._flags(record)
            observed_us = self.time(record, context.row, context.received_at_us)
            own_id = self.entity.id_of(record) if self.entity is not None else None
        except Invalid as error:
            items.append((where, Flaw(error.code, error.params, where)))
            return
        prefix = f"{where}." if where else ""
        made = _Made(record, observed_us, context.device_id, refused, flags, prefix, items)
        if self.location is not None and self.entity is not None and own_id is not None:
            made.location(self.location, self.entity.type, own_id)
        for value in self.values:
            made.value(value, self.entity, own_id)
        if self.wide is not None:
            self.wide.read(made)

    def _refused(self, record: Record[str, Any]) -> dict[str | None, str]:
        refused: dict[str | None, str] = {}
        for holds, reason, properties in self.rejects:
            if holds(record):
                refused.update(dict.fromkeys(properties or (None,), reason))
        return refused

    def _flags(self, record: Record[str, Any]) -> list[tuple[str, frozenset[str]]]:
        return [(flag, properties) for holds, flag, properties in self.flags if holds(record)]


class _Made:
    """One record at work: turns its values into items."""

    def __init__(
        self,
        record: dict[str, Any],
        observed_us: int,
        device_id: str | None,
        refused: Record[str | None, str],
        flags: list[tuple[str, frozenset[str]]],
        prefix: str,
        items: list[Item],
    ) -> None:
        self.record = record
        self._observed_us = observed_us
        self._device_id = device_id
        self._refused = refused
        self._flags = flags
        self._prefix = prefix
        self._items = items

    def value(self, value: _Value, entity: _Entity | None, own_id: str | None) -> None:
        """Make the item of one entry of ``values``, if the record has it."""
        try:
            read = value.cells.read(value.find(self.record))
            if isinstance(read, Absent):
                return
            name = value.property.read(self.record)
            target = value.entity or entity
            if target is None:
                return
            urn = own_id if value.entity is None and own_id is not None else target.id_of(self.record)
            self._emit(value.place, urn, target.type, name, read, value.unit, value.dataset)
        except Invalid as error:
            named = value.entity or entity
            self.flaw(value.place, error, named.type if named else "", value.property.fixed or "")

    def wide(self, column: str, wide: _Wide) -> None:
        """Make the item of one column of a wide table."""
        try:
            read = wide.cells.read(self.record[column])
            if isinstance(read, Absent):
                return
            urn = wide.urn(column, self.record)
            self._emit(column, urn, wide.entity.type, wide.property, read, wide.unit, wide.dataset)
        except Invalid as error:
            self.flaw(column, error, wide.entity.type, wide.property)

    def location(self, read: Callable[[Record[str, Any]], dict[str, Any] | None], type_: str, urn: str) -> None:
        """Make the reading of where the entity is."""
        try:
            point = read(self.record)
            if point is not None:
                reading = Reading(
                    urn, type_, "location", point, self._observed_us, device_id=self._device_id, kind="GeoProperty"
                )
                self._items.append((f"{self._prefix}location", reading))
        except Invalid as error:
            self.flaw("location", error, type_, "location")

    def flaw(self, place: str, error: Invalid, type_: str, name: str) -> None:
        """Note what could not be read."""
        where = self._prefix + place
        self._items.append((where, Flaw(error.code, {"type": type_, "property": name, **error.params}, where)))

    def _emit(
        self,
        place: str,
        urn: str,
        type_: str,
        name: str,
        value: Any,
        unit: UnitReader,
        dataset: Template | None,
    ) -> None:
        reason = self._refused.get(name) if self._refused else None
        if reason is not None:
            raise Invalid(reason, value=str(value)[:64])
        flags: tuple[str, ...] = ()
        if self._flags:
            flags = tuple(flag for flag, properties in self._flags if not properties or name in properties)
        dataset_id = dataset.fill(self.record) if dataset is not None else None
        reading = Reading(
            urn,
            type_,
            name,
            value,
            self._observed_us,
            unit.read(self.record),
            dataset_id,
            self._device_id,
            "Property",
            flags,
        )
        self._items.append((self._prefix + place, reading))


class _Wide:
    """One column per entity."""

    def __init__(self, document: MappingDocument) -> None:
        part = document.wide
        if part is None:
            raise ValueError("no wide")
        self.cells = CellReader(part, document)
        self.unit = UnitReader(part)
        self.entity = _Entity(part.entity)
        self.property = PropertyReader(part.property).fixed or ""
        self.dataset = _dataset(part, document)
        self._columns = wide_columns(part)
        self._by_column_only = part.entity.id.count("{") == part.entity.id.count("{column")
        self._kept: dict[str, str] = {}

    def urn(self, column: str, record: Record[str, Any]) -> str:
        """Return the entity of a column; kept where it depends on the column alone."""
        found = self._kept.get(column)
        if found is None:
            found = self.entity.id_of({**record, "column": column})
            if self._by_column_only and len(self._kept) < _MOST_KEPT:
                self._kept[column] = found
        return found

    def read(self, made: _Made) -> None:
        """Make the items of all the columns."""
        for column in self._columns(made.record):
            made.wide(column, self)


def _dataset(part: ValueOptions, document: MappingDocument) -> Template | None:
    text = part.dataset if part.dataset is not None else document.dataset
    return Template(text) if text is not None else None


def _location(part: LocationPart) -> Callable[[Record[str, Any]], dict[str, Any] | None]:
    return location_reader(_find(part.longitude), _find(part.latitude), part.datum)


def _find(part: SourcePart) -> Finder:
    return find_path(part.path) if part.path is not None else find_column(part.column or "")
