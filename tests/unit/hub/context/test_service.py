import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gulou.access import Permission, Principal
from gulou.hub.context import (
    ContextService,
    ContextSettings,
    EntityQuery,
    MemoryContextStore,
    SqlContextStore,
    to_key_values,
    to_normalized,
)
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Denied, Invalid, NotFound, Unavailable
from gulou.records import Database
from gulou.vocabulary import Vocabulary

from .building import ADMIN, SECOND_US, T0, Box, batch, entity, point, reading, urn


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


@pytest.fixture(params=["memory", "sql"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryContextStore()
        return
    database = Database.at(tmp_path / "context.db")
    sql = SqlContextStore(database)
    sql.create_tables()
    yield sql
    database.close()


class FullStore(MemoryContextStore):
    full = False

    def save(self, *arguments):
        if self.full:
            raise Unavailable("context.write_failed", detail="no space")
        super().save(*arguments)


def level(context, local="drain-1"):
    return context.get_entity(urn(local)).plain("waterLevel")


def test_a_reading_makes_its_entity_and_is_there_at_once(vocabulary):
    context = Box(vocabulary=vocabulary)
    context.apply(batch(3, reading(1.25, 5), reading(True, 6, "floodAlarm")))
    found = context.get_entity(urn("drain-1"))
    attribute = found.find("waterLevel")
    assert (found.type, found.created_at_us, found.modified_at_us) == ("WaterLevelObserved", T0 + 3, T0 + 3)
    assert (attribute.value, attribute.observed_at_us, attribute.unit_code) == (1.25, T0 + 5 * SECOND_US, "m")
    (told,) = context.told
    assert (told.entity_id, told.properties, told.deleted) == (found.id, ("waterLevel", "floodAlarm"), False)


def test_an_entity_without_a_place_is_where_its_device_is(store):
    context = Box(store)
    context.place_by(lambda device_id, entity_id: (117.2, 31.8) if device_id == "gauge-1" else None)
    by_device = msgspec.structs.replace(reading(1.25, 5), device_id="gauge-1")
    elsewhere = msgspec.structs.replace(reading(1.25, 5, local="drain-2"), device_id="gauge-2")
    context.upsert_entity(entity("drain-3", location=point(117.0, 31.0)), ADMIN)
    context.apply(batch(3, by_device, elsewhere, msgspec.structs.replace(by_device, entity_id=urn("drain-3"))))
    assert [context.position_of(urn(f"drain-{n}")) for n in (1, 2, 3)] == [(117.2, 31.8), None, (117.0, 31.0)]


def test_the_newest_stays_and_a_correction_replaces(store):
    context = Box(store)
    context.apply(batch(1, reading(1.0, 10)))
    context.apply(batch(2, reading(0.5, 9)))
    assert level(context) == 1.0
    assert len(context.told) == 1
    context.apply(batch(3, reading(2.0, 10)))
    assert level(context) == 2.0
    context.apply(batch(4, reading(3.0, 12), reading(2.5, 11)))
    assert level(context) == 3.0


def test_instances_are_kept_apart(store):
    context = Box(store)
    context.apply(batch(1, reading(2.0, dataset_id="urn:x:radar"), reading(1.0)))
    context.apply(batch(2, reading(3.0, 1, dataset_id="urn:x:radar")))
    found = context.get_entity(urn("drain-1"))
    assert [(one.dataset_id, one.value) for one in found.attributes["waterLevel"]] == [
        (None, 1.0),
        ("urn:x:radar", 3.0),
    ]


def test_the_vocabulary_says_what_is_a_place_and_a_relation(vocabulary):
    context = Box(vocabulary=vocabulary)
    where = {"type": "Point", "coordinates": [116.4, 39.9]}
    context.apply(batch(1, reading(where, name="location"), reading("urn:ngsi-ld:Device:d", name="refDevice")))
    document = to_normalized(context.get_entity(urn("drain-1")))
    assert document["location"]["type"] == "GeoProperty"
    assert document["refDevice"] == {
        "type": "Relationship", "object": "urn:ngsi-ld:Device:d", "observedAt": "2025-03-01T00:00:00Z"
    }  # fmt: skip
    assert context.position_of(urn("drain-1")) == (116.4, 39.9)


def test_everything_survives_a_restart(store):
    context = Box(store)
    context.upsert_entity(entity("drain-1", location=point(116.4, 39.9), name={"languageMap": {"zh": "排水口"}}), ADMIN)
    context.apply(batch(1, reading(1.0)))
    context.apply(batch(2))
    assert context.position() == 0
    context.checkpoint()
    assert context.position() == 2
    before = to_normalized(context.get_entity(urn("drain-1")), system=True)
    again = Box(store)
    assert again.position() == 2
    assert to_normalized(again.get_entity(urn("drain-1")), system=True) == before
    assert again.position_of(urn("drain-1")) == (116.4, 39.9)
    assert again.count_by_type() == {"WaterLevelObserved": 1}


def test_a_direct_write_is_durable_at_once_and_outlives_a_replay(store):
    context = Box(store)
    context.apply(batch(1, reading(1.0, 10), reading("old", 10, "state")))
    context.patch_attributes(
        urn("drain-1"), {"state": "set by hand", "waterLevel": {"value": 7.0, "unitCode": "m"}}, ADMIN
    )
    crashed = Box(store)
    assert crashed.position() == 0
    assert level(crashed) == 7.0
    crashed.apply(batch(1, reading(1.0, 10), reading("old", 10, "state")))
    assert level(crashed) == 7.0
    assert crashed.get_entity(urn("drain-1")).plain("state") == "set by hand"
    crashed.apply(batch(2, reading(1.5, 9)))
    assert level(crashed) == 1.5  # a value without a time gives way to any later reading


def test_a_deleted_entity_stays_deleted_until_a_newer_reading(store):
    context = Box(store)
    context.apply(batch(1, reading(1.0), reading(5.0, local="drain-2")))
    context.delete_entity(urn("drain-1"), ADMIN)
    assert context.find_entity(urn("drain-1")) is None
    assert context.told[-1].deleted
    crashed = Box(store)
    crashed.apply(batch(1, reading(1.0), reading(5.0, local="drain-2")))
    assert crashed.find_entity(urn("drain-1")) is None
    assert level(crashed, "drain-2") == 5.0
    crashed.apply(batch(2, reading(2.0, -5)))
    assert level(crashed) == 2.0
    crashed.checkpoint()
    assert level(Box(store)) == 2.0
    with pytest.raises(NotFound):
        crashed.delete_entity(urn("drain-9"), ADMIN)


def test_an_entity_made_anew_by_hand_does_not_get_old_readings_back(store):
    context = Box(store)
    context.apply(batch(1, reading(1.0)))
    context.delete_entity(urn("drain-1"), ADMIN)
    context.upsert_entity(entity("drain-1", note="new"), ADMIN)
    crashed = Box(store)
    crashed.apply(batch(1, reading(1.0)))
    assert to_key_values(crashed.get_entity(urn("drain-1"))).keys() == {"id", "type", "note"}


steps = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.floats(0, 9)), max_size=4),
        st.sampled_from(["save", "crash", "delete", "write"]),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_crashes_anywhere_change_nothing(steps):
    """A context that crashes (and has the log read again from its position) equals one that never does."""
    steady, shaky, log = Box(), Box(), []
    for step in steps:
        match step:
            case "save":
                shaky.checkpoint()
            case "crash":
                shaky = Box(shaky.store)
                for one in log[shaky.position() :]:
                    shaky.apply(one)
            case "delete":
                for context in (steady, shaky):
                    if context.find_entity(urn("0")):
                        context.delete_entity(urn("0"), ADMIN)
            case "write":
                for context in (steady, shaky):
                    context.upsert_entity(entity("1", waterLevel=float(len(log)), note="x"), ADMIN)
            case _:
                log.append(batch(len(log) + 1, *(reading(v, second, local=str(n)) for n, second, v in step)))
                for context in (steady, shaky):
                    context.apply(log[-1])
    everything = EntityQuery(limit=100)
    ours, theirs = ([to_normalized(one) for one in c.find_entities(everything).items] for c in (shaky, steady))
    assert ours == theirs


def test_upsert_creates_then_writes_over(store, vocabulary):
    audit = []

    class Trail:
        def record(self, principal, action, object_type, object_id, details=None):
            audit.append((principal.name, action, object_id, details["attributes"]))

    context = Box(store, vocabulary, Trail())
    first, created = context.upsert_entity(entity("d", waterLevel={"value": 150, "unitCode": "cm"}, note="a"), ADMIN)
    assert created
    assert (first.find("waterLevel").value, first.find("waterLevel").unit_code) == (pytest.approx(1.5), "m")
    second, created = context.upsert_entity({**entity("d", note="b"), "type": "Device"}, ADMIN)
    assert (created, second.types, second.plain("note"), second.plain("waterLevel")) == (
        False, ("WaterLevelObserved", "Device"), "b", pytest.approx(1.5),
    )  # fmt: skip
    assert audit == [
        ("test", "entity.created", urn("d"), ["waterLevel", "note"]), ("test", "entity.changed", urn("d"), ["note"]),
    ]  # fmt: skip
    assert [one.properties for one in context.told] == [("waterLevel", "note"), ("note",)]


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"waterLevel": "high"}, "reading.not_a_number"),
        ({"waterLevel": 1e9}, "reading.out_of_range"),
        ({"waterLevel": {"value": 1, "unitCode": "CEL"}}, "reading.unit_incompatible"),
        ({"location": {"type": "Property", "value": "here"}}, "entity.kind_wrong"),
        ({"refDevice": {"type": "Property", "value": "urn:ngsi-ld:Device:1"}}, "entity.kind_wrong"),
        ({"x": "y" * 3000}, "entity.too_large"),
    ],
)
def test_a_direct_write_that_is_wrong_changes_nothing(vocabulary, attributes, code):
    context = Box(vocabulary=vocabulary, max_entity_bytes=2048)
    with pytest.raises(Invalid) as caught:
        context.upsert_entity(entity("d", **attributes), ADMIN)
    assert caught.value.code == code
    assert context.find_entity(urn("d")) is None
    context.upsert_entity(entity("d", note="a"), ADMIN)
    with pytest.raises(Invalid):
        context.patch_attributes(urn("d"), attributes, ADMIN)
    assert to_key_values(context.get_entity(urn("d"))).keys() == {"id", "type", "note"}


def test_an_entity_cannot_grow_without_bound():
    context = Box(max_attributes=3)
    context.upsert_entity(entity("d", a=1, b=2), ADMIN)
    with pytest.raises(Invalid) as caught:
        context.patch_attributes(urn("d"), {"c": 3, "e": 4}, ADMIN)
    assert caught.value.code == "entity.too_many_attributes"
    assert context.get_entity(urn("d")).attributes.keys() == {"a", "b"}


def test_writing_needs_the_permission_for_the_type():
    context = Box()
    pumps = Principal("user", "u", "u", permissions=(Permission("entity.write", None, frozenset({"Pump"})),))
    context.upsert_entity(entity("p", "Pump", on=True), pumps)
    context.upsert_entity(entity("d", note="x"), ADMIN)
    for forbidden in (
        lambda: context.upsert_entity(entity("d", note="y"), pumps),
        lambda: context.upsert_entity({**entity("d"), "type": "Pump", "note": "y"}, pumps),
        lambda: context.patch_attributes(urn("d"), {"note": "y"}, pumps),
        lambda: context.delete_entity(urn("d"), pumps),
    ):
        with pytest.raises(Denied):
            forbidden()
    assert context.get_entity(urn("d")).plain("note") == "x"
    context.delete_entity(urn("p", "Pump"), pumps)


def test_a_full_disk_takes_nothing_and_loses_nothing():
    store = FullStore()
    context = Box(store)
    context.upsert_entity(entity("d", note="a", location=point(1, 1)), ADMIN)
    context.apply(batch(1, reading(1.0)))
    store.full = True
    for action in (
        lambda: context.upsert_entity(entity("new", note="a"), ADMIN),
        lambda: context.patch_attributes(urn("d"), {"note": "b", "more": 1, "location": point(2, 2)}, ADMIN),
        lambda: context.delete_entity(urn("d"), ADMIN),
        context.checkpoint,
    ):
        with pytest.raises(Unavailable) as caught:
            action()
        assert caught.value.code == "context.write_failed"
    assert context.find_entity(urn("new")) is None
    assert to_key_values(context.get_entity(urn("d")))["note"] == "a"
    assert context.position_of(urn("d")) == (1.0, 1.0)
    store.full = False
    context.checkpoint()
    assert level(Box(store)) == 1.0


def test_pages_go_through_all_in_order():
    context = Box()
    context.apply(batch(1, *(reading(float(n), local=f"d-{n % 7}{n}") for n in range(25))))
    seen, cursor = [], None
    for _ in range(4):
        page = context.find_entities(EntityQuery(limit=7, cursor=cursor, q="waterLevel<24"))
        assert page.total == 24
        seen += [one.id for one in page.items]
        cursor = page.next
    assert cursor is None
    assert seen == sorted(seen)
    assert len(set(seen)) == 24
    assert context.find_entities(EntityQuery(limit=0)).total == 25


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (EntityQuery(limit=1001), "entity.limit"),
        (EntityQuery(limit=-1), "entity.limit"),
        (EntityQuery(cursor="ä"), "entity.cursor"),
        (EntityQuery(cursor="/w"), "entity.cursor"),
        (EntityQuery(q="=="), "entity.q_unexpected"),
        (EntityQuery(cell="nonsense"), "grid.code_malformed"),
        (EntityQuery(near=(0.0, 0.0, -1.0)), "geometry.radius_malformed"),
        (EntityQuery(near=(0.0, 95.0, 1.0)), "geometry.out_of_range"),
        (EntityQuery(polygon={"type": "Polygon"}), "geometry.malformed"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(query, code):
    context = Box()
    context.apply(batch(1, reading(1.0)))
    with pytest.raises(Invalid) as caught:
        context.find_entities(query)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*:d-1", ["d-1"]),
        ("*d-?", ["d-%", "d-1", "d-\\"]),
        ("*%", ["d-%"]),
        ("*\\", ["d-\\"]),
        ("*d_1", []),
        ("*", ["d-%", "d-1", "d-\\"]),
        (urn("d-1"), ["d-1"]),
        (urn("d-"), []),
        ("*" * 200 + "nothing", []),
    ],
)
def test_globs_stand_for_nothing_else(glob, expected):
    context = Box()
    context.apply(batch(1, *(reading(1.0, local=local) for local in ("d-1", "d-%", "d-\\"))))
    assert [one.id.rpartition(":")[2] for one in context.find_entities(EntityQuery(id_glob=glob)).items] == expected


def test_types_and_ids_choose():
    context = Box()
    context.apply(batch(1, reading(1.0), reading(1.0, type_="Pump"), reading(2.0, local="x", type_="Gate")))
    assert context.find_entities(EntityQuery(types=("Pump", "Gate", "None"))).total == 2
    assert context.find_entities(EntityQuery(types=())).total == 0
    assert context.find_entities(EntityQuery(ids=(urn("x", "Gate"), urn("x", "Gate")), types=("Gate",))).total == 1
    assert context.count_by_type() == {"Gate": 1, "Pump": 1, "WaterLevelObserved": 1}


def test_what_the_rules_ask():
    context = Box()
    context.upsert_entity(
        entity("p1", "Pump", drains={"object": urn("drain-1")}, name={"languageMap": {"en": "P"}}), ADMIN
    )
    context.upsert_entity(entity("p2", "Pump", drains={"object": [urn("drain-1"), urn("drain-2")]}), ADMIN)
    context.upsert_entity(entity("g1", "Gate", drains={"object": urn("drain-1")}), ADMIN)
    assert context.related_to(urn("drain-1"), "Pump", "drains") == [urn("p1", "Pump"), urn("p2", "Pump")]
    assert context.related_to(urn("drain-1"), "Pump", "other") == []
    assert sorted(context.entity_ids("Pump")) == [urn("p1", "Pump"), urn("p2", "Pump")]
    assert context.attributes(urn("p1", "Pump")) == {"drains": urn("drain-1"), "name": {"en": "P"}}
    assert context.attributes("urn:x:none") is None
    context.patch_attributes(urn("p2", "Pump"), {"drains": {"object": urn("drain-2")}}, ADMIN)
    assert context.related_to(urn("drain-1"), "Pump", "drains") == [urn("p1", "Pump")]
    context.delete_entity(urn("p1", "Pump"), ADMIN)
    assert context.related_to(urn("drain-1"), "Pump", "drains") == []


def test_it_saves_by_itself_and_on_close(tmp_path):
    store, saved = MemoryContextStore(), threading.Event()
    write = store.save

    def save(*arguments):
        write(*arguments)
        saved.set()

    store.save = save
    context = ContextService(store, VirtualClock(T0), settings=ContextSettings(save_s=0.01))
    context.start()
    context.apply(batch(1, reading(1.0)))
    context.checkpoint()
    assert saved.wait(20)
    context.apply(batch(2, reading(2.0, 1)))
    context.close()
    assert context.position() == 2
    assert level(Box(store)) == 2.0


def test_asking_while_readings_come():
    context = Box()
    context.apply(
        batch(
            1,
            *(
                reading({"type": "Point", "coordinates": [116 + n / 500, 39.9]}, 0, "location", f"d-{n:03}")
                for n in range(300)
            ),
        )
    )
    errors, done = [], threading.Event()

    def ask():
        while not done.is_set():
            page = context.find_entities(EntityQuery(limit=1000, q="location|!none"))
            if page.total < 300 or len(to_normalized(page.items[0])) < 3:
                errors.append(page.total)
            for one in page.items:
                to_key_values(one)

    asking = threading.Thread(target=ask)
    asking.start()
    for sequence in range(2, 80):
        context.apply(batch(sequence, *(
            reading(float(sequence), sequence, f"p{sequence % 30}", f"d-{n:03}") for n in range(0, 400, 3)
        )))  # fmt: skip
    done.set()
    asking.join()
    assert errors == []
