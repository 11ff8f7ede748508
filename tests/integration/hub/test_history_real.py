"""Beijing's air, as measured: daily means equal a computation by the local dates of the file."""

import csv
import gzip
import math
from collections import defaultdict
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.history import AggregateQuery, HistoryService, HistorySettings
from gulou.kernel.clock import SystemClock, from_us, to_us

pytestmark = [pytest.mark.integration, pytest.mark.data]

ZONE = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(("every", "digits"), [("1d", 10), ("1mo", 7), ("1y", 4)])
def test_means_of_a_station(tmp_path, city_data, every, digits):
    expected, readings = defaultdict(list), []
    with gzip.open(city_data / "air" / "PRSA_Data_Aotizhongxin_20130301-20170228.csv.gz", "rt") as lines:
        for row in csv.DictReader(lines):
            if row["PM2.5"] == "NA":
                continue
            local = datetime(*(int(row[part]) for part in ("year", "month", "day", "hour")), tzinfo=ZONE)
            value = float(row["PM2.5"])
            expected[local.isoformat()[:digits]].append(value)
            readings.append(
                Reading(
                    "urn:ngsi-ld:AirQualityObserved:Aotizhongxin", "AirQualityObserved", "pm25", value, to_us(local)
                )
            )
    history = HistoryService(tmp_path, SystemClock(), HistorySettings(background=False))
    for sequence, first in enumerate(range(0, len(readings), 5000), start=1):
        history.apply(LogBatch(sequence, 0, "test", tuple(readings[first : first + 5000])))
    history.flush()
    buckets = history.aggregate(
        AggregateQuery(id_glob="*Aotizhongxin", property="pm25", every=every, zone="Asia/Shanghai")
    )
    history.close()
    got = {from_us(one.time_us).astimezone(ZONE).isoformat()[:digits]: (one.count, one.value) for one in buckets}
    assert got == {key: (len(vs), pytest.approx(math.fsum(vs) / len(vs))) for key, vs in expected.items()}
