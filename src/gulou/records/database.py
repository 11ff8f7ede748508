"""The engine and its transactions; each package declares its tables on the shared ``metadata``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import OperationalError

from gulou.kernel.errors import Unavailable
from gulou.records.turn import Turn

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


_BUSY_S = 10.0


class Database:
    """An open record store; safe to use from several threads.

    Args:
        url: SQLAlchemy address, ``sqlite:///path`` or ``postgresql+psycopg://…``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
        self._turn = Turn() if url.startswith("sqlite") else None
        if url.startswith("sqlite"):
            event.listen(self.engine, "connect", _set_sqlite_pragmas)
            event.listen(self.engine, "begin", _begin_immediate)

    @classmethod
    def at(cls, path: Path) -> Database:
        """Open or create the SQLite file at ``path``."""
        return cls(f"sqlite:///{path}")

    @contextmanager
    def transaction(self, *, urgent: bool = False) -> Iterator[Connection]:
        """Run a block as one transaction: committed durably at its end, rolled back if it raises.

        Args:
            urgent: go before others that wait to write; for what a reading or a command waits for.

        Raises:
            Unavailable: ``records.unavailable``: locked too long, disk full, server away; nothing was changed.
        """
        try:
            with self._writing(urgent), self.engine.begin() as connection:
                yield connection
        except OperationalError as error:
            raise Unavailable("records.unavailable", detail=str(error.orig)[:200]) from error

    @contextmanager
    def _writing(self, urgent: bool) -> Iterator[None]:
        """Wait for this process's turn to write.

        SQLite lets one write at a time, and who finds it taken sleeps and asks again, up to 100 ms at a time, whoever
        came first. Other processes still meet SQLite's own lock.
        """
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(_BUSY_S, urgent=urgent):
            raise Unavailable("records.unavailable", detail="database is locked")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Run a block of queries; nothing that it writes is kept. Raises Unavailable ``records.unavailable``."""
        try:
            with self.engine.connect() as connection:
                connection.execution_options(gulou_read_only=True)
                yield connection
                connection.rollback()
        except OperationalError as error:
            raise Unavailable("records.unavailable", detail=str(error.orig)[:200]) from error

    def create_tables(self) -> None:
        """Create every declared table directly; for tests. The product migrates (``records/migrations``)."""
        metadata.create_all(self.engine)

    def close(self) -> None:
        """Release every connection."""
        self.engine.dispose()


def _set_sqlite_pragmas(dbapi_connection: object, _record: object) -> None:
    dbapi_connection.isolation_level = None  # type: ignore[attr-defined]  # we send BEGIN ourselves
    cursor = dbapi_connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={round(_BUSY_S * 1_000)}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("gulou_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
