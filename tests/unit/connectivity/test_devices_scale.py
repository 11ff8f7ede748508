"""The list of 100,000 devices is reached through indexes; asked of the database's own plan, not of a watch."""

import pytest
from sqlalchemy import insert

from gulou.connectivity.devices import DeviceQuery
from gulou.connectivity.devices.store_sql import list_page, page_statement
from gulou.connectivity.devices.tables import devices
from gulou.records import Database

COUNT = 100_000


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    database = Database.at(tmp_path_factory.mktemp("scale") / "records.db")
    database.create_tables()
    shared = {"adapter": "mqtt", "bindings": "[]", "silence_s": 900, "sleepy": False, "enabled": True, "labels": "{}"}
    rows = [
        shared
        | {
            "id": f"device-{n:06}",
            "name": f"name {n * 7919 % COUNT:06}",
            "kind": ("sensor", "actuator")[n % 10 == 0],
            "department": f"department {n % 12}",
            "presence": n % 3,
            "last_seen_at_us": n * 31 % COUNT,
            "created_at_us": 0,
            "version": 1,
            "search": f"device-{n:06}",
        }
        for n in range(COUNT)
    ]
    with database.transaction() as connection:
        connection.execute(insert(devices), rows)
        connection.exec_driver_sql("ANALYZE")
    yield database
    database.close()


def plan_of(database, query):
    statement, _ = page_statement(query)
    text = statement.compile(database.engine, compile_kwargs={"literal_binds": True}).string
    with database.reading() as connection:
        return " | ".join(row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"sort": "-id"},
        {"sort": "name"},
        {"sort": "-last_seen"},
        {"kind": "actuator"},
        {"online": True},
        {"department": "department 3"},
        {"gateway_id": "device-000001"},
        {"cursor": '["device-050000","device-050000"]'},
        {"cursor": '["name 050000","device-050000"]', "sort": "name"},
    ],
)
def test_a_page_is_read_in_the_order_of_an_index(database, query):
    plan = plan_of(database, DeviceQuery(**query))
    assert "INDEX" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": '["device-050000","device-050000"]'},
        {"cursor": '["name 050000","device-050000"]', "sort": "name"},
        {"cursor": '[50000,"device-050000"]', "sort": "-last_seen"},
    ],
)
def test_a_far_page_is_sought_not_scanned_for(database, query):
    assert plan_of(database, DeviceQuery(**query)).startswith("SEARCH")


def test_a_page_in_the_middle_is_right(database):
    page = list_page(database, DeviceQuery(cursor='["device-049999","device-049999"]', limit=3))
    assert [item.id for item in page.items] == ["device-050000", "device-050001", "device-050002"]
    assert page.total == COUNT
