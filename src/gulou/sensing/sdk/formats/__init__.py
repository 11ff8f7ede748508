"""Payload formats that several adapters and the mappings share: pure functions from bytes to records."""

from gulou.sensing.sdk.formats.line import Point, parse_line, parse_lines, precision_ns, split_lines
from gulou.sensing.sdk.formats.rows import read_csv, read_json, read_ndjson
from gulou.sensing.sdk.formats.senml import (
    SenmlRecord,
    looks_like_senml,
    resolve,
    senml_from_cbor,
    senml_from_json,
    ucum_of,
)

__all__ = [
    "Point",
    "SenmlRecord",
    "looks_like_senml",
    "parse_line",
    "parse_lines",
    "precision_ns",
    "read_csv",
    "read_json",
    "read_ndjson",
    "resolve",
    "senml_from_cbor",
    "senml_from_json",
    "split_lines",
    "ucum_of",
]
