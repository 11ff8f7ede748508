"""What one log record holds, and its bytes: one submission, its readings and its rejects together.

Because both are in one record, the ledger can be rebuilt from the log alone.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from gulou.connectivity.intake.columns import Columns
from gulou.connectivity.intake.model import LogBatch, Reading, Rejected
from gulou.kernel.errors import Fault

RECORD_VERSION = 1
ROW_BYTES = 20
"""What a row of columns takes in a record."""


class RejectedPart(msgspec.Struct, frozen=True, array_like=True):
    """A reject as logged; ``payload`` counts into the record's ``raws``: a payload with many flaws is kept once."""

    payload: int
    device_id: str | None
    address: str
    code: str
    params: dict[str, Any]
    where: str


class LogRecord(msgspec.Struct, frozen=True, array_like=True):
    """One submission as logged. Fields are only ever added at the end, each with a default."""

    version: int
    received_at_us: int
    source: str
    adapter: str
    mapping: str | None
    origin: str | None
    position: int | None
    readings: tuple[Reading, ...]
    raws: tuple[bytes, ...] = ()
    rejected: tuple[RejectedPart, ...] = ()
    replay_of: tuple[str, ...] = ()
    dropped: dict[str, dict[str, int]] = {}
    rows: int = 0
    """How many rows of columns follow the array: int64 times, float64 values, int32 series, little-endian."""


_COLUMNS = b"\xc1"
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LogRecord)


def encode_record(record: LogRecord, columns: Columns | None = None) -> bytes:
    """Encode; raises TypeError, ValueError, OverflowError or RecursionError for what MessagePack cannot hold.

    Columns are led by the byte 0xC1, which begins no MessagePack value, and the length of the array as u32.
    """
    if columns is None:
        return _encoder.encode(record)
    head = _encoder.encode(msgspec.structs.replace(record, rows=len(columns)))
    return b"".join(
        (
            _COLUMNS,
            len(head).to_bytes(4, "little"),
            head,
            columns.observed_at_us.astype("<i8", copy=False).tobytes(),
            columns.value.astype("<f8", copy=False).tobytes(),
            columns.series.astype("<i4", copy=False).tobytes(),
        )
    )


def decode_record(sequence: int, data: bytes) -> tuple[LogRecord, Columns | None]:
    """Decode.

    Raises:
        Fault: ``log.unreadable``: the record is whole, but from another version of Gulou.
    """
    begin = end = 0
    if data[:1] == _COLUMNS:
        begin, end = 5, 5 + int.from_bytes(data[1:5], "little")
    try:
        record = _decoder.decode(data[begin:end] if begin else data)
    except msgspec.MsgspecError as error:
        raise Fault("log.unreadable", sequence=sequence, problem=str(error)) from error
    if record.version != RECORD_VERSION:
        raise Fault("log.unreadable", sequence=sequence, problem=f"version {record.version}")
    rows = record.rows
    if not begin:
        return record, None
    if len(data) != end + ROW_BYTES * rows:
        raise Fault("log.unreadable", sequence=sequence, problem=f"{len(data)} bytes for {rows} rows")
    columns = Columns(
        np.frombuffer(data, "<i4", rows, end + 16 * rows),
        np.frombuffer(data, "<i8", rows, end),
        np.frombuffer(data, "<f8", rows, end + 8 * rows),
    )
    return record, columns


def to_batch(sequence: int, record: LogRecord, columns: Columns | None = None) -> LogBatch:
    """Make what consumers see; the same from a fresh record and from one read back."""
    return LogBatch(
        sequence=sequence,
        received_at_us=record.received_at_us,
        source=record.source,
        readings=record.readings,
        rejected=tuple(
            Rejected(
                id=f"{sequence:012d}-{index:06d}",
                received_at_us=record.received_at_us,
                source=record.source,
                adapter=record.adapter,
                mapping=record.mapping,
                device_id=part.device_id,
                address=part.address,
                raw=record.raws[part.payload],
                code=part.code,
                params=part.params,
                where=part.where,
            )
            for index, part in enumerate(record.rejected)
        ),
        origin=record.origin,
        position=record.position,
        replay_of=record.replay_of,
        dropped=record.dropped,
        columns=columns,
    )
