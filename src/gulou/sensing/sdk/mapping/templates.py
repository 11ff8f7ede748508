"""Texts with fields: ``prsa-{station|slug}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gulou.kernel.errors import Invalid
from gulou.sensing.sdk.mapping.expressions import Finder, find_column, find_path

_FIELD = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[^\W\d][\w -]*")
_NOT_SLUG = re.compile(r"[\W_]+")
_LONGEST = 512


def _slug(text: str) -> str:
    return _NOT_SLUG.sub("-", text.lower()).strip("-")


_FILTERS: dict[str, Callable[[str], str]] = {"slug": _slug, "lower": str.lower, "upper": str.upper}


class Template:
    """A compiled template.

    Raises:
        ValueError: a brace without its partner, an unknown filter, a broken expression; the caller says where.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts: list[str | tuple[str, Finder, Callable[[str], str] | None]] = []
        end = 0
        for match in _FIELD.finditer(text):
            self._parts.append(text[end : match.start()])
            self._parts.append(_field(match.group(1)))
            end = match.end()
        self._parts.append(text[end:])
        if any("{" in part or "}" in part for part in self._parts if isinstance(part, str)):
            raise ValueError("a brace has no partner")

    @property
    def is_constant(self) -> bool:
        """Whether it has no fields."""
        return len(self._parts) == 1

    def fill(self, record: Mapping[str, Any]) -> str:
        """Put a record's values in.

        Raises:
            Invalid: ``mapping.field_missing``; ``mapping.field_odd`` for a list, an object, or a text that is too long.
        """
        filled: list[str] = []
        for part in self._parts:
            if isinstance(part, str):
                filled.append(part)
                continue
            name, find, change = part
            value = _text(find(record), name)
            filled.append(change(value) if change else value)
        return "".join(filled)


def _field(inside: str) -> tuple[str, Finder, Callable[[str], str] | None]:
    name, _, filter_name = inside.partition("|")
    name, filter_name = name.strip(), filter_name.strip()
    if not name:
        raise ValueError("the braces are empty")
    if filter_name and filter_name not in _FILTERS:
        raise ValueError(f"there is no filter {filter_name}: use {', '.join(_FILTERS)}")
    find = find_column(name) if _NAME.fullmatch(name) else find_path(name)
    return name, find, _FILTERS.get(filter_name)


def _text(value: object, name: str) -> str:
    if value is None or value == "":
        raise Invalid("mapping.field_missing", field=name)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Invalid("mapping.field_odd", field=name)
    text = str(value).strip()
    if len(text) > _LONGEST:
        raise Invalid("mapping.field_odd", field=name)
    return text
