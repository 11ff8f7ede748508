"""Accounts and rejects as consumers: exact after a crash, bounded, searchable."""

import pytest

from gulou.connectivity.intake import (
    Account,
    Ledger,
    LedgerSettings,
    LogBatch,
    Reading,
    Rejected,
    RejectQuery,
    SqlRejectStore,
)
from gulou.kernel.clock import SECOND_US, VirtualClock
from gulou.kernel.errors import Invalid, NotFound
from gulou.records import Database

NOW_US = 1_780_000_000 * SECOND_US


@pytest.fixture
def database(tmp_path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    yield database
    database.close()


def batch(sequence, source="a", stored=1, rejected=0, *, raw=None, at_us=NOW_US, code="payload.malformed", **changes):
    readings = tuple(Reading("urn:x:y", "T", "p", 1.0, n) for n in range(stored))
    kept = raw if raw is not None else b"raw %d" % sequence
    rejects = tuple(
        Rejected(
            f"{sequence:012d}-{n:06d}", at_us, source, "t/1", None, f"dev-{sequence}", "topic", kept, code, {"n": n}
        )
        for n in range(rejected)
    )
    return LogBatch(sequence, at_us, source, readings, rejects, **changes)


def test_what_was_not_checkpointed_comes_again_from_the_log(database):
    clock = VirtualClock(NOW_US)
    ledger = Ledger(database, clock)
    ledger.apply(batch(1, stored=5))
    ledger.checkpoint()
    ledger.apply(batch(2, stored=7))
    again = Ledger(database, clock)
    assert (again.position(), again.account("a").stored) == (1, 5)
    for sequence, stored in ((1, 5), (2, 7)):
        again.apply(batch(sequence, stored=stored))
    assert again.account("a") == Account("a", 12, 12, 0, 0, NOW_US)


def test_every_line_adds_up_and_so_does_the_total(database):
    ledger = Ledger(database, VirtualClock(NOW_US))
    ledger.apply(batch(1, "a", 3, 2))
    ledger.apply(batch(2, "b", 0, 4, dropped={"c": {"full": 6}, "a": {"full": 1, "late": 2}}))
    lines = [*ledger.accounts(), ledger.total()]
    assert [(line.source, line.received, line.stored, line.rejected, line.dropped) for line in lines] == [
        ("a", 8, 3, 2, 3),
        ("b", 4, 0, 4, 0),
        ("c", 6, 0, 0, 6),
        ("total", 18, 3, 6, 9),
    ]
    assert ledger.account("nobody").received == 0


def test_origins_are_found_after_a_restart_and_forgotten_after_a_time(database):
    clock = VirtualClock(NOW_US)
    settings = LedgerSettings(keep_origins_days=10)
    ledger = Ledger(database, clock, settings)
    ledger.apply(batch(1, stored=3, rejected=1, origin="file", position=30))
    ledger.apply(batch(2, stored=2, origin="file", position=50))
    ledger.checkpoint()
    again = Ledger(database, clock, settings)
    found = again.origin("file")
    assert (found.position, found.account.stored, found.account.rejected) == (50, 5, 1)
    clock.advance(11 * 86_400)
    again.apply(batch(3, origin="other", position=1, at_us=clock.now_us()))
    again.checkpoint()
    assert Ledger(database, clock, settings).position_of("file") == 0
    assert Ledger(database, clock, settings).position_of("other") == 1


@pytest.fixture
def store(database):
    clock = VirtualClock(NOW_US)
    store = SqlRejectStore(database, clock, LedgerSettings(keep_rejects=50, keep_rejects_days=10, keep_rejects_mb=0.1))
    store.clock = clock
    return store


def test_pages_newest_first(store):
    store.apply(batch(1, rejected=5))
    first = store.list_rejected(RejectQuery(limit=3))
    second = store.list_rejected(RejectQuery(limit=3, cursor=first.next))
    numbers = [item.params["n"] for item in (*first.items, *second.items)]
    assert (numbers, first.total, second.next) == ([4, 3, 2, 1, 0], 5, None)


def test_filters(store):
    store.apply(batch(1, "mqtt", rejected=1, raw=b'{"Temp": 1', at_us=NOW_US))
    store.apply(batch(2, "http", rejected=1, code="device.unknown", raw="鼓楼 100%".encode(), at_us=NOW_US + 10))

    def found(**query):
        return [int(item.id.split("-")[0]) for item in store.list_rejected(RejectQuery(**query)).items]

    assert found() == [2, 1]
    assert found(source="mqtt") == found(code="payload.malformed") == found(to_us=NOW_US + 10) == [1]
    assert found(text='"temp"') == found(device_id="dev-1") == [1]
    assert found(text="鼓楼") == found(text="0%") == found(from_us=NOW_US + 1) == found(text="DEV-2") == [2]
    assert found(text="_") == []
    assert store.counts() == {"http": {"device.unknown": 1}, "mqtt": {"payload.malformed": 1}}


def test_one_reject_with_its_bytes(store):
    store.apply(batch(1, rejected=2, raw=b"\x00\xff\xfe"))
    assert store.get_rejected("000000000001-000001").raw == b"\x00\xff\xfe"
    with pytest.raises(NotFound):
        store.get_rejected("nothing")
    with pytest.raises(Invalid):
        store.list_rejected(RejectQuery(limit=0))


def test_too_many_are_forgotten_and_counted(store):
    for sequence in range(1, 8):
        store.apply(batch(sequence, rejected=10))
    store.clock.advance(61)
    store.checkpoint()
    page = store.list_rejected(RejectQuery(limit=100))
    assert (page.total, store.forgotten()) == (50, 20)
    assert page.items[-1].id == "000000000003-000000"
    assert page.items[-1].raw == b"raw 3"


def test_too_many_bytes_are_forgotten(store):
    for sequence in range(1, 5):
        store.apply(batch(sequence, rejected=1, raw=bytes(40_000)))
    store.checkpoint()
    assert [item.id[:12] for item in store.list_rejected(RejectQuery()).items] == ["000000000004", "000000000003"]


def test_the_old_are_forgotten(store):
    store.apply(batch(1, rejected=1))
    store.checkpoint()
    store.clock.advance(11 * 86_400)
    store.apply(batch(2, rejected=1, at_us=store.clock.now_us()))
    store.checkpoint()
    assert [item.id[:12] for item in store.list_rejected(RejectQuery()).items] == ["000000000002"]


def test_a_batch_that_comes_again_changes_nothing(database, store):
    store.apply(batch(1, rejected=3))
    store.checkpoint()
    again = SqlRejectStore(database, store.clock)
    again.apply(batch(1, rejected=3))
    assert again.list_rejected(RejectQuery()).total == 3
    assert again.position() == 1


def test_a_flood_is_written_in_parts(store):
    store.apply(batch(1, rejected=6_000))
    assert store.position() == 1
