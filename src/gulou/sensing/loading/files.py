"""Files as rows, for ``gulou load``: CSV, NDJSON, GeoJSON, Parquet, packed by gzip or not; chunks can be resumed."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from gulou.kernel.clock import to_rfc3339, to_us
from gulou.kernel.errors import Invalid, NotFound

CHUNK_ROWS = 5_000
CHUNK_BYTES = 2_097_152
_LONGEST_CELL = 1_048_576
_LARGEST_DOCUMENT = 512 * 1_048_576
_DELIMITERS = ",;\t|"

Row = bytes
"""One line of NDJSON: an object of columns, or ``[code, params, text]`` for a row that could not be split."""


class Chunk(msgspec.Struct, frozen=True):
    """Rows of a file.

    Args:
        first_row, last_row: numbers from 1, without the heading.
        rows: NDJSON.
        bytes_read: how much of the file, as it lies on disk, is read so far; for a progress bar.
    """

    first_row: int
    last_row: int
    rows: bytes
    bytes_read: int


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hex: the origin under which it is loaded.

    Raises:
        NotFound: ``load.file_missing``.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NotFound("load.file_missing", file=str(path), detail=error.strerror or "") from error


def read_chunks(path: Path, after_row: int = 0) -> Iterator[Chunk]:
    """Yield a file's rows in chunks, leaving out the rows up to ``after_row``.

    Raises:
        NotFound: ``load.file_missing``.
        Invalid: ``load.format_unknown``, or ``load.file_unreadable`` naming the row where reading ended.
    """
    make = _format_of(path)
    try:
        with path.open("rb") as file:
            yield from _chunks(make(path, file), file, after_row)
    except (EOFError, gzip.BadGzipFile, csv.Error, UnicodeDecodeError) as error:
        raise Invalid("load.file_unreadable", file=str(path), detail=str(error)[:200]) from error
    except OSError as error:
        raise NotFound("load.file_missing", file=str(path), detail=error.strerror or str(error)) from error


def _chunks(rows: Iterator[Row], file: BinaryIO, after_row: int) -> Iterator[Chunk]:
    kept: list[Row] = []
    size = 0
    number = 0
    for number, row in enumerate(rows, start=1):  # used behind the loop
        if number <= after_row:
            continue
        kept.append(row)
        size += len(row) + 1
        if len(kept) >= CHUNK_ROWS or size >= CHUNK_BYTES:
            yield Chunk(number - len(kept) + 1, number, b"\n".join(kept), file.tell())
            kept, size = [], 0
    if kept:
        yield Chunk(number - len(kept) + 1, number, b"\n".join(kept), file.tell())


def _format_of(path: Path) -> Callable[[Path, BinaryIO], Iterator[Row]]:
    name = path.name.lower().removesuffix(".gz")
    for suffixes, make in _FORMATS:
        if name.endswith(suffixes):
            return make
    known = ", ".join(suffix for suffixes, _ in _FORMATS for suffix in suffixes)
    raise Invalid("load.format_unknown", file=str(path), known=known)


def _opened(path: Path, file: BinaryIO) -> BinaryIO:
    return gzip.GzipFile(fileobj=file) if path.name.lower().endswith(".gz") else file  # type: ignore[return-value]


def _csv_rows(path: Path, file: BinaryIO) -> Iterator[Row]:
    text = io.TextIOWrapper(_opened(path, file), "utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _split_rows(path, text)
    finally:
        text.detach()  # the file is its opener's to close


def _split_rows(path: Path, text: io.TextIOWrapper) -> Iterator[Row]:
    first = text.readline()
    delimiter = max(_DELIMITERS, key=first.count)
    csv.field_size_limit(_LONGEST_CELL)
    header = next(csv.reader([first], delimiter=delimiter), [])
    if not header or len(set(header)) != len(header):
        raise Invalid("load.header_unclear", file=str(path), header=first.strip()[:200])
    for cells in csv.reader(text, delimiter=delimiter):
        if not cells:
            continue
        if len(cells) != len(header):
            params = {"cells": len(cells), "columns": len(header)}
            yield _unsplit("payload.cell_count", params, delimiter.join(cells))
        else:
            yield _encoded(dict(zip(header, cells, strict=True)), delimiter.join(cells))


def _encoded(record: dict[str, str], text: str) -> Row:
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError:
        return _unsplit("payload.not_text", {"encoding": "UTF-8"}, text)


def _unsplit(code: str, params: dict[str, Any], text: str) -> Row:
    return msgspec.json.encode([code, params, text.encode("utf-8", "backslashreplace").decode("utf-8", "replace")])


def _ndjson_rows(path: Path, file: BinaryIO) -> Iterator[Row]:
    for line in _opened(path, file):
        text = line.strip()
        if not text:
            continue
        try:
            is_record = isinstance(msgspec.json.decode(text), dict)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            params = {"format": "json", "detail": str(error)[:200]}
            yield _unsplit("payload.malformed", params, text.decode("utf-8", "backslashreplace"))
            continue
        if is_record:
            yield text
        else:
            params = {"format": "json", "detail": "the line is no object"}
            yield _unsplit("payload.malformed", params, text.decode("utf-8", "backslashreplace"))


def _geojson_rows(path: Path, file: BinaryIO) -> Iterator[Row]:
    """Each feature is a row: its properties, beside ``geometry`` and, if it has one, ``id``. A list makes rows too."""
    raw = _opened(path, file).read(_LARGEST_DOCUMENT + 1)
    if len(raw) > _LARGEST_DOCUMENT:
        raise Invalid("load.too_large", limit=_LARGEST_DOCUMENT, unit="bytes")
    try:
        document = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid("load.file_unreadable", file=str(path), detail=str(error)[:200]) from error
    items = document.get("features") if isinstance(document, dict) else document
    if not isinstance(items, list):
        raise Invalid("load.file_unreadable", file=str(path), detail="it is neither a FeatureCollection nor a list")
    for item in items:
        if isinstance(item, dict) and item.get("type") == "Feature":
            record = {**(item.get("properties") or {}), "geometry": item.get("geometry")}
            yield msgspec.json.encode({"id": item["id"], **record} if "id" in item else record)
        else:
            yield msgspec.json.encode(item)


def _parquet_rows(path: Path, file: BinaryIO) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        for batch in parquet.ParquetFile(file).iter_batches(batch_size=CHUNK_ROWS):
            for record in batch.to_pylist():
                yield msgspec.json.encode({name: _plain(value) for name, value in record.items()})
    except pa.ArrowException as error:
        raise Invalid("load.file_unreadable", file=str(path), detail=str(error)[:200]) from error


def _plain(value: Any) -> Any:
    """Return what JSON can carry; a time without a zone stays without one, for the mapping to judge."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.isoformat() if value.tzinfo is None else to_rfc3339(to_us(value.astimezone(UTC)))
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return value


_FORMATS: tuple[tuple[tuple[str, ...], Callable[[Path, BinaryIO], Iterator[Row]]], ...] = (
    ((".csv", ".tsv"), _csv_rows),
    ((".ndjson", ".jsonl"), _ndjson_rows),
    ((".geojson", ".json"), _geojson_rows),
    ((".parquet",), _parquet_rows),
)
