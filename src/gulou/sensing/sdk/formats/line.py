"""InfluxDB line protocol, version 1 and 2: points with tags and fields."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import msgspec

from gulou.kernel.errors import Invalid

FieldValue = float | int | bool | str
_PRECISION_NS = {"ns": 1, "n": 1, "us": 1_000, "u": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_TRUTH = dict.fromkeys(("t", "T", "true", "True", "TRUE"), True) | dict.fromkeys(
    ("f", "F", "false", "False", "FALSE"), False
)
_LONGEST_LINE = 65_536
_MOST_PARTS = 4_096


class Point(msgspec.Struct, frozen=True):
    """One line.

    Args:
        time_ns: nanoseconds since the Unix epoch, UTC; None when the line has no time.
    """

    measurement: str
    tags: dict[str, str]
    fields: dict[str, FieldValue]
    time_ns: int | None


def split_lines(raw: bytes) -> Iterator[bytes]:
    """Yield the lines that hold points; a line feed inside a quoted field belongs to the field."""
    if b'"' not in raw:
        for line in raw.split(b"\n"):
            yield from _clean(line)
        return
    start = index = 0
    quoted = spaced = False  # only a quote that opens a field's value counts: elsewhere it is a plain character
    while index < len(raw):
        byte = raw[index]
        if byte == 0x5C:  # a backslash: the next byte means nothing special
            index += 1
        elif byte == 0x20:
            spaced = True
        elif byte == 0x22 and (quoted or (spaced and raw[index - 1] == 0x3D)):
            quoted = not quoted
        elif byte == 0x0A and not quoted:
            yield from _clean(raw[start:index])
            start, spaced = index + 1, False
        index += 1
    yield from _clean(raw[start:])


def _clean(line: bytes) -> Iterator[bytes]:
    text = line.strip(b" \r\t")
    if text and not text.startswith(b"#"):
        yield text


def parse_lines(raw: bytes, precision: str = "ns") -> Iterator[tuple[bytes, Point | Invalid]]:
    """Yield (line, point) for each line; a line that is wrong yields its error instead, the others go on.

    Raises:
        Invalid: ``payload.precision_unknown``.
    """
    factor = precision_ns(precision)
    for line in split_lines(raw):
        yield line, parse_line(line, factor)


def precision_ns(precision: str) -> int:
    """Return how many nanoseconds one unit of time is. Raises Invalid ``payload.precision_unknown``."""
    factor = _PRECISION_NS.get(precision)
    if factor is None:
        raise Invalid("payload.precision_unknown", value=precision[:20], known=", ".join(_PRECISION_NS))
    return factor


def parse_line(line: bytes, factor_ns: int) -> Point | Invalid:
    """Read one line, as ``split_lines`` yields it; what is wrong with it is returned, not raised."""
    try:
        return _parse(line, factor_ns)
    except Invalid as error:
        return error


def _parse(line: bytes, factor: int) -> Point:
    if len(line) > _LONGEST_LINE:
        raise Invalid("payload.too_large", limit=_LONGEST_LINE, unit="bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise _malformed("not UTF-8") from None
    head, rest = _cut(text, " ")
    fields_text, time_text = _cut(rest.lstrip(" "), " ", quotes=True)
    names = _split(head, ",")
    measurement = _unescape(names[0])
    if not measurement or not fields_text:
        raise _malformed("a measurement and at least one field are needed")
    tags = dict(_pair(part) for part in names[1:])
    fields = {}
    for part in _split(fields_text, ",", quotes=True):
        key, value = _pair(part, unescape_value=False)
        fields[key] = _field(value)
    return Point(measurement, tags, fields, _time(time_text.strip(), factor))


def _time(text: str, factor: int) -> int | None:
    if not text:
        return None
    if _INTEGER.fullmatch(text) is None:
        raise _malformed("the time is a whole number")
    return int(text) * factor


def _field(text: str) -> FieldValue:
    if text.startswith('"'):
        if len(text) < 2 or not text.endswith('"'):
            raise _malformed("a quote is not closed")
        return text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if text in _TRUTH:
        return _TRUTH[text]
    if text[-1:] in ("i", "u") and _INTEGER.fullmatch(text[:-1]):
        return int(text[:-1])
    if _FLOAT.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return number
    raise _malformed(f"{text[:40]!r} is no field value")


def _pair(text: str, *, unescape_value: bool = True) -> tuple[str, str]:
    key, value = _cut(text, "=")
    if not key or not value:
        raise _malformed(f"{text[:40]!r} is not key=value")
    return _unescape(key), _unescape(value) if unescape_value else value


def _cut(text: str, mark: str, *, quotes: bool = False) -> tuple[str, str]:
    at = _find(text, mark, 0, quotes)
    return (text, "") if at < 0 else (text[:at], text[at + 1 :])


def _split(text: str, mark: str, *, quotes: bool = False) -> list[str]:
    parts: list[str] = []
    start = 0
    while (at := _find(text, mark, start, quotes)) >= 0:
        parts.append(text[start:at])
        start = at + 1
        if len(parts) > _MOST_PARTS:
            raise Invalid("payload.too_large", limit=_MOST_PARTS, unit="tags and fields")
    parts.append(text[start:])
    return parts


def _find(text: str, mark: str, start: int, quotes: bool) -> int:
    """Find an unescaped mark outside quotes."""
    if "\\" not in text and not (quotes and '"' in text):
        return text.find(mark, start)
    quoted = False
    index = start
    while index < len(text):
        character = text[index]
        if character == "\\":
            index += 1
        elif quotes and character == '"':
            quoted = not quoted
        elif character == mark and not quoted:
            return index
        index += 1
    return -1


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return re.sub(r"\\([,= ])", r"\1", text)


def _malformed(detail: str) -> Invalid:
    return Invalid("payload.malformed", format="line", detail=detail)
