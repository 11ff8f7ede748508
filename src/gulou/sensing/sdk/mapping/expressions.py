"""JMESPath on records: what ``path``, ``when``, ``each`` and ``keep`` are written in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jmespath
from jmespath import exceptions

from gulou.kernel.errors import Invalid

Finder = Callable[[Mapping[str, Any]], Any]
"""From a record to a value, or None when it has none."""


Condition = Callable[[Mapping[str, Any]], bool]


def find_column(name: str) -> Finder:
    """Make a finder of one column by its exact name."""
    return lambda record: record.get(name)


def find_path(expression: str) -> Callable[[Any], Any]:
    """Compile a JMESPath expression.

    Raises:
        ValueError: it is not JMESPath; the caller says where. The made function raises Invalid
            ``mapping.expression_failed``.
    """
    try:
        compiled = jmespath.compile(expression)
    except exceptions.JMESPathError as error:
        raise ValueError(f"this is not JMESPath: {' '.join(str(error).split())[:200]}") from None

    def find(data: Any) -> Any:
        try:
            return compiled.search(data)
        except (exceptions.JMESPathError, TypeError, ValueError, AttributeError) as error:
            detail = " ".join(str(error).split())[:200]
            raise Invalid("mapping.expression_failed", expression=expression, detail=detail) from None

    return find


def condition(expression: str) -> Condition:
    """Compile a ``when``: true for true, any number, and whatever is not empty (JMESPath's own notion)."""
    find = find_path(expression)

    def holds(record: Mapping[str, Any]) -> bool:
        found = find(record)
        return found is True or (isinstance(found, int | float) and found is not False) or bool(found)

    return holds
