"""Tables of the context."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, LargeBinary, String, Table

from gulou.records import metadata

context_entities = Table(
    "context_entities",
    metadata,
    Column("id", String(512), primary_key=True),
    Column("type", String(256), nullable=False),
    Column("body", LargeBinary, nullable=False),  # msgpack of model.Entity
)

context_tombstones = Table(
    "context_tombstones",
    metadata,
    Column("id", String(512), primary_key=True),
    Column("stamp", BigInteger, nullable=False),
)

context_positions = Table(
    "context_positions",
    metadata,
    Column("consumer", String(64), primary_key=True),
    Column("position", BigInteger, nullable=False),
)
