"""SenML packs in JSON and CBOR: base values resolved, versions and must-understand labels checked."""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
from typing import Any

import cbor2
import msgspec

from gulou.kernel.clock import SECOND_US
from gulou.kernel.errors import Invalid

_VERSION = 10
_RELATIVE_BELOW_S = 2**28
_MOST_RECORDS = 100_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_\-]*")
_LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u"} | {
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
_KNOWN = frozenset(_LABELS.values())
_CBOR_ERRORS = (
    cbor2.CBORDecodeError,
    RecursionError,
    ValueError,
    TypeError,
    OverflowError,
    MemoryError,
    EOFError,
)
_VALUES = ("v", "vs", "vb", "vd")

_UCUM = {
    "/": "1",
    "%": "1",  # RFC 8428 table 4, note *1: the absolute ratio, not a percentage
    "/100": "%",
    "/1000": "[ppth]",
    "ppm": "[ppm]",
    "count": "1",
    "%RH": "%",
    "%EL": "%",
    "EL": "s",
    "lat": "deg",
    "lon": "deg",
    "l": "L",
    "l/s": "L/s",
    "pH": "[pH]",
    "dBW": "dB[W]",
    "dBm": "dB[mW]",
    "Bspl": "B[SPL]",
    "beat/min": "/min",
    "beats": "1",
    "1/s": "/s",
    "1/min": "/min",
    "bit/s": "bit/s",
    "VA": "V.A",
    "VAs": "V.A.s",
    "var": "V.A",
    "vars": "V.A.s",
    "J/m": "J/m",
    "kVA": "kV.A",
    "kvar": "kV.A",
    "Ah": "A.h",
    "Wh": "W.h",
    "kWh": "kW.h",
    "varh": "V.A.h",
    "kvarh": "kV.A.h",
    "kVAh": "kV.A.h",
    "B/s": "By/s",
    "MB/s": "MBy/s",
    "GB": "GBy",
    "KiB": "KiBy",
}


class SenmlRecord(msgspec.Struct, frozen=True):
    """One resolved record.

    Args:
        name: base name and name joined.
        unit: SenML unit symbol; ``ucum_of`` translates.
        value: number, text, truth value, or bytes; None for a record that has only a sum.
        at_us: µs since the Unix epoch, UTC; a relative time is already added to the time of arrival.
        timed: whether the pack gave a time at all.
    """

    name: str
    unit: str | None
    value: float | int | str | bool | bytes | None
    sum: float | None
    at_us: int
    timed: bool


def ucum_of(unit: str | None) -> str | None:
    """Translate a SenML unit symbol to UCUM; most are the same.

    Source: RFC 8428 §12.1, RFC 8798 §3
    """
    return None if unit is None else _UCUM.get(unit, unit)


def senml_from_json(raw: bytes) -> list[dict[str, Any]]:
    """Decode a JSON pack into its unresolved records.

    Raises:
        Invalid: ``payload.malformed``.

    Source: RFC 8428 §5
    """
    try:
        pack = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(str(error)) from None
    return _records(pack)


def senml_from_cbor(raw: bytes) -> list[dict[str, Any]]:
    """Decode a CBOR pack into records with JSON's labels.

    Raises:
        Invalid: ``payload.malformed``.

    Source: RFC 8428 §6, table 6
    """
    stream = io.BytesIO(raw)
    try:
        pack = cbor2.CBORDecoder(stream).decode()
    except _CBOR_ERRORS as error:
        raise _malformed(str(error)) from None
    if not isinstance(pack, list):
        raise _malformed("a pack is an array of records")
    named = []
    for record in pack:
        if not isinstance(record, dict):
            raise _malformed("a record is a map")
        named.append({_label(label): value for label, value in record.items()})
    return _records(named)


def _label(label: object) -> Any:
    return _LABELS.get(label, label) if isinstance(label, int) else label


def looks_like_senml(data: object) -> bool:
    """Tell whether decoded JSON is a SenML pack and not a list of channel values."""
    return (
        isinstance(data, list)
        and bool(data)
        and all(isinstance(record, dict) and record and record.keys() <= _KNOWN for record in data)
        and any(isinstance(data[0].get(label), str) for label in ("n", "bn"))
    )


def resolve(records: list[dict[str, Any]], now_us: int) -> list[SenmlRecord]:
    """Resolve base values, in order; records that carry only base values make nothing.

    Args:
        now_us: time of arrival, µs UTC; records without a time, or with a relative one, are placed by it.

    Raises:
        Invalid: ``payload.malformed``, naming the record.

    Source: RFC 8428 §4.6
    """
    base: dict[str, Any] = {}
    resolved: list[SenmlRecord] = []
    for index, record in enumerate(records):
        _check_labels(record, index)
        base.update({label: record[label] for label in ("bn", "bt", "bu", "bv", "bs", "bver") if label in record})
        if base.get("bver", _VERSION) > _VERSION:
            raise _malformed(f"record {index}: version {base['bver']} is newer than {_VERSION}")
        if any(label in record for label in (*_VALUES, "s")):
            resolved.append(_resolve_one(record, base, index, now_us))
    return resolved


def _resolve_one(record: dict[str, Any], base: dict[str, Any], index: int, now_us: int) -> SenmlRecord:
    name = str(base.get("bn", "")) + str(record.get("n", ""))
    if _NAME.fullmatch(name) is None:
        raise _malformed(f"record {index}: {name[:80]!r} is no name")
    given = [label for label in _VALUES if label in record]
    if len(given) > 1:
        raise _malformed(f"record {index}: more than one value")
    value = _value(record, base, given[0], index) if given else None
    total = _number(record["s"], index) + _number(base.get("bs", 0), index) if "s" in record else None
    base_us = _time_us(base.get("bt", 0), index)
    offset_us = _time_us(record.get("t", 0), index)
    at_us = base_us + offset_us
    if at_us < _RELATIVE_BELOW_S * SECOND_US:
        at_us += now_us
    unit = record.get("u", base.get("bu"))
    if unit is not None and not isinstance(unit, str):
        raise _malformed(f"record {index}: a unit is a text")
    return SenmlRecord(name, unit, value, total, at_us, "bt" in base or "t" in record)


def _value(record: dict[str, Any], base: dict[str, Any], label: str, index: int) -> float | int | str | bool | bytes:
    value = record[label]
    if label == "v":
        offset = base.get("bv", 0)
        return _number(value, index) + _number(offset, index) if offset else _number(value, index)
    if label == "vb":
        if not isinstance(value, bool):
            raise _malformed(f"record {index}: vb is true or false")
        return value
    if label == "vd":
        return value if isinstance(value, bytes) else _from_base64(value, index)
    if not isinstance(value, str):
        raise _malformed(f"record {index}: vs is a text")
    return value


def _from_base64(value: object, index: int) -> bytes:
    try:
        text = str(value)
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _malformed(f"record {index}: vd is not base64url") from None


def _number(value: object, index: int) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _malformed(f"record {index}: a number is wanted")
    return value


def _time_us(value: object, index: int) -> int:
    number = _number(value, index)
    if abs(number) > 2**40:
        raise _malformed(f"record {index}: the time is out of range")
    return round(number * SECOND_US)


def _check_labels(record: dict[str, Any], index: int) -> None:
    for label in record:
        if isinstance(label, str) and label.endswith("_"):  # RFC 8428 §4.4: such a label must be understood
            raise _malformed(f"record {index}: label {label[:40]!r} must be understood and is not")
    for label in ("bn", "n"):
        if not isinstance(record.get(label, ""), str):
            raise _malformed(f"record {index}: {label} is a text")
    if isinstance(record.get("bver", 1), bool) or not isinstance(record.get("bver", 1), int):
        raise _malformed(f"record {index}: bver is a whole number")


def _records(pack: object) -> list[dict[str, Any]]:
    if not isinstance(pack, list) or not pack or not all(isinstance(record, dict) for record in pack):
        raise _malformed("a pack is an array of records")
    if len(pack) > _MOST_RECORDS:
        raise Invalid("payload.too_large", limit=_MOST_RECORDS, unit="records")
    return pack


def _malformed(detail: str) -> Invalid:
    return Invalid("payload.malformed", format="senml", detail=detail[:200])
