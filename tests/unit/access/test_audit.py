import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from gulou.access import Audit, AuditFilter
from gulou.access.audit import _canonical
from gulou.kernel import Invalid


@pytest.fixture
def audit(database, clock) -> Audit:
    return Audit(database, clock)


def fill(audit, root, count):
    for number in range(count):
        audit.record(root, f"device.{'created' if number % 2 else 'updated'}", "device", f"d{number}", {"n": number})


def test_entries_come_newest_first_in_pages(audit, root):
    fill(audit, root, 5)
    first = audit.list(limit=3)
    second = audit.list(limit=3, cursor=first.next)
    assert [entry.object_id for entry in first.items + second.items] == ["d4", "d3", "d2", "d1", "d0"]
    assert second.next is None


def test_filters_narrow(audit, root, clock):
    fill(audit, root, 4)
    clock.advance(10)
    audit.record(root, "user.created", "user", "u1", {"名称": "王"})
    assert [entry.details for entry in audit.list(AuditFilter(object_type="user")).items] == [{"名称": "王"}]
    assert len(audit.list(AuditFilter(action="device.")).items) == 4
    assert len(audit.list(AuditFilter(action="device.created")).items) == 2
    assert len(audit.list(AuditFilter(from_us=clock.now_us())).items) == 1
    assert len(audit.list(AuditFilter(to_us=clock.now_us())).items) == 4


def test_the_chain_holds_and_an_empty_one_too(audit, root):
    assert audit.verify().intact
    fill(audit, root, 10)
    assert (audit.verify().intact, audit.verify().entries) == (True, 10)


@pytest.mark.parametrize(
    ("harm", "first_broken"),
    [
        ("UPDATE audit_entries SET actor_name = 'nobody' WHERE sequence = 4", 4),
        ("UPDATE audit_entries SET details = '{\"n\":99}' WHERE sequence = 2", 2),
        ("DELETE FROM audit_entries WHERE sequence = 7", 7),
        ("DELETE FROM audit_entries WHERE sequence = 10", 10),
        ("UPDATE audit_entries SET at_us = at_us + 1 WHERE sequence = 10", 10),
    ],
)
def test_every_alteration_is_found(audit, root, database, harm, first_broken):
    fill(audit, root, 10)
    with database.transaction() as connection:
        connection.exec_driver_sql(harm)
    assert audit.verify().first_broken == first_broken


def test_an_entry_stands_or_falls_with_its_transaction(audit, root, database):
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        audit.record(root, "device.created", "device", "d", connection=connection)
        raise ZeroDivisionError
    assert audit.list().items == []
    fill(audit, root, 1)
    assert audit.verify().intact


def test_many_writers_make_one_chain(audit, root):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: audit.record(root, "device.created", "device", f"d{number}"), range(40)))
    assert (audit.verify().entries, audit.verify().intact) == (40, True)


def test_long_details_are_replaced_by_their_size(audit, root):
    audit.record(root, "pack.checked", "pack", "p", {"text": "x" * 100_000})
    assert list(audit.list().items[0].details) == ["omitted_characters"]


def test_a_bad_cursor_is_refused(audit):
    with pytest.raises(Invalid, match=r"request\.bad_cursor"):
        audit.list(cursor="-1")


def test_hashes_do_not_depend_on_who_writes_the_json():
    text = "".join(chr(code) for code in range(0x11000) if not 0xD800 <= code <= 0xDFFF)
    values = {"sequence": 7, "at_us": 1_760_000_000_000_000, "details": text, "actor_name": 'a"b\\c/\u2028\U0001f6a8'}
    written = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert _canonical(values) == written


def test_any_details_are_kept(audit, root):
    audit.record(root, "thing.done", "thing", "t", {"when": {1, 2}, "big": 2**70, "n": None})
    details = audit.list().items[0].details
    assert (details["big"], details["n"]) == (2**70, None)
    assert audit.verify().intact
