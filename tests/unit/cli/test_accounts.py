"""``gulou accounts check``: agreement, corrections, readings that are missing or too many."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gulou.cli import accounts as command
from gulou.connectivity.intake import (
    Columns,
    ColumnSubmission,
    Flaw,
    IntakeService,
    Ledger,
    Payload,
    Reading,
    SegmentLog,
    SeriesCatalogue,
    Submission,
)
from gulou.hub.history import HistoryService, HistorySettings
from gulou.kernel.clock import VirtualClock
from gulou.records import Database

NOW = 1_780_000_000_000_000


class Checks:
    def check(self, entity_type, property_name, value, unit_code):
        return value


class House:
    """A small platform in a data directory: records, log, history."""

    def __init__(self, root):
        self.root = root
        self.clock = VirtualClock(NOW)
        self.database = Database.at(root / "records.db")
        self.database.create_tables()
        self.log = SegmentLog(root / "log")
        self.series = SeriesCatalogue(root / "log" / "series")
        self.history = HistoryService(root / "history", self.clock, HistorySettings(background=False))
        self.ledger = Ledger(self.database, self.clock)
        self.intake = IntakeService(
            self.log, Checks(), self.clock, self.ledger, series=self.series, consumers=(self.history,)
        )
        self.intake.start()

    def rows(self, second, value=1.0, count=10):
        numbers = [self.series.number_of(f"urn:ngsi-ld:Pump:{n}", "Pump", "power", f"p{n}") for n in range(count)]
        at_us = np.full(count, NOW + second * 1_000_000)
        made = Columns(np.array(numbers, np.int32), at_us, np.full(count, value))
        self.intake.submit_columns(ColumnSubmission("mqtt", "mqtt/1", made, lambda _: Payload(b"", ""))).result(5)

    def objects(self, second):
        reading = Reading("urn:ngsi-ld:Pump:x", "Pump", "note", "fine", NOW + second * 1_000_000)
        payload = Payload(b"raw", "file:1", (reading, reading), (Flaw("payload.broken"),))
        self.intake.submit(Submission("load:a", "csv/1", (payload,))).result(5)

    def checkpoint(self, *consumers):
        self.intake.settle()
        for consumer in consumers or (self.ledger, self.history):
            consumer.checkpoint()

    def close(self):
        for part in (self.history, self.log, self.series, self.database):
            part.close()


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.intake.stop()
    made.close()


def check(house):
    result = CliRunner().invoke(command.app, ["check", "--json", "--data", str(house.root)], catch_exceptions=False)
    answer = json.loads(result.stdout)
    return result.exit_code, answer, {line["source"]: line for line in answer["sources"]}


def test_what_was_counted_is_there_in_the_table_and_in_the_log(house):
    house.rows(1)
    house.objects(1)
    house.checkpoint()
    house.rows(2)
    house.checkpoint(house.ledger)
    code, answer, lines = check(house)
    assert (code, answer["sound"]) == (0, True)
    mqtt, load = lines["mqtt"], lines["load:a"]
    assert (mqtt["history"], mqtt["log"], mqtt["missing"], mqtt["verdict"]) == (10, 10, 0, "exact")
    assert (load["received"], load["stored"], load["rejected"], load["history"]) == (3, 1, 2, 1)


def test_a_table_that_is_ahead_of_the_ledger_is_counted_to_the_same_record(house):
    house.rows(1)
    house.checkpoint()
    house.rows(2)
    house.checkpoint(house.history)
    code, answer, lines = check(house)
    assert (code, answer["ledger"], answer["history"]) == (0, 1, 2)
    assert (lines["mqtt"]["history"], lines["mqtt"]["verdict"]) == (10, "exact")


def test_corrections_explain_what_merging_took_away(house):
    house.rows(1)
    house.rows(2)
    house.checkpoint()
    house.rows(1, value=2.0, count=4)
    house.checkpoint()
    code, _, lines = check(house)
    assert (code, lines["mqtt"]["verdict"]) == (0, "exact")
    assert (lines["mqtt"]["stored"], lines["mqtt"]["history"], lines["mqtt"]["values"]) == (24, 24, 20)
    line = command.judge(
        house.ledger.account("mqtt"),
        command.Lake(position=9, rows={"mqtt": 20}, late={"mqtt": 4}),
        command.Counter(),
    )
    assert (line.missing, line.verdict) == (4, "corrected")


@pytest.mark.parametrize(
    ("rows", "late", "expires", "verdict"),
    [(9, 0, False, "missing"), (9, 0, True, "expired"), (9, 1, False, "corrected"), (11, 5, True, "too_many")],
)
def test_what_differs_is_judged(rows, late, expires, verdict):
    account = command.Account("s", 12, 10, 2, 0)
    lake = command.Lake(rows={"s": rows}, late={"s": late}, expires=expires)
    assert command.judge(account, lake, command.Counter()).verdict == verdict
    broken = command.Account("s", 13, 10, 2, 0)
    assert command.judge(broken, lake, command.Counter()).verdict == "sums"


def test_readings_that_are_missing_or_unknown_end_with_one(house):
    house.rows(1)
    house.checkpoint()
    with house.ledger._guard:
        house.ledger._source("mqtt").stored += 5
        house.ledger._source("mqtt").received += 5
    house.objects(2)
    house.checkpoint()
    code, answer, lines = check(house)
    assert (code, answer["sound"]) == (1, False)
    assert (lines["mqtt"]["missing"], lines["mqtt"]["verdict"]) == (5, "missing")
    assert lines["load:a"]["verdict"] == "exact"


def test_people_read_a_table(house):
    house.rows(1)
    house.checkpoint()
    text = CliRunner().invoke(command.app, ["check", "--data", str(house.root)], catch_exceptions=False).stdout
    assert "mqtt" in text and "history up to 1" in text


def test_the_log_may_go_on_while_the_history_is_counted(house, monkeypatch):
    house.rows(1)
    house.checkpoint()
    house.rows(2)
    house.checkpoint(house.ledger)
    count = command.count_lake

    def slowly(table, up_to):
        for path in (house.root / "log").glob("*.seg"):
            path.rename(path.with_suffix(".gone"))
        return count(table, up_to)

    monkeypatch.setattr(command, "count_lake", slowly)
    code, answer, lines = check(house)
    assert (code, answer["sound"], lines["mqtt"]["log"]) == (0, True, 10)


def test_a_log_that_went_on_while_it_was_read_is_read_again(house, monkeypatch):
    house.rows(1)
    house.checkpoint(house.ledger)
    read, looks = command._read_log, []

    def after_a_flush(place, settings, after, up_to):
        looks.append(after)
        if len(looks) == 1:
            house.history.checkpoint()
            return command.Counter(), ["the log has no records 1 to 1"]
        return read(place, settings, after, up_to)

    monkeypatch.setattr(command, "_read_log", after_a_flush)
    code, answer, lines = check(house)
    assert (code, answer["problems"], looks) == (0, [], [0, 1])
    assert (lines["mqtt"]["history"], lines["mqtt"]["verdict"]) == (10, "exact")
