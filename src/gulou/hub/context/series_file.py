"""The checkpoint of the series as one file.

magic "GULOUCTX" · version u32 · number of series u32 · position u64 · XXH3-64 of the rest u64, little-endian
then, each for all series: value f64, observed, modified, stamp and created i64, state u8
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
from xxhash import xxh3_64

from gulou.hub.context.series_state import SeriesCheckpoint
from gulou.kernel.errors import Fault, Unavailable
from gulou.kernel.writing import write_evenly

_HEADER = struct.Struct("<8sIIQQ")
_MAGIC, _VERSION = b"GULOUCTX", 1
_ARRAYS = {
    "value": "<f8",
    "observed_us": "<i8",
    "modified_us": "<i8",
    "stamp": "<i8",
    "created_us": "<i8",
    "state": "u1",
}


def write_series(path: Path, checkpoint: SeriesCheckpoint) -> None:
    """Write beside the old file, sync, and put it in its place. Raises Unavailable ``context.write_failed``."""
    count = len(checkpoint.arrays["state"])
    parts = [np.ascontiguousarray(checkpoint.arrays[name], kind).data for name, kind in _ARRAYS.items()]
    digest = xxh3_64()
    for part in parts:
        digest.update(part)
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as file:
            file.write(_HEADER.pack(_MAGIC, _VERSION, count, checkpoint.position, digest.intdigest()))
            write_evenly(file, parts)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Unavailable("context.write_failed", detail=str(error)[:300]) from error


def read_series(path: Path) -> SeriesCheckpoint | None:
    """Return the checkpoint, or None where there is none. Raises Fault ``context.damaged``."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Fault("context.damaged", detail=str(error)[:300]) from error
    if len(data) < _HEADER.size:
        raise Fault("context.damaged", detail=f"{path.name}: {len(data)} bytes")
    magic, version, count, position, digest = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size :]
    size = count * sum(np.dtype(kind).itemsize for kind in _ARRAYS.values())
    if (magic, version, len(body)) != (_MAGIC, _VERSION, size) or xxh3_64(body).intdigest() != digest:
        raise Fault("context.damaged", detail=f"{path.name}: not what was written")
    arrays, start = {}, 0
    for name, kind in _ARRAYS.items():
        arrays[name] = np.frombuffer(body, kind, count, start)
        start += arrays[name].nbytes
    return SeriesCheckpoint(position, arrays)
