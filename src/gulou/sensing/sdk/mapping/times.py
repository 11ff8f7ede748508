"""Times in records: local clocks, split columns, epochs; twofold and missing hours are refused, not guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gulou.kernel.clock import SECOND_US, to_us
from gulou.kernel.errors import Invalid
from gulou.sensing.sdk.mapping.document import TimePart
from gulou.sensing.sdk.mapping.expressions import Finder, find_column, find_path
from gulou.sensing.sdk.mapping.numbers import number_reader
from gulou.sensing.sdk.mapping.templates import Template

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # local clock readings are compared with it, before their zone is known
_MICROSECOND = timedelta(microseconds=1)
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*")
_FIRST_US = to_us(datetime(1, 1, 1, tzinfo=UTC))
_LAST_US = to_us(datetime(9999, 12, 31, tzinfo=UTC))
_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_WHOLE = re.compile(r"[0-9]{1,4}")

TimeReader = Callable[[Mapping[str, Any], int, int], int]
"""(record, row from 0, received_at_us) → observed_at_us; raises Invalid ``time.*`` or ``mapping.field_missing``."""


def local_to_us(local: datetime, zone: ZoneInfo) -> int:
    """Convert a local clock reading (naive) to µs UTC.

    Raises:
        Invalid: ``time.ambiguous`` or ``time.nonexistent``, where the zone's clock was set back or forward.
    """
    first = zone.utcoffset(local.replace(fold=0))
    second = zone.utcoffset(local.replace(fold=1))
    if first is None or second is None:
        raise Invalid("time.zone_missing", value=local.isoformat())
    if first > second:
        raise Invalid("time.ambiguous", value=local.isoformat(), zone=zone.key)
    if first < second:
        raise Invalid("time.nonexistent", value=local.isoformat(), zone=zone.key)
    return (local - _EPOCH - first) // _MICROSECOND


def text_to_us(text: str, zone: ZoneInfo | None, pattern: str | None = None) -> int:
    """Read ISO 8601 text, or text in a ``strptime`` pattern; an offset in the text wins over ``zone``.

    Raises:
        Invalid: ``time.unreadable``, ``time.zone_missing``, ``time.ambiguous``, ``time.nonexistent``.
    """
    text = text.strip()
    if len(text) > 64 or (pattern is None and _ISO.fullmatch(text) is None):
        raise Invalid("time.unreadable", value=text[:64])
    try:
        moment = datetime.fromisoformat(text) if pattern is None else datetime.strptime(text, pattern)  # noqa: DTZ007
    except ValueError:
        raise Invalid("time.unreadable", value=text) from None
    if moment.tzinfo is not None:
        return to_us(moment)
    if zone is None:
        raise Invalid("time.zone_missing", value=text)
    return local_to_us(moment, zone)


def number_to_us(value: object, unit: str) -> int:
    """Convert a count since 1970 UTC; nanoseconds are cut to microseconds.

    Raises:
        Invalid: ``time.unreadable``.
    """
    try:
        number = number_reader()(value)
    except Invalid:
        raise Invalid("time.unreadable", value=str(value)[:64]) from None
    instant_us = number // 1_000 if unit == "ns" else number * _UNITS[unit]
    if not _FIRST_US <= instant_us <= _LAST_US:
        raise Invalid("time.unreadable", value=str(value)[:64])
    return round(instant_us)


def time_reader(part: TimePart) -> TimeReader:
    """Compile the ``time`` of a mapping.

    Raises:
        ValueError: zone or pattern is unknown; the caller says where.
    """
    zone = _zone(part.zone) if part.zone else None
    if part.received:
        return lambda _record, _row, received_at_us: received_at_us
    if part.start is not None and part.step is not None and zone is not None:
        return _counted(part.start, part.step, zone)
    if part.columns is not None and zone is not None:
        return _from_columns(part.columns, zone)
    return _from_field(part, zone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name} is not a time zone of the IANA list, like Asia/Shanghai") from None


def _counted(start: str, step_s: float, zone: ZoneInfo) -> TimeReader:
    try:
        start_us = text_to_us(start, zone)
    except Invalid as error:
        raise ValueError(f"start cannot be read: {error}") from None
    step_us = round(step_s * SECOND_US)
    return lambda _record, row, _received_at_us: start_us + row * step_us


def _from_columns(columns: tuple[str, ...], zone: ZoneInfo) -> TimeReader:
    def read(record: Mapping[str, Any], _row: int, _received_at_us: int) -> int:
        parts = [_whole(record.get(name), name) for name in columns]
        try:
            local = datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001  # its zone follows in the next line
        except ValueError:
            raise Invalid("time.unreadable", value=" ".join(map(str, parts))) from None
        return local_to_us(local, zone)

    return read


def _whole(value: object, name: str) -> int:
    if value is None or value == "":
        raise Invalid("mapping.field_missing", field=name)
    if type(value) is int:
        return value
    text = str(value).strip().removesuffix(".0")
    if _WHOLE.fullmatch(text) is None:
        raise Invalid("time.unreadable", value=text[:64])
    return int(text)


def _from_field(part: TimePart, zone: ZoneInfo | None) -> TimeReader:
    find, name = _field(part)
    if part.format is not None:
        datetime(2000, 1, 1, tzinfo=zone).strftime(part.format)  # only tries the pattern; raises ValueError

    def read(record: Mapping[str, Any], _row: int, received_at_us: int) -> int:
        value = find(record)
        if value is None or value == "":
            if part.otherwise == "received":
                return received_at_us
            raise Invalid("mapping.field_missing", field=name)
        if part.unit is not None:
            return number_to_us(value, part.unit)
        if not isinstance(value, str):
            raise Invalid("time.unreadable", value=str(value)[:64])
        return text_to_us(value, zone, part.format)

    return read


def _field(part: TimePart) -> tuple[Finder, str]:
    if part.template is not None:
        template = Template(part.template)
        return template.fill, part.template
    if part.path is not None:
        return find_path(part.path), part.path
    return find_column(part.column or ""), part.column or ""
