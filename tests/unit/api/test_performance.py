"""The performance page's figures: rates and latencies from counters, and what needs a person."""

import pytest

from gulou.api.performance import latency_between, percentile_ms, rates_between
from gulou.connectivity.bus import TimerStatus
from gulou.connectivity.intake import Flaw, Reading
from gulou.kernel import from_rfc3339
from gulou.sensing.sdk.counters import BUCKETS_S

NOW_US = from_rfc3339("2026-07-01T08:00:00Z")


def reading(number):
    return Reading("urn:ngsi-ld:WaterLevelObserved:w", "WaterLevelObserved", "waterLevel", 1.0, NOW_US - number)


def test_percentiles_are_interpolated_and_an_empty_histogram_has_none():
    empty = [0] * (len(BUCKETS_S) + 1)
    assert percentile_ms(empty, 0.5) is None
    one_bucket = list(empty)
    one_bucket[3] = 100  # 2 to 5 ms
    assert percentile_ms(one_bucket, 0.5) == pytest.approx(3.5)
    assert percentile_ms(one_bucket, 1.0) == pytest.approx(5.0)
    beyond = list(empty)
    beyond[-1] = 1
    assert percentile_ms(beyond, 0.99) == pytest.approx(1000 * BUCKETS_S[-1])


def test_counters_that_began_anew_count_from_zero():
    assert rates_between((10, 8, 1, 1), (30, 28, 1, 1), 2.0) == (10.0, 10.0, 0.0, 0.0)
    assert rates_between((10, 8, 1, 1), (4, 4, 0, 0), 2.0) == (2.0, 2.0, 0.0, 0.0)
    assert rates_between((0, 0, 0, 0), (9, 9, 0, 0), 0.0) == (0.0, 0.0, 0.0, 0.0)
    assert latency_between([5, 5], [1, 0]) == [1, 0]


def test_the_page_shows_rates_lag_devices_and_no_alarm_when_all_is_well(city):
    city.sign_in()
    city.client.get("/api/v1/performance")  # with the first look behind, rates are differences
    city.clock.advance(10)
    city.take(*(reading(number) for number in range(20)), flaws=(Flaw("payload.malformed"),))
    seen = city.client.get("/api/v1/performance").json()
    assert seen["rates"]["stored_per_s"] == 2.0
    assert seen["rates"]["rejected_per_s"] == pytest.approx(0.1)
    assert [one["source"] for one in seen["sources"]] == ["http"]
    assert {one["consumer"] for one in seen["lag"]} >= {"ledger", "history", "context", "rules", "traffic"}
    assert all(one["behind"] == 0 and one["is_healthy"] for one in seen["lag"])
    assert seen["devices"] == [{"device_id": None, "readings": 20, "rejected": 1, "per_s": pytest.approx(0.3, abs=0.2)}]
    assert seen["processes"][0]["memory_bytes"] > 1_000_000
    assert [one["code"] for one in seen["alarms"] if one["code"] != "performance.disk"] == []
    assert seen["samples"][-1]["stored_per_s"] == 2.0


def test_an_account_that_does_not_add_up_is_an_alarm_in_the_readers_language(city, monkeypatch):
    city.take(reading(0))
    ledger = city.services.ledger
    broken = [type(one)(one.source, one.received + 3, one.stored, 0, 0) for one in ledger.accounts()]
    monkeypatch.setattr(ledger, "accounts", lambda: broken)
    city.sign_in()
    alarms = city.client.get("/api/v1/performance", headers={"Accept-Language": "zh"}).json()["alarms"]
    assert alarms[0]["code"] == "performance.unbalanced"
    assert alarms[0]["severity"] == "critical"
    assert "http" in alarms[0]["message"] and "3" in alarms[0]["message"]


def test_who_may_not_see_the_system_does_not_see_it(city):
    city.sign_in()
    city.sign_in_as("viewer")
    assert city.client.get("/api/v1/performance").status_code == 403


def test_a_timer_that_fails_is_seen_everywhere_until_it_comes_through(city):
    city.sign_in()
    admin = city.client
    state = [TimerStatus("rules", 4, 2, "ZeroDivisionError"), TimerStatus("intake", 6, 0)]
    object.__setattr__(city.services, "timers", lambda: state)  # a frozen one
    (alarm,) = admin.get("/api/v1/performance", headers={"Accept-Language": "en"}).json()["alarms"]
    assert (alarm["code"], alarm["severity"]) == ("performance.timer", "critical")
    assert "rules" in alarm["message"]
    assert "ZeroDivisionError" in alarm["message"]
    assert city.client.get("/api/v1/health/ready").json()["parts"]["timers"] == "failing: rules"
    assert admin.get("/api/v1/system").json()["timers"][0]["failed"] == 2
    state[0] = TimerStatus("rules", 5, 2)
    assert admin.get("/api/v1/performance").json()["alarms"] == []
    assert "timers" not in city.client.get("/api/v1/health/ready").json()["parts"]
