"""The ledger: what every source sent and what became of it, exact after any crash.

It is a consumer of the log: its tables hold the sums up to a position, and the log holds the rest.
"""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import Connection, Table, delete, select

from gulou.connectivity.intake.model import Account, LogBatch, OriginAccount
from gulou.connectivity.intake.positions import load_position, save_position
from gulou.connectivity.intake.settings import LedgerSettings
from gulou.connectivity.intake.tables import intake_accounts, intake_drops, intake_origins
from gulou.kernel.clock import SECOND_US, Clock
from gulou.records import Database

TOTAL = "total"
_DAY_US = 86_400 * SECOND_US
_CACHED_ORIGINS = 10_000


class _Sums:
    __slots__ = ("dropped", "last_us", "position", "received", "rejected", "source", "stored")

    def __init__(self, source: str) -> None:
        self.source = source
        self.received = self.stored = self.rejected = self.dropped = self.position = 0
        self.last_us: int | None = None

    def add(self, batch: LogBatch) -> None:
        self.stored += batch.count
        self.rejected += len(batch.rejected)
        self.received += batch.count + len(batch.rejected)
        self.last_us = batch.received_at_us

    def to_account(self) -> Account:
        return Account(self.source, self.received, self.stored, self.rejected, self.dropped, self.last_us)


class Ledger:
    """The accounts, per source and per origin. Safe from any thread.

    Args:
        database: holds the sums; shared with the rest of the records.
        clock: for forgetting origins.
    """

    takes_columns = True

    def __init__(self, database: Database, clock: Clock, settings: LedgerSettings | None = None) -> None:
        self.name = "ledger"
        self._database = database
        self._clock = clock
        self._settings = settings or LedgerSettings()
        self._guard = threading.Lock()
        self._durable = self._applied = load_position(database, self.name)
        self._sources: dict[str, _Sums] = {}
        self._drops: dict[tuple[str, str], int] = {}
        self._origins: dict[str, _Sums] = {}
        self._dirty_sources: set[str] = set()
        self._dirty_drops: set[tuple[str, str]] = set()
        self._dirty_origins: set[str] = set()
        self._forget_due_us = 0
        self._load()

    def accounts(self) -> list[Account]:
        """Return one line per source, by name."""
        with self._guard:
            return [self._sources[source].to_account() for source in sorted(self._sources)]

    def account(self, source: str) -> Account:
        """Return one source's line; all zeros for one that never sent."""
        with self._guard:
            return self._sources.get(source, _Sums(source)).to_account()

    def total(self) -> Account:
        """Return the sum over all sources."""
        accounts = self.accounts()
        return Account(
            TOTAL,
            sum(account.received for account in accounts),
            sum(account.stored for account in accounts),
            sum(account.rejected for account in accounts),
            sum(account.dropped for account in accounts),
            max((account.last_received_at_us or 0 for account in accounts), default=0) or None,
        )

    def drops(self) -> dict[str, dict[str, int]]:
        """Return what was dropped: source → reason → count."""
        with self._guard:
            listed: dict[str, dict[str, int]] = {}
            for (source, reason), count in sorted(self._drops.items()):
                listed.setdefault(source, {})[reason] = count
            return listed

    def origin(self, origin: str) -> OriginAccount | None:
        """Return how far a resumable sender has come, and its account; None if it is unknown."""
        with self._guard:
            sums = self._find_origin(origin)
            return None if sums is None else OriginAccount(origin, sums.position, sums.to_account())

    def position_of(self, origin: str, /) -> int:
        with self._guard:
            sums = self._find_origin(origin)
            return 0 if sums is None else sums.position

    def position(self) -> int:
        return self._durable

    def apply(self, batch: LogBatch) -> None:
        with self._guard:
            if batch.sequence <= self._applied:
                return
            self._applied = batch.sequence
            if batch.source:
                self._source(batch.source).add(batch)
            if batch.origin is not None:
                self._add_to_origin(batch.origin, batch)
            for source, reasons in batch.dropped.items():
                self._drop(source, reasons)

    def checkpoint(self) -> None:
        """Write what changed and the position, in one transaction."""
        with self._guard:
            if self._applied == self._durable:
                return
            accounts = [_account_row(self._sources[source]) for source in sorted(self._dirty_sources)]
            drops = [
                {"source": source, "reason": reason, "count": self._drops[source, reason]}
                for source, reason in sorted(self._dirty_drops)
            ]
            origins = [_origin_row(origin, self._origins[origin]) for origin in sorted(self._dirty_origins)]
            with self._database.transaction(urgent=True) as connection:
                _replace(connection, intake_accounts, ("source",), accounts)
                _replace(connection, intake_drops, ("source", "reason"), drops)
                _replace(connection, intake_origins, ("origin",), origins)
                save_position(connection, self.name, self._applied)
                self._forget(connection)
            self._durable = self._applied
            self._dirty_sources, self._dirty_drops, self._dirty_origins = set(), set(), set()
            if len(self._origins) > _CACHED_ORIGINS:
                self._origins.clear()

    def _load(self) -> None:
        with self._database.reading() as connection:
            for row in connection.execute(select(intake_accounts)).mappings():
                sums = self._sources[row["source"]] = _Sums(row["source"])
                _fill(sums, row)
                sums.dropped = row["dropped"]
                sums.last_us = row["last_received_at_us"]
            for row in connection.execute(select(intake_drops)).mappings():
                self._drops[row["source"], row["reason"]] = row["count"]

    def _find_origin(self, origin: str) -> _Sums | None:
        sums = self._origins.get(origin)
        if sums is not None:
            return sums
        with self._database.reading() as connection:
            row = (
                connection.execute(select(intake_origins).where(intake_origins.c.origin == origin))
                .mappings()
                .one_or_none()
            )
        if row is None:
            return None
        sums = self._origins[origin] = _Sums(row["source"])
        _fill(sums, row)
        sums.position = row["position"]
        sums.last_us = row["updated_at_us"]
        return sums

    def _source(self, source: str) -> _Sums:
        self._dirty_sources.add(source)
        return self._sources.setdefault(source, _Sums(source))

    def _add_to_origin(self, origin: str, batch: LogBatch) -> None:
        sums = self._find_origin(origin)
        if sums is None:
            sums = self._origins[origin] = _Sums(batch.source)
        sums.add(batch)
        sums.position = max(sums.position, batch.position or 0)
        self._dirty_origins.add(origin)

    def _drop(self, source: str, reasons: dict[str, int]) -> None:
        sums = self._source(source)
        for reason, count in reasons.items():
            sums.received += count
            sums.dropped += count
            self._drops[source, reason] = self._drops.get((source, reason), 0) + count
            self._dirty_drops.add((source, reason))

    def _forget(self, connection: Connection) -> None:
        now_us = self._clock.now_us()
        if now_us < self._forget_due_us:
            return
        self._forget_due_us = now_us + _DAY_US
        oldest_us = now_us - int(self._settings.keep_origins_days * _DAY_US)
        connection.execute(delete(intake_origins).where(intake_origins.c.updated_at_us < oldest_us))


def _fill(sums: _Sums, row: Any) -> None:
    sums.received, sums.stored, sums.rejected = row["received"], row["stored"], row["rejected"]


def _account_row(sums: _Sums) -> dict[str, Any]:
    return {
        "source": sums.source,
        "received": sums.received,
        "stored": sums.stored,
        "rejected": sums.rejected,
        "dropped": sums.dropped,
        "last_received_at_us": sums.last_us,
    }


def _origin_row(origin: str, sums: _Sums) -> dict[str, Any]:
    return {
        "origin": origin,
        "source": sums.source,
        "position": sums.position,
        "received": sums.received,
        "stored": sums.stored,
        "rejected": sums.rejected,
        "updated_at_us": sums.last_us or 0,
    }


def _replace(connection: Connection, table: Table, keys: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write rows, whether they exist or not; portable because this process is the only writer."""
    for row in rows:
        match = [table.c[key] == row[key] for key in keys]
        if connection.execute(table.update().where(*match).values(**row)).rowcount == 0:
            connection.execute(table.insert().values(**row))
