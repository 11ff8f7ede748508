"""Who sends how much: by device, for the present minute and the one before."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gulou.connectivity.intake import Columns, LogBatch, Reading, Rejected, SeriesCatalogue
from gulou.connectivity.traffic import TrafficMeter
from gulou.connectivity.traffic.meter import count_each

MINUTE = 60_000_000
START = 30_000_000 * MINUTE


def catalogue():
    made = SeriesCatalogue()
    for number in range(6):
        made.number_of(f"urn:ngsi-ld:Pump:{number}", "Pump", "power", f"device-{number // 2}" if number < 4 else None)
    return made


def rows(*numbers):
    count = len(numbers)
    return Columns(np.array(numbers, np.int32), np.zeros(count, np.int64), np.zeros(count))


def batch(sequence, at_us, columns=None, readings=(), rejected=()):
    return LogBatch(sequence, at_us, "mqtt", tuple(readings), tuple(rejected), columns=columns)


def by_name(meter, now_us, limit=10):
    return {one.device_id: (one.readings, one.rejected) for one in meter.noisiest(limit, now_us)}


def test_rows_objects_and_rejects_are_counted_for_their_device():
    meter = TrafficMeter(catalogue())
    reading = Reading("urn:ngsi-ld:Pump:9", "Pump", "name", "text", START, device_id="device-1")
    reject = Rejected("1-0", START, "mqtt", "mqtt/1", None, "device-2", "topic", b"", "reading.duplicate", {})
    meter.apply(batch(1, START, rows(0, 1, 2, 4), [reading], [reject]))
    meter.apply(batch(1, START, rows(0, 1, 2, 4)))  # a repeat
    assert by_name(meter, START) == {"device-0": (2, 0), "device-1": (2, 0), "": (1, 0), "device-2": (0, 1)}
    assert len(meter.noisiest(1, START)) == 1


def test_what_is_older_than_the_minute_before_counts_no_more():
    meter = TrafficMeter(catalogue(), from_sequence=3)
    meter.apply(batch(3, START, rows(0)))
    meter.apply(batch(4, START, rows(2, 2)))
    assert by_name(meter, START + MINUTE) == {"device-1": (2, 0)}
    meter.apply(batch(5, START + MINUTE, rows(0)))
    assert by_name(meter, START + MINUTE + 1) == {"device-1": (2, 0), "device-0": (1, 0)}
    assert by_name(meter, START + 2 * MINUTE) == {"device-0": (1, 0)}
    assert by_name(meter, START + 9 * MINUTE) == {}


@given(st.lists(st.integers(0, 99), max_size=200))
def test_both_kernels_count_alike(numbers):
    series = np.array(numbers, np.int32)
    quick, plain = np.zeros(100, np.int64), np.zeros(100, np.int64)
    count_each(series, quick)
    getattr(count_each, "py_func", count_each)(series, plain)
    assert quick.tolist() == plain.tolist() == np.bincount(series, minlength=100).tolist()
