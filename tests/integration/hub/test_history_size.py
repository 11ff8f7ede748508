"""A load and a week's aggregate at a size that a small city has; says how long it took, asserts what it answers."""

import time

import pytest

from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.history import AggregateQuery, HistoryQuery, HistoryService, HistorySettings
from gulou.kernel.clock import SystemClock

pytestmark = [pytest.mark.integration, pytest.mark.slow]

T0, MINUTE_US = 1_740_787_200_000_000, 60_000_000
SERIES, STEPS = 750, 2_016  # every 5 minutes for a week: 1.5 million readings


def test_a_week_of_a_city_is_loaded_flushed_and_aggregated(tmp_path):
    history = HistoryService(tmp_path, SystemClock(), HistorySettings())
    history.start()
    ids = [f"urn:ngsi-ld:WaterLevelObserved:d-{n}" for n in range(SERIES)]
    started = time.perf_counter()
    for sequence in range(1, STEPS + 1):
        at_us = T0 + (sequence - 1) * 5 * MINUTE_US
        readings = tuple(
            Reading(one, "WaterLevelObserved", "waterLevel", float((n + sequence) % 100), at_us)
            for n, one in enumerate(ids)
        )
        history.apply(LogBatch(sequence, at_us, "test", readings))
    print("apply_s", round(time.perf_counter() - started, 2))
    history.flush()
    print("applied_and_flushed_s", round(time.perf_counter() - started, 2))
    history.compact()
    print("bytes_per_row", round(history.status()["bytes"] / (SERIES * STEPS), 2))
    query = AggregateQuery(type="WaterLevelObserved", property="waterLevel", every="1h", zone="Asia/Shanghai")
    for name, one in {"hourly": query, "by_id": AggregateQuery(type="WaterLevelObserved", by="id", every="1d")}.items():
        started = time.perf_counter()
        buckets = history.aggregate(one)
        print(f"{name}_s", round(time.perf_counter() - started, 3))
        assert sum(bucket.count for bucket in buckets) == SERIES * STEPS
    assert len(history.aggregate(query)) == 168
    started = time.perf_counter()
    assert len(history.query(HistoryQuery(id_glob=ids[5], order="desc", limit=288))) == 288
    print("day_of_one_series_s", round(time.perf_counter() - started, 3))
    history.close()
