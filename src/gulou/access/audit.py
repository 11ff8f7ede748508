"""The audit trail: who changed what and when; append-only, each entry bound to the one before by its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.engine import Row

from gulou.access.model import Principal
from gulou.access.tables import audit_entries, audit_head
from gulou.kernel import Clock, Invalid
from gulou.records import Database, Prepared

_NO_HASH = "0" * 64
_DETAILS_MAX = 16_384
_CHUNK = 2_000
_HEAD = Prepared(lambda _: select(audit_head.c.sequence, audit_head.c.hash).with_for_update())
_NEW_HEAD = Prepared(lambda _: update(audit_head).where(audit_head.c.id == 1), ["sequence", "hash"])
_NEW_ENTRY = Prepared(lambda _: insert(audit_entries), [one.name for one in audit_entries.c])


@dataclass(frozen=True)
class AuditEntry:
    """One change.

    Args:
        sequence: growing by one without a gap.
        at_us: when, µs since the Unix epoch, UTC.
        hash: SHA-256, hexadecimal, over this entry and the hash of the one before.
    """

    sequence: int
    at_us: int
    actor_kind: str
    actor_id: str
    actor_name: str
    action: str
    object_type: str
    object_id: str
    details: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class AuditDraft:
    """An entry that is to be recorded; see ``Audit.record``."""

    principal: Principal
    action: str
    object_type: str
    object_id: str
    details: dict[str, Any] | None = None


@dataclass(frozen=True)
class AuditFilter:
    """Which entries; None means any. ``action`` ending with a dot is a prefix."""

    actor: str | None = None
    action: str | None = None
    object_type: str | None = None
    object_id: str | None = None
    from_us: int | None = None
    to_us: int | None = None


@dataclass(frozen=True)
class AuditPage:
    """Entries, newest first; ``next`` is the cursor of the next page."""

    items: list[AuditEntry] = field(default_factory=list)
    next: str | None = None


@dataclass(frozen=True)
class Verification:
    """Outcome of a check: how many entries there are, and the first that does not fit the chain."""

    entries: int
    first_broken: int | None = None

    @property
    def intact(self) -> bool:
        return self.first_broken is None


class Audit:
    """Writes and reads the audit trail; safe from any thread."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(
        self,
        principal: Principal,
        action: str,
        object_type: str,
        object_id: str,
        details: dict[str, Any] | None = None,
        *,
        connection: Connection | None = None,
    ) -> None:
        """Append an entry.

        Args:
            action: ``user.created``, past tense.
            details: what changed; never a secret. At most 16 KiB as JSON: a longer one is replaced by its size.
            connection: an open transaction to write in, so that the change and its entry stand or fall together.
        """
        draft = AuditDraft(principal, action, object_type, object_id, details)
        with nullcontext(connection) if connection is not None else self._database.transaction() as used:
            self.record_all([draft], used)

    def record_all(self, entries: Iterable[AuditDraft], connection: Connection) -> None:
        """Append many entries in an open transaction, in order; see ``record``. None: nothing happens."""
        drafts = list(entries)
        if not drafts:
            return
        sequence, digest = _lock_head(connection)
        rows = []
        for entry in drafts:
            text = _canonical(entry.details or {})
            if len(text) > _DETAILS_MAX:
                text = _canonical({"omitted_characters": len(text)})
            sequence += 1
            values = {
                "sequence": sequence,
                "at_us": self._clock.now_us(),
                "actor_kind": entry.principal.kind,
                "actor_id": entry.principal.id[:256],
                "actor_name": entry.principal.name[:256],
                "action": entry.action,
                "object_type": entry.object_type,
                "object_id": entry.object_id[:600],
                "details": text,
            }
            digest = _hash_of(digest, values)
            rows.append({**values, "hash": digest})
        _NEW_ENTRY.run_all(connection, rows)
        _NEW_HEAD.run(connection, {"sequence": sequence, "hash": digest})

    def list(self, wanted: AuditFilter | None = None, limit: int = 50, cursor: str | None = None) -> AuditPage:
        """Return a page of entries, newest first.

        Raises:
            Invalid: ``request.bad_cursor``.
        """
        wanted = wanted or AuditFilter()
        columns = audit_entries.c
        query = select(audit_entries).order_by(columns.sequence.desc()).limit(limit + 1)
        if cursor is not None:
            if not cursor.isdecimal() or len(cursor) > 18:
                raise Invalid("request.bad_cursor", cursor=cursor)
            query = query.where(columns.sequence < int(cursor))
        for column, value in (
            (columns.actor_id, wanted.actor),
            (columns.object_type, wanted.object_type),
            (columns.object_id, wanted.object_id),
        ):
            if value is not None:
                query = query.where(column == value)
        if wanted.action is not None:
            is_prefix = wanted.action.endswith(".")
            query = query.where(
                columns.action.startswith(wanted.action, autoescape=True)
                if is_prefix
                else columns.action == wanted.action
            )
        if wanted.from_us is not None:
            query = query.where(columns.at_us >= wanted.from_us)
        if wanted.to_us is not None:
            query = query.where(columns.at_us < wanted.to_us)
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        items = [_entry(row) for row in rows[:limit]]
        return AuditPage(items, str(items[-1].sequence) if len(rows) > limit else None)

    def verify(self) -> Verification:
        """Recompute every hash from the first entry on; memory stays bounded."""
        previous, expected = _NO_HASH, 1
        with self._database.reading() as connection:
            for row in _all_rows(connection):
                values = {name: value for name, value in row._mapping.items() if name != "hash"}
                if row.sequence != expected or row.hash != _hash_of(previous, values):
                    return Verification(expected - 1, expected)
                previous, expected = row.hash, expected + 1
            head = connection.execute(select(audit_head.c.sequence, audit_head.c.hash)).first()
        count = expected - 1
        if (head.sequence, head.hash) != (count, previous) if head is not None else count > 0:
            return Verification(count, expected)
        return Verification(count)


def _lock_head(connection: Connection) -> tuple[int, str]:
    """Return the last sequence and hash; other writers wait until this transaction ends."""
    head = _HEAD.run(connection, {}).first()
    if head is not None:
        return head.sequence, head.hash
    connection.execute(insert(audit_head).values(id=1, sequence=0, hash=_NO_HASH))
    return 0, _NO_HASH


def _all_rows(connection: Connection) -> Iterator[Row[Any]]:
    last = 0
    while True:
        query = select(audit_entries).where(audit_entries.c.sequence > last)
        rows = connection.execute(query.order_by(audit_entries.c.sequence).limit(_CHUNK)).all()
        if not rows:
            return
        yield from rows
        last = rows[-1].sequence


def _canonical(details: dict[str, Any]) -> str:
    """Return JSON with sorted keys and no blanks; the same characters from either encoder but for odd numbers."""
    try:
        return msgspec.json.encode(details, enc_hook=str, order="sorted").decode()
    except (TypeError, ValueError, OverflowError):
        return json.dumps(details, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)


def _hash_of(previous: str, values: dict[str, Any]) -> str:
    return hashlib.sha256(f"{previous}\n{_canonical(values)}".encode()).hexdigest()


def _entry(row: Row[Any]) -> AuditEntry:
    values = dict(row._mapping)
    values["details"] = json.loads(values["details"])
    return AuditEntry(**values)
