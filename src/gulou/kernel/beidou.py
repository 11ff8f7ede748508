"""The BeiDou grid location code: ten levels from 6° × 4° down to 1/2048″, and its height part.

Everything is counted in whole units of 1/2048 arc-second, from decimal text, so that a point on an edge falls into the
same cell on every machine. A cell holds the edges that are nearer to Greenwich and to the equator.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from gulou.kernel.errors import Invalid
from gulou.kernel.geometry import Box, check_position

LEVELS = 10
SYSTEM = "BeiDou grid"

_UNIT = 2048
_DEGREE = 3600 * _UNIT
_POLAR_LATITUDE = 88
_MAX_CELLS = 10_000

# Width and height of a cell by level, in units; columns and rows of it within the level above.
_SIZES = (
    (6 * _DEGREE, 4 * _DEGREE),
    (_DEGREE // 2, _DEGREE // 2),
    (_DEGREE // 4, _DEGREE // 6),
    (60 * _UNIT, 60 * _UNIT),
    (4 * _UNIT, 4 * _UNIT),
    (2 * _UNIT, 2 * _UNIT),
    (_UNIT // 4, _UNIT // 4),
    (_UNIT // 32, _UNIT // 32),
    (_UNIT // 256, _UNIT // 256),
    (1, 1),
)
_COUNTS = ((60, 22), (12, 8), (2, 3), (15, 10), (15, 15), (2, 2), (8, 8), (8, 8), (8, 8), (8, 8))
_WIDTHS = (3, 2, 1, 2, 2, 1, 2, 2, 2, 2)
_LENGTHS = (4, 6, 7, 9, 11, 12, 14, 16, 18, 20)

_HEIGHT_BITS = (6, 3, 1, 4, 4, 1, 3, 3, 3, 3)
_HEIGHT_WIDTHS = (2, 1, 1, 1, 1, 1, 1, 1, 1, 1)
_HEIGHT_LIMIT = 1 << sum(_HEIGHT_BITS)
_LENGTHS_3D = tuple(length + 1 + sum(_HEIGHT_WIDTHS[: level + 1]) for level, length in enumerate(_LENGTHS))
_EARTH_RADIUS_M = 6_378_137.0
_LOG_BASE = math.log1p(math.pi / 180)

_HEX = re.compile(r"[0-9A-F]+")


@dataclass(frozen=True)
class BeidouCell:
    """One cell.

    Args:
        box: its edges, degrees, CGCS2000.
        bottom_m, top_m: its heights above the ellipsoid, m; None for a flat cell.
    """

    code: str
    level: int
    box: Box
    bottom_m: float | None = None
    top_m: float | None = None

    @property
    def center(self) -> tuple[float, float]:
        """Longitude, latitude of the middle."""
        return (self.box.west + self.box.east) / 2, (self.box.south + self.box.north) / 2


def encode(lon: float, lat: float, level: int = LEVELS) -> str:
    """Return the code of the cell that holds a point (degrees, CGCS2000 or WGS 84).

    Raises:
        Invalid: ``geometry.out_of_range``, ``grid.level_unknown``, ``grid.polar`` (from 88° on).

    Source: GB/T 39409-2020 §5.1, §5.2
    """
    check_level(level)
    x, y = _units(lon, lat)
    return _encode_units("S" if lat < 0 else "N", lon < 0, x, y, level)


def decode(code: str) -> BeidouCell:
    """Return the cell of a code of 4 to 20 characters.

    Raises:
        Invalid: ``grid.code_malformed``.

    Source: GB/T 39409-2020 §5.2
    """
    if len(code) not in _LENGTHS:
        raise _malformed(code, f"it has {len(code)} characters; 4, 6, 7, 9, 11, 12, 14, 16, 18 or 20 are right")
    level = _LENGTHS.index(len(code)) + 1
    west, x, south, y = _decode_level_1(code)
    position = _LENGTHS[0]
    for index in range(1, level):
        part = code[position : position + _WIDTHS[index]]
        column, row = _digits(code, part, index)
        x += column * _SIZES[index][0]
        y += row * _SIZES[index][1]
        position += _WIDTHS[index]
    return BeidouCell(code, level, _box(west, x, south, y, level))


def parent(code: str, level: int) -> str:
    """Return the cell of a coarser (or the same) level that holds a cell."""
    check_level(level)
    cell = decode(code)
    if level > cell.level:
        raise Invalid("grid.level_unknown", level=level, system=f"{SYSTEM} {code}", lowest=1, highest=cell.level)
    return code[: _LENGTHS[level - 1]]


def cells_over(box: Box, level: int, limit: int = _MAX_CELLS) -> list[str]:
    """List the cells that touch a box.

    Raises:
        Invalid: ``grid.too_many_cells``, ``grid.level_unknown``, ``grid.polar``.
    """
    check_level(level)
    if box.west > box.east:
        halves = (Box(box.west, box.south, 180.0, box.north), Box(-180.0, box.south, box.east, box.north))
        return [code for half in halves for code in cells_over(half, level, limit)]
    width, height = _SIZES[level - 1]
    columns = list(_spans(box.west, box.east, width))
    rows = list(_spans(box.south, box.north, height))
    count = sum(len(span) for _, span in columns) * sum(len(span) for _, span in rows)
    if count > limit:
        raise Invalid("grid.too_many_cells", count=count, limit=limit)
    if max(abs(box.south), abs(box.north)) >= _POLAR_LATITUDE:
        raise Invalid("grid.polar", latitude=max(abs(box.south), abs(box.north)))
    return [
        _encode_units("S" if south else "N", west, column * width, row * height, level)
        for west, column_span in columns
        for column in column_span
        for south, row_span in rows
        for row in row_span
    ]


def encode_3d(lon: float, lat: float, height_m: float, level: int = LEVELS) -> str:
    """Return the code of the cell of space that holds a point: the flat code with the height's digits between.

    Args:
        height_m: above the ellipsoid, m. Below it the sign digit is 1 and the magnitude follows; the standard does not
            say it, existing implementations do so.

    Raises:
        Invalid: as ``encode``, and ``grid.height_out_of_range``.

    Source: GB/T 39409-2020 §6.1, §6.2, table 1
    """
    flat = encode(lon, lat, level)
    layer = _layer(height_m)
    digits = _height_digits(abs(layer), level)
    parts = [flat[0], "1" if layer < 0 else "0"]
    position = 1
    for index in range(level):
        parts += [flat[position : position + _WIDTHS[index]], digits[index]]
        position += _WIDTHS[index]
    return "".join(parts)


def decode_3d(code: str) -> BeidouCell:
    """Return the cell of a code with height, of 7 to 32 characters.

    Raises:
        Invalid: ``grid.code_malformed``.

    Source: GB/T 39409-2020 §6.2
    """
    if len(code) not in _LENGTHS_3D:
        raise _malformed(code, f"it has {len(code)} characters; a code with height has one of {_LENGTHS_3D}")
    level = _LENGTHS_3D.index(len(code)) + 1
    if code[1] not in "01":
        raise _malformed(code, "the second character, the sign of the height, is not 0 or 1")
    flat, magnitude, position = [code[0]], 0, 2
    for index in range(level):
        flat.append(code[position : position + _WIDTHS[index]])
        position += _WIDTHS[index]
        digit = code[position : position + _HEIGHT_WIDTHS[index]]
        position += _HEIGHT_WIDTHS[index]
        magnitude = (magnitude << _HEIGHT_BITS[index]) | _height_digit(code, digit, index)
    rest = sum(_HEIGHT_BITS[level:])
    first, last = magnitude << rest, ((magnitude + 1) << rest) - 1
    lowest, highest = (first, last) if code[1] == "0" else (-last, -first)
    cell = decode("".join(flat))
    return BeidouCell(code, level, cell.box, _height_m(lowest), _height_m(highest + 1))


def check_level(level: int) -> None:
    """Refuse a level that does not exist. Raises Invalid ``grid.level_unknown``."""
    if not 1 <= level <= LEVELS:
        raise Invalid("grid.level_unknown", level=level, system=SYSTEM, lowest=1, highest=LEVELS)


def _units(lon: float, lat: float) -> tuple[int, int]:
    check_position(lon, lat)
    if abs(lat) >= _POLAR_LATITUDE:
        raise Invalid("grid.polar", latitude=lat)
    # The antimeridian itself belongs to the last cell on its side.
    return min(_to_units(abs(lon)), 180 * _DEGREE - 1), _to_units(abs(lat))


def _to_units(degrees: float) -> int:
    return int((Decimal(repr(float(degrees))) * _DEGREE).to_integral_value(ROUND_FLOOR))


def _encode_units(hemisphere: str, west: bool, x: int, y: int, level: int) -> str:
    column, row = x // _SIZES[0][0], y // _SIZES[0][1]
    parts = [hemisphere, f"{30 - column if west else 31 + column:02d}", chr(ord("A") + row)]
    for index in range(1, level):
        x, y = x % _SIZES[index - 1][0], y % _SIZES[index - 1][1]
        column, row = x // _SIZES[index][0], y // _SIZES[index][1]
        parts.append(str(2 * row + column) if _WIDTHS[index] == 1 else f"{column:X}{row:X}")
    return "".join(parts)


def _decode_level_1(code: str) -> tuple[bool, int, bool, int]:
    zone = code[1:3]
    if code[0] not in "NS":
        raise _malformed(code, "it does not begin with N or S")
    if not (zone.isascii() and zone.isdigit() and 1 <= int(zone) <= 60):
        raise _malformed(code, "characters 2 and 3 are not a zone from 01 to 60")
    if not "A" <= code[3] <= "V":
        raise _malformed(code, "character 4 is not a row from A to V")
    west = int(zone) <= 30
    column = 30 - int(zone) if west else int(zone) - 31
    return west, column * _SIZES[0][0], code[0] == "S", (ord(code[3]) - ord("A")) * _SIZES[0][1]


def _digits(code: str, part: str, index: int) -> tuple[int, int]:
    columns, rows = _COUNTS[index]
    if _HEX.fullmatch(part):
        number = int(part, 16)
        row, column = divmod(number, 2) if len(part) == 1 else (number % 16, number // 16)
        if column < columns and row < rows:
            return column, row
    raise _malformed(code, f"{part} can't stand at level {index + 1}")


def _box(west: bool, x: int, south: bool, y: int, level: int) -> Box:
    width, height = _SIZES[level - 1]
    near_x, far_x, near_y, far_y = x / _DEGREE, (x + width) / _DEGREE, y / _DEGREE, (y + height) / _DEGREE
    west_edge, east_edge = (-far_x, -near_x) if west else (near_x, far_x)
    south_edge, north_edge = (-far_y, -near_y) if south else (near_y, far_y)
    return Box(west_edge, south_edge, east_edge, north_edge)


def _spans(low: float, high: float, size: int) -> Iterator[tuple[bool, range]]:
    """Yield (mirrored, range of indexes) on both sides of zero."""
    most = 180 * _DEGREE - 1
    if low < 0:
        nearest = 0 if high >= 0 else _to_units(-high) // size
        yield True, range(nearest, min(_to_units(-low), most) // size + 1)
    if high >= 0:
        yield False, range(_to_units(max(low, 0.0)) // size, min(_to_units(high), most) // size + 1)


def _layer(height_m: float) -> int:
    ratio = 1.0 + height_m / _EARTH_RADIUS_M
    if not (math.isfinite(height_m) and ratio > 0.0):
        raise Invalid("grid.height_out_of_range", height_m=height_m)
    layer = math.floor(_DEGREE * math.log1p(height_m / _EARTH_RADIUS_M) / _LOG_BASE)
    if abs(layer) >= _HEIGHT_LIMIT:
        raise Invalid("grid.height_out_of_range", height_m=height_m)
    return layer


def _height_m(layer: int) -> float:
    return _EARTH_RADIUS_M * math.expm1(layer / _DEGREE * _LOG_BASE)


def _height_digits(magnitude: int, level: int) -> list[str]:
    digits = []
    rest = sum(_HEIGHT_BITS)
    for index in range(level):
        rest -= _HEIGHT_BITS[index]
        digit = (magnitude >> rest) & ((1 << _HEIGHT_BITS[index]) - 1)
        digits.append(f"{digit:02d}" if index == 0 else f"{digit:X}")
    return digits


def _height_digit(code: str, digit: str, index: int) -> int:
    value = -1
    if _HEX.fullmatch(digit):
        value = int(digit, 10 if index == 0 and digit.isdigit() else 16)
    if not 0 <= value < 1 << _HEIGHT_BITS[index]:
        raise _malformed(code, f"{digit} can't be a height at level {index + 1}")
    return value


def _malformed(code: str, problem: str) -> Invalid:
    return Invalid("grid.code_malformed", cell=code[:40], system=SYSTEM, problem=problem)
