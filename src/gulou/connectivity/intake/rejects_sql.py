"""Rejected readings, kept to be looked at and read again."""

from __future__ import annotations

import threading
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select
from sqlalchemy.engine import RowMapping

from gulou.connectivity.intake.model import LogBatch, Rejected, RejectPage, RejectQuery
from gulou.connectivity.intake.positions import load_position, save_position
from gulou.connectivity.intake.settings import LedgerSettings
from gulou.connectivity.intake.tables import intake_forgotten, intake_raws, intake_rejects
from gulou.kernel.clock import SECOND_US, Clock
from gulou.kernel.errors import Invalid, NotFound
from gulou.records import Database

_BUFFERED = 5_000
_EXCERPT = 512
_MAX_PAGE = 1_000
_DAY_US = 86_400 * SECOND_US
_RETENTION_US = 60 * SECOND_US


class SqlRejectStore:
    """A ``RejectStore`` in the records; a consumer of the log. Safe from any thread.

    What was applied and not yet written is written before it is listed, so a reject is visible at once. More than
    ``keep_rejects``, or older than ``keep_rejects_days``, is forgotten, and counted (``forgotten``).
    """

    takes_columns = True

    def __init__(self, database: Database, clock: Clock, settings: LedgerSettings | None = None) -> None:
        self.name = "rejects"
        self._database = database
        self._clock = clock
        self._settings = settings or LedgerSettings()
        self._guard = threading.Lock()
        self._durable = self._applied = load_position(database, self.name)
        self._rejects: list[dict[str, Any]] = []
        self._raws: list[dict[str, Any]] = []
        self._replayed: list[tuple[str, int]] = []
        self._retention_due_us = 0

    def position(self) -> int:
        return self._durable

    def apply(self, batch: LogBatch) -> None:
        with self._guard:
            if batch.sequence <= self._applied:
                return
            self._applied = batch.sequence
            if batch.rejected:
                self._take(batch)
            self._replayed.extend((reject_id, batch.received_at_us) for reject_id in batch.replay_of)
            if len(self._rejects) >= _BUFFERED:
                self._write()

    def checkpoint(self) -> None:
        with self._guard:
            self._write()

    def get_rejected(self, reject_id: str) -> Rejected:
        """Return one reject.

        Raises:
            NotFound: ``intake.reject_unknown``.
        """
        self.checkpoint()
        with self._database.reading() as connection:
            row = connection.execute(_joined().where(intake_rejects.c.id == reject_id)).mappings().one_or_none()
        if row is None:
            raise NotFound("intake.reject_unknown", id=reject_id)
        return _from_row(row)

    def list_rejected(self, query: RejectQuery) -> RejectPage:
        """Return a page, newest first.

        Raises:
            Invalid: ``intake.page_limit``.
        """
        if not 1 <= query.limit <= _MAX_PAGE:
            raise Invalid("intake.page_limit", limit=query.limit, maximum=_MAX_PAGE)
        self.checkpoint()
        filters = _filters(query)
        page = filters if query.cursor is None else [*filters, intake_rejects.c.id < query.cursor]
        with self._database.reading() as connection:
            total = connection.execute(
                select(func.count())
                .select_from(intake_rejects.join(intake_raws, intake_raws.c.id == intake_rejects.c.payload_id))
                .where(*filters)
            ).scalar_one()
            rows = (
                connection.execute(_joined().where(*page).order_by(intake_rejects.c.id.desc()).limit(query.limit + 1))
                .mappings()
                .all()
            )
        items = tuple(_from_row(row) for row in rows[: query.limit])
        return RejectPage(items, total, items[-1].id if len(rows) > query.limit else None)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many are kept: source → reason code → count."""
        self.checkpoint()
        columns = (intake_rejects.c.source, intake_rejects.c.code)
        with self._database.reading() as connection:
            rows = connection.execute(select(*columns, func.count()).group_by(*columns).order_by(*columns)).all()
        counted: dict[str, dict[str, int]] = {}
        for source, code, count in rows:
            counted.setdefault(source, {})[code] = count
        return counted

    def forgotten(self) -> int:
        """Return how many rejects were forgotten so far; their counts stay in the ledger."""
        with self._database.reading() as connection:
            total = connection.execute(select(func.coalesce(func.sum(intake_forgotten.c.count), 0))).scalar_one()
        return int(total)

    def _take(self, batch: LogBatch) -> None:
        payload_ids: dict[int, str] = {}
        for reject in batch.rejected:
            payload_id = payload_ids.get(id(reject.raw))
            if payload_id is None:
                payload_id = payload_ids[id(reject.raw)] = f"{batch.sequence:012d}-{len(payload_ids):06d}"
                excerpt = reject.raw[:_EXCERPT].decode("utf-8", "replace").replace("\0", "\ufffd")
                self._raws.append(
                    {
                        "id": payload_id,
                        "sequence": batch.sequence,
                        "raw": reject.raw,
                        "size": len(reject.raw),
                        "excerpt": excerpt,
                    }
                )
            self._rejects.append(
                {
                    "id": reject.id,
                    "sequence": batch.sequence,
                    "received_at_us": reject.received_at_us,
                    "source": reject.source,
                    "adapter": reject.adapter,
                    "mapping": reject.mapping,
                    "device_id": reject.device_id,
                    "address": reject.address,
                    "payload_id": payload_id,
                    "code": reject.code,
                    "params": reject.params,
                    "place": reject.where,
                    "replayed_at_us": None,
                }
            )

    def _write(self) -> None:
        if self._applied == self._durable:
            return
        with self._database.transaction(urgent=True) as connection:
            if self._raws:
                connection.execute(intake_raws.insert(), self._raws)
            if self._rejects:
                connection.execute(intake_rejects.insert(), self._rejects)
            for reject_id, at_us in self._replayed:
                connection.execute(
                    intake_rejects.update().where(intake_rejects.c.id == reject_id).values(replayed_at_us=at_us)
                )
            save_position(connection, self.name, self._applied)
            self._forget_old(connection)
        self._durable = self._applied
        self._rejects, self._raws, self._replayed = [], [], []

    def _forget_old(self, connection: Connection) -> None:
        now_us = self._clock.now_us()
        if now_us < self._retention_due_us and len(self._rejects) < _BUFFERED:
            return
        self._retention_due_us = now_us + _RETENTION_US
        oldest_us = now_us - int(self._settings.keep_rejects_days * _DAY_US)
        gone = connection.execute(delete(intake_rejects).where(intake_rejects.c.received_at_us < oldest_us)).rowcount
        for surplus in (self._over_count(connection), self._over_size(connection)):
            if surplus is not None:
                gone += connection.execute(delete(intake_rejects).where(intake_rejects.c.id <= surplus)).rowcount
        if gone:
            oldest = connection.execute(select(func.min(intake_rejects.c.sequence))).scalar_one_or_none()
            limit = self._applied + 1 if oldest is None else oldest
            connection.execute(delete(intake_raws).where(intake_raws.c.sequence < limit))
            connection.execute(intake_forgotten.insert().values(count=gone))

    def _over_count(self, connection: Connection) -> str | None:
        """Return the newest reject that is too many; None if there are not too many."""
        ids = select(intake_rejects.c.id).order_by(intake_rejects.c.id.desc())
        return connection.execute(ids.offset(self._settings.keep_rejects).limit(1)).scalar_one_or_none()

    def _over_size(self, connection: Connection) -> str | None:
        """Return the newest reject of the log record up to which raw bytes must go; None if they are not too many."""
        over = connection.execute(select(func.coalesce(func.sum(intake_raws.c.size), 0))).scalar_one()
        over -= int(self._settings.keep_rejects_mb * 1024 * 1024)
        if over <= 0:
            return None
        last = 0
        sizes = select(intake_raws.c.sequence, intake_raws.c.size).order_by(intake_raws.c.id)
        for sequence, size in connection.execute(sizes):
            last = sequence
            over -= size
            if over <= 0:
                break
        return f"{last:012d}-999999"


def _joined() -> Any:
    return select(intake_rejects, intake_raws.c.raw).join(intake_raws, intake_raws.c.id == intake_rejects.c.payload_id)


def _filters(query: RejectQuery) -> list[ColumnElement[bool]]:
    rejects = intake_rejects.c
    filters: list[ColumnElement[bool]] = []
    for column, wanted in (
        (rejects.source, query.source),
        (rejects.code, query.code),
        (rejects.device_id, query.device_id),
    ):
        if wanted is not None:
            filters.append(column == wanted)
    if query.from_us is not None:
        filters.append(rejects.received_at_us >= query.from_us)
    if query.to_us is not None:
        filters.append(rejects.received_at_us < query.to_us)
    if query.replayed is not None:
        filters.append(rejects.replayed_at_us.is_not(None) if query.replayed else rejects.replayed_at_us.is_(None))
    if query.text:
        sought = query.text.lower()
        columns = (rejects.address, func.coalesce(rejects.device_id, ""), intake_raws.c.excerpt, rejects.place)
        found = [func.lower(column).contains(sought, autoescape=True) for column in columns]
        filters.append(found[0] | found[1] | found[2] | found[3])
    return filters


def _from_row(row: RowMapping) -> Rejected:
    return Rejected(
        id=row["id"],
        received_at_us=row["received_at_us"],
        source=row["source"],
        adapter=row["adapter"],
        mapping=row["mapping"],
        device_id=row["device_id"],
        address=row["address"],
        raw=row["raw"],
        code=row["code"],
        params=row["params"],
        where=row["place"],
        replayed=row["replayed_at_us"] is not None,
    )
