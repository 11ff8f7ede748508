"""Checks of values, compiled once per (type, property, unit): the hot path of the intake."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from gulou.kernel.errors import GulouError, Invalid
from gulou.kernel.ids import is_entity_id
from gulou.kernel.units import conversion
from gulou.vocabulary.model import EntityType, PropertyType

Check = Callable[[Any], Any]
"""Takes a value as sent; returns it in the property's unit, or raises Invalid ``reading.…``."""

MAX_TEXT = 4096
MAX_JSON = 65_536
MAX_DEPTH = 32
MAX_RELATIONS = 100
_LARGEST = 1.7976931348623157e308


def compile_check(entity_type: EntityType, item: PropertyType, unit: str | None) -> Check:
    """Build the check of one property for values sent in ``unit`` (None: the property's own).

    Raises:
        Invalid: ``reading.unit_unknown`` or ``reading.unit_incompatible``.
    """
    context = {"type": entity_type.name, "property": item.name}
    factor, offset = _conversion(item, unit, context)
    if item.kind == "relation":
        return _relation_check(item, context)
    if item.kind == "geo":
        return _geometry_check(context)
    if item.values:
        return _list_check(item, context)
    if item.data_type == "number":
        return _number_check(item, factor, offset, context)
    return {"boolean": _boolean_check, "time": _time_check, "json": _json_check}.get(item.data_type, _text_check)(
        context
    )


def _conversion(item: PropertyType, unit: str | None, context: dict[str, str]) -> tuple[float, float]:
    if unit is None or unit == item.unit:
        return 1.0, 0.0
    expected = item.unit or "1"
    try:
        found = conversion(unit, expected)
    except GulouError as error:
        if error.code in {"unit.incompatible", "unit.needs_molar_mass"}:
            raise Invalid("reading.unit_incompatible", **context, unit=unit, expected=expected) from error
        raise Invalid("reading.unit_unknown", **context, unit=unit, expected=expected) from error
    if item.data_type != "number" and not found.is_identity:
        raise Invalid("reading.unit_incompatible", **context, unit=unit, expected=expected)
    return found.factor, found.offset


def linear_of(item: PropertyType, unit: str | None) -> tuple[float, float] | None:
    """Return (factor, offset) of the conversion of a plain number; None for a property of another kind.

    Raises:
        Invalid: as ``compile_check``.
    """
    if item.kind in ("relation", "geo") or item.values or item.data_type != "number":
        return None
    return _conversion(item, unit, {})


def number_limits(item: PropertyType) -> tuple[float, float] | None:
    """Return what ``_number_check`` lets pass of a property's own numbers; None where another check applies."""
    if item.kind in {"relation", "geo"} or item.values or item.data_type != "number":
        return None
    return (
        -_LARGEST if item.minimum is None else float(item.minimum),
        _LARGEST if item.maximum is None else float(item.maximum),
    )


def _number_check(item: PropertyType, factor: float, offset: float, context: dict[str, str]) -> Check:
    minimum = -_LARGEST if item.minimum is None else item.minimum
    maximum = _LARGEST if item.maximum is None else item.maximum

    def refuse(value: Any) -> Invalid:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value  # noqa: PLR0124
        if not number:
            return Invalid("reading.not_a_number", **context, value=shown(value))
        return Invalid(
            "reading.out_of_range",
            **context,
            value=value if -1e300 < value < 1e300 else shown(value),
            unit=item.unit or "",
            minimum=minimum,
            maximum=maximum,
        )

    def check_as_sent(value: Any) -> float:
        # A NaN fails the comparison, a bool fails the class.
        if (value.__class__ is float or value.__class__ is int) and minimum <= value <= maximum:
            return float(value)
        raise refuse(value)

    def check_converted(value: Any) -> float:
        if value.__class__ is float or (value.__class__ is int and -_LARGEST <= value <= _LARGEST):
            converted: float = value * factor + offset
            if minimum <= converted <= maximum:
                return converted
            if converted == converted:  # noqa: PLR0124
                raise refuse(converted)
        raise refuse(value)

    return check_as_sent if factor == 1.0 and offset == 0.0 else check_converted


def _list_check(item: PropertyType, context: dict[str, str]) -> Check:
    allowed = frozenset(item.values)

    def check(value: Any) -> str:
        if value.__class__ is str and value in allowed:
            return str(value)
        raise Invalid("reading.not_in_list", **context, value=shown(value), allowed=sorted(allowed))

    return check


def _text_check(context: dict[str, str]) -> Check:
    def check(value: Any) -> Any:
        if value.__class__ is str and len(value) <= MAX_TEXT:
            return value
        # A LanguageProperty: one text per language.
        if value.__class__ is dict and _is_language_map(value):
            return value
        raise Invalid("reading.not_a_text", **context, limit=MAX_TEXT)

    return check


def _is_language_map(value: dict[Any, Any]) -> bool:
    texts = all(isinstance(key, str) and isinstance(text, str) for key, text in value.items())
    return texts and 0 < len(value) <= 50 and sum(map(len, value.values())) <= MAX_TEXT


def _boolean_check(context: dict[str, str]) -> Check:
    def check(value: Any) -> bool:
        if value is True or value is False:
            return bool(value)
        raise Invalid("reading.not_a_truth_value", **context, value=shown(value))

    return check


def _time_check(context: dict[str, str]) -> Check:
    def check(value: Any) -> str:
        try:
            moment = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            moment = None
        if moment is None or moment.tzinfo is None:
            raise Invalid("reading.not_a_time", **context, value=shown(value))
        return str(value)

    return check


def _relation_check(item: PropertyType, context: dict[str, str]) -> Check:
    def is_target(value: Any) -> bool:
        known = isinstance(value, str) and is_entity_id(value)
        return known and (not item.targets or value.split(":", 3)[2] in item.targets)

    def check(value: Any) -> Any:
        many = isinstance(value, list) and 0 < len(value) <= MAX_RELATIONS
        if all(map(is_target, value)) if many else is_target(value):
            return value
        raise Invalid("reading.not_a_relation", **context, value=shown(value))

    return check


def _geometry_check(context: dict[str, str]) -> Check:
    def check(value: Any) -> Any:
        from gulou.kernel.geometry import check_geometry
        from gulou.kernel.messages import render

        try:
            check_geometry(value)
        except Invalid as error:
            problem = render(error.code, error.params)
            raise Invalid("reading.not_a_geometry", **context, problem=problem) from error
        return value

    return check


def _json_check(context: dict[str, str]) -> Check:
    def check(value: Any) -> Any:
        if _json_size(value, 0) > MAX_JSON:
            raise Invalid("reading.too_large", **context, limit=MAX_JSON)
        return value

    return check


def _json_size(value: Any, depth: int) -> int:
    """Estimate the characters of a JSON value; infinite for one that is too deep or holds what JSON can't."""
    if depth > MAX_DEPTH or (isinstance(value, float) and not math.isfinite(value)):
        return MAX_JSON + 1
    if isinstance(value, dict):
        return 2 + sum(len(str(key)) + 4 + _json_size(item, depth + 1) for key, item in value.items())
    if isinstance(value, list):
        return 2 + sum(1 + _json_size(item, depth + 1) for item in value)
    return len(value) + 2 if isinstance(value, str) else 8


def shown(value: Any) -> str:
    """Shorten a refused value for its message; the raw bytes are kept elsewhere."""
    text = f"an integer of {value.bit_length()} bits" if isinstance(value, int) and abs(value) > 1 << 64 else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
