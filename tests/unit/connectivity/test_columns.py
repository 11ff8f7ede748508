"""Columns go through the same door as objects, and come out the same."""

from __future__ import annotations

import numpy as np
import pytest

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
from gulou.kernel.errors import Invalid
from gulou.records import Database

NOW = 1_780_000_000_000_000


class Checks:
    def check(self, entity_type, property_name, value, unit_code):
        if value > 100:
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


def house(log, series, database, *consumers):
    clock = VirtualClock(NOW)
    return IntakeService(log, Checks(), clock, Ledger(database, clock), series=series, consumers=consumers)


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
