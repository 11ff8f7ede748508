"""Any aggregate through roll-ups, tail and lake is the one over all readings with the later in the log winning."""

import math
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gulou.connectivity.intake import Columns, LogBatch, SeriesCatalogue, expand
from gulou.hub.history import AggregateQuery, HistoryQuery, HistoryService, HistorySettings, MemoryHistory, rollups
from gulou.hub.history.block import WORDS, Block, Coded
from gulou.kernel.clock import VirtualClock

from .building import MINUTE_US, T0, batch, reading

HOUR_US = 60 * MINUTE_US
LOCALS, NAMES = ("a", "b", "c"), ("waterLevel", "flow")
minutes = st.one_of(st.integers(0, 60 * 24 * 3), st.integers(0, 59).map(float), st.floats(0, 180))
objects = st.builds(
    reading,
    minute=minutes,
    value=st.one_of(st.integers(-99, 99), st.booleans(), st.sampled_from(["a", "b"])),
    name=st.sampled_from(NAMES),
    local=st.sampled_from(LOCALS),
    dataset_id=st.sampled_from([None, None, "urn:x:1"]),
)
rows = st.tuples(st.sampled_from(LOCALS), st.sampled_from(NAMES), minutes, st.integers(-99, 99))
steps = st.lists(
    st.one_of(
        st.tuples(st.lists(objects, max_size=4), st.lists(rows, max_size=8)),
        st.sampled_from(["flush", "flush", "compact", "restart"]),
    ),
    max_size=16,
)
spans = st.one_of(
    st.none(),
    st.integers(-1, 73).map(lambda h: T0 + h * HOUR_US),
    st.integers(0, 4400).map(lambda m: T0 + m * MINUTE_US),
)


def columns_of(catalogue, found):
    numbers = [
        catalogue.number_of(f"urn:ngsi-ld:WaterLevelObserved:{local}", "WaterLevelObserved", name)
        for local, name, _, _ in found
    ]
    at_us = [T0 + round(minute * MINUTE_US) for _, _, minute, _ in found]
    values = [float(value) for *_, value in found]
    return Columns(np.array(numbers, np.int32), np.array(at_us, np.int64), np.array(values, np.float64))


def agree(ours, theirs):
    assert [(b.time_us, b.count, b.entity_id) for b in ours] == [(b.time_us, b.count, b.entity_id) for b in theirs]
    assert [b.value for b in ours] == pytest.approx([b.value for b in theirs], nan_ok=True)


@pytest.fixture
def any_size(monkeypatch):
    """Write every roll-up however little it saves."""
    monkeypatch.setattr(rollups, "WORTH", 0)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    steps=steps,
    every=st.sampled_from(["1m", "15m", "1h", "1d", "1w"]),
    zone=st.sampled_from(["UTC", "Asia/Shanghai", "Asia/Kolkata", "Europe/Copenhagen"]),
    by=st.sampled_from([None, "id"]),
    function=st.sampled_from(["mean", "sum", "min", "max", "count", "first", "last"]),
    local=st.sampled_from([None, "*", "*:a", "urn:ngsi-ld:WaterLevelObserved:b"]),
    bounds=st.tuples(spans, spans),
    quiet_s=st.sampled_from([1e-6, 300.0]),
)
def test_roll_ups_tail_and_lake_agree_with_a_dictionary(
    any_size, steps, every, zone, by, function, local, bounds, quiet_s
):
    options = HistorySettings(background=False, compact_files=2, quiet_s=quiet_s, query_max_buckets=1_000_000)
    clock, model, sequence, catalogue = VirtualClock(T0), MemoryHistory(), 0, SeriesCatalogue()
    low, high = sorted(bounds, key=lambda one: (one is None, one or 0)) if None not in bounds else bounds
    low, high = (high, low) if None not in (low, high) and low > high else (low, high)
    with tempfile.TemporaryDirectory() as directory:
        service = HistoryService(Path(directory), clock, options, catalogue)
        for step in steps:
            match step:
                case "flush":
                    service.flush()
                case "compact":
                    service.compact()
                case "restart":
                    service.close()
                    service = HistoryService(Path(directory), clock, options, catalogue)
                case (one, other):
                    sequence += 1
                    made = LogBatch(sequence, T0 + sequence, "test", tuple(one), columns=columns_of(catalogue, other))
                    service.apply(made)
                    model.apply(expand(made, catalogue))
        assert service.query(HistoryQuery()) == model.query(HistoryQuery())
        query = AggregateQuery(property="waterLevel", every=every, zone=zone, by=by, function=function,
                               id_glob=local, from_us=low, to_us=high)  # fmt: skip
        agree(service.aggregate(query), model.aggregate(query))
        latest = {
            (row["entity_id"], row["property"], row["dataset_id"]): row["observed_at"].timestamp()
            for row in service.latest().to_pylist()
        }
        newest: dict = {}
        for row in model.query(HistoryQuery()):
            newest[row.entity_id, row.property, row.dataset_id] = row.observed_at_us / 1e6
        assert latest == pytest.approx(newest)
        service.close()


def filled(directory, days=2, catalogue=None):
    """A history of two sensors every 5 minutes, merged and rolled up."""
    catalogue = catalogue or SeriesCatalogue()
    service = HistoryService(
        directory, VirtualClock(T0 + 90 * 24 * HOUR_US), HistorySettings(background=False, quiet_s=1e-6), catalogue
    )
    for day in range(days):
        found = [(local, "flow", day * 1440 + minute, minute % 7) for minute in range(0, 1440, 5) for local in "ab"]
        service.apply(LogBatch(day + 1, T0, "test", (), columns=columns_of(catalogue, found)))
        service.flush()
    service.compact()
    return service


def files_of(service, query):
    """Which roll-ups a query takes, and how many files of readings it reads beside them."""
    from gulou.hub.history.buckets import bucket_edges, get_zone, parse_every
    from gulou.hub.history.query_duckdb import _Asked

    snapshot = service._snapshot(query)
    asked = _Asked(service._engine._paths, snapshot, query)
    span = snapshot.bounds()
    edges = bucket_edges(
        parse_every(query.every), get_zone(query.zone), query.from_us or span[0], query.to_us or span[1] + 1, limit=9999
    )
    asked.use_rollups(edges)
    asked.text("SELECT 1")
    return {unit for unit, files in asked.rolled.items() if files}, sum(
        len(files) for name, files in asked.parameters.items() if name.endswith("files")
    )


@pytest.mark.parametrize(
    ("asked", "units"),
    [
        ({"every": "1d"}, {"day"}),
        ({"every": "1d", "zone": "Asia/Shanghai"}, {"hour"}),
        ({"every": "1h"}, {"hour"}),
        ({"every": "15m"}, set()),  # readings every 5 minutes: minutes would save nothing
        ({"every": "1d", "zone": "Asia/Kolkata"}, set()),
    ],
)
def test_a_query_takes_the_largest_unit_that_its_steps_are_made_of(tmp_path, asked, units):
    service = filled(tmp_path)
    query = AggregateQuery(property="flow", function="sum", **asked)
    assert files_of(service, query) == (units, 0 if units else 1)
    assert math.fsum(bucket.value for bucket in service.aggregate(query)) == 4 * sum(m % 7 for m in range(0, 1440, 5))
    service.close()


def test_only_what_lies_outside_whole_steps_is_read_itself(tmp_path):
    service = filled(tmp_path)
    day = {"property": "flow", "every": "1h", "function": "count"}
    aligned = AggregateQuery(**day, from_us=T0 + HOUR_US, to_us=T0 + 25 * HOUR_US)
    askew = AggregateQuery(**day, from_us=T0 + HOUR_US + 10 * MINUTE_US, to_us=T0 + 25 * HOUR_US)
    assert files_of(service, aligned) == ({"hour"}, 0)
    assert files_of(service, askew) == ({"hour"}, 1)
    assert [sum(b.count for b in service.aggregate(one)) for one in (aligned, askew)] == [576, 572]
    service.close()


def test_a_late_reading_is_counted_once_before_and_after_it_is_settled(tmp_path):
    service = filled(tmp_path)
    query = AggregateQuery(property="flow", function="sum", every="1h", id_glob="*:a", from_us=T0, to_us=T0 + HOUR_US)
    (before,) = service.aggregate(query)
    service.apply(batch(10, reading(5, 100.0, "flow", "a")))
    (in_tail,) = service.aggregate(query)
    service.flush()
    (in_lake,) = service.aggregate(query)
    service.compact()
    assert files_of(service, query)[0] == {"hour"}
    (settled,) = service.aggregate(query)
    assert [one.value - before.value for one in (in_tail, in_lake, settled)] == [95.0] * 3
    assert {one.count for one in (before, in_tail, in_lake, settled)} == {12}
    service.close()


def test_readings_past_their_age_go_and_their_hours_stay(tmp_path):
    catalogue = SeriesCatalogue()
    service = filled(tmp_path, catalogue=catalogue)
    query = AggregateQuery(property="flow", function="sum", every="1d")
    before = service.aggregate(query)
    service.close()
    clock = VirtualClock(T0 + 90 * 24 * HOUR_US)
    options = HistorySettings(background=False, retention_days=30)
    service = HistoryService(tmp_path, clock, options, catalogue)
    service.compact()
    assert (service.query(HistoryQuery()), service.aggregate(query)) == ([], before)
    assert service.status()["retention"]["readings_from"].startswith("2025-04-01")
    service.apply(batch(10, reading(5, 100.0, "flow", "a"), reading(1440 * 80, 7.0, "flow", "a")))
    service.flush()
    assert [row.value for row in service.query(HistoryQuery())] == [7.0]
    assert service.status()["expired_rows"] == 2 * 2 * 288 + 1
    service.close()
    service = HistoryService(tmp_path, clock, HistorySettings(background=False, retention_hour_days=30), catalogue)
    service.compact()
    assert service.aggregate(query)[:2] == before
    assert service.aggregate(AggregateQuery(property="flow", every="1h", to_us=T0 + 40 * 24 * HOUR_US)) == []
    service.close()


def test_one_type_goes_before_the_others_with_its_roll_ups(tmp_path):
    options = HistorySettings(background=False, retention_types={"Bike": 30})
    service = HistoryService(tmp_path, VirtualClock(T0 + 90 * 24 * HOUR_US), options)
    service.apply(batch(1, *(reading(n, 1.0, type_=kind) for n in range(9) for kind in ("Bike", "Car", "Air"))))
    service.flush()
    service.compact()
    assert {row.entity_type for row in service.query(HistoryQuery())} == {"Car", "Air"}
    assert service.aggregate(AggregateQuery(type="Bike", function="count", every="1d")) == []
    assert [b.count for b in service.aggregate(AggregateQuery(function="count", every="1d"))] == [18]
    service.close()


def test_what_others_say_of_a_type_counts_where_settings_say_nothing(tmp_path):
    options = HistorySettings(background=False, retention_types={"Bike": 0, "Air": 30})
    service = HistoryService(tmp_path, VirtualClock(T0 + 90 * 24 * HOUR_US), options)
    said = {"Bike": 30, "Air": 3_000}
    service.retain_by(lambda: said)
    service.apply(batch(1, *(reading(n, 1.0, type_=kind) for n in range(9) for kind in ("Bike", "Car", "Air"))))
    service.flush()
    service.compact()
    assert {row.entity_type for row in service.query(HistoryQuery())} == {"Bike", "Car"}
    said["Car"] = 30
    service.compact()
    assert {row.entity_type for row in service.query(HistoryQuery())} == {"Bike"}
    assert service.status()["retention"]["types_days"] == {"Bike": 0, "Air": 30, "Car": 30}
    service.close()


def test_roll_ups_that_a_crash_left_alone_are_taken_out(tmp_path):
    service = filled(tmp_path)
    gone = service._lake.state.files
    service._lake.change((), gone)
    service.close()
    service = HistoryService(tmp_path, VirtualClock(T0), HistorySettings(background=False))
    assert [table["rows"] for table in service.status()["rollups"].values()] == [0, 0, 0]
    service.close()


def test_steps_that_wait_to_be_written_keep_no_room_for_all_their_rows():
    rows = 600
    number, zeros = np.zeros(rows, np.int32), np.zeros(rows, np.int64)
    block = Block(
        group=number.astype(np.int64),
        at_us=T0 + np.arange(rows, dtype=np.int64) * 1_000_000,
        value=np.arange(rows, dtype=np.float64),
        numeric=None,
        text=None,
        delay_s=number,
        sequence=zeros,
        late=np.zeros(rows, np.int8),
        words={name: Coded(number, pa.array(["a"])) for name in WORDS},
    )

    steps = rollups._steps(block, 3600 * 1_000_000)

    assert len(steps.count) < 3
    for name, column in steps.arrays.items():
        assert column.base is None or len(column.base) < rows, name
