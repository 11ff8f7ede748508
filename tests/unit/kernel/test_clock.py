from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gulou.kernel import Invalid, VirtualClock, from_rfc3339, from_us, to_rfc3339, to_us


@given(st.integers(min_value=-62_135_596_800_000_000, max_value=253_402_300_799_999_999))
def test_an_instant_survives_text_and_datetime(instant_us):
    assert from_rfc3339(to_rfc3339(instant_us)) == instant_us
    assert to_us(from_us(instant_us)) == instant_us


def test_decimals_are_written_only_where_there_are_some():
    assert to_rfc3339(0) == "1970-01-01T00:00:00Z"
    assert to_rfc3339(1) == "1970-01-01T00:00:00.000001Z"


def test_an_offset_is_taken_into_account():
    assert from_rfc3339("2026-07-01T08:00:00+08:00") == from_rfc3339("2026-07-01T00:00:00Z")


def test_a_time_without_a_zone_is_refused_unless_one_is_given():
    with pytest.raises(Invalid, match=r"time\.zone_missing"):
        from_rfc3339("2026-07-01T08:00:00")
    assert from_rfc3339("2026-07-01T08:00:00", ZoneInfo("Asia/Shanghai")) == from_rfc3339("2026-07-01T00:00:00Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z"])
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(Invalid, match=r"time\.unreadable"):
        from_rfc3339(text)


def test_a_naive_datetime_is_refused():
    with pytest.raises(Invalid, match=r"time\.zone_missing"):
        to_us(datetime(2026, 1, 1))


def test_the_virtual_clock_moves_only_forward():
    clock = VirtualClock(5_000_000)
    clock.advance(1.5)
    assert clock.now_us() == 6_500_000
    with pytest.raises(Invalid, match=r"clock\.backwards"):
        clock.set_us(6_499_999)
    assert clock.now_us() == 6_500_000


def test_conversion_is_exact_far_from_the_epoch():
    moment = datetime(2500, 1, 1, tzinfo=UTC) + timedelta(microseconds=1)
    assert from_us(to_us(moment)) == moment
