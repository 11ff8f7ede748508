"""Columns go through the same door as objects, and come out the same."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from msgspec import structs

from gulou.connectivity.intake import (
    Columns,
    ColumnSubmission,
    IntakeService,
    Ledger,
    MemoryLog,
    Payload,
    SegmentLog,
    SeriesCatalogue,
    expand,
)
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Fault, Invalid
from gulou.records import Database

NOW = 1_780_000_000_000_000


class Checks:
    def check(self, entity_type, property_name, value, unit_code):
        if value > 100:
            raise Invalid("reading.out_of_range", value=value)
        return value


class Limits(Checks):
    """As the vocabulary: the limits are known ahead, and may change."""

    generation = 0
    highest = 100.0

    def limits(self, entity_type, property_name):
        return (-1e300, self.highest) if property_name != "odd" else None

    def check(self, entity_type, property_name, value, unit_code):
        if value > self.highest:
            raise Invalid("reading.out_of_range", value=value)
        return value


class Seen:
    name = "seen"
    takes_columns = True

    def __init__(self):
        self.batches = []

    def position(self):
        return 0

    def apply(self, batch):
        self.batches.append(batch)

    def checkpoint(self):
        pass


class Objects(Seen):
    name = "objects"
    takes_columns = False


def house(log, series, database, *consumers, checks=None):
    clock = VirtualClock(NOW)
    checks = checks or Checks()
    return IntakeService(log, checks, clock, Ledger(database, clock), series=series, consumers=consumers)


@pytest.fixture
def database(tmp_path):
    made = Database.at(tmp_path / "records.db")
    made.create_tables()
    yield made
    made.close()


def columns(series, rows):
    numbers = [series.number_of(f"urn:ngsi-ld:Pump:{name}", "Pump", "power") for name, _, _ in rows]
    times = [NOW + 1_000_000 * second for _, second, _ in rows]
    return Columns(
        np.array(numbers, np.int32), np.array(times, np.int64), np.array([value for _, _, value in rows], np.float64)
    )


def submission(made):
    return ColumnSubmission("mqtt", "mqtt/1", made, lambda row: Payload(b"raw %d" % row, "topic"))


def test_rows_are_stored_rejected_and_seen_by_every_kind_of_consumer(database):
    series, seen, objects = SeriesCatalogue(), Seen(), Objects()
    intake = house(MemoryLog(), series, database, seen, objects)
    intake.start()
    rows = [("a", 0, 1.5), ("b", 0, 2.0), ("a", 0, 1.5), ("b", 1, 500.0), ("a", 9_999, 1.0), ("a", 0, 7.0)]
    receipt = intake.submit_columns(submission(columns(series, rows))).result(5)
    assert (receipt.received, receipt.stored, receipt.rejected) == (6, 3, 3)
    assert {flaw.code for flaw in receipt.problems} == {
        "reading.duplicate",
        "reading.out_of_range",
        "clock.future",
    }
    intake.settle()
    intake.stop()
    batch = seen.batches[0]
    assert batch.columns is not None and batch.columns.value.tolist() == [1.5, 2.0]
    assert [one.flags for one in batch.readings] == [("corrected",)]
    assert expand(batch, series).readings == objects.batches[0].readings
    assert sorted(one.raw for one in batch.rejected) == [b"raw 2", b"raw 3", b"raw 4"]


def test_a_row_and_an_object_of_the_same_series_and_time_are_duplicates(database):
    series, objects = SeriesCatalogue(), Objects()
    intake = house(MemoryLog(), series, database, objects)
    intake.start()
    made = columns(series, [("a", 0, 1.5)])
    assert intake.submit_columns(submission(made)).result(5).stored == 1
    assert intake.submit_columns(submission(made)).result(5).rejected == 1
    intake.stop()


def test_after_a_restart_the_log_gives_the_same_rows(database, tmp_path):
    series, seen = SeriesCatalogue(tmp_path / "log" / "series"), Seen()
    log = SegmentLog(tmp_path / "log")
    intake = house(log, series, database, seen)
    intake.start()
    made = columns(series, [("a", 0, 1.5), ("b", 0, -0.0), ("c", 3, 1e-300)])
    intake.submit_columns(submission(made)).result(5)
    intake.stop()
    log.close()
    series.close()

    again, once_more = SeriesCatalogue(tmp_path / "log" / "series"), Seen()
    log = SegmentLog(tmp_path / "log")
    intake = house(log, again, database, once_more)
    intake.start()
    assert [batch.columns for batch in once_more.batches] == [made]
    assert [again.get(n).entity_id for n in range(3)] == [f"urn:ngsi-ld:Pump:{name}" for name in "abc"]
    assert intake.submit_columns(submission(made)).result(5).rejected == 3
    intake.stop()
    log.close()
    again.close()


def test_a_torn_end_of_the_catalogue_is_written_over_and_a_reader_follows(tmp_path):
    path = tmp_path / "series"
    writer = SeriesCatalogue(path)
    writer.number_of("urn:ngsi-ld:Pump:a", "Pump", "power")
    writer.sync()
    reader = SeriesCatalogue(path, readonly=True)
    assert len(reader) == 1
    writer.close()
    path.write_bytes(path.read_bytes() + b"\x40\0\0\0torn")
    writer = SeriesCatalogue(path)
    assert writer.number_of("urn:ngsi-ld:Pump:b", "Pump", "power", "device-b") == 1
    writer.sync()
    writer.close()
    reader.refresh()
    assert reader.get(1).device_id == "device-b"
    assert reader.find("urn:ngsi-ld:Pump:a", "power") == 0


@pytest.mark.parametrize("checks", [Checks, Limits])
def test_limits_known_ahead_refuse_what_the_check_refuses(database, checks):
    series, seen = SeriesCatalogue(), Seen()
    intake = house(MemoryLog(), series, database, seen, checks=checks())
    intake.start()
    rows = [
        ("a", 0, 100.0),
        ("b", 0, 100.1),
        ("c", 0, float("nan")),
        ("d", -2_000_000_000, 1.0),
        ("e", 300, 1.0),
        ("f", 301, 1.0),
    ]
    receipt = intake.submit_columns(submission(columns(series, rows))).result(5)
    intake.stop()
    assert [flaw.code for flaw in receipt.problems] == [
        "reading.out_of_range",
        "reading.not_a_number",
        "clock.past",
        "clock.future",
    ]
    assert seen.batches[0].columns.value.tolist() == [100.0, 1.0]
    assert [one.raw for one in seen.batches[0].rejected] == [b"raw 1", b"raw 2", b"raw 3", b"raw 5"]


def test_a_vocabulary_that_changes_is_asked_anew(database):
    series, checks = SeriesCatalogue(), Limits()
    intake = house(MemoryLog(), series, database, checks=checks)
    intake.start()
    assert intake.submit_columns(submission(columns(series, [("a", 0, 50.0)]))).result(5).stored == 1
    checks.highest, checks.generation = 10.0, 1
    assert intake.submit_columns(submission(columns(series, [("a", 1, 50.0)]))).result(5).rejected == 1
    intake.stop()


def test_the_raw_bytes_of_a_duplicate_are_its_own_also_behind_other_rejects(database):
    series, seen = SeriesCatalogue(), Seen()
    intake = house(MemoryLog(), series, database, seen)
    intake.start()
    rows = [("a", 0, 500.0), ("b", 0, 1.0), ("a", 9_999, 1.0), ("b", 0, 1.0)]
    intake.submit_columns(submission(columns(series, rows))).result(5)
    intake.stop()
    assert [(one.code, one.raw) for one in seen.batches[0].rejected] == [
        ("reading.out_of_range", b"raw 0"),
        ("clock.future", b"raw 2"),
        ("reading.duplicate", b"raw 3"),
    ]


def test_a_number_that_nobody_gave_is_a_fault_of_the_adapter(database):
    intake = house(MemoryLog(), SeriesCatalogue(), database)
    intake.start()
    for number in (0, -1, 5_000):
        made = Columns(np.array([number], np.int32), np.array([NOW]), np.array([1.0]))
        with pytest.raises(Fault, match=r"intake\.series_unknown"):
            intake.submit_columns(submission(made))
    intake.settle()
    intake.stop()


class SlowLog(MemoryLog):
    """Writes nothing until it is told to, so that much gathers."""

    def __init__(self):
        super().__init__()
        self.may, self.entered = threading.Event(), threading.Event()
        self.appended = []

    def append(self, records):
        self.entered.set()
        self.may.wait(10)
        self.appended.append(len(records))
        return super().append(records)


def test_many_small_submissions_become_few_records_and_each_gets_its_own_receipt(database):
    series, seen, log = SeriesCatalogue(), Seen(), SlowLog()
    intake = house(log, series, database, seen)
    intake.start()
    first = intake.submit_columns(submission(columns(series, [("first", 0, 1.0)])))
    log.entered.wait(10)
    waiting = []
    for number in range(200):
        bad = 500.0 if number % 10 == 0 else 1.0
        rows = [(f"p{number}", 0, bad), (f"p{number}", 1, 1.0), (f"p{number}", 1, 1.0)]
        waiting.append(intake.submit_columns(submission(columns(series, rows))))
    other = intake.submit_columns(structs.replace(submission(columns(series, [("x", 0, 1.0)])), source="http"))
    empty = intake.submit_columns(submission(columns(series, [])))
    log.may.set()
    receipts = [future.result(5) for future in waiting]
    assert [(one.received, one.stored, one.rejected) for one in receipts] == [
        (3, 1, 2) if number % 10 == 0 else (3, 2, 1) for number in range(200)
    ]
    assert [len(one.problems) for one in receipts] == [2 if number % 10 == 0 else 1 for number in range(200)]
    assert (first.result(5).stored, other.result(5).stored, empty.result(5).received) == (1, 1, 0)
    intake.settle()
    intake.stop()
    assert log.appended == [1, 2]
    assert {one.sequence for one in receipts} == {2}
    assert sum(batch.count for batch in seen.batches) == 1 + 20 + 2 * 180 + 1
    codes = [one.code for batch in seen.batches for one in batch.rejected]
    assert (codes.count("reading.out_of_range"), codes.count("reading.duplicate")) == (20, 200)
    ledger = {one.source: one for one in Ledger(database, VirtualClock(NOW)).accounts()}
    assert (ledger["mqtt"].received, ledger["mqtt"].stored, ledger["mqtt"].rejected) == (601, 381, 220)


def test_what_is_written_together_keeps_its_place_among_the_rest(database):
    series, objects, log = SeriesCatalogue(), Objects(), SlowLog()
    intake = house(log, series, database, objects)
    intake.start()
    blocker = intake.submit_columns(submission(columns(series, [("first", 0, 0.0)])))
    log.entered.wait(10)
    futures = []
    for second in range(1, 7):
        made = columns(series, [("a", second, float(second))])
        with_origin = structs.replace(submission(made), origin="file" if second in (3, 4) else None, position=second)
        futures.append(intake.submit_columns(with_origin))
    log.may.set()
    assert [future.result(5).stored for future in [blocker, *futures]] == [1] * 7
    intake.stop()
    values = [reading.value for batch in objects.batches for reading in batch.readings]
    assert values == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert [batch.origin for batch in objects.batches if batch.origin] == ["file", "file"]
    assert intake.position_of("file") == 4


def test_many_numbers_at_once_are_those_of_one_by_one(tmp_path):
    many, single = SeriesCatalogue(tmp_path / "many"), SeriesCatalogue(tmp_path / "single")
    many.number_of("urn:ngsi-ld:Pump:0", "Pump", "power", "d0")
    single.number_of("urn:ngsi-ld:Pump:0", "Pump", "power", "d0")
    wanted = [(f"urn:ngsi-ld:Pump:{n % 5}", "Pump", ("power", "speed")[n % 2], f"d{n}") for n in range(12)]
    numbers = many.numbers_of(wanted)
    assert numbers == [single.number_of(*one) for one in wanted]
    assert many.get_many(numbers) == single.get_many(numbers)
    assert many.get(numbers[0]).device_id == "d0"  # who is there first keeps it
    for catalogue in (many, single):
        catalogue.sync()
        catalogue.close()
    assert (tmp_path / "many").read_bytes()[16:] != b""
    assert SeriesCatalogue(tmp_path / "many", readonly=True).get_many(numbers) == single.get_many(numbers)
