"""The benchmark of recovery, small: one kill under load through the real endpoints."""

from __future__ import annotations

import pytest

from gulou.cli.bench import recover as bench

pytestmark = pytest.mark.integration


def test_after_a_kill_everything_acknowledged_is_there_once(tmp_path):
    plan = bench.RecoverPlan(kills=1, sensors=10, probes=4, http_devices=1, shortest_s=4, longest_s=5, pause_s=0.02)
    run = bench._kill_under_load(plan, tmp_path / "load")
    assert run["acknowledged"] > 0
    assert run["detections"] > 0
    assert run["stored"] >= run["acknowledged"]
    assert run["wrong"] == dict.fromkeys(run["wrong"], 0)


def test_a_start_with_many_series_is_timed(tmp_path):
    plan = bench.RecoverPlan(series=2_000, starts=1)
    took = bench._start_times(plan, tmp_path / "series")
    assert set(took) == {"devices_start_s", "start_s", "engine_start_s"}
    for times in took.values():
        assert 0.5 < times["median"] <= times["max"]
    assert took["devices_start_s"]["median"] <= took["start_s"]["median"]
