"""What the rules keep: states, series, the position in the log, the moments at which timers ran, and what was found.

``rule_lanes`` holds blocks of 512 series, 32 bytes each: time, value, the value before, count (``engine/guards.py``).
Of several rows of a block, the newest whose sequence is not past that of ``rule_position`` counts.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, LargeBinary, String, Table

from gulou.records import metadata

rule_states = Table(
    "rule_states",
    metadata,
    Column("rule_id", String(160), primary_key=True),
    Column("state_key", String(700), primary_key=True),
    Column("state_version", String(32), nullable=False),
    Column("state", LargeBinary, nullable=False),
)

rule_position = Table(
    "rule_position",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("now_us", BigInteger, nullable=False),
    Column("listening_since_us", BigInteger, nullable=False),
)

rule_ticks = Table(
    "rule_ticks",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("now_us", BigInteger, nullable=False),
    Column("resumed", Integer, nullable=False),
)

rule_detections = Table(
    "rule_detections",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("detection_id", String(900), nullable=False, index=True),
    Column("rule_id", String(160), nullable=False),
    Column("at_us", BigInteger, nullable=False, index=True),
    Column("number", BigInteger, nullable=False),
    Column("detection", LargeBinary, nullable=False),
    Column("explanation", JSON, nullable=False),
)

rule_lanes = Table(
    "rule_lanes",
    metadata,
    Column("block", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("lanes", LargeBinary, nullable=False),
)

rule_quarantines = Table(
    "rule_quarantines",
    metadata,
    Column("rule_id", String(160), primary_key=True),
    Column("state_version", String(32), nullable=False),
    Column("reason", String(500), nullable=False),
    Column("at_us", BigInteger, nullable=False),
)
