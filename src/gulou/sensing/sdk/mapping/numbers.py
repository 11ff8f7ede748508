"""Numbers in texts: strict, so that nothing is guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from gulou.kernel.errors import Invalid

Number = int | float


class Unreadable(Invalid):
    """A cell that cannot be read; who reads the record adds entity type and property to the parameters."""


_PLAIN = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:[,.' ][0-9]{3})+(?:[.,][0-9]*)?")
_LONGEST = 64
_LARGEST = 2**63 - 1


def number_reader(thousands: str | None = None, decimal: str = ".") -> Callable[[object], Number]:
    """Make a function from a cell or JSON value to a finite number, for one pair of separators.

    The function raises Invalid ``reading.not_a_number`` or ``reading.thousands_separator``.
    """
    grouped = _grouped_pattern(thousands, decimal) if thousands else None

    def read(value: object) -> Number:
        if type(value) is float:
            if not math.isfinite(value):
                raise Unreadable("reading.not_a_number", value=str(value))
            return value
        if type(value) is int:
            if not -_LARGEST <= value <= _LARGEST:
                raise Unreadable("reading.not_a_number", value=str(value)[:_LONGEST])
            return value
        if not isinstance(value, str) or len(value) > _LONGEST:
            raise Unreadable("reading.not_a_number", value=str(value)[:_LONGEST])
        return read_text(value.strip(" \t"))

    def read_text(text: str) -> Number:
        plain = text
        if grouped is not None and grouped.fullmatch(text):
            plain = text.replace(thousands or "", "")
        if decimal != ".":
            plain = plain.replace(".", "?").replace(decimal, ".")  # a point is no decimal sign here
        if _INTEGER.fullmatch(plain):
            return int(plain)
        if _PLAIN.fullmatch(plain):
            number = float(plain)
            if math.isfinite(number):
                return number
        elif _GROUPED.fullmatch(text) or (thousands and thousands in text):
            raise Unreadable("reading.thousands_separator", value=text)
        raise Unreadable("reading.not_a_number", value=text)

    return read


def _grouped_pattern(thousands: str, decimal: str) -> re.Pattern[str]:
    return re.compile(rf"[+-]?[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+(?:{re.escape(decimal)}[0-9]*)?")
