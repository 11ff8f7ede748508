"""Any log, flushed and compacted anywhere, must answer as a plain Python dictionary does."""

import math
import tempfile
from bisect import bisect_right
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gulou.hub.history import AggregateQuery, HistoryQuery, HistoryService, HistorySettings, MemoryHistory
from gulou.kernel.clock import VirtualClock, from_us, to_us

from .building import T0, batch, reading

readings = st.builds(
    reading,
    minute=st.integers(0, 60 * 24 * 40),
    value=st.one_of(st.floats(-1e6, 1e6), st.integers(-5, 5), st.booleans(), st.sampled_from(["a", "b"])),
    name=st.sampled_from(["waterLevel", "flow"]),
    local=st.sampled_from(["a", "b", "c"]),
    dataset_id=st.sampled_from([None, None, "urn:x:1"]),
)
few = st.builds(reading, minute=st.integers(0, 5), value=st.floats(-9, 9), local=st.sampled_from(["a", "b"]))
steps = st.lists(
    st.one_of(
        st.lists(readings, max_size=6), st.lists(few, max_size=6), st.sampled_from(["flush", "compact", "restart"])
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps, every=st.sampled_from(["15m", "1h", "1d", "1w", "1mo"]),
       zone=st.sampled_from(["UTC", "Europe/Copenhagen", "Asia/Kolkata"]), by=st.sampled_from([None, "id"]),
       function=st.sampled_from(["mean", "sum", "min", "max", "count", "first", "last", "median"]))  # fmt: skip
def test_the_lake_agrees_with_a_dictionary(steps, every, zone, by, function):
    options = HistorySettings(background=False, compact_files=2, exact_start_rows=5)
    clock, model, sequence = VirtualClock(T0), MemoryHistory(), 0
    with tempfile.TemporaryDirectory() as directory:
        service = HistoryService(Path(directory), clock, options)
        for step in steps:
            match step:
                case "flush":
                    service.flush()
                case "compact":
                    service.compact()
                case "restart":
                    service.close()
                    service = HistoryService(Path(directory), clock, options)
                case _:
                    sequence += 1
                    for history in (model, service):
                        history.apply(batch(sequence, *step))
        assert service.query(HistoryQuery()) == model.query(HistoryQuery())
        query = AggregateQuery(property="waterLevel", every=every, zone=zone, by=by, function=function)
        ours, theirs = service.aggregate(query), model.aggregate(query)
        assert [(b.time_us, b.count, b.entity_id) for b in ours] == [(b.time_us, b.count, b.entity_id) for b in theirs]
        assert [b.value for b in ours] == pytest.approx([b.value for b in theirs], nan_ok=True)
        service.close()


@settings(max_examples=25, deadline=None)
@given(
    minutes=st.lists(st.integers(-3 * 1440, 4 * 1440), min_size=1, max_size=80, unique=True),
    transition=st.sampled_from([datetime(2025, 3, 30), datetime(2025, 10, 26)]),
)
def test_daily_means_across_a_change_of_clocks_equal_a_computation_by_local_date(tmp_path_factory, minutes, transition):
    zone = ZoneInfo("Europe/Copenhagen")
    start = to_us(transition.replace(tzinfo=zone))
    found = [reading((start - T0) / 60e6 + minute, float(minute % 17)) for minute in minutes]
    expected: dict = {}
    for one in found:
        expected.setdefault(from_us(one.observed_at_us).astimezone(zone).date(), []).append(one.value)
    service = HistoryService(tmp_path_factory.mktemp("h"), VirtualClock(T0), HistorySettings(background=False))
    half = bisect_right(range(len(found)), len(found) // 2)
    service.apply(batch(1, *found[:half]))
    service.flush()
    service.apply(batch(2, *found[half:]))
    buckets = service.aggregate(AggregateQuery(every="1d", zone="Europe/Copenhagen"))
    service.close()
    got = {from_us(b.time_us).astimezone(zone).date(): (b.count, b.value) for b in buckets}
    assert got == {day: (len(vs), pytest.approx(math.fsum(vs) / len(vs))) for day, vs in expected.items()}
    assert all(from_us(b.time_us).astimezone(zone).hour == 0 for b in buckets)
