from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.hub.history.buckets import bucket_edges, get_zone, parse_every
from gulou.kernel.clock import from_rfc3339, from_us, to_rfc3339, to_us
from gulou.kernel.errors import Invalid

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
HOUR_US = 3_600_000_000


def edges_between(every, zone, first, end):
    return bucket_edges(parse_every(every), ZoneInfo(zone), from_rfc3339(first), from_rfc3339(end), limit=100_000)


@pytest.mark.parametrize(
    ("day", "following", "hours"),
    [("2025-03-30", "2025-03-31", 23), ("2025-10-26", "2025-10-27", 25), ("2025-07-01", "2025-07-02", 24)],
)
def test_a_local_day_has_as_many_hours_as_it_has(day, following, hours):
    first, end = (from_rfc3339(f"{text}T00:00:00", COPENHAGEN) for text in (day, following))
    assert bucket_edges(parse_every("1h"), COPENHAGEN, first, end, limit=99) == list(range(first, end, HOUR_US))
    assert (end - first) // HOUR_US == hours
    assert bucket_edges(parse_every("1d"), COPENHAGEN, first, end, limit=99) == [first]


def test_steps_of_two_hours_start_anew_after_a_day_of_25_hours():
    edges = edges_between("2h", "Europe/Copenhagen", "2025-10-26T00:00:00+02:00", "2025-10-27T02:00:00+01:00")
    assert [to_rfc3339(edge) for edge in edges[-3:]] == [
        "2025-10-26T20:00:00Z", "2025-10-26T22:00:00Z", "2025-10-26T23:00:00Z",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("every", "zone", "first", "end", "expected"),
    [
        ("1w", "UTC", "2025-01-01T00:00:00Z", "2025-01-14T00:00:00Z",
         ["2024-12-30T00:00:00Z", "2025-01-06T00:00:00Z", "2025-01-13T00:00:00Z"]),
        ("1mo", "Asia/Shanghai", "2013-02-10T00:00:00Z", "2013-04-01T00:00:00Z",
         ["2013-01-31T16:00:00Z", "2013-02-28T16:00:00Z", "2013-03-31T16:00:00Z"]),
        ("3mo", "UTC", "2025-02-01T00:00:00Z", "2025-04-02T00:00:00Z",
         ["2025-01-01T00:00:00Z", "2025-04-01T00:00:00Z"]),
        ("1y", "UTC", "2023-06-01T00:00:00Z", "2025-01-01T00:00:00Z", ["2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z"]),
        ("30m", "Asia/Kolkata", "2025-01-01T00:10:00Z", "2025-01-01T00:40:00Z",
         ["2025-01-01T00:00:00Z", "2025-01-01T00:30:00Z"]),
        ("1h", "Asia/Kolkata", "2025-01-01T00:10:00Z", "2025-01-01T00:40:00Z",
         ["2024-12-31T23:30:00Z", "2025-01-01T00:30:00Z"]),
        # The clock there jumps from midnight to one: the day begins at what exists first.
        ("1d", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "2018-11-05T12:00:00Z",
         ["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"]),
        # Samoa had no 30 December 2011.
        ("1d", "Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z",
         ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]),
        ("24h", "UTC", "2025-01-01T05:00:00Z", "2025-01-01T06:00:00Z", ["2025-01-01T00:00:00Z"]),
    ],
)  # fmt: skip
def test_civil_steps(every, zone, first, end, expected):
    assert [to_rfc3339(edge) for edge in edges_between(every, zone, first, end)] == expected


@given(
    start=st.datetimes(datetime(1990, 1, 1), datetime(2035, 1, 1)),
    length_h=st.integers(1, 24 * 40),
    every=st.sampled_from(["15m", "1h", "3h", "1d", "2d", "1w", "1mo", "1y"]),
    zone=st.sampled_from(
        ["UTC", "Asia/Shanghai", "Europe/Copenhagen", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo"]
    ),
)
def test_edges_cover_the_range_once(start, length_h, every, zone):
    first = to_us(start.replace(tzinfo=ZoneInfo("UTC")))
    end = first + length_h * HOUR_US
    edges = bucket_edges(parse_every(every), ZoneInfo(zone), first, end, limit=10_000)
    assert edges == sorted(set(edges))
    assert edges[0] <= first
    assert all(first < edge < end for edge in edges[1:])
    local_days = {from_us(edge).astimezone(ZoneInfo(zone)).date() for edge in edges}
    whole_days = {
        (from_us(first).astimezone(ZoneInfo(zone)) + timedelta(days=n)).date() for n in range(1, length_h // 24 - 1)
    }
    assert every not in {"15m", "1h", "3h", "1d"} or whole_days <= local_days


@pytest.mark.parametrize(
    "text", ["", "0h", "1", "h", "7h", "5000m", "1 h", "-1h", "1.5h", "1h;DROP", "25h", "100000s", "1M"]
)
def test_a_step_that_is_none_is_refused(text):
    with pytest.raises(Invalid) as caught:
        parse_every(text)
    assert caught.value.code == "history.every"


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "\0"])
def test_a_zone_that_is_none_is_refused(name):
    with pytest.raises(Invalid) as caught:
        get_zone(name)
    assert caught.value.code == "history.zone"


def test_too_many_steps_are_refused_before_they_are_made():
    with pytest.raises(Invalid) as caught:
        edges_between("1s", "UTC", "0001-01-02T00:00:00Z", "9990-01-01T00:00:00Z")
    assert caught.value.code == "history.too_many_steps"
