"""Tables of access: accounts, sessions, tokens, device credentials, the audit trail. Times are µs UTC."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from gulou.records import metadata

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("name_key", String(400), nullable=False, unique=True),
    Column("display_name", String(200)),
    Column("password_hash", String(300), nullable=False),
    Column("roles", JSON, nullable=False),
    Column("department", String(256)),
    Column("language", String(8)),
    Column("enabled", Boolean, nullable=False),
    Column("must_change_password", Boolean, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("last_sign_in_at_us", BigInteger),
    Column("version", Integer, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("account_id", String(64), ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("address", String(64), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("seen_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
    Index(None, "account_id", "created_at_us"),
    Index(None, "expires_at_us"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("permissions", JSON, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("last_used_at_us", BigInteger),
    Column("revoked_at_us", BigInteger),
    Index(None, "created_by"),
)

device_credentials = Table(
    "device_credentials",
    metadata,
    Column("device_id", String(128), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("secret_hash", LargeBinary(300), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor_kind", String(16), nullable=False),
    Column("actor_id", String(256), nullable=False),
    Column("actor_name", String(256), nullable=False),
    Column("action", String(128), nullable=False),
    Column("object_type", String(128), nullable=False),
    Column("object_id", String(600), nullable=False),
    Column("details", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "object_type", "object_id", "sequence"),
    Index(None, "actor_id", "sequence"),
    Index(None, "at_us"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)
