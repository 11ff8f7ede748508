"""The same commands where no server runs: each starts what it needs for itself, and leaves everything behind."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

HEAD = "TIMESTAMP,hum\n"


def test_load_and_query_work_without_a_server(gulou, lines, tmp_path) -> None:
    data = tmp_path / "data"
    file = tmp_path / "hum.csv"
    rows = [f"2014-08-01T{hour:02d}:00:00,{40 + hour}\n" for hour in range(24)]
    file.write_text(HEAD + "".join(rows) + "2014-08-01T05:00:00,45\nnever,1\n", encoding="utf-8")

    (sums,) = lines(gulou("load", file, "--as", "aarhus-weather", "--json", "--data", data).stdout)
    again = lines(gulou("load", file, "--as", "aarhus-weather", "--json", "--data", data).stdout)
    asked = gulou(
        *("query", "WeatherObserved", "--property", "relativeHumidity", "--aggregate", "max", "--every", "1d"),
        *("--zone", "Europe/Copenhagen", "--from", "2014-08-01", "--to", "2014-08-02", "--json", "--data", data),
    )

    assert sums == {"received": 26, "stored": 24, "rejected": 2, "dropped": 0}
    assert again == [sums]
    (day,) = lines(asked.stdout)
    assert (day["time"], day["count"]) == ("2014-08-01T00:00:00+02:00", 24)
    assert day["value"] == pytest.approx(0.63)


def test_what_was_made_without_a_server_is_there_with_one(gulou, lines, running_gulou, tmp_path) -> None:
    data = tmp_path / "data"
    gulou("devices", "add", "g", "--entity", "WaterLevelObserved:g", "--data", data)
    gulou("user", "add", "vera", "--role", "viewer", "--data", data)

    running = running_gulou(data).start()
    devices = lines(gulou("devices", "list", "--json", "--data", data).stdout)
    users = lines(gulou("user", "list", "--json", "--data", data).stdout)
    running.stop()

    assert [one["id"] for one in devices] == ["g"]
    assert {one["name"] for one in users} == {"admin", "vera"}


def test_the_data_directory_may_come_from_the_environment(gulou, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("GULOU_DATA", str(tmp_path / "elsewhere"))

    told = gulou("devices", "list")

    assert told.stderr == ""
    assert (tmp_path / "elsewhere" / "records.db").exists()


def test_a_pack_is_checked_and_tested_without_any_data_directory(gulou, tmp_path) -> None:
    gulou("pack", "check", "flood", "--data", tmp_path / "none")

    assert not (tmp_path / "none").exists()
