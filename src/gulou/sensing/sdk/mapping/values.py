"""One value of a record, from cell to reading: found, perhaps missing, read, translated, scaled."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from gulou.connectivity.intake import Value
from gulou.kernel.clock import to_rfc3339
from gulou.kernel.documents import nearest
from gulou.kernel.errors import Invalid
from gulou.sensing.sdk.mapping.document import MappingDocument, ValueOptions, ValuePart, WidePart
from gulou.sensing.sdk.mapping.expressions import Finder, find_column, find_path
from gulou.sensing.sdk.mapping.numbers import Unreadable, number_reader
from gulou.sensing.sdk.mapping.templates import Template
from gulou.sensing.sdk.mapping.times import text_to_us

_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_TRUTH = {"true": True, "false": False, "1": True, "0": False}
_LONGEST_TEXT = 4_096


class Absent:
    """The type of ``ABSENT``: there is no value, which is neither a reading nor a flaw."""


ABSENT: Final = Absent()


class CellReader:
    """From a cell or JSON value to the value of a reading, after ``missing``, ``translate``, ``as``, ``scale``.

    Raises:
        ValueError: options that contradict each other; the caller says where.
    """

    def __init__(self, options: ValueOptions, document: MappingDocument) -> None:
        missing = options.missing if options.missing is not None else document.missing
        self._missing_texts = frozenset(text.strip() for text in missing) | {""}
        self._missing_numbers = frozenset(number for number in map(_number_or_none, missing) if number is not None)
        self._translate = options.translate
        self._scale, self._offset = options.scale, options.offset
        if options.kind != "number" and (self._scale is not None or self._offset is not None):
            raise ValueError("scale and offset are for numbers")
        zone = ZoneInfo(document.time.zone) if document.time.zone else None
        thousands = options.thousands or document.thousands
        decimal = options.decimal or document.decimal
        if thousands == decimal:
            raise ValueError("thousands and decimal are the same character")
        readers: dict[str, Callable[[Any], Value]] = {
            "number": number_reader(thousands, decimal),
            "text": _read_text,
            "bool": _read_bool,
            "json": lambda value: value,
            "time": lambda value: to_rfc3339(text_to_us(_read_text(value), zone)),
        }
        self._read = readers[options.kind]

    def is_missing(self, value: object) -> bool:
        """Tell whether a cell means "no data"."""
        if value is None:
            return True
        if isinstance(value, str):
            return value.strip() in self._missing_texts
        return isinstance(value, int | float) and not isinstance(value, bool) and value in self._missing_numbers

    def read(self, value: object) -> Value | Absent:
        """Read a cell.

        Raises:
            Invalid: ``reading.not_a_number``, ``reading.thousands_separator``, ``reading.not_in_list``, ``time.*``.
        """
        if self.is_missing(value):
            return ABSENT
        if self._translate is not None:
            key = str(value).strip()
            if key not in self._translate:
                raise Unreadable("reading.not_in_list", value=key[:64], allowed=", ".join(self._translate)[:200])
            return self._translate[key]
        read = self._read(value)
        if self._scale is not None and isinstance(read, int | float):
            read = read * self._scale
        if self._offset is not None and isinstance(read, int | float):
            read = read + self._offset
        return read


class UnitReader:
    """The unit of a value: fixed, or out of the record, perhaps by a table."""

    def __init__(self, options: ValueOptions) -> None:
        self._template = Template(options.unit) if options.unit is not None else None
        self._fixed = options.unit if self._template is None or self._template.is_constant else None
        self._table = options.units
        if self._table is not None and (self._template is None or self._template.is_constant):
            raise ValueError("units belongs to a unit that is a template")

    def read(self, record: Mapping[str, Any]) -> str | None:
        """Return the UCUM code; None for the property's own.

        Raises:
            Invalid: ``reading.unit_unknown``, ``mapping.field_missing``.
        """
        if self._template is None or self._fixed is not None:
            return self._fixed
        unit = self._template.fill(record)
        if self._table is None:
            return unit
        if unit not in self._table:
            raise Unreadable("reading.unit_unknown", unit=unit[:64], expected=", ".join(self._table)[:200])
        return self._table[unit]


class PropertyReader:
    """The property that a value is of: fixed, or out of the record by ``rename``."""

    def __init__(self, text: str, rename: dict[str, str] | None = None) -> None:
        self._template = Template(text)
        self.fixed = text if self._template.is_constant else None
        self._rename = rename
        if self.fixed is None and rename is None:
            raise ValueError("a property that is a template needs rename, the list of what is known")

    def read(self, record: Mapping[str, Any]) -> str:
        """Return the property's name.

        Raises:
            Invalid: ``reading.property_unknown``, ``mapping.field_missing``.
        """
        if self.fixed is not None:
            return self.fixed
        name = self._template.fill(record)
        if self._rename is None or name not in self._rename:
            near = nearest(name, self._rename or ()) or ", ".join(self._rename or ())[:200]
            raise Unreadable("reading.property_unknown", property=name[:64], nearest=near)
        return self._rename[name]


def source_of(part: ValuePart, cells: CellReader) -> tuple[Finder, str]:
    """Return how a value is found in a record, and what to call that place."""
    if part.column is not None:
        return find_column(part.column), part.column
    if part.path is not None:
        return find_path(part.path), part.path
    if part.compute is None:
        raise ValueError("no source")
    return _computed(part.compute, cells), " ".join(map(str, part.compute))


def _computed(terms: tuple[str | float, str, str | float], cells: CellReader) -> Finder:
    left, sign, right = terms
    apply = _OPERATORS[sign]
    read = number_reader()

    def find(record: Mapping[str, Any]) -> float | None:
        numbers: list[float] = []
        for term in (left, right):
            value = record.get(term) if isinstance(term, str) else term
            if isinstance(term, str) and cells.is_missing(value):
                return None
            numbers.append(read(value))
        try:
            return apply(*numbers)
        except (ZeroDivisionError, OverflowError):
            raise Unreadable("reading.not_a_number", value=f"{numbers[0]} {sign} {numbers[1]}") from None

    return find


def wide_columns(part: WidePart) -> Callable[[Mapping[str, Any]], list[str]]:
    """Make a function from a record to the columns that ``wide`` speaks of; the answer for one header is kept."""
    import re

    try:
        pattern = re.compile(part.columns)
    except re.error as error:
        raise ValueError(f"columns is no regular expression: {error}") from None
    left_out = set(part.exceptions)
    kept: dict[tuple[str, ...], list[str]] = {}

    def columns(record: Mapping[str, Any]) -> list[str]:
        header = tuple(record)
        found = kept.get(header)
        if found is None:
            found = [name for name in header if name not in left_out and pattern.fullmatch(name)]
            kept.clear()  # one file has one header; never more than one is kept
            kept[header] = found
        return found

    return columns


def _number_or_none(text: str) -> float | None:
    try:
        return number_reader()(text)
    except Invalid:
        return None


def _read_text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unreadable("reading.not_a_text", value=str(value)[:64], limit=_LONGEST_TEXT)
    text = str(value).strip()
    if len(text) > _LONGEST_TEXT:
        raise Unreadable("reading.too_large", limit=_LONGEST_TEXT)
    return text


def _read_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    key = str(value).strip().lower()
    if key not in _TRUTH:
        raise Unreadable("reading.not_a_truth_value", value=key[:64])
    return _TRUTH[key]
