"""What one log record holds, and its bytes: one submission, its readings and its rejects together.

Because both are in one record, the ledger can be rebuilt from the log alone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gulou.connectivity.intake.model import LogBatch, Reading, Rejected
from gulou.kernel.errors import Fault

RECORD_VERSION = 1


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


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LogRecord)


def encode_record(record: LogRecord) -> bytes:
    """Encode; raises TypeError, ValueError, OverflowError or RecursionError for what MessagePack cannot hold."""
    return _encoder.encode(record)


def decode_record(sequence: int, data: bytes) -> LogRecord:
    """Decode.

    Raises:
        Fault: ``log.unreadable``: the record is whole, but from another version of Gulou.
    """
    try:
        record = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Fault("log.unreadable", sequence=sequence, problem=str(error)) from error
    if record.version != RECORD_VERSION:
        raise Fault("log.unreadable", sequence=sequence, problem=f"version {record.version}")
    return record


def to_batch(sequence: int, record: LogRecord) -> LogBatch:
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
    )
