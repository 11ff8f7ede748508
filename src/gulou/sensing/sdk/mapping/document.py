"""The YAML document of a mapping: its schema, checked with file, line and column of every mistake."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gulou.kernel.documents import Document, Problem, broken, nearest

Format = Literal["rows", "json", "ndjson", "csv", "senml", "senml-cbor", "line"]
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_REASON = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class EntityPart(_Part):
    """Which entity a value speaks of; ``id`` is a template."""

    type: str
    id: str


class SourcePart(_Part):
    """Where something comes from: a column by its exact name, or a JMESPath expression."""

    column: str | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.column is None) == (self.path is None):
            raise ValueError("give either column or path")
        return self


class LocationPart(_Part):
    """Coordinates in a record, degrees."""

    longitude: SourcePart
    latitude: SourcePart
    datum: Literal["wgs84", "gcj02", "bd09"] = "wgs84"

    @field_validator("longitude", "latitude", mode="before")
    @classmethod
    def _plain_name(cls, value: object) -> object:
        return {"column": value} if isinstance(value, str) else value


class TimePart(_Part):
    """When a record was so; see the README for the eight ways."""

    column: str | None = None
    path: str | None = None
    columns: tuple[str, ...] | None = Field(default=None, min_length=3, max_length=6)
    template: str | None = None
    start: str | None = None
    step: float | None = Field(default=None, gt=0)
    received: bool = False
    format: str | None = None
    unit: Literal["s", "ms", "us", "ns"] | None = None
    zone: str | None = None
    otherwise: Literal["received"] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = [self.column, self.path, self.columns, self.template, self.start, self.received or None]
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one of column, path, columns, template, start, or the word received")
        if (self.start is None) != (self.step is None):
            raise ValueError("start and step go together")
        if self.format is not None and self.unit is not None:
            raise ValueError("format is for texts, unit for numbers: give one of them")
        if self.start is not None and self.zone is None:
            raise ValueError("start needs a zone")
        if self.columns is not None and self.zone is None:
            raise ValueError("columns need a zone")
        return self


class ValueOptions(_Part):
    """What ``values`` and ``wide`` have in common."""

    unit: str | None = None
    units: dict[str, str] | None = None
    kind: Literal["number", "text", "bool", "json", "time"] = Field(default="number", alias="as")
    missing: tuple[str, ...] | None = None
    thousands: Literal[",", ".", " ", "'"] | None = None
    decimal: Literal[".", ","] | None = None
    scale: float | None = None
    offset: float | None = None
    translate: dict[str, float | bool | str] | None = None
    dataset: str | None = None


class ValuePart(ValueOptions):
    """One property of one entity, out of a record."""

    column: str | None = None
    path: str | None = None
    compute: tuple[str | float, Literal["+", "-", "*", "/"], str | float] | None = None
    property: str
    rename: dict[str, str] | None = None
    entity: EntityPart | None = None

    @model_validator(mode="before")
    @classmethod
    def _value_is_path(cls, data: Any) -> Any:
        if isinstance(data, dict) and "value" in data and "path" not in data:
            return {("path" if key == "value" else key): item for key, item in data.items()}
        return data

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(way is not None for way in (self.column, self.path, self.compute)) != 1:
            raise ValueError("give exactly one of column, path and compute")
        if self.rename is not None and "{" not in self.property:
            raise ValueError("rename belongs to a property that is a template")
        return self


class WidePart(ValueOptions):
    """One column per entity."""

    columns: str
    exceptions: tuple[str, ...] = Field(default=(), alias="except")
    entity: EntityPart
    property: str


class SkipPart(_Part):
    """Records that are no data at all."""

    when: str


class RejectPart(_Part):
    """Records, or some of their properties, that are refused with a reason."""

    when: str
    reason: str
    properties: tuple[str, ...] = ()

    @field_validator("reason")
    @classmethod
    def _dotted(cls, value: str) -> str:
        if _REASON.fullmatch(value) is None:
            raise ValueError("a reason is area.case in lower-case letters, for instance source.implausible")
        return value


class FlagPart(_Part):
    """Doubts that do not make a value wrong."""

    when: str
    flag: str
    properties: tuple[str, ...] = ()


class MappingDocument(_Part):
    """The whole file."""

    mapping: str
    version: str = "1"
    description: dict[str, str] = {}
    format: Format
    match: tuple[str, ...] = ()
    each: str | None = None
    keep: dict[str, str] = {}
    missing: tuple[str, ...] = ("",)
    thousands: Literal[",", ".", " ", "'"] | None = None
    decimal: Literal[".", ","] = "."
    entity: EntityPart | None = None
    time: TimePart
    location: LocationPart | None = None
    values: tuple[ValuePart, ...] = ()
    wide: WidePart | None = None
    skip: tuple[SkipPart, ...] = ()
    reject: tuple[RejectPart, ...] = ()
    flag: tuple[FlagPart, ...] = ()
    dataset: str | None = None

    @field_validator("mapping")
    @classmethod
    def _name(cls, value: str) -> str:
        if _NAME.fullmatch(value) is None:
            raise ValueError("a mapping's name is 1-80 lower-case letters, digits and dashes")
        return value

    @field_validator("time", mode="before")
    @classmethod
    def _received(cls, value: object) -> object:
        return {"received": True} if value == "received" else value

    @model_validator(mode="after")
    def _makes_something(self) -> Self:
        if not self.values and self.wide is None:
            raise ValueError("give values or wide: this mapping makes no readings")
        if self.entity is None and any(value.entity is None for value in self.values):
            raise ValueError("give entity, here or in each of the values")
        if self.entity is None and self.location is not None:
            raise ValueError("location needs entity")
        if self.format != "json" and (self.each is not None or self.keep):
            raise ValueError("each and keep belong to format json")
        return self


_PARTS: dict[str, type[BaseModel]] = {
    "entity": EntityPart,
    "time": TimePart,
    "location": LocationPart,
    "values": ValuePart,
    "wide": WidePart,
    "skip": SkipPart,
    "reject": RejectPart,
    "flag": FlagPart,
}


def check(document: Document) -> MappingDocument:
    """Check a parsed YAML document against the schema.

    Raises:
        Invalid: ``document.broken`` with every problem: ``mapping.unknown_key``, ``mapping.key_missing``,
            ``mapping.value_wrong``.
    """
    try:
        return MappingDocument.model_validate(document.data)
    except ValidationError as error:
        raise broken([_problem(document, one["type"], one["loc"], one["msg"]) for one in error.errors()]) from None


def _problem(document: Document, kind: str, where: tuple[int | str, ...], detail: str) -> Problem:
    key = str(where[-1]) if where else ""
    if kind == "extra_forbidden":
        known = _known_keys(where[:-1])
        return document.problem(where, "mapping.unknown_key", key=key, nearest=nearest(key, known) or ", ".join(known))
    if kind == "missing":
        return document.problem(where, "mapping.key_missing", key=key)
    place = ".".join(map(str, where))
    return document.problem(where, "mapping.value_wrong", key=place, detail=detail.removeprefix("Value error, "))


def _known_keys(where: tuple[int | str, ...]) -> list[str]:
    names = [part for part in where if isinstance(part, str) and part in _PARTS]
    model = _PARTS[names[-1]] if names else MappingDocument
    return [field.alias or name for name, field in model.model_fields.items()]
