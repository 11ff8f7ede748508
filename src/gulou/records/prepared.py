"""Statements of what happens often: made once, and run without being made again for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, CursorResult, Delete, Insert, Select, Update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

Statement = Select[Any] | Insert | Update | Delete
Values = Mapping[str, Any]
T = TypeVar("T")
_SIZES = (1, 4, 16, 64, 256)
"""How many values a list in a statement has: few lengths, so that few statements are made."""


class Prepared:
    """One statement, compiled at its first use with each kind of database.

    Values go to the driver as they are: who binds a JSON column gives its text. Rows come as the driver gives them: a
    JSON column is text with SQLite, and an object with PostgreSQL (``json_of``).

    Args:
        make: returns the statement; a function, because some are written differently for each kind of database.
        columns: of an insert or update: which ones are written.
    """

    def __init__(self, make: Callable[[Dialect], Statement], columns: Sequence[str] | None = None) -> None:
        self._make = make
        self._columns = None if columns is None else list(columns)
        self._texts: dict[str, _Text] = {}

    def run(self, connection: Connection, values: Values) -> CursorResult[Any]:
        """Run once."""
        text = self._text(connection.dialect)
        return connection.exec_driver_sql(text.sql, text.bind(values))

    def run_all(self, connection: Connection, rows: Iterable[Values]) -> int:
        """Run once for each row; none: nothing happens. Returns how many rows it met, -1 where that is not known."""
        text = self._text(connection.dialect)
        bound = [text.bind(one) for one in rows]
        return connection.exec_driver_sql(text.sql, bound).rowcount if bound else 0

    def _text(self, dialect: Dialect) -> _Text:
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = _Text(self._make(dialect), self._columns, dialect)
        return text


class PreparedList:
    """A query that is asked for many keys at once, a few lengths of lists prepared.

    Args:
        make: returns the query for so many keys; their parts are bound as ``a0``, ``a1`` …, and ``b0``, ``b1`` … where
            a key has two.
    """

    def __init__(self, make: Callable[[int], Statement]) -> None:
        self._sizes = {size: Prepared(lambda _dialect, size=size: make(size)) for size in _SIZES}  # type: ignore[misc]

    def rows(self, connection: Connection, keys: Iterable[str | tuple[str, str]]) -> Iterator[Any]:
        """Yield what is found, each row once; a key that comes twice is asked for once."""
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _SIZES[-1]):
            part = wanted[start : start + _SIZES[-1]]
            size = next(one for one in _SIZES if one >= len(part))
            values: dict[str, str] = {}
            for number in range(size):
                key = part[min(number, len(part) - 1)]  # the last one fills the list up
                if isinstance(key, tuple):
                    values[f"a{number}"], values[f"b{number}"] = key
                else:
                    values[f"a{number}"] = key
            yield from self._sizes[size].run(connection, values).all()


def insert_new(dialect: Dialect, table: Any) -> Insert:
    """Return an insert that leaves alone what is there already."""
    if dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


class _Text:
    def __init__(self, statement: Statement, columns: list[str] | None, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self.sql = compiled.string
        order: list[str] | None = getattr(compiled, "positiontup", None)
        self._order = order
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def bind(self, values: Values) -> Any:
        given = {**self._fixed, **values} if self._fixed else values
        return given if self._order is None else tuple([given[name] for name in self._order])
