"""Tables of warnings and incidents."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, text

from gulou.records import metadata

_OPEN = text("state != 'closed'")

warnings = Table(
    "warnings",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("message_id", String(40), nullable=False, unique=True),
    Column("detection_id", String(900), nullable=False, index=True),
    Column("rule_id", String(160), nullable=False),
    Column("entity_id", String(600), nullable=False),
    Column("state", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("acknowledged", Boolean, nullable=False),
    Column("department", String(128)),
    Column("entity_type", String(128), nullable=False),
    Column("incident_id", String(64), index=True),
    Column("raised_at_us", BigInteger, nullable=False),
    Column("search", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Index("ix_warnings_newest", "raised_at_us", "id"),
    Index("ix_warnings_standing", "rule_id", "entity_id", "state"),
)

warning_detections = Table(
    "warning_detections",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("warning_id", String(64), nullable=False),
    Column("at_us", BigInteger, nullable=False, index=True),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("severity", String(16), nullable=False),
    Column("department", String(128)),
    Column("entity_id", String(600)),
    Column("longitude", Float),
    Column("latitude", Float),
    Column("overdue", Boolean, nullable=False),
    Column("press_at_us", BigInteger, index=True),
    Column("opened_at_us", BigInteger, nullable=False),
    Column("search", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("timeline_length", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Index("ix_incidents_newest", "opened_at_us", "id"),
    Index("ix_incidents_open_about", "entity_id", "kind", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_incidents_open_near", "kind", "latitude", sqlite_where=_OPEN, postgresql_where=_OPEN),
)

incident_timeline = Table(
    "incident_timeline",
    metadata,
    Column("incident_id", String(64), ForeignKey("incidents.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", String(256), nullable=False),
    Column("actor_name", String(256), nullable=False),
    Column("text", JSON, nullable=True),
    Column("details", JSON, nullable=False),
)

warning_commands = Table(
    "warning_commands",
    metadata,
    Column("command_id", String(128), primary_key=True),
    Column("warning_id", String(64), nullable=False, index=True),
)

incident_commands = Table(
    "incident_commands",
    metadata,
    Column("key", String(160), primary_key=True),
    Column("at_us", BigInteger, nullable=False),
)
