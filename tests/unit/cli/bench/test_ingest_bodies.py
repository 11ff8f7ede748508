"""The bodies of ``gulou bench ingest`` hold what they say, with the time that was stamped into them."""

from __future__ import annotations

import io

import msgspec
import pyarrow as pa
import pytest

from gulou.cli.bench.ingest_sender import Body
from gulou.kernel.clock import from_rfc3339
from gulou.sensing.sdk.formats import parse_lines

AT_US = 1_782_892_800_123_456


def arrow_rows(raw):
    table = pa.ipc.open_stream(io.BytesIO(raw)).read_all()
    times = table["observedAt"].cast(pa.int64()).to_pylist()
    return list(
        zip(table["entity"].to_pylist(), table["property"].to_pylist(), table["value"].to_pylist(), times, strict=True)
    )


def line_rows(raw):
    points = [point for _, point in parse_lines(raw)]
    return [(one.tags["entity"], *next(iter(one.fields.items())), one.time_ns // 1_000) for one in points]


def json_rows(raw):
    rows = msgspec.json.decode(raw)
    return [(one["entity"], one["property"], one["value"], from_rfc3339(one["observedAt"])) for one in rows]


def ndjson_rows(raw):
    return json_rows(b"[" + b",".join(raw.splitlines()) + b"]")


@pytest.mark.parametrize(
    ("form", "read"), [("arrow", arrow_rows), ("line", line_rows), ("json", json_rows), ("ndjson", ndjson_rows)]
)
def test_every_row_has_the_time_that_was_stamped(form, read):
    body = Body(form, range(5, 12), 1)
    first = read(bytes(body.stamp(AT_US)))
    later = read(bytes(body.stamp(AT_US + 1_000_001)))
    assert [row[0] for row in first] == [f"urn:ngsi-ld:WeatherObserved:bench-{n:07d}" for n in range(5, 12)]
    assert {row[3] for row in first} == {AT_US}
    assert [row[:3] for row in later] == [row[:3] for row in first]
    assert {row[3] for row in later} == {AT_US + 1_000_001}
    assert all(1 <= row[2] < 10 for row in first)
