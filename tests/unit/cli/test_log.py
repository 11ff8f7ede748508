"""``gulou log``: a copy, a log beside its writer, damage, encryption."""

from __future__ import annotations

import json
import secrets

import numpy as np
import pytest
from typer.testing import CliRunner

from gulou.cli import log as command
from gulou.connectivity.intake import (
    Columns,
    ColumnSubmission,
    Flaw,
    IntakeService,
    Ledger,
    LogFollower,
    LogKeys,
    LogSettings,
    Payload,
    Reading,
    SegmentLog,
    SeriesCatalogue,
    Submission,
)
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Fault, NotFound
from gulou.records import Database

NOW = 1_780_000_000_000_000


class Checks:
    def check(self, entity_type, property_name, value, unit_code):
        return value


def run(*arguments):
    return CliRunner().invoke(command.app, [str(one) for one in arguments], catch_exceptions=False)


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(params=["plain", "sealed"])
def house(request, tmp_path):
    key_file = None
    if request.param == "sealed":
        key_file = tmp_path / "key"
        key_file.write_text(secrets.token_hex(32))
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = VirtualClock(NOW)
    settings = LogSettings(segment_mb=0.004, keep_segments=50, encryption_key_file=key_file)
    log = SegmentLog(tmp_path / "log", settings)
    series = SeriesCatalogue(tmp_path / "log" / "series", keys=log.keys)
    intake = IntakeService(log, Checks(), clock, Ledger(database, clock), series=series)
    intake.start()
    for second in range(30):
        number = series.number_of("urn:ngsi-ld:Pump:a", "Pump", "power", "pump-a")
        rows = Columns(np.full(20, number, np.int32), NOW + second * 100 + np.arange(20), np.full(20, float(second)))
        intake.submit_columns(ColumnSubmission("mqtt", "mqtt/1", rows, lambda row: Payload(b"", ""))).result(5)
        reading = Reading("urn:ngsi-ld:Pump:b", "Pump", "note", "fine", NOW + second)
        payload = Payload(b"raw bytes", "file:1", (reading,), (Flaw("payload.broken"),))
        intake.submit(Submission("load", "csv/1", (payload,))).result(5)
    yield tmp_path / "log", ["--key-file", key_file] if key_file else []
    intake.stop()
    log.close()
    series.close()
    database.close()


def test_files_and_records_are_shown_beside_the_writer(house):
    directory, key = house
    shown = lines(run("show", directory, "--json", "--limit", 1_000, *key))
    records = [one for one in shown if one["kind"] == "record"]
    assert shown[0]["kind"] == "head" and shown[0]["last_sequence"] == 60
    assert [one["sequence"] for one in records] == list(range(1, 61))
    assert records[2]["readings"][1]["entity_id"] == "urn:ngsi-ld:Pump:a"
    assert records[2]["readings"][1]["device_id"] == "pump-a"
    assert records[1]["rejected"][0]["raw"] == "raw bytes"
    segments = [one for one in shown if one["kind"] == "segment"]
    assert len(segments) > 1
    assert sum(one["frames"] for one in segments) == 60
    assert {one["sealed"] for one in segments} == {bool(key)}


def test_a_part_of_one_source_is_shown(house):
    directory, key = house
    result = run("show", directory, "--from", 10, "--to", 20, "--source", "load", "--limit", 3, "--json", *key)
    assert [one["sequence"] for one in lines(result) if one["kind"] == "record"] == [10, 12, 14]


def test_people_see_the_same(house):
    directory, key = house
    text = run("show", directory, "--limit", 4, "--rows", 1, *key).stdout
    assert "mqtt: 20 readings, 0 rejected" in text
    assert "urn:ngsi-ld:Pump:a power = 0" in text
    assert "… 19 more" in text
    assert "rejected payload.broken file:1" in text


def test_a_sound_log_is_verified(house):
    directory, key = house
    result = run("verify", directory, "--json", *key)
    (answer,) = lines(result)
    assert result.exit_code == 0
    assert answer["sound"] is True
    assert (answer["records"], answer["readings"], answer["rejected"], answer["series"]) == (60, 630, 30, 1)
    assert run("verify", directory, *key).stdout.startswith("sound yes")


def spoil(path, offset):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff\xff\xff")


def test_damage_is_named_by_file_and_offset_and_the_rest_is_read(house):
    directory, key = house
    segments = [one for one in lines(run("show", directory, "--json", *key, "--limit", 0)) if one["kind"] == "segment"]
    second = directory / segments[1]["file"]
    spoil(second, 64 + 40)
    result = run("verify", directory, "--json", *key)
    (answer,) = lines(result)
    (damage,) = answer["damage"]
    assert result.exit_code == 1
    assert (damage["problem"], damage["file"], damage["offset"]) == ("frame", second.name, 64)
    assert damage["resumes"] == damage["sequence"] + 1
    assert answer["records"] == 59
    text = run("verify", directory, *key).stdout
    assert f"DAMAGE (frame) in {second.name} at 64" in text


def test_a_missing_file_a_broken_header_and_a_lost_end_are_damage(house):
    directory, key = house
    paths = sorted(directory.glob("*.seg"))
    paths[1].unlink()
    spoil(paths[2], 0)
    spoil(paths[-1], 64 + 40)
    answer = lines(run("verify", directory, "--json", *key))[0]
    assert [one["problem"] for one in answer["damage"]][:2] == ["gap", "header"]
    assert answer["damage"][-1]["problem"] in {"short", "frame"}


def test_a_number_that_the_catalogue_lacks_is_damage_and_shown(house):
    directory, key = house
    empty = SeriesCatalogue(directory / "empty", keys=LogKeys.read(key[1]) if key else None)
    empty.close()
    (directory / "empty").replace(directory / "series")
    answer = lines(run("verify", directory, "--json", *key))[0]
    assert {one["problem"] for one in answer["damage"]} == {"series"}
    shown = lines(run("show", directory, "--json", "--limit", 1, *key))
    assert shown[-1]["readings"][0]["entity_id"] == "series 0"


def test_where_nothing_is_it_is_said_so(tmp_path):
    with pytest.raises(NotFound, match=r"log\.none"):
        run("show", tmp_path)


def test_readers_are_shown(house):
    directory, key = house
    follower = LogFollower(directory, "web")
    follower.forget_before(7)
    assert "reader web has 7" in run("show", directory, *key).stdout
    follower.close()


def test_a_sealed_log_without_its_key_is_not_shown(tmp_path):
    key_file = tmp_path / "key"
    key_file.write_text(secrets.token_hex(32))
    log = SegmentLog(tmp_path / "log", LogSettings(encryption_key_file=key_file))
    log.append([b"x"])
    log.close()
    with pytest.raises(Fault, match=r"log\.key_missing"):
        run("show", tmp_path / "log")
