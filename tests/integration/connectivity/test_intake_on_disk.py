"""The intake over real segment files: many senders, and a disk that is full."""

import resource
import threading

import pytest

from gulou.connectivity.intake import (
    IntakeService,
    IntakeSettings,
    Ledger,
    LogSettings,
    Payload,
    Reading,
    SegmentLog,
    Submission,
)
from gulou.kernel.clock import SECOND_US, VirtualClock
from gulou.kernel.errors import Unavailable
from gulou.records import Database

NOW_US = 1_780_000_000 * SECOND_US
pytestmark = pytest.mark.integration


class AnyValue:
    def check(self, entity_type, property_name, value, unit_code=None):
        return value


class Copy:
    name = "copy"

    def __init__(self):
        self.readings, self.last = [], 0

    def position(self):
        return self.last

    def apply(self, batch):
        self.readings += batch.readings
        self.last = batch.sequence

    def checkpoint(self):
        pass


def submission(sender, number, size=1):
    readings = tuple(
        Reading(f"urn:x:{sender}", "T", f"p{n}", "x" * size, NOW_US - 10_000_000 + number) for n in range(5)
    )
    return Submission(source=f"s{sender}", adapter="t/1", payloads=(Payload(b"", "t", readings),))


@pytest.fixture
def house(tmp_path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = VirtualClock(NOW_US)
    ledger, copy = Ledger(database, clock), Copy()
    log = SegmentLog(tmp_path / "log", LogSettings(segment_mb=0.25, keep_segments=0))
    settings = IntakeSettings(min_free_mb=0, space_check_s=0, checkpoint_s=0)
    service = IntakeService(
        log, AnyValue(), clock, ledger, consumers=(copy,), settings=settings, directory=tmp_path / "log"
    )
    service.start()
    service.parts = (log, ledger, copy)
    yield service
    service.stop()
    log.close()
    database.close()


def test_many_senders_each_in_order_and_none_lost(house):
    _, ledger, copy = house.parts

    def send(sender):
        futures = [house.submit(submission(sender, number, 100)) for number in range(300)]
        house.drop(f"s{sender}", 2, "test")
        house.tick(NOW_US)
        assert sum(future.result(30).stored for future in futures) == 1_500

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    house.settle()
    total = ledger.total()
    assert (total.received, total.stored, total.dropped) == (6_008, 6_000, 8)
    assert len(copy.readings) == 6_000
    times = [reading.observed_at_us for reading in copy.readings if reading.entity_id == "urn:x:1"]
    assert times == sorted(times)


def test_a_disk_without_room_loses_nothing_acknowledged(house, tmp_path):
    log, ledger, copy = house.parts
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    acknowledged = 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(Unavailable) as refused:
            for number in range(100):
                acknowledged += house.submit(submission(1, number, 2_000)).result(30).stored
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert refused.value.code == "intake.disk_full"
    assert acknowledged > 0
    taken_again = house.submit(submission(1, acknowledged // 5, 2_000)).result(30)
    house.settle()
    assert taken_again.stored == 5
    assert ledger.total().stored == acknowledged + 5 == len(copy.readings)
    house.stop()
    assert sum(1 for _ in log.read_from(log.first_sequence())) <= acknowledged // 5 + 1
