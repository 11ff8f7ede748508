import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel import Invalid, VirtualClock, entity_id, is_entity_id, new_id, parse_entity_id

printable = st.text(min_size=1, max_size=40).filter(str.isprintable)


@given(printable)
def test_any_printable_local_part_survives_the_round_trip(local):
    urn = entity_id("WaterLevelObserved", local)
    assert urn.isascii()
    assert is_entity_id(urn)
    assert parse_entity_id(urn) == ("WaterLevelObserved", local)


@given(printable, printable)
def test_different_local_parts_make_different_ids(one, other):
    assert (entity_id("Pump", one) == entity_id("Pump", other)) == (one == other)


def test_a_local_part_may_hold_colons():
    assert parse_entity_id("urn:ngsi-ld:Streetlight:guadalajara:4567") == ("Streetlight", "guadalajara:4567")


def test_a_star_is_encoded_so_that_an_id_is_never_a_pattern():
    assert "*" not in entity_id("Pump", "a*b")


@pytest.mark.parametrize(
    "urn",
    [
        "",
        "pump-3",
        "urn:ngsi-ld:Pump",
        "urn:ngsi-ld::x",
        "urn:ngsi-ld:Pump:",
        "urn:x:Pump:1",
        "urn:ngsi-ld:Pump:a b",
        "urn:ngsi-ld:Pump:a\n",
    ],
)
def test_what_is_not_an_entity_id_is_refused(urn):
    assert not is_entity_id(urn)
    with pytest.raises(Invalid, match=r"id\.malformed"):
        parse_entity_id(urn)


@pytest.mark.parametrize(
    ("entity_type", "local", "code"),
    [
        ("", "x", "id.type_malformed"),
        ("Pump:2", "x", "id.type_malformed"),
        ("Pump", "", "id.local_malformed"),
        ("Pump", "a\x00", "id.local_malformed"),
        ("Pump", "x" * 600, "id.too_long"),
    ],
)
def test_ids_that_cannot_be_made(entity_type, local, code):
    with pytest.raises(Invalid, match=code):
        entity_id(entity_type, local)


def test_an_overlong_urn_is_refused():
    with pytest.raises(Invalid, match=r"id\.too_long"):
        parse_entity_id("urn:ngsi-ld:Pump:" + "x" * 600)


def test_new_ids_sort_by_time_and_do_not_collide():
    clock = VirtualClock(1_795_305_600_000_000)
    made = []
    for _ in range(50):
        made.append(new_id("inc", clock))
        clock.advance(0.000_001)
    assert made == sorted(made)
    assert len({new_id("inc", clock) for _ in range(1000)}) == 1000
    assert made[0].startswith("inc-20261122-")


def test_ids_sort_across_midnight():
    clock = VirtualClock(1_795_391_999_999_999)
    before = new_id("inc", clock)
    clock.advance(1)
    assert before < new_id("inc", clock)


@pytest.mark.parametrize("prefix", ["", "Inc", "a-b", "x" * 17])
def test_odd_prefixes_are_refused(prefix):
    with pytest.raises(Invalid, match=r"id\.prefix_malformed"):
        new_id(prefix, VirtualClock())
