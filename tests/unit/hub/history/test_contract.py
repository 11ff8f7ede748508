"""What every history answers, in memory or on disk, flushed or not."""

import math

import pytest

from gulou.hub.history import (
    DEFAULT_INSTANCE,
    AggregateQuery,
    HistoryQuery,
    HistoryService,
    HistorySettings,
    MemoryHistory,
)
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Invalid

from .building import MINUTE_US, T0, batch, reading


class Flushing:
    """A history on disk that is flushed, and compacted, after every batch."""

    def __init__(self, service):
        self.service = service

    def apply(self, one):
        self.service.apply(one)
        self.service.checkpoint()
        self.service.compact()

    def __getattr__(self, name):
        return getattr(self.service, name)


@pytest.fixture(params=["memory", "tail", "lake"])
def history(request, tmp_path):
    if request.param == "memory":
        yield MemoryHistory()
        return
    service = HistoryService(tmp_path, VirtualClock(T0), HistorySettings(background=False, compact_files=3))
    yield Flushing(service) if request.param == "lake" else service
    service.close()


def values(history, **query):
    return [row.value for row in history.query(HistoryQuery(**query))]


def test_a_reading_is_visible_at_once_and_whole(history):
    one = reading(
        3, 2.5, unit_code="m", device_id="d-1", dataset_id="urn:ngsi-ld:Dataset:a", flags=("corrected", "clock.skew")
    )
    history.apply(batch(7, one, source="mqtt"))
    (row,) = history.query(HistoryQuery())
    assert (row.entity_id, row.entity_type, row.property) == (one.entity_id, "WaterLevelObserved", "waterLevel")
    assert (row.value, row.observed_at_us, row.unit_code) == (2.5, T0 + 3 * MINUTE_US, "m")
    assert (row.device_id, row.dataset_id, row.flags) == ("d-1", "urn:ngsi-ld:Dataset:a", ("corrected", "clock.skew"))
    assert (row.source, row.received_at_us, row.sequence, row.kind) == ("mqtt", T0 + 1_000_000, 7, "Property")


def test_readings_come_back_as_they_were_accepted(history):
    given = (reading(1, 2.0, flags=("corrected",)), reading(2, "open", "state"), reading(3, 3.0, "flow"))
    history.apply(batch(1, *given, reading(4, 4.0, type_="Pump")))
    assert tuple(history.readings("WaterLevelObserved", None, T0, T0 + 9 * MINUTE_US)) == given
    assert tuple(history.readings("WaterLevelObserved", ("flow", "state"), T0, T0 + 3 * MINUTE_US)) == given[1:2]
    one = tuple(reading for reading in given if reading.entity_id == given[0].entity_id)
    assert tuple(history.readings("WaterLevelObserved", None, T0, T0 + 9 * MINUTE_US, given[0].entity_id)) == one


@pytest.mark.parametrize(
    "value",
    [0.1, -3, True, False, "", "open", '{"a": 1}', "塞车 \U0001f6a6 '; DROP TABLE tail; --", 2**53 + 1, 10**400, 1e308,
     {"type": "Point", "coordinates": [116.4, 39.9]}, ["a", 1, None], "null"],
)  # fmt: skip
def test_every_kind_of_value_comes_back(history, value):
    history.apply(batch(1, reading(0, value)))
    (row,) = history.query(HistoryQuery())
    assert row.value == value
    assert isinstance(row.value, bool) == isinstance(value, bool)


def test_rows_are_chosen_by_every_condition(history):
    history.apply(batch(1, reading(0, 1.0), reading(1, 2.0, local="drain-2"), reading(2, 3.0, "flow")))
    history.apply(batch(2, reading(3, 4.0, type_="Pump"), reading(4, 5.0, dataset_id="urn:x:b"), reading(5, 6.0)))
    assert values(history, type="WaterLevelObserved", property="waterLevel") == [1.0, 2.0, 5.0, 6.0]
    assert values(history, id_glob="*:drain-2") == [2.0]
    assert values(history, id_glob="urn:ngsi-ld:WaterLevelObserved:drain-?") == [1.0, 2.0, 3.0, 5.0, 6.0]
    assert values(history, id_glob="urn:ngsi-ld:Pump:drain-1") == [4.0]
    assert values(history, dataset_id="urn:x:b") == [5.0]
    assert values(history, dataset_id=DEFAULT_INSTANCE) == [1.0, 2.0, 3.0, 4.0, 6.0]
    assert values(history, from_us=T0 + MINUTE_US, to_us=T0 + 3 * MINUTE_US) == [2.0, 3.0]
    assert values(history, order="desc", limit=2) == [6.0, 5.0]
    history.apply(
        batch(3, reading(9, 2.0, dataset_id="urn:x:b"), reading(9, 1.0), reading(9, 3.0, dataset_id="urn:x:c"))
    )
    assert values(history, from_us=T0 + 9 * MINUTE_US) == [1.0, 2.0, 3.0]
    assert values(history, from_us=T0 + 9 * MINUTE_US, order="desc") == [3.0, 2.0, 1.0]
    assert values(history, limit=0) == []
    assert values(history, properties=("flow",), type="WaterLevelObserved") == [3.0]
    assert values(history, properties=()) == []
    assert values(history, from_us=T0, to_us=T0) == []
    assert values(history, type="Unknown") == []


@pytest.mark.parametrize(
    "glob",
    ["%", "_", "' OR 1=1 --", "*'; DROP TABLE tail; --", "$id", "urn:ngsi-ld:WaterLevelObserved:drain_1", "\\*",
     "[a-z]*", "(.*)", "*%*", "*\\*", "\x00", "*$files*"],
)  # fmt: skip
def test_a_glob_is_never_more_than_a_glob(history, glob):
    history.apply(batch(1, reading(0)))
    assert values(history, id_glob=glob) == []
    assert values(history, type=glob) == []
    assert values(history, property=glob) == []
    assert values(history, dataset_id=glob) == []
    assert values(history) == [1.0]


def test_a_glob_with_special_characters_finds_them(history):
    history.apply(batch(1, reading(0, 1.0, local="a%b_c\\d[1]"), reading(1, 2.0, local="aXbYc")))
    assert values(history, id_glob="*a%b_c\\d[1]") == [1.0]
    assert values(history, id_glob="*a?b?c*") == [1.0, 2.0]


def test_the_later_in_the_log_wins_for_one_series_and_time(history):
    history.apply(batch(1, reading(0, 1.0), reading(5, 10.0)))
    history.apply(batch(2, reading(0, 2.0), reading(0, 3.0)))
    history.apply(batch(3, reading(0, 9.0, "flow"), reading(0, 8.0, dataset_id="urn:x:b"), reading(6, 11.0)))
    history.apply(batch(4, reading(5, 12.0)))
    assert values(history, property="waterLevel", dataset_id=DEFAULT_INSTANCE) == [3.0, 12.0, 11.0]
    query = AggregateQuery(property="waterLevel", dataset_id=DEFAULT_INSTANCE, function="sum", every="1d")
    assert [(one.value, one.count) for one in history.aggregate(query)] == [(26.0, 3)]


def test_a_batch_that_comes_again_changes_nothing(history):
    first, second = batch(1, reading(0, 1.0)), batch(2, reading(1, 2.0))
    for one in (first, second, first, batch(2, reading(9, 9.0))):
        history.apply(one)
    assert values(history) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("function", "expected"),
    [("mean", 2.5), ("min", 1.0), ("max", 4.0), ("sum", 10.0), ("count", 4.0), ("first", 2.0), ("last", 3.0),
     ("median", 2.5), ("percentile", 3.7), ("stddev", math.sqrt(5 / 3))],
)  # fmt: skip
def test_each_function(history, function, expected):
    history.apply(batch(1, *(reading(minute, value) for minute, value in enumerate([2.0, 4.0, 1.0, 3.0]))))
    (bucket,) = history.aggregate(AggregateQuery(function=function, every="1h", percentile=0.9))
    assert bucket.value == pytest.approx(expected)
    assert (bucket.time_us, bucket.count, bucket.entity_id) == (T0, 4, None)


def test_texts_are_counted_but_not_averaged_and_truth_values_are_numbers(history):
    history.apply(batch(1, reading(0, "open"), reading(1, True), reading(2, False), reading(3, {"a": 1})))
    assert [(b.value, b.count) for b in history.aggregate(AggregateQuery(function="mean"))] == [(0.5, 2)]
    assert [(b.value, b.count) for b in history.aggregate(AggregateQuery(function="count"))] == [(4.0, 4)]
    history.apply(batch(2, reading(120, "open")))
    assert len(history.aggregate(AggregateQuery(function="max"))) == 1


def test_stddev_of_one_reading_is_absent(history):
    history.apply(batch(1, reading(0, 5.0)))
    assert [(b.value, b.count) for b in history.aggregate(AggregateQuery(function="stddev"))] == [(None, 1)]


def test_steps_by_entity(history):
    history.apply(batch(1, reading(0, 1.0), reading(1, 3.0, local="drain-2"), reading(70, 5.0, local="drain-2")))
    buckets = history.aggregate(AggregateQuery(every="1h", by="id"))
    assert [((b.time_us - T0) // MINUTE_US, b.value, b.entity_id[-7:]) for b in buckets] == [
        (0, 1.0, "drain-1"), (0, 3.0, "drain-2"), (60, 5.0, "drain-2"),
    ]  # fmt: skip
    assert len(history.aggregate(AggregateQuery(every="1h", by="id", limit=2))) == 2


def test_an_empty_history_answers(history):
    assert values(history) == []
    assert history.aggregate(AggregateQuery()) == []
    assert history.aggregate(AggregateQuery(from_us=T0, to_us=T0 + 1)) == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (AggregateQuery(every="7h"), "history.every"),
        (AggregateQuery(zone="Nowhere"), "history.zone"),
        (AggregateQuery(function="mode"), "history.function"),
        (AggregateQuery(function="avg(value) FROM tail; --"), "history.function"),
        (AggregateQuery(function="percentile", percentile=1.5), "history.percentile"),
        (AggregateQuery(function="percentile", percentile=math.nan), "history.percentile"),
        (AggregateQuery(from_us=T0, to_us=T0 - 1), "history.range"),
        (AggregateQuery(from_us=-(2**63)), "history.range"),
        (AggregateQuery(to_us=10**30), "history.range"),
        (AggregateQuery(limit=-1), "history.limit"),
        (AggregateQuery(every="1s", from_us=T0, to_us=T0 + 10**12), "history.too_many_steps"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(history, query, code):
    history.apply(batch(1, reading(0)))
    with pytest.raises(Invalid) as caught:
        history.aggregate(query)
    assert caught.value.code == code
