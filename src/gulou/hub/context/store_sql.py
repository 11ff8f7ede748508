"""The context store on the record database (SQLite or PostgreSQL)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import msgspec
from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from gulou.hub.context.model import Entity
from gulou.hub.context.ports import Stored
from gulou.hub.context.series_file import read_series, write_series
from gulou.hub.context.series_state import SeriesCheckpoint
from gulou.hub.context.tables import context_entities, context_positions, context_tombstones
from gulou.kernel.errors import Fault, Unavailable
from gulou.records import Database, metadata

_NAME, _SERIES = "context", "context.series"
_CHUNK = 5_000
_DROP_ENTITY = delete(context_entities).where(context_entities.c.id == bindparam("key"))
_DROP_TOMBSTONE = delete(context_tombstones).where(context_tombstones.c.id == bindparam("key"))


class SqlContextStore:
    """Entities as msgpack by id. In a file of its own (``Database.at(…/context.db)``) its writes disturb nobody.

    The series lie in a file beside it; the database knows which one belongs to its position.

    Args:
        series_file: None: beside the database, named as it is, ending in ``.series``.
    """

    def __init__(self, database: Database, series_file: Path | None = None) -> None:
        self._database = database
        self._file = series_file or _beside(database)
        self._series_position = 0

    def create_tables(self) -> None:
        """Make this store's tables where they are missing; for a database that is not migrated with the records."""
        metadata.create_all(self._database.engine, tables=[context_entities, context_tombstones, context_positions])

    def load(self) -> Stored:
        """Return everything. Raises Fault ``context.damaged``."""
        try:
            with self._database.reading() as connection:
                rows = connection.execute(select(context_entities.c.body)).all()
                tombstones = {row.id: row.stamp for row in connection.execute(select(context_tombstones))}
                positions = {row.consumer: row.position for row in connection.execute(select(context_positions))}
            decoder = msgspec.msgpack.Decoder(Entity)
            entities = [decoder.decode(row.body) for row in rows]
            series = read_series(self._file)
            position = positions.get(_NAME, 0)
            self._series_position = 0 if series is None else series.position
            if self._series_position < positions.get(_SERIES, 0):  # the file was taken away, or is an old one
                position = self._series_position
            return Stored(entities, tombstones, position, series)
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
                    positions = [
                        {"consumer": _NAME, "position": position},
                        {"consumer": _SERIES, "position": self._series_position},
                    ]
                    connection.execute(delete(context_positions))
                    connection.execute(insert(context_positions), positions)
                    old = context_tombstones.c.stamp <= 2 * position
                    connection.execute(delete(context_tombstones).where(old))
        except SQLAlchemyError as error:
            raise Unavailable("context.write_failed", detail=str(error)[:300]) from error

    def save_series(self, copy: Callable[[], SeriesCheckpoint]) -> None:
        """Write the file; see ``ContextStore``."""
        checkpoint = copy()
        write_series(self._file, checkpoint)
        self._series_position = checkpoint.position


def _beside(database: Database) -> Path:
    path = database.engine.url.database
    if path is None or not database.url.startswith("sqlite"):
        raise Fault("context.damaged", detail="no place for the file of the series")
    return Path(path).with_suffix(".series")


def _chunks(rows: Iterable[dict[str, object]]) -> Iterator[list[dict[str, object]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk
