"""A process that writes columns through the intake until it is killed; started by ``test_kill_columns.py``.

Prints the number of each acknowledged submission, one a line, only after its receipt, and what was not stored.
"""

import sys
import threading
from pathlib import Path

import numpy as np

from gulou.connectivity.intake import (
    Columns,
    ColumnSubmission,
    IntakeService,
    IntakeSettings,
    Ledger,
    LogSettings,
    Payload,
    SegmentLog,
    SeriesCatalogue,
)
from gulou.kernel.clock import SECOND_US, SystemClock
from gulou.records import Database

FIRST_US = 1_700_000_000 * SECOND_US
ROWS = 300


class AnyValue:
    generation = 0

    def limits(self, entity_type, property_name):
        return -1e300, 1e300

    def check(self, entity_type, property_name, value, unit_code=None):
        return value


def rows_of(number, series):
    """The rows of a submission, told from its number alone; every submission brings a series that is new."""
    names = [f"urn:x:{(number + index) % 50}" for index in range(ROWS - 1)] + [f"urn:x:new-{number}"]
    numbers = [series.number_of(name, "T", "p", "d") for name in names]
    at_us = FIRST_US + number * 1_000 + np.arange(ROWS)
    return Columns(np.array(numbers, np.int32), at_us, number + np.arange(ROWS) / 1_000)


def main(directory, first):
    database = Database.at(directory / "records.db")
    database.create_tables()
    clock = SystemClock()
    log = SegmentLog(directory / "log", LogSettings(segment_mb=0.2, keep_segments=1), readers=("test",))
    series = SeriesCatalogue(directory / "log" / "series")
    settings = IntakeSettings(checkpoint_s=0.01, min_free_mb=0)
    service = IntakeService(log, AnyValue(), clock, Ledger(database, clock), series=series, settings=settings)
    service.start()
    print("ready", flush=True)
    slots = threading.Semaphore(8)

    def answered(future, number):
        receipt = future.result()
        print(number, receipt.stored, receipt.rejected, flush=True)
        slots.release()

    number = first
    while True:
        slots.acquire()
        made = ColumnSubmission("mqtt", "mqtt/1", rows_of(number, series), lambda _: Payload(b"", ""))
        service.submit_columns(made).add_done_callback(lambda future, number=number: answered(future, number))
        number += 1
        if number % 20 == 0:
            service.tick(clock.now_us())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
