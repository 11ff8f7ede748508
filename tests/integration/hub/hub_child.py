"""Submits readings to a real log with context and history behind it, saying what was acknowledged; it gets killed."""

import sys
from pathlib import Path

from gulou.connectivity.intake import IntakeService, Ledger, Payload, Reading, SegmentLog, Submission
from gulou.hub.context import ContextService, ContextSettings, SqlContextStore
from gulou.hub.history import HistoryService, HistorySettings
from gulou.kernel.clock import SystemClock
from gulou.records import Database
from gulou.vocabulary import Vocabulary

SUBMISSIONS, SIZE, T0 = 400, 50, 1_740_787_200_000_000


def submission(number):
    readings = tuple(
        Reading(
            f"urn:ngsi-ld:WaterLevelObserved:d-{n}",
            "WaterLevelObserved",
            "waterLevel",
            number / 1000,
            T0 + number * 10**6,
        )
        for n in range(SIZE)
    )
    return Submission("load:test", "test/1", (Payload(b"raw", f"row {number}", readings),), None, "file", number)


class Hub:
    def __init__(self, directory):
        directory = Path(directory)
        directory.mkdir(exist_ok=True)
        clock, vocabulary = SystemClock(), Vocabulary.load()
        self.database = Database.at(directory / "records.db")
        self.database.create_tables()
        store = SqlContextStore(Database.at(directory / "context.db"))
        store.create_tables()
        self.log = SegmentLog(directory / "log")
        self.context = ContextService(store, clock, None, vocabulary, settings=ContextSettings(save_s=0.1))
        self.history = HistoryService(
            directory / "history", clock, HistorySettings(flush_s=0.1, compact_files=3, flush_rows=2_000)
        )
        self.ledger = Ledger(self.database, clock)
        self.intake = IntakeService(self.log, vocabulary, clock, self.ledger, consumers=[self.context, self.history])
        self.context.start()
        self.history.start()
        self.intake.start()

    def close(self):
        self.intake.stop()
        self.context.close()
        self.history.close()
        self.log.close()


def main():
    hub = Hub(sys.argv[1])
    first = hub.intake.position_of("file")
    print(first, flush=True)
    for number in range(first + 1, SUBMISSIONS + 1):
        receipt = hub.intake.submit(submission(number)).result(30)
        assert (receipt.received, receipt.stored) == (SIZE, SIZE)
        if number % 20 == 0:
            hub.intake.tick(SystemClock().now_us())
        print(number, flush=True)
    hub.close()


if __name__ == "__main__":
    main()
