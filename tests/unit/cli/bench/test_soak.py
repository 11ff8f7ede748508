"""What an hour of load is held against; without a platform."""

import pytest

from gulou.cli.bench.soak import drift_of


def period(number, p99=9.0, engine=400.0):
    delays = {"p50": 3.0, "p99": p99, "p999": 20.0}
    return {"at_s": 60.0 * number, "loop_ms": delays, "ack_ms": delays, "memory_mib": {"engine": engine, "web": 200.0}}


def test_what_stays_as_it_was_has_no_drift():
    drift = drift_of([period(number) for number in range(60)])

    assert drift["loop_ms"] == drift["ack_ms"] == {"p50": 1.0, "p99": 1.0}
    assert drift["memory_engine"] == drift["memory_web"] == 1.0
    assert drift["memory_engine_spread"] == [1.0, 1.0]


def test_the_last_ten_minutes_are_held_against_the_first():
    drift = drift_of([period(n, p99=9.0 + 0.1 * n, engine=400.0 + 4 * n) for n in range(60)])

    assert drift["loop_ms"]["p99"] == pytest.approx(14.45 / 9.45)
    assert drift["loop_ms"]["p50"] == 1.0
    assert drift["memory_engine"] == pytest.approx(618.0 / 418.0)
    low, high = drift["memory_engine_spread"]
    assert (low, high) == (pytest.approx(400 / 518), pytest.approx(636 / 518))


def test_one_slow_minute_is_no_drift():
    drift = drift_of([period(n, p99=500.0 if n in (3, 57) else 9.0) for n in range(60)])

    assert drift["loop_ms"]["p99"] == 1.0


def test_a_period_without_samples_compares_to_nothing():
    silent = {**period(0), "loop_ms": {"p50": None, "p99": None, "p999": None}}

    assert drift_of([silent, period(1)])["loop_ms"] == {"p50": None, "p99": None}
