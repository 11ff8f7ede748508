"""Statements that are made once do what those made each time do."""

import pytest
from sqlalchemy import JSON, Column, Integer, MetaData, String, Table, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql

from gulou.records import Database, Prepared, PreparedList, insert_new

things = Table(
    "things",
    MetaData(),
    Column("id", String(20), primary_key=True),
    Column("kind", String(20)),
    Column("size", Integer),
    Column("body", JSON),
)
COLUMNS = ("id", "kind", "size", "body")
NEW = Prepared(lambda _: insert(things), COLUMNS)
NEW_OR_THERE = Prepared(lambda dialect: insert_new(dialect, things), COLUMNS)
GROWN = Prepared(lambda _: update(things).where(things.c.id == bindparam("which"), things.c.kind == "a"), ["size"])
OF_IDS = PreparedList(
    lambda count: select(things.c.id).where(things.c.id.in_([bindparam(f"a{n}") for n in range(count)]))
)


def row(number, kind="a", size=0):
    return {"id": f"t{number}", "kind": kind, "size": size, "body": '{"名":"x"}'}


@pytest.fixture
def connection(tmp_path):
    database = Database.at(tmp_path / "records.db")
    things.metadata.create_all(database.engine)
    with database.transaction() as connection:
        NEW.run_all(connection, (row(number, "b" if number == 3 else "a") for number in range(600)))
        yield connection
    database.close()


def test_rows_are_written_as_by_the_statement_itself(connection):
    found = connection.execute(select(things).where(things.c.id == "t3")).one()
    assert tuple(found) == ("t3", "b", 0, {"名": "x"})


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 255, 256, 257, 600])
def test_any_number_of_keys_finds_each_row_once(connection, count):
    keys = [f"t{number}" for number in range(count)]
    found = [one.id for one in OF_IDS.rows(connection, [*keys, *keys, "unknown"])]
    assert sorted(found) == sorted(keys)


def test_how_many_rows_were_met_is_told_and_fixed_values_hold(connection):
    rows = [{"which": f"t{number}", "size": 7} for number in (1, 2, 3, 999)]
    assert GROWN.run_all(connection, rows) == 2  # the third is of another kind, the fourth is not there
    assert GROWN.run_all(connection, []) == 0
    grown = connection.execute(select(things.c.id).where(things.c.size == 7).order_by(things.c.id))
    assert [one.id for one in grown] == ["t1", "t2"]


def test_what_is_there_is_left_alone(connection):
    NEW_OR_THERE.run_all(connection, [row(1, size=5), row(1000, size=5)])
    sizes = {one.id: one.size for one in connection.execute(select(things.c.id, things.c.size))}
    assert (sizes["t1"], sizes["t1000"]) == (0, 5)


def test_the_other_database_gets_its_own_words():
    text = str(insert_new(postgresql.dialect(), things).compile(dialect=postgresql.dialect()))
    assert text.endswith("ON CONFLICT DO NOTHING")
