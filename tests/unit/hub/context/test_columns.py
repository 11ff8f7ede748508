"""Numbers that come as columns end up as those that come as objects, whatever else is written between."""

import threading

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gulou.connectivity.devices import DeviceChanged
from gulou.connectivity.intake import Columns, LogBatch, SeriesCatalogue, expand
from gulou.hub.context import EntityQuery, Interest, MemoryContextStore, SqlContextStore, to_normalized
from gulou.hub.context.series_state import SeriesState, pick_wanted, take_rows
from gulou.kernel.errors import Fault, Unavailable
from gulou.records import Database
from gulou.vocabulary import Vocabulary

from .building import ADMIN, SECOND_US, T0, Box, entity, point, reading, urn

TYPE = "WaterLevelObserved"
NAMES = ("waterLevel", "power")


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.load()


def columns(series, rows):
    """Make columns of (local id, property, second, value)."""
    numbers = [series.number_of(urn(local), TYPE, name, f"device-{local}") for local, name, _, _ in rows]
    return Columns(
        np.array(numbers, np.int32),
        np.array([T0 + second * SECOND_US for _, _, second, _ in rows], np.int64),
        np.array([value for *_, value in rows], np.float64),
    )


def column_batch(sequence, series, rows, objects=(), received=None):
    received_us = T0 + sequence if received is None else received
    return LogBatch(sequence, received_us, "test", tuple(objects), columns=columns(series, rows))


def everything(context):
    found = context.find_entities(EntityQuery(limit=1000)).items
    for one in found:
        assert context.get_entity(one.id) == one
        assert context.attributes(one.id) == {name: held[0].value for name, held in one.attributes.items()}
    return [to_normalized(one, system=True) for one in found]


rows = st.lists(
    st.tuples(st.sampled_from("012"), st.sampled_from(NAMES), st.integers(0, 6), st.floats(0, 9)), max_size=5
)
objects = st.lists(
    st.tuples(
        st.sampled_from("012"),
        st.sampled_from(NAMES),
        st.integers(0, 6),
        st.one_of(st.floats(0, 9), st.just("text"), st.booleans()),
        st.sampled_from([None, None, "urn:x:radar"]),
    ),
    max_size=3,
)
WRITES = {
    "number": {"waterLevel": 3.0},
    "timed": {"waterLevel": {"value": 4.0, "observedAt": "2025-03-01T00:00:03Z"}},
    "sub": {"waterLevel": {"value": 5.0, "accuracy": 0.1}, "note": "x"},
    "instance": {"waterLevel": {"value": 6.0, "datasetId": "urn:x:radar"}},
    "place": {"location": point(116.4, 39.9)},
}
steps = st.lists(
    st.one_of(
        st.tuples(rows, objects, st.integers(-2, 2)),
        st.sampled_from(["save", "save entities", "crash", "delete", "device", *WRITES]),
    ),
    max_size=16,
)


@settings(max_examples=400, deadline=None)
@given(steps)
def test_columns_and_objects_end_alike_through_crashes(steps):
    """One context gets columns and crashes; the other gets objects and never does."""
    series, log, placed = SeriesCatalogue(), [], set()
    steady, shaky = Box(), Box(series=series)

    def place_of(device_id, entity_id):
        return (117.0, 31.0) if device_id in placed else None

    for context in (steady, shaky):
        context.place_by(place_of)
    for step in steps:
        match step:
            case "save":
                shaky.checkpoint()
            case "save entities":
                shaky.save(series=False)
            case "crash":
                shaky = Box(shaky.store, series=series)
                shaky.place_by(place_of)
                for one in log[shaky.position() :]:
                    shaky.apply(one)
            case "delete":
                for context in (steady, shaky):
                    if context.has_entity(urn("0")):
                        context.delete_entity(urn("0"), ADMIN)
            case "device":
                if not placed and not log:
                    placed.add("device-1")
            case str():
                for context in (steady, shaky):
                    context.upsert_entity(entity("1", **WRITES[step]), ADMIN)
            case (some, others, late):
                made = [
                    reading(value, second, name, local, dataset_id=dataset_id)
                    for local, name, second, value, dataset_id in others
                ]
                log.append(column_batch(len(log) + 1, series, some, made, T0 + len(log) + late))
                steady.apply(expand(log[-1], series))
                shaky.apply(log[-1])
        assert everything(shaky) == everything(steady)
    for q in ("waterLevel>3", "waterLevel==text|power<2", 'modifiedAt<="2030-01-01T00:00:00Z"', "!power"):
        ours, theirs = (
            [one.id for one in context.find_entities(EntityQuery(q=q)).items] for context in (shaky, steady)
        )
        assert ours == theirs
    assert shaky.places(None, None, 10) == steady.places(None, None, 10)


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, max_size=4), st.booleans())
def test_the_kernel_does_the_same_compiled_and_not(batches, telling):
    series, results = SeriesCatalogue(), []
    for kernel in (take_rows, getattr(take_rows, "py_func", take_rows)):
        state = SeriesState(threading.Lock())
        said = []
        for sequence, some in enumerate(batches):
            made = columns(series, some)
            fresh, found = np.empty(len(made), np.int32), np.empty(len(made), np.int32)
            arrays = [state.array(name) for name in ("value", "observed_us", "modified_us", "stamp", "state")]
            marks = [state.array(name) for name in ("changed", "waiting")]
            counts = np.array([0, 0, state.waiting()], np.int64)
            kernel(
                made.series, made.observed_at_us, made.value, 2 * sequence, T0, int(telling),
                *arrays, *marks, fresh, found, counts,
            )  # fmt: skip
            for row in fresh[: counts[0]].tolist():
                state.bind(int(made.series[row]), None, 0, 0)
            said.append((fresh[: counts[0]].tolist(), found[: counts[1]].tolist(), counts.tolist()))
        results.append((said, [array.tolist() for array in arrays + marks] if batches else []))
    assert results[0] == results[1]


boxes = st.sampled_from([(np.nan,) * 4, (0.0, 0.0, 1.0, 1.0), (0.5, 0.5, 2.0, 2.0)])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0.2, 0.7, 1.5, np.nan]), st.booleans()), max_size=8),
    st.lists(st.tuples(st.integers(0, 7), boxes), max_size=3),
    st.integers(0, 8),
)
def test_picking_is_the_same_compiled_and_not(series, interests, most):
    results = []
    for kernel in (pick_wanted, getattr(pick_wanted, "py_func", pick_wanted)):
        waiting, changed = np.arange(len(series), dtype=np.int32), np.ones(len(series), np.uint8)
        group = np.array([one for one, _, _ in series], np.int32)
        at = np.array([one for _, one, _ in series], np.float32)
        watched = np.array([one for _, _, one in series], np.uint8)
        types = np.array([[bits >> n & 1 for n in range(3)] for bits, _ in interests], np.uint8).reshape(-1, 3)
        wanted = np.array([box for _, box in interests], np.float64).reshape(-1, 4)
        picked, counts = np.zeros(most, np.int32), np.array([len(series), 0, 0], np.int64)
        kernel(waiting, changed, group, at, at, watched, types, wanted, picked, counts)
        results.append([waiting.tolist(), changed.tolist(), picked.tolist(), counts.tolist()])
        assert counts[1] + counts[2] <= len(series)
        assert changed.sum() == counts[2]
    assert results[0] == results[1]


def test_a_series_has_kind_unit_and_place_like_any_attribute(vocabulary):
    series = SeriesCatalogue()
    context = Box(vocabulary=vocabulary, series=series)
    context.apply(column_batch(1, series, [("d", "waterLevel", 5, 1.25)]))
    assert to_normalized(context.get_entity(urn("d")), system=True) == {
        "id": urn("d"), "type": TYPE, "createdAt": "2025-03-01T00:00:00.000001Z",
        "modifiedAt": "2025-03-01T00:00:00.000001Z",
        "waterLevel": {
            "type": "Property", "value": 1.25, "observedAt": "2025-03-01T00:00:05Z", "unitCode": "m",
            "modifiedAt": "2025-03-01T00:00:00.000001Z",
        },
    }  # fmt: skip
    assert context.count_by_type() == {TYPE: 1}


def test_a_device_that_gets_a_place_gives_it_with_its_next_reading():
    series, places = SeriesCatalogue(), {}
    context = Box(series=series)
    context.place_by(lambda device_id, entity_id: places.get(device_id))
    context.apply(column_batch(1, series, [("d", "waterLevel", 1, 1.0)]))
    assert context.position_of(urn("d")) is None
    places["device-d"] = (117.0, 31.0)
    context.bus.publish(DeviceChanged(at_us=0, device_id="device-d", change="updated"))
    context.apply(column_batch(2, series, [("d", "waterLevel", 2, 2.0)]))
    assert context.position_of(urn("d")) == (117.0, 31.0)


def test_a_type_that_becomes_known_gives_its_units_with_the_next_reading(tmp_path):
    class Words:
        types: dict = {}  # noqa: RUF012

        def check(self, *arguments):
            return arguments[2]

    class Definition(msgspec.Struct):
        kind: str
        unit: str

    class Kind(msgspec.Struct):
        properties: dict

    words, series = Words(), SeriesCatalogue()
    context = Box(vocabulary=words, series=series)
    context.apply(column_batch(1, series, [(one, "waterLevel", 1, 1.0) for one in "dem"]))
    context.upsert_entity({**entity("m", note="x"), "type": "Device"}, ADMIN)
    words.types = {TYPE: Kind({"waterLevel": Definition("number", "m")})}
    context.apply(column_batch(2, series, [(one, "waterLevel", 2, 2.0) for one in "dmn"]))
    units = {one: context.get_entity(urn(one)).find("waterLevel").unit_code for one in "demn"}
    assert units == {"d": "m", "e": None, "m": "m", "n": "m"}


@pytest.fixture
def store(tmp_path):
    database = Database.at(tmp_path / "context.db")
    sql = SqlContextStore(database)
    sql.create_tables()
    yield sql
    database.close()


def test_the_file_of_the_series_brings_them_back_and_rows_are_not_in_the_database(store, tmp_path):
    series = SeriesCatalogue()
    context = Box(store, series=series)
    context.apply(column_batch(1, series, [(str(n), "waterLevel", n, float(n)) for n in range(50)]))
    context.upsert_entity(entity("3", note="by hand"), ADMIN)
    context.apply(column_batch(2, series, [("3", "waterLevel", 60, 60.0), ("4", "power", 2, 2.0)]))
    context.checkpoint()
    again = Box(store, series=series)
    assert again.position() == 2
    assert everything(again) == everything(context)
    assert [one.id for one in store.load().entities] == [urn("3")]
    again.apply(column_batch(3, series, [("3", "waterLevel", 59, 59.0), ("4", "waterLevel", 61, 61.0)]))
    assert again.attributes(urn("3"))["waterLevel"] == 60.0
    assert again.attributes(urn("4")) == {"waterLevel": 61.0, "power": 2.0}


def test_a_file_that_is_not_whole_is_refused_and_one_taken_away_is_built_again_from_the_log(store, tmp_path):
    series = SeriesCatalogue()
    context, batch = Box(store, series=series), column_batch(1, series, [("d", "waterLevel", 1, 1.0)])
    context.apply(batch)
    context.checkpoint()
    file = tmp_path / "context.series"
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:20], bytes([*whole[:-1], whole[-1] ^ 1])):
        file.write_bytes(damaged)
        with pytest.raises(Fault) as caught:
            Box(store, series=series)
        assert caught.value.code == "context.damaged"
    file.unlink()
    again = Box(store, series=series)
    assert again.position() == 0
    again.apply(batch)
    assert everything(again) == everything(context)


def test_without_new_rows_the_file_is_left_alone_and_the_position_moves_on(store, tmp_path):
    series = SeriesCatalogue()
    context = Box(store, series=series)
    context.apply(column_batch(1, series, [("d", "waterLevel", 1, 1.0)]))
    context.checkpoint()
    written = (tmp_path / "context.series").stat().st_mtime_ns
    context.apply(LogBatch(2, T0, "test", (reading(1.0, local="e"),)))
    context.checkpoint()
    assert (tmp_path / "context.series").stat().st_mtime_ns == written
    assert Box(store, series=series).position() == 2


def test_a_full_disk_loses_no_rows(store, tmp_path):
    series = SeriesCatalogue()
    context = Box(store, series=series)
    context.apply(column_batch(1, series, [("d", "waterLevel", 1, 1.0)]))
    (tmp_path / "context.new").mkdir()
    with pytest.raises(Unavailable):
        context.checkpoint()
    assert context.position() == 0
    (tmp_path / "context.new").rmdir()
    context.checkpoint()
    assert everything(Box(store, series=series)) == everything(context)


class FullStore(MemoryContextStore):
    full = False

    def save(self, *arguments):
        if self.full:
            raise Unavailable("context.write_failed", detail="no space")
        super().save(*arguments)


def test_a_write_or_deletion_that_could_not_be_kept_leaves_the_number():
    series, store = SeriesCatalogue(), FullStore()
    context = Box(store, series=series)
    context.apply(column_batch(1, series, [("d", "waterLevel", 1, 1.0)]))
    store.full = True
    before = everything(context)
    for action in (
        lambda: context.delete_entity(urn("d"), ADMIN),
        lambda: context.patch_attributes(urn("d"), {"waterLevel": 7.0}, ADMIN),
    ):
        with pytest.raises(Unavailable):
            action()
        assert everything(context) == before
    context.apply(column_batch(2, series, [("d", "waterLevel", 2, 2.0)]))
    assert context.attributes(urn("d")) == {"waterLevel": 2.0}


def test_only_what_is_watched_is_told_and_no_more_than_may_be(vocabulary):
    series = SeriesCatalogue()
    context = Box(series=series, tell_most=3)
    batch = column_batch(1, series, [(f"d{n}", "waterLevel", 1, 1.0) for n in range(8)])
    context.apply(batch)
    assert len(context.told) == 3
    context.tell()
    context.tell()
    assert sorted(one.entity_id for one in context.told) == sorted(urn(f"d{n}") for n in range(8))
    context.told.clear()

    context.watch([])
    context.apply(column_batch(2, series, [("d1", "waterLevel", 2, 1.0)], [reading(1.0, 2, local="o")]))
    assert context.told == []
    context.watch([Interest(ids=frozenset({urn("d1"), urn("new")}))])
    rows = [("d1", "waterLevel", 3, 1.0), ("d2", "waterLevel", 3, 1.0), ("new", "power", 3, 1.0)]
    context.apply(column_batch(3, series, rows, [reading(1.0, 3, local="o")]))
    assert {one.entity_id: one.properties for one in context.told} == {
        urn("d1"): ("waterLevel",), urn("new"): ("power",),
    }  # fmt: skip
    context.told.clear()

    context.upsert_entity(entity("d4", location=point(116.4, 39.9)), ADMIN)
    context.told.clear()
    context.watch([Interest(types=frozenset({TYPE}), box=(116.0, 39.0, 117.0, 40.0)), Interest(frozenset({"Pump"}))])
    context.apply(column_batch(4, series, [(f"d{n}", "waterLevel", 4, 1.0) for n in range(8)]))
    assert [one.entity_id for one in context.told] == [urn("d4")]


def test_nobody_listening_costs_nothing():
    series = SeriesCatalogue()
    context = Box(series=series)
    for listener in list(context.bus._subscribers):
        listener.cancel()
    context.apply(column_batch(1, series, [("d", "waterLevel", 1, 1.0)], [reading(1.0)]))
    assert context.status()["waiting_to_be_told"] == 0


def test_asking_while_rows_come_shows_values_that_belong_together():
    series = SeriesCatalogue()
    context = Box(series=series)
    everyone = [(str(n), "waterLevel", 0, 0.0) for n in range(200)]
    context.apply(column_batch(1, series, everyone))
    torn, done = [], threading.Event()

    def ask():
        while not done.is_set():
            for one in context.find_entities(EntityQuery(limit=200, q="waterLevel>=0")).items:
                found = one.find("waterLevel")
                if found.observed_at_us != T0 + int(found.value) * SECOND_US or found.stamp != 2 * int(found.value) + 2:
                    torn.append(found)

    asking = threading.Thread(target=ask)
    asking.start()
    for second in range(1, 300):
        context.apply(column_batch(second + 1, series, [(local, name, second, second) for local, name, *_ in everyone]))
    done.set()
    asking.join()
    assert torn == []


def test_an_entity_deleted_after_its_series_were_saved_does_not_come_back():
    series = SeriesCatalogue()
    context = Box(series=series)
    log = [column_batch(1, series, [("d", "waterLevel", 1, 1.0)]), column_batch(2, series, [("e", "power", 2, 2.0)])]
    context.apply(log[0])
    context.checkpoint()
    context.delete_entity(urn("d"), ADMIN)
    for _ in range(2):
        context = Box(context.store, series=series)
        assert not context.has_entity(urn("d"))
        for one in log[context.position() :]:
            context.apply(one)
        context.checkpoint()
    context.apply(column_batch(3, series, [("d", "waterLevel", -9, 3.0)]))
    assert context.attributes(urn("d")) == {"waterLevel": 3.0}


@pytest.mark.parametrize(
    "q",
    ["waterLevel>7", "waterLevel<=1;power>=5", "waterLevel==3", "waterLevel==3,4", "waterLevel>8|power<1", "power>1e3",
     "(waterLevel>8|power<1);power<5", "waterLevel==2..4;!note", "waterLevel!=3", "waterLevel>7;note==x",
     "waterLevel.observedAt>2025-03-01T00:00:03Z", "waterLevel>=0", "waterLevel<1e301"],
)  # fmt: skip
def test_filters_over_many_entities_find_what_they_find_one_by_one(q, monkeypatch):
    series = SeriesCatalogue()
    context = Box(series=series, max_page=5000)
    rows = [(str(n), name, n % 7, float(n % 10) if n else 1e300) for n in range(1200) for name in NAMES[: 1 + n % 2]]
    context.apply(column_batch(1, series, rows, [reading("text", local=str(n)) for n in range(0, 30, 3)]))
    for n in range(5, 1200, 100):
        context.upsert_entity(entity(str(n), note="x", waterLevel={"value": 8.0, "datasetId": "urn:x:y"}), ADMIN)
    query = EntityQuery(q=q, limit=5000)
    found = context.find_entities(query)
    monkeypatch.setattr("gulou.hub.context.series_values._FEW", 10**9)
    assert found == context.find_entities(query)
    assert 0 <= found.total < 1200 or q in {"waterLevel>=0", "waterLevel<1e301"}


def test_very_many_interests_are_taken_together_and_lose_nothing():
    from gulou.hub.context.interests import Interests

    boxes = [(float(n), 0.0, n + 0.5, 1.0) for n in range(100)]
    many = Interests([Interest(frozenset({f"T{n}"}), None, box) for n, box in enumerate(boxes)])
    groups = [None, *(f"T{n}" for n in range(100))]
    types, areas = many.types(groups), many.boxes
    assert types.shape == (64, 101)
    for n, (west, south, east, north) in enumerate(boxes):
        inside = (areas[:, 0] <= west) & (areas[:, 1] <= south) & (areas[:, 2] >= east) & (areas[:, 3] >= north)
        assert (inside & (types[:, n + 1] == 1)).any()
        assert many.wants("urn:x:1", (f"T{n}",), (west + 0.2, 0.5))
    assert not many.wants("urn:x:1", ("T0",), (50.2, 7.0))
    everywhere = Interests([Interest(box=boxes[0]), *(Interest(frozenset({str(n)})) for n in range(80))])
    assert everywhere.wants("urn:x:1", ("79",), None)
