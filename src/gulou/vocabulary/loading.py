"""Reads entity types from YAML, refusing what it does not understand with file, line and mend."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, get_args

from gulou.kernel.documents import Document, Path
from gulou.kernel.errors import GulouError, Invalid
from gulou.kernel.units import check_unit
from gulou.vocabulary.model import DataType, EntityType, Kind, PropertyType

MAX_PROPERTIES = 500

_TYPE_KEYS = ("type", "extends", "label", "description", "model", "icon", "main", "properties")
_PROPERTY_KEYS = (
    "label", "kind", "data", "unit", "range", "decimals", "values", "description", "targets",
)  # fmt: skip
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_DEFAULT_DATA: Mapping[str, DataType] = {
    "measured": "number", "state": "text", "relation": "text", "geo": "json", "text": "text", "enum": "text",
}  # fmt: skip
_RESERVED = frozenset({"id", "type", "scope", "createdAt", "modifiedAt", "deletedAt", "observedAt"})


@dataclass(frozen=True)
class TypeFile:
    """One parsed file: a new type, or (``extends``) properties for an existing one."""

    entity_type: EntityType
    extends: bool
    source: Document

    def line_of(self, *path: str | int) -> int:
        """Return the line of the key at a path of the file."""
        return self.source.key_position(path)[0]


def read_type_file(
    text: str, name: str, owner: str, *, check_units: bool, known_units: frozenset[str] = frozenset()
) -> TypeFile:
    """Read one file.

    Args:
        name: file name for messages.
        check_units: ask the units library about every unit; the built-in files are checked by a test instead, because
            loading that library takes a second.
        known_units: of these it need not be asked.

    Raises:
        Invalid: ``document.broken`` or ``vocabulary.…`` with ``file`` and ``line``.
    """
    return _Reader(Document.parse(text, name), owner, check_units, known_units).read_type()


def read_shared_properties(text: str, name: str) -> dict[str, PropertyType]:
    """Read the properties that all types share."""
    reader = _Reader(Document.parse(text, name), "gulou", check_units=False)
    return reader.read_properties(("properties",))


class _Reader:
    def __init__(
        self, source: Document, owner: str, check_units: bool, known_units: frozenset[str] = frozenset()
    ) -> None:
        self.source = source
        self.owner = owner
        self.check_units = check_units
        self.known_units = known_units

    def line_of(self, *path: str | int) -> int:
        return self.source.key_position(path)[0]

    def read_type(self) -> TypeFile:
        data = self._mapping(())
        self._known_keys((), _TYPE_KEYS)
        extends = "extends" in data
        if extends and "type" in data:
            raise self._wrong(("extends",), "write either type: or extends:")
        name = self._text(("extends",) if extends else ("type",), required=True)
        if not _NAME.fullmatch(name):
            raise self._wrong(
                ("extends",) if extends else ("type",), "use letters, digits and _, beginning with a letter"
            )
        properties = self.read_properties(("properties",))
        main = self._text(("main",)) or None
        entity_type = EntityType(
            name=name,
            label={} if extends else self._texts(("label",), required=True),
            description={} if extends else self._texts(("description",), required=True),
            properties=properties,
            model=self._text(("model",)) or None,
            icon=self._text(("icon",)) or None,
            main=main,
            owner=self.owner,
        )
        return TypeFile(entity_type, extends, self.source)

    def read_properties(self, path: Path) -> dict[str, PropertyType]:
        if len(path) == 1 and path[0] not in (self._mapping(())):
            return {}
        names = self._mapping(path)
        if len(names) > MAX_PROPERTIES:
            raise self._wrong(path, f"more than {MAX_PROPERTIES} properties")
        return {name: self._property(name, (*path, name)) for name in names}

    def _property(self, name: str, path: Path) -> PropertyType:
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise self._wrong(path, "not usable as a property's name (letters, digits, _; not a word of NGSI-LD)")
        self._known_keys(path, _PROPERTY_KEYS)
        kind: Kind = self._one_of((*path, "kind"), get_args(Kind), required=True)
        values = {
            value: self._texts((*path, "values", value), required=True)
            for value in (self._mapping((*path, "values")) if self._has((*path, "values")) else {})
        }
        if kind == "enum" and not values:
            raise self._missing(path, "values")
        data: DataType = self._one_of((*path, "data"), get_args(DataType)) or _DEFAULT_DATA[kind]
        item = PropertyType(
            name=name,
            label=self._texts((*path, "label"), required=True),
            kind=kind,
            data_type=data,
            unit=self._unit((*path, "unit")),
            decimals=self._decimals((*path, "decimals")),
            values=values,
            description=self._texts((*path, "description")),
            targets=self._targets((*path, "targets")),
            owner=self.owner,
        )
        return self._with_range(item, path)

    def _with_range(self, item: PropertyType, path: Path) -> PropertyType:
        number = item.data_type == "number"
        if number and item.unit is None:
            raise self._missing(path, "unit")
        if not number:
            for key in ("unit", "range", "decimals"):
                if self._has((*path, key)):
                    raise self._wrong((*path, key), "only a number has one; write data: number if it is")
            return item
        if not self._has((*path, "range")):
            if item.kind == "measured":
                raise self._missing(path, "range")
            return item
        pair = self._value((*path, "range"))
        usable = isinstance(pair, list) and len(pair) == 2 and all(_is_limit(limit) for limit in pair)
        if not usable:
            raise self._wrong((*path, "range"), "write [lowest, highest]; null stands for no limit")
        minimum, maximum = (None if limit is None else float(limit) for limit in pair)
        if minimum is not None and maximum is not None and minimum >= maximum:
            raise self._wrong((*path, "range"), "the lowest value must be below the highest")
        return replace(item, minimum=minimum, maximum=maximum)

    def _unit(self, path: Path) -> str | None:
        unit = self._value(path) if self._has(path) else None
        if unit is None:
            return None
        text = str(unit)
        try:
            if self.check_units and text not in self.known_units and check_unit(text) != text:
                raise Invalid("unit.unknown", unit=text)
        except GulouError as error:
            raise Invalid(
                "vocabulary.unit_unknown",
                file=self.source.file,
                line=self.line_of(*path),
                unit=text,
                expected="ug/m3",
            ) from error
        return text

    def _decimals(self, path: Path) -> int | None:
        value = self._value(path) if self._has(path) else None
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 9):
            raise self._wrong(path, "write a whole number from 0 to 9")
        return value

    def _targets(self, path: Path) -> tuple[str, ...]:
        value = self._value(path) if self._has(path) else []
        if not isinstance(value, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in value):
            raise self._wrong(path, "write a list of entity types")
        return tuple(value)

    def _one_of(self, path: Path, allowed: tuple[Any, ...], *, required: bool = False) -> Any:
        text = self._text(path, required=required)
        if text and text not in allowed:
            raise self._wrong(path, f"write one of {', '.join(allowed)}")
        return text

    def _texts(self, path: Path, *, required: bool = False) -> dict[str, str]:
        if not self._has(path):
            if required:
                raise self._missing(path[:-1], str(path[-1]))
            return {}
        texts = self._mapping(path)
        for language in ("en", "zh"):
            if language not in texts:
                raise self._missing(path, language)
        if not all(isinstance(text, str) and text for text in texts.values()):
            raise self._wrong(path, "each language needs a text")
        return texts

    def _text(self, path: Path, *, required: bool = False) -> str:
        if not self._has(path):
            if required:
                raise self._missing(path[:-1], str(path[-1]))
            return ""
        value = self._value(path)
        if not isinstance(value, str) or not value:
            raise self._wrong(path, "write a text")
        return value

    def _mapping(self, path: Path) -> dict[str, Any]:
        value = self._value(path)
        if not isinstance(value, dict):
            raise self._wrong(path, "write keys and values here")
        return value

    def _has(self, path: Path) -> bool:
        parent = self._value(path[:-1])
        return isinstance(parent, dict) and path[-1] in parent

    def _value(self, path: Path) -> Any:
        value = self.source.data
        for key in path:
            value = value[key]
        return value

    def _known_keys(self, path: Path, known: Iterable[str]) -> None:
        for key in self._mapping(path):
            if key not in known:
                raise Invalid(
                    "vocabulary.key_unknown",
                    file=self.source.file,
                    line=self.line_of(*path, key),
                    key=key,
                    nearest=nearest(key, known),
                )

    def _missing(self, path: Path, key: str) -> Invalid:
        return Invalid("vocabulary.key_missing", file=self.source.file, line=self.line_of(*path), key=key)

    def _wrong(self, path: Path, problem: str) -> Invalid:
        key = ".".join(str(part) for part in path) or "document"
        line = self.line_of(*path)
        return Invalid("vocabulary.value_wrong", file=self.source.file, line=line, key=key, problem=problem)


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value == value)  # noqa: PLR0124


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like ``name``; empty if there is none at all."""
    return (get_close_matches(name, list(known), n=1, cutoff=0.0) or [""])[0]
