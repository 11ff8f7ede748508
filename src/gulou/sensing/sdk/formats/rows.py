"""JSON, NDJSON and CSV messages as records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from gulou.kernel.errors import Invalid

_DEEPEST = 64


def read_json(raw: bytes) -> Any:
    """Decode one JSON document: UTF-8, no NaN, at most 64 levels deep.

    Raises:
        Invalid: ``payload.malformed``.
    """
    try:
        data = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("payload.malformed", format="json", detail=str(error)[:200]) from None
    return data


def read_ndjson(raw: bytes) -> Iterator[tuple[bytes, Any | Invalid]]:
    """Yield (line, document) for each line that is not empty; a line that is no JSON yields its error instead."""
    for line in raw.split(b"\n"):
        text = line.strip()
        if not text:
            continue
        try:
            yield text, read_json(text)
        except Invalid as error:
            yield text, error


def read_csv(raw: bytes) -> Iterator[tuple[bytes, dict[str, str] | Invalid]]:
    """Yield (row, record) of a CSV message whose first line names the columns; a row of another width yields an error.

    Raises:
        Invalid: ``payload.malformed``: not UTF-8, no header, a column named twice, or broken quotes.
    """
    try:
        text = raw.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise Invalid("payload.malformed", format="csv", detail=str(error)[:200]) from None
    rows = [row for row in rows if row]
    if not rows or len(set(rows[0])) != len(rows[0]):
        raise Invalid("payload.malformed", format="csv", detail="the first line must name each column once")
    header = rows[0]
    for row in rows[1:]:
        shown = ",".join(row).encode()
        if len(row) != len(header):
            yield shown, Invalid("payload.cell_count", cells=len(row), columns=len(header))
        else:
            yield shown, dict(zip(header, row, strict=True))
