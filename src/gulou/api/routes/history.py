"""What was: readings and aggregates, streamed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from gulou.access import Principal
from gulou.api.asking import At, needs
from gulou.api.instants import to_span_us
from gulou.api.schemas.shape import Instant
from gulou.hub.history import AggregateQuery, Bucket, HistoryQuery, HistoryRow
from gulou.kernel import Invalid, from_us, to_rfc3339

if TYPE_CHECKING:
    from gulou.hub.history.model import Function

router = APIRouter(tags=["history"])

Aggregate = Literal["mean", "min", "max", "sum", "count", "first", "last", "stddev", "median", "p95", "p99"]
Reader = Annotated[Principal, needs("entity.read")]

NDJSON, CSV = "application/x-ndjson", "text/csv"
_PERCENTILES = {"p95": 0.95, "p99": 0.99}
_CHUNK_BYTES = 65_536
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "one JSON object a line, or CSV",
        "content": {
            NDJSON: {
                "schema": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/HistoryRow"},
                        {"$ref": "#/components/schemas/HistoryBucket"},
                    ]
                }
            },
            CSV: {"schema": {"type": "string"}},
        },
    }
}


@router.get("/history", response_model=None, responses=_RESPONSES)
def query_history(
    request: Request,
    at: At,
    asker: Reader,
    type_: Annotated[str, Query(alias="type", max_length=200)],
    property_: Annotated[str | None, Query(alias="property", max_length=200)] = None,
    id_: Annotated[str | None, Query(alias="id", max_length=500, description="glob: `*Aotizhongxin`")] = None,
    from_: Annotated[Instant | None, Query(alias="from", description="inclusive")] = None,
    to: Annotated[Instant | None, Query(description="exclusive")] = None,
    zone: Annotated[str, Query(max_length=64, description="IANA zone of the buckets' edges")] = "UTC",
    aggregate: Aggregate | None = None,
    every: Annotated[
        str | None, Query(pattern=r"^[1-9][0-9]{0,4}(s|m|h|d|w|mo|y)$", description="`15m`, `1d`, `1mo`")
    ] = None,
    by: Annotated[Literal["id"] | None, Query(description="one row an entity and bucket")] = None,
    limit: Annotated[int, Query(ge=1, le=5_000_000)] = 100_000,
) -> Response:
    """Stream readings, or with `aggregate` and `every` buckets; NDJSON, or CSV by `Accept: text/csv`."""
    asker.require("entity.read", entity_type=type_)
    at.vocabulary.get_type(type_)
    from_us, to_us = to_span_us(from_, to)
    named: dict[str, Any] = {
        "type": type_, "id_glob": id_, "property": property_, "from_us": from_us, "to_us": to_us, "limit": limit,
    }  # fmt: skip
    shown_in = zone_of(zone)
    if (aggregate is None) != (every is None):
        raise Invalid("request.together", names="aggregate, every")
    lines: Iterable[dict[str, Any]]
    columns: tuple[str, ...]
    if aggregate is None or every is None:
        rows = at.history.stream(HistoryQuery(**named))
        lines, columns = (_row_line(row) for row in rows), _ROW_COLUMNS
    else:
        function: Function = "percentile" if aggregate in _PERCENTILES else aggregate  # type: ignore[assignment]
        query = AggregateQuery(
            **named, function=function, every=every, zone=zone, by=by, percentile=_PERCENTILES.get(aggregate, 0.5)
        )
        lines = (_bucket_line(bucket, shown_in) for bucket in at.history.aggregate(query))
        columns = ("time", "value", "count", "id") if by else ("time", "value", "count")
    return stream_lines(lines, columns, as_csv=CSV in request.headers.get("accept", ""))


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        Invalid: ``request.bad_zone``.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a name that is a directory of zones
        raise Invalid("request.bad_zone", zone=name) from None


def stream_lines(lines: Iterable[dict[str, Any]], columns: tuple[str, ...], *, as_csv: bool) -> Response:
    """Send lines as they come, in chunks of tens of KiB; the first is made before the answer begins, so that an error
    there is still a problem document."""
    encoded = _chunks(_csv_lines(lines, columns) if as_csv else (msgspec.json.encode(line) + b"\n" for line in lines))
    first = next(encoded, b"")

    def whole() -> Iterator[bytes]:
        yield first
        yield from encoded

    return StreamingResponse(whole(), media_type=CSV if as_csv else NDJSON)


_ROW_COLUMNS = (
    "entity_id", "entity_type", "property", "observed_at", "value", "unit_code", "dataset_id", "device_id", "flags",
    "source",
)  # fmt: skip


def _row_line(row: HistoryRow) -> dict[str, Any]:
    line = {name: getattr(row, name) for name in _ROW_COLUMNS if name not in {"observed_at", "flags"}}
    return {**line, "observed_at": to_rfc3339(row.observed_at_us), "flags": list(row.flags)}


def _bucket_line(bucket: Bucket, zone: ZoneInfo) -> dict[str, Any]:
    moment = from_us(bucket.time_us)
    text = to_rfc3339(bucket.time_us) if zone.key == "UTC" else moment.astimezone(zone).isoformat()
    line: dict[str, Any] = {"time": text, "value": bucket.value, "count": bucket.count}
    if bucket.entity_id is not None:
        line["id"] = bucket.entity_id
    return line


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    waiting = bytearray()
    for line in lines:
        waiting += line
        if len(waiting) >= _CHUNK_BYTES:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _csv_lines(lines: Iterable[dict[str, Any]], columns: tuple[str, ...]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for line in lines:
        writer.writerow([_cell(line.get(column)) for column in columns])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _cell(value: Any) -> str:
    """Write a value for a spreadsheet: a text that it would take for a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
