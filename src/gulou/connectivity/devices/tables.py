"""The table of devices."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, SmallInteger, String, Table, Text

from gulou.records import metadata

NEVER, OFFLINE, ONLINE = 0, 1, 2

devices = Table(
    "devices",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("name", String(256), nullable=False),
    Column("adapter", String(64), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("bindings", Text, nullable=False),
    Column("mapping", String(256)),
    Column("gateway_id", String(128)),
    Column("department", String(128)),
    Column("longitude", Float),
    Column("latitude", Float),
    Column("silence_s", Integer, nullable=False),
    Column("sleepy", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("labels", Text, nullable=False),
    Column("presence", SmallInteger, nullable=False),
    Column("last_seen_at_us", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("search", Text, nullable=False),
    Index(None, "name", "id"),
    Index(None, "last_seen_at_us", "id"),
    Index(None, "kind", "id"),
    Index(None, "adapter", "id"),
    Index(None, "department", "id"),
    Index(None, "gateway_id", "id"),
    Index(None, "presence", "id"),
)
"""``bindings`` and ``labels`` hold JSON as text: they are read whole, 100,000 rows at a start, by a quick decoder.
``last_seen_at_us`` is 0 before the first word, so that it can be sorted by; a text is looked for in ``search``."""
