"""A process that writes through the intake until it is killed; started by ``test_kill.py``.

Prints, one JSON line per acknowledged submission and only after its receipt: its number, the sequence, the counts.
"""

import sys
import threading
from pathlib import Path

import msgspec

from gulou.connectivity.intake import (
    Flaw,
    IntakeService,
    IntakeSettings,
    Ledger,
    LogSettings,
    Payload,
    Reading,
    SegmentLog,
    SqlRejectStore,
    Submission,
)
from gulou.kernel.clock import SECOND_US, SystemClock
from gulou.records import Database

FIRST_US = 1_700_000_000 * SECOND_US


class AnyValue:
    def check(self, entity_type, property_name, value, unit_code=None):
        return value


def build(directory: Path):
    """Return (service, log, ledger, rejects, database) over a directory."""
    database = Database.at(directory / "records.db")
    database.create_tables()
    clock = SystemClock()
    ledger, rejects = Ledger(database, clock), SqlRejectStore(database, clock)
    log = SegmentLog(directory / "log", LogSettings(segment_mb=0.5, keep_segments=1))
    settings = IntakeSettings(checkpoint_s=0.01, min_free_mb=0)
    service = IntakeService(log, AnyValue(), clock, ledger, consumers=(rejects,), settings=settings)
    return service, log, ledger, rejects, database


def submission(number: int) -> Submission:
    """Make the submission of this number, always the same: its content can be told from its number alone."""
    readings = tuple(
        Reading(f"urn:x:{number % 7}", "T", f"p{index}", number + index / 10, FIRST_US + number)
        for index in range(1 + number % 20)
    )
    flaws = tuple(Flaw("payload.malformed", {"number": number}) for _ in range(number % 3))
    return Submission(
        source=f"source-{number % 2}",
        adapter="writer/1",
        payloads=(Payload(b"%d" % number, f"row:{number}", readings, flaws),),
        origin="file",
        position=number,
    )


def main(directory: Path) -> None:
    service, *_ = build(directory)
    service.start()
    guard = threading.Lock()

    def acknowledge(number, future):
        receipt = future.result()
        line = {"number": number, "sequence": receipt.sequence, "stored": receipt.stored, "rejected": receipt.rejected}
        with guard:
            sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
            sys.stdout.buffer.flush()

    number = service.position_of("file")
    print("ready", flush=True)
    window = threading.Semaphore(50)
    while True:
        number += 1
        window.acquire()
        future = service.submit(submission(number))
        future.add_done_callback(lambda done, number=number: (acknowledge(number, done), window.release()))
        service.tick(SystemClock().now_us())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
