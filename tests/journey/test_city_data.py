"""Real city data through the command line, against calculations that share no code with Gulou: csv, zoneinfo, sums."""

from __future__ import annotations

import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean
from zoneinfo import ZoneInfo

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.data]

BEIJING, AARHUS, LOS_ANGELES = (
    ZoneInfo(name) for name in ("Asia/Shanghai", "Europe/Copenhagen", "America/Los_Angeles")
)


def records(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def cut(source: Path, target: Path, keep: int) -> Path:
    """Write the first rows of a packed file, unpacked."""
    with gzip.open(source, "rt", encoding="utf-8", newline="") as file:
        target.write_text("".join(line for line, _ in zip(file, range(keep + 1), strict=False)), encoding="utf-8")
    return target


def is_ambiguous(local: datetime, zone: ZoneInfo) -> bool:
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first > second


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory, running_gulou):
    """A server that all files of this module are loaded into."""
    running = running_gulou(tmp_path_factory.mktemp("city") / "data").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def load(city, gulou, lines):
    """Load files; returns the last line."""

    def run(mapping: str, *files: Path) -> dict[str, int]:
        return lines(gulou("load", *files, "--as", mapping, "--json", "--data", city.data).stdout)[-1]

    return run


@pytest.fixture(scope="module")
def query(city, gulou, lines):
    def run(*arguments: str) -> list[dict]:
        return lines(gulou("query", *arguments, "--json", "--data", city.data).stdout)

    return run


@pytest.fixture
def reasons(city):
    """Count the rejected readings of a source by reason."""

    def count(mapping: str) -> Counter:
        found: Counter = Counter()
        with closing(city.admin()) as admin:
            params = {"source": f"load:{mapping}", "limit": 500}
            cursor: dict = {}
            while cursor is not None:
                page = admin.get("/rejected", params={**params, **cursor}).json()
                found.update(one["code"] for one in page["items"])
                cursor = {"cursor": page["next"]} if page["next"] else None
        return found

    return count


# Beijing's air, 2013 to 2017

AIR = ("PM2.5", "PM10", "SO2", "NO2", "CO", "O3", "TEMP", "PRES", "DEWP", "RAIN", "WSPM", "wd")


@pytest.fixture(scope="module")
def air_files(city_data) -> list[Path]:
    return sorted((city_data / "air").glob("PRSA_*.csv.gz"))


@pytest.fixture(scope="module")
def air(load, air_files):
    """Load all four stations; returns the last line."""
    return load("prsa-air", *air_files)


def beijing_time(record: dict[str, str]) -> datetime:
    year, month, day, hour = (int(record[part]) for part in ("year", "month", "day", "hour"))
    return datetime(year, month, day, hour, tzinfo=BEIJING)


@pytest.mark.slow
def test_the_air_of_beijing_adds_up_to_the_reading(air, air_files) -> None:
    there = sum(record[column] not in ("", "NA") for file in air_files for record in records(file) for column in AIR)

    assert len(air_files) == 4
    assert there > 1_600_000
    assert air == {"received": there, "stored": there, "rejected": 0, "dropped": 0}


def test_daily_means_equal_an_independent_calculation(air, air_files, query) -> None:
    days = defaultdict(list)
    for record in records(air_files[0]):
        if record["PM2.5"] != "NA" and "2013-03-01" <= beijing_time(record).date().isoformat() < "2013-03-08":
            days[beijing_time(record).date()].append(float(record["PM2.5"]))

    found = query(
        *("AirQualityObserved", "--id", "*Aotizhongxin", "--property", "pm25", "--aggregate", "mean", "--every", "1d"),
        *("--zone", "Asia/Shanghai", "--from", "2013-03-01", "--to", "2013-03-08"),
    )

    assert [set(line) for line in found] == [{"time", "value", "count"}] * 7
    assert [line["time"] for line in found] == [f"{day.isoformat()}T00:00:00+08:00" for day in sorted(days)]
    assert [line["count"] for line in found] == [len(days[day]) for day in sorted(days)]
    assert [line["value"] for line in found] == pytest.approx([fmean(days[day]) for day in sorted(days)], rel=1e-12)


def test_each_hour_of_one_station_is_there_with_its_own_value(air, air_files, query) -> None:
    true = {
        beijing_time(record).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"): float(record["CO"]) / 1000
        for record in records(air_files[1])
        if record["CO"] != "NA"
    }

    found = query("AirQualityObserved", "--id", "*Changping", "--property", "co")

    assert len(found) == len(true)
    assert {line["observed_at"]: line["value"] for line in found} == pytest.approx(true)


def test_loading_the_same_files_again_changes_nothing(air, load, air_files) -> None:
    assert load("prsa-air", *air_files) == air


# Aarhus


def test_car_parks_of_aarhus(city_data, load, reasons, query) -> None:
    file = city_data / "parking" / "aarhus_parking.csv.gz"
    expected: Counter = Counter()
    highest: dict[str, tuple[datetime, int]] = {}
    for record in records(file):
        local = datetime.fromisoformat(record["updatetime"])
        count, spaces = int(record["vehiclecount"]), int(record["totalspaces"])
        if is_ambiguous(local, AARHUS):
            expected["time.ambiguous"] += 1
            continue
        expected["source.implausible"] += 2 * (count > spaces)
        expected["stored"] += 3 - 2 * (count > spaces)
        at = local.replace(tzinfo=AARHUS).astimezone(UTC)
        newest = highest.get(record["garagecode"])
        if newest is None or at > newest[0]:
            highest[record["garagecode"]] = (at, spaces)

    sums = load("aarhus-parking", file)

    stored = expected.pop("stored")
    assert dict(reasons("aarhus-parking")) == dict(expected)
    assert sums == {
        "received": stored + expected.total(),
        "stored": stored,
        "rejected": expected.total(),
        "dropped": 0,
    }
    now = {one["id"].rsplit("-", 1)[1]: one for one in query("OffStreetParking", "--id", "*aarhus-*", "--now")}
    assert {name: one["totalSpotNumber"] for name, one in now.items()} == {
        name: spaces for name, (_, spaces) in highest.items()
    }


def test_traffic_of_aarhus(city_data, load, reasons, query) -> None:
    file = city_data / "traffic" / "aarhus_trafficData158324.csv.gz"
    rows = list(records(file))
    hours = defaultdict(list)
    for record in rows:
        hours[record["TIMESTAMP"][:13]].append(float(record["avgSpeed"]))

    sums = load("aarhus-traffic", file)

    assert sums == {"received": 4 * len(rows), "stored": 4 * len(rows), "rejected": 0, "dropped": 0}
    found = query(
        *("TrafficFlowObserved", "--id", "*aarhus-158324", "--property", "averageVehicleSpeed"),
        *("--aggregate", "mean", "--every", "1h", "--zone", "Europe/Copenhagen"),
    )
    assert {line["time"][:13]: line["count"] for line in found} == {hour: len(speeds) for hour, speeds in hours.items()}
    assert {line["time"][:13]: line["value"] for line in found} == pytest.approx(
        {hour: fmean(speeds) for hour, speeds in hours.items()}
    )


def test_weather_of_aarhus(city_data, load, query) -> None:
    names = ("hum", "tempm", "wdird", "pressurem", "wspdm")
    files = [city_data / "weather_flood" / f"aarhus_{name}.csv.gz" for name in names]
    missing = ("", "-9999", "-999", "-9999.0", "-999.0")
    there = sum(
        record[name] not in missing for name, file in zip(names, files, strict=True) for record in records(file)
    )

    sums = load("aarhus-weather", *files)

    assert sums == {"received": there, "stored": there, "rejected": 0, "dropped": 0}
    (humidity,) = query(
        *("WeatherObserved", "--id", "*aarhus", "--property", "relativeHumidity", "--aggregate", "max"),
        *("--every", "1d", "--zone", "Europe/Copenhagen", "--from", "2014-08-05", "--to", "2014-08-06"),
    )
    day = [float(one["hum"]) for one in records(files[0]) if one["TIMESTAMP"].startswith("2014-08-05") and one["hum"]]
    assert (humidity["value"], humidity["count"]) == (pytest.approx(max(day) / 100), len(day))


# Los Angeles, Santa Barbara


def test_detectors_of_los_angeles(city_data, load, query, tmp_path) -> None:
    file = cut(city_data / "traffic" / "metr_la_speed_7days.csv.gz", tmp_path / "metr_la.csv", 400)
    with file.open(encoding="utf-8") as text:
        rows = list(csv.DictReader(text))
    there = sum(float(value) != 0 for row in rows for value in row.values())
    start = datetime(2012, 3, 1, tzinfo=LOS_ANGELES).astimezone(UTC)
    detector = next(iter(rows[0]))

    sums = load("metr-la", file)

    assert sums == {"received": there, "stored": there, "rejected": 0, "dropped": 0}
    found = query("TrafficFlowObserved", "--id", f"*metr-la-{detector}", "--property", "averageVehicleSpeed")
    true = {
        (start + timedelta(minutes=5 * n)).strftime("%Y-%m-%dT%H:%M:%SZ"): float(row[detector]) * 1.609344
        for n, row in enumerate(rows)
        if float(row[detector]) != 0
    }
    assert {line["observed_at"]: line["value"] for line in found} == pytest.approx(true)


def test_reservoirs_of_santa_barbara(city_data, load, reasons, query, tmp_path) -> None:
    source = city_data / "weather_flood" / "sbc_reservoir_levels_2021_2023.csv.gz"
    rows = list(records(source))
    dirty = [row for row in rows if row["name"].startswith(("Z. ", "Test")) or row["status"] != "1"]
    comma = [row for row in rows if "," in row["last_value"]][:200]
    chosen = {id(row) for row in (*rows[:5_000], *dirty, *comma)}
    kept = [row for row in rows if id(row) in chosen]
    file = tmp_path / "reservoirs.csv"
    with file.open("w", encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    expected = Counter(
        "source.test_sensor" if row["name"].startswith(("Z. ", "Test")) else "source.status_bad" for row in dirty
    )

    sums = load("sbc-reservoir", file)

    assert dict(reasons("sbc-reservoir")) == dict(expected)
    stored = len(kept) - expected.total()
    assert (sums["stored"], sums["rejected"], sums["dropped"]) == (stored, expected.total(), 0)
    assert sums["received"] == sums["stored"] + sums["rejected"]
    site = comma[0]["site_id"]
    found = query("WaterLevelObserved", "--id", f"*sbc-{site}", "--property", "waterLevel")
    value = {line["observed_at"]: line["value"] for line in found}
    flags = {line["observed_at"]: line["flags"] for line in found}
    for row in [row for row in comma if row["site_id"] == site]:
        at = row["last_time_utc"].replace("+0000", "Z")
        assert value[at] == pytest.approx(float(row["last_value"].replace(",", "")) * 0.3048)
        assert "source.thousands_separator" in flags[at]


def test_the_whole_city_adds_up(air, city) -> None:
    with closing(city.admin()) as admin:
        book = admin.get("/accounting").json()

    parts = ("received", "stored", "rejected", "dropped")
    total = {part: sum(account[part] for account in book["accounts"]) for part in parts}
    assert total == {part: book["total"][part] for part in parts}
    assert total["received"] == total["stored"] + total["rejected"] + total["dropped"]
    assert book["balanced"] is True
