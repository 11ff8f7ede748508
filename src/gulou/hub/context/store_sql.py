"""The context store on the record database (SQLite or PostgreSQL)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

import msgspec
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from gulou.hub.context.model import Entity
from gulou.hub.context.ports import Stored
from gulou.hub.context.tables import context_entities, context_positions, context_tombstones
from gulou.kernel.errors import Fault, Unavailable
from gulou.records import Database, metadata

_NAME = "context"
_CHUNK = 5_000
_DROP_ENTITY = delete(context_entities).where(context_entities.c.id == bindparam("key"))
_DROP_TOMBSTONE = delete(context_tombstones).where(context_tombstones.c.id == bindparam("key"))


class SqlContextStore:
    """Entities as msgpack by id. In a file of its own (``Database.at(…/context.db)``) its writes disturb nobody."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_tables(self) -> None:
        """Make this store's tables where they are missing; for a database that is not migrated with the records."""
        metadata.create_all(self._database.engine, tables=[context_entities, context_tombstones, context_positions])

    def load(self) -> Stored:
        """Return everything. Raises Fault ``context.damaged``."""
        try:
            with self._database.reading() as connection:
                rows = connection.execute(select(context_entities.c.body)).all()
                tombstones = {row.id: row.stamp for row in connection.execute(select(context_tombstones))}
                position = connection.scalar(
                    select(context_positions.c.position).where(context_positions.c.consumer == _NAME)
                )
            decoder = msgspec.msgpack.Decoder(Entity)
            return Stored([decoder.decode(row.body) for row in rows], tombstones, position or 0)
        except (SQLAlchemyError, msgspec.DecodeError) as error:
            raise Fault("context.damaged", detail=str(error)[:300]) from error

    def save(self, entities: Iterable[Entity], tombstones: Mapping[str, int], position: int | None) -> None:
        """Write; see ``ContextStore``."""
        encode = msgspec.msgpack.Encoder().encode
        rows: Iterator[dict[str, object]] = (
            {"id": entity.id, "type": entity.type, "body": encode(entity)} for entity in entities
        )
        try:
            with self._database.transaction() as connection:
                gone = [{"key": entity_id} for entity_id in tombstones]
                if gone:
                    connection.execute(_DROP_ENTITY, gone)
                    connection.execute(_DROP_TOMBSTONE, gone)
                    stones = [{"id": entity_id, "stamp": stamp} for entity_id, stamp in tombstones.items()]
                    connection.execute(insert(context_tombstones), stones)
                for chunk in _chunks(rows):
                    keys = [{"key": row["id"]} for row in chunk]
                    connection.execute(_DROP_ENTITY, keys)
                    connection.execute(insert(context_entities), chunk)
                if position is not None:
                    connection.execute(delete(context_positions).where(context_positions.c.consumer == _NAME))
                    connection.execute(insert(context_positions), {"consumer": _NAME, "position": position})
                    old = context_tombstones.c.stamp <= 2 * position + 1
                    connection.execute(delete(context_tombstones).where(old))
        except SQLAlchemyError as error:
            raise Unavailable("context.write_failed", detail=str(error)[:300]) from error


def _chunks(rows: Iterable[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
