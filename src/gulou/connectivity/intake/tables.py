"""The tables of the ledger and of the rejects."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text

from gulou.records import metadata

intake_positions = Table(
    "intake_positions",
    metadata,
    Column("consumer", String(128), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)

intake_accounts = Table(
    "intake_accounts",
    metadata,
    Column("source", String(256), primary_key=True),
    Column("received", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("last_received_at_us", BigInteger),
)

intake_drops = Table(
    "intake_drops",
    metadata,
    Column("source", String(256), primary_key=True),
    Column("reason", String(128), primary_key=True),
    Column("count", BigInteger, nullable=False),
)

intake_origins = Table(
    "intake_origins",
    metadata,
    Column("origin", String(512), primary_key=True),
    Column("source", String(256), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("stored", BigInteger, nullable=False),
    Column("rejected", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False, index=True),
)

intake_rejects = Table(
    "intake_rejects",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("received_at_us", BigInteger, nullable=False, index=True),
    Column("source", String(256), nullable=False),
    Column("adapter", String(128), nullable=False),
    Column("mapping", String(256)),
    Column("device_id", String(1024)),
    Column("address", Text, nullable=False),
    Column("payload_id", String(32), nullable=False),
    Column("code", String(128), nullable=False),
    Column("params", JSON, nullable=False),
    Column("place", Text, nullable=False),
    Column("replayed_at_us", BigInteger),
    Index(None, "source", "id"),
    Index(None, "code", "id"),
    Index(None, "device_id", "id"),
)

intake_raws = Table(
    "intake_raws",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("sequence", BigInteger, nullable=False, index=True),
    Column("raw", LargeBinary, nullable=False),
    Column("size", Integer, nullable=False),
    Column("excerpt", Text, nullable=False),
)
"""The bytes of a payload, once for all its flaws; ``excerpt`` is their beginning as text, for searching."""

intake_forgotten = Table(
    "intake_forgotten",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("count", BigInteger, nullable=False),
)
