"""The table of commands."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table, Text

from gulou.records import metadata

commands = Table(
    "commands",
    metadata,
    Column("id", String(512), primary_key=True),
    Column("device_id", String(128), nullable=False),
    Column("department", String(128)),
    Column("name", String(128), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("requested_by", String(256), nullable=False),
    Column("requested_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
    Column("cause", String(512)),
    Column("effect", JSON),
    Column("attempts", Integer, nullable=False),
    Column("sent_at_us", BigInteger),
    Column("acknowledged_at_us", BigInteger),
    Column("effect_seen_at_us", BigInteger),
    Column("ended_at_us", BigInteger),
    Column("reason", Text),
    Column("acknowledge_within_s", Float, nullable=False),
    Column("effect_within_s", Float, nullable=False),
    Column("retries", Integer, nullable=False),
    Index(None, "requested_at_us", "id"),
    Index(None, "device_id", "requested_at_us"),
    Index(None, "state", "requested_at_us"),
    Index(None, "cause", "requested_at_us"),
    Index(None, "ended_at_us"),
)
