"""Units: UCUM codes in, a multiply-add out.

The libraries (pint, ucumvert) take a second to load and milliseconds per unit, so they are loaded at the first real
conversion, and each pair of codes is worked out once and kept as ``Conversion(factor, offset)``.

Source: UCUM 2.1
"""

from __future__ import annotations

import math
import re
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gulou.kernel.errors import Invalid
from gulou.kernel.unit_aliases import CEFACT, MISTAKEN, SPELLINGS

MAX_CODE_LENGTH = 64

# Logarithmic scales are no multiple of anything; each converts only to itself.
_OPAQUE = re.compile(r"d?B(\[[A-Za-z0-9.]+\])?|Np|\[pH\]")
# UCUM counts the plane angle among its base units; pint takes it for a bare number.
_PURE_NUMBERS = frozenset({"radian", "steradian", "bit", "count", "neper"})
_ANNOTATION = re.compile(r"\{[^{}]*\}")
_LONG_NUMBER = re.compile(r"\d{4}")
_TRACE_FRACTIONS = frozenset({"[ppm]", "[ppb]", "[pptr]", "[ppth]"})
# Where the library's table differs from UCUM's definition: code → (multiple, UCUM code).
_CORRECTED = {"[in_i'Hg]": (0.0254, "m[Hg]")}
_LOCK = threading.Lock()  # the parser and the registry are not safe for several threads


@dataclass(frozen=True)
class Conversion:
    """``target = source * factor + offset``."""

    factor: float
    offset: float

    def apply(self, value: float) -> float:
        """Convert one value."""
        return value * self.factor + self.offset

    @property
    def is_identity(self) -> bool:
        """True when nothing changes."""
        return self.factor == 1.0 and self.offset == 0.0


IDENTITY = Conversion(1.0, 0.0)


def to_ucum(code: str) -> str:
    """Return the UCUM code of a UN/CEFACT code or a common spelling; anything else comes back unchanged."""
    return CEFACT.get(code) or SPELLINGS.get(code) or code


@lru_cache(maxsize=4096)
def conversion(from_code: str, to_code: str) -> Conversion:
    """Return how to convert values from one unit to another.

    Args:
        from_code: UCUM, or a UN/CEFACT code or spelling of ``unit_aliases``.
        to_code: likewise.

    Raises:
        Invalid: ``unit.unknown``, ``unit.incompatible``, ``unit.needs_molar_mass``,
            ``unit.ambiguous``, ``unit.too_long``.
    """
    source, target = to_ucum(from_code), to_ucum(to_code)
    if source == target:
        check_unit(source)
        return IDENTITY
    if _OPAQUE.fullmatch(source) or _OPAQUE.fullmatch(target):
        check_unit(source)
        check_unit(target)
        raise _incompatible(source, target)
    with _LOCK:
        source_unit, target_unit = _parse(source), _parse(target)
        if _dimensions(source_unit) != _dimensions(target_unit):
            raise _incompatible(source, target)
        return _linear(source_unit, target_unit, source, target)


@lru_cache(maxsize=4096)
def check_unit(code: str) -> str:
    """Return the UCUM code that ``code`` stands for.

    Raises:
        Invalid: ``unit.unknown`` or ``unit.too_long``.
    """
    ucum = to_ucum(code)
    if not _OPAQUE.fullmatch(ucum):
        with _LOCK:
            _parse(ucum)
    return ucum


def preload() -> None:
    """Load the libraries now (about a second), so that no reading waits for it later."""
    conversion("km/h", "m/s")


def _parse(code: str) -> Any:
    if len(code) > MAX_CODE_LENGTH:
        raise Invalid("unit.too_long", length=len(code), limit=MAX_CODE_LENGTH)
    from ucumvert import InvalidUcumError

    # Annotations are comments to UCUM; alone they stand for 1. A long number would be raised to a long power.
    bare = _ANNOTATION.sub("", code)
    if bare in {"", "1"} and code:
        return _registry().dimensionless * 1
    if not bare or _LONG_NUMBER.search(bare) or "(" in bare:
        raise Invalid("unit.unknown", unit=code)
    if bare.startswith("/"):
        bare = f"1{bare}"
    import pint
    from lark.exceptions import LarkError

    multiple, bare = _CORRECTED.get(bare, (None, bare))
    try:
        quantity = _registry().from_ucum(bare)
        if multiple is not None:
            quantity *= multiple
        _registry().Quantity(1.0, quantity.units).to_root_units()
        return quantity
    except (InvalidUcumError, LarkError, pint.PintError, AttributeError, OverflowError, ValueError, TypeError) as error:
        if code in MISTAKEN:
            raise _mistaken(code) from error
        raise Invalid("unit.unknown", unit=code) from error


@lru_cache(maxsize=1)
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()


def _dimensions(quantity: Any) -> tuple[dict[str, float], dict[str, float]]:
    roots = _registry().get_root_units(quantity.units)[1]
    pure = {name: float(power) for name, power in roots._units.items() if name in _PURE_NUMBERS}
    return {name: float(power) for name, power in quantity.dimensionality.items()}, pure


def _linear(source_unit: Any, target_unit: Any, source: str, target: str) -> Conversion:
    def convert(value: float) -> float:
        quantity = _registry().Quantity(value * source_unit.magnitude, source_unit.units)
        return float(quantity.to(target_unit.units).magnitude) / float(target_unit.magnitude)

    import pint

    try:
        zero, one, many = convert(0.0), convert(1.0), convert(1000.0)
    except (pint.PintError, ZeroDivisionError, OverflowError, ValueError) as error:
        raise _incompatible(source, target) from error
    # Two points far apart give the factor of an offset unit without loss of digits.
    factor, offset = (one, 0.0) if zero == 0.0 else ((many - zero) / 1000.0, _tidy(zero))
    factor = _tidy(factor)
    straight = math.isclose(factor * 1000.0 + offset, many, rel_tol=1e-9, abs_tol=1e-12)
    if not (straight and math.isfinite(factor) and factor != 0.0 and math.isfinite(offset)):
        raise _incompatible(source, target)
    return Conversion(factor, offset)


def _tidy(value: float) -> float:
    """Undo a rounding error in the last digits of a short decimal number: 273.15, 0.001; leave 5/9 as it is."""
    short = float(f"{value:.10g}")
    return short if math.isclose(short, value, rel_tol=1e-14) else value


def _incompatible(source: str, target: str) -> Invalid:
    if (source in _TRACE_FRACTIONS) != (target in _TRACE_FRACTIONS) and ("g/m3" in source + target):
        return Invalid("unit.needs_molar_mass", from_code=source, to_code=target)
    for code in (source, target):
        if code in MISTAKEN:
            return _mistaken(code)
    return Invalid("unit.incompatible", from_code=source, to_code=target)


def _mistaken(code: str) -> Invalid:
    meant, meaning = MISTAKEN[code]
    return Invalid("unit.ambiguous", unit=code, meant=meant, meaning=meaning)
