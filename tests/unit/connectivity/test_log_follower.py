"""A log is read beside its writer: never a torn frame, never a wrong record, and a clear word when it is too late."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from gulou.connectivity.intake import (
    Columns,
    ColumnSubmission,
    FollowingApplier,
    IntakeService,
    Ledger,
    LogFollower,
    LogSettings,
    MemoryLog,
    Payload,
    SegmentLog,
    SeriesCatalogue,
)
from gulou.connectivity.intake.log_head import HEAD_FILE
from gulou.connectivity.intake.log_readers import reader_positions
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Fault, Invalid, Unavailable
from gulou.records import Database

SMALL = LogSettings(segment_mb=0.01, keep_segments=1, spare_segments=2)
NOW = 1_780_000_000_000_000


def record(number):
    return b"%08d" % number * (1 + number % 60)


def fill(log, first, count):
    for number in range(first, first + count):
        log.append([record(number)])


def test_it_follows_through_segments_and_restarts_of_the_writer(tmp_path):
    follower = LogFollower(tmp_path / "log")
    assert (follower.last_sequence(), follower.first_sequence(), list(follower.read_from(1))) == (0, 1, [])
    log = SegmentLog(tmp_path / "log", SMALL)
    fill(log, 1, 100)
    assert list(follower.read_from(1)) == [(n, record(n)) for n in range(1, 101)]
    log.close()
    log = SegmentLog(tmp_path / "log", SMALL)
    fill(log, 101, 100)
    assert list(follower.read_from(101)) == [(n, record(n)) for n in range(101, 201)]
    assert list(follower.read_from(37)) == [(n, record(n)) for n in range(37, 201)]
    log.close()
    follower.close()


def test_several_records_in_a_frame_are_entered_in_the_middle(tmp_path):
    log, follower = SegmentLog(tmp_path), LogFollower(tmp_path)
    log.append([b"1", b"2", b"3"])
    log.append([b"4", b"5"])
    assert list(follower.read_from(2)) == [(2, b"2"), (3, b"3"), (4, b"4"), (5, b"5")]
    assert list(follower.read_from(5)) == [(5, b"5")]
    log.close()


def test_what_is_not_told_durable_is_not_read(tmp_path):
    log, follower = SegmentLog(tmp_path), LogFollower(tmp_path)
    log.append([b"1"])
    head = (tmp_path / HEAD_FILE).read_bytes()
    log.append([b"2"])
    log.close()
    (tmp_path / HEAD_FILE).write_bytes(head)
    assert list(LogFollower(tmp_path).read_from(1)) == [(1, b"1")]
    follower.close()


def test_a_half_told_end_is_not_believed(tmp_path):
    log, follower = SegmentLog(tmp_path), LogFollower(tmp_path)
    log.append([b"1"])
    assert follower.last_sequence() == 1
    with (tmp_path / HEAD_FILE).open("r+b") as file:
        file.seek(24)
        file.write((99).to_bytes(8, "little"))
    assert follower.last_sequence() == 1
    log.append([b"2"])
    assert follower.last_sequence() == 2
    log.close()


def test_a_slow_reader_without_a_name_is_told_what_is_left(tmp_path):
    log, follower = SegmentLog(tmp_path, SMALL), LogFollower(tmp_path)
    fill(log, 1, 300)
    reading = follower.read_from(1)
    assert next(reading)[0] == 1
    log.forget_before(301)
    fill(log, 301, 300)  # the first file is written over by now
    log.forget_before(601)
    fill(log, 601, 300)
    with pytest.raises(Fault) as caught:
        list(reading)
    assert caught.value.code == "log.fallen_behind"
    first = caught.value.params["first"]
    assert first == log.first_sequence() == follower.first_sequence() > 100
    assert list(follower.read_from(first)) == [(n, record(n)) for n in range(first, 901)]
    log.close()


def test_a_named_reader_holds_the_log_back_until_it_has_it(tmp_path):
    log = SegmentLog(tmp_path, SMALL, readers=("web",))
    fill(log, 1, 300)
    log.forget_before(301)
    assert log.first_sequence() == 1, "expected, and not heard of yet"
    follower = LogFollower(tmp_path, "web")
    log.forget_before(301)
    assert log.first_sequence() == 1
    follower.forget_before(150)
    assert [(reader.name, reader.sequence) for reader in log.readers()] == [("web", 150)]
    log.forget_before(301)
    assert 1 < log.first_sequence() <= 150
    follower.close()
    assert [reader.sequence for reader in reader_positions(tmp_path)] == [150]
    log.close()


def test_a_reader_that_says_nothing_for_long_is_waited_for_no_longer(tmp_path):
    log = SegmentLog(tmp_path, LogSettings(segment_mb=0.01, keep_segments=1, reader_silent_hours=1e-9))
    follower = LogFollower(tmp_path, "gone")
    follower.forget_before(1)
    fill(log, 1, 300)
    log.forget_before(301)
    assert log.first_sequence() > 1
    log.close()


def test_words_of_readers_that_are_not_expected_hold_nothing(tmp_path):
    log = SegmentLog(tmp_path, SMALL, readers=())
    follower = LogFollower(tmp_path, "web")
    follower.forget_before(1)
    fill(log, 1, 300)
    log.forget_before(301)
    assert log.first_sequence() > 1
    log.close()


def test_young_files_are_kept_for_reading_again_up_to_a_size(tmp_path):
    log = SegmentLog(tmp_path, LogSettings(segment_mb=0.01, keep_segments=0, keep_hours=1, keep_mb=0.03))
    fill(log, 1, 300)
    log.forget_before(301)
    kept = len(list(tmp_path.glob("*.seg")))
    assert kept == 4
    log.close()


@pytest.mark.parametrize("name", ["", "../x", "A", "a" * 65])
def test_a_reader_needs_a_plain_name(tmp_path, name):
    with pytest.raises(Invalid, match=r"log\.reader_name"):
        LogFollower(tmp_path, name)


def test_damage_is_told_from_recycling(tmp_path):
    log, follower = SegmentLog(tmp_path), LogFollower(tmp_path)
    fill(log, 1, 10)
    (segment,) = tmp_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(record(5))] ^= 1
    with segment.open("r+b") as file:
        file.write(data)
    with pytest.raises(Fault, match=r"log\.damaged"):
        list(follower.read_from(1))
    log.close()


def test_beside_a_busy_writer_every_record_comes_once_in_order(tmp_path):
    log, follower = SegmentLog(tmp_path, SMALL), LogFollower(tmp_path, "reader")
    writer = threading.Thread(target=fill, args=(log, 1, 1_500))
    writer.start()
    seen = []
    while len(seen) < 1_500 and follower.wait(len(seen), 10) > len(seen):
        seen += follower.read_from(len(seen) + 1)
        follower.forget_before(len(seen))
        log.forget_before(len(seen) + 1)
    writer.join()
    assert seen == [(n, record(n)) for n in range(1, 1_501)]
    log.close()


class Checks:
    def check(self, entity_type, property_name, value, unit_code):
        return value


class Keeper:
    """Keeps what it was fed, durably only at checkpoints."""

    def __init__(self, name="keeper", takes_columns=True, at=0):
        self.name, self.takes_columns = name, takes_columns
        self.batches, self.durable, self.refusals = [], at, []

    def position(self):
        return self.durable

    def apply(self, batch):
        for refusal in self.refusals:
            self.refusals.remove(refusal)
            raise refusal
        self.batches.append(batch)

    def checkpoint(self):
        self.durable = self.batches[-1].sequence if self.batches else self.durable


@pytest.fixture
def house(tmp_path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = VirtualClock(NOW)
    series = SeriesCatalogue(tmp_path / "log" / "series")
    log = SegmentLog(tmp_path / "log", readers=("web",))
    intake = IntakeService(log, Checks(), clock, Ledger(database, clock), series=series)
    intake.start()
    yield intake
    intake.stop()
    log.close()
    series.close()
    database.close()


def send(intake, second, *names):
    numbers = [intake.series.number_of(f"urn:ngsi-ld:Pump:{name}", "Pump", "power") for name in names]
    columns = Columns(
        np.array(numbers, np.int32),
        np.full(len(names), NOW + second * 1_000_000, np.int64),
        np.arange(len(names), dtype=np.float64),
    )
    return intake.submit_columns(ColumnSubmission("mqtt", "mqtt/1", columns, lambda row: Payload(b"", ""))).result(5)


def web(tmp_path, *consumers):
    follower = LogFollower(tmp_path / "log", "web")
    return FollowingApplier(follower, SeriesCatalogue(tmp_path / "log" / "series", readonly=True), consumers)


def test_consumers_of_another_process_see_what_the_door_took(house, tmp_path):
    rows, objects = Keeper("rows"), Keeper("objects", takes_columns=False)
    applier = web(tmp_path, rows, objects)
    applier.start()
    send(house, 0, "a", "b")
    applier.settle()
    send(house, 1, "c")  # numbered after the follower had opened the catalogue
    applier.settle()
    assert [len(batch.columns) for batch in rows.batches] == [2, 1]
    assert [one.entity_id[-1] for batch in objects.batches for one in batch.readings] == ["a", "b", "c"]
    applier.tick(NOW)
    applier.stop()
    status = applier.status()
    assert (status["state"], status["waiting_batches"], status["gap"]) == ("stopped", 0, None)
    assert [one["position"] for one in status["consumers"]] == [2, 2]
    assert [(one.name, one.sequence) for one in reader_positions(tmp_path / "log")] == [("web", 2)]


def test_after_a_restart_each_consumer_goes_on_behind_its_own_position(house, tmp_path):
    for second in range(4):
        send(house, second, "a")
    ahead, behind = Keeper("ahead", at=3), Keeper("behind", at=1)
    applier = web(tmp_path, ahead, behind)
    applier.start()
    applier.settle()
    applier.stop()
    assert [batch.sequence for batch in ahead.batches] == [4]
    assert [batch.sequence for batch in behind.batches] == [2, 3, 4]


def test_a_consumer_that_fails_is_left_alone_and_holds_the_log(house, tmp_path):
    sound, broken = Keeper("sound"), Keeper("broken")
    broken.refusals = [ValueError("a defect")]
    applier = web(tmp_path, sound, broken)
    applier.start()
    send(house, 0, "a")
    send(house, 1, "a")
    applier.settle()
    applier.stop()
    assert [len(one.batches) for one in (sound, broken)] == [2, 0]
    assert [one["healthy"] for one in applier.status()["consumers"]] == [True, False]
    assert [one.sequence for one in reader_positions(tmp_path / "log")] == [0]


def test_a_consumer_that_cannot_now_is_asked_again(house, tmp_path):
    late = Keeper()
    late.refusals = [Unavailable("history.full")]
    applier = web(tmp_path, late)
    applier.start()
    send(house, 0, "a")
    applier.settle()
    applier.stop()
    assert len(late.batches) == 1


def test_a_consumer_that_knows_more_than_the_log_is_refused(house, tmp_path):
    send(house, 0, "a")
    with pytest.raises(Fault, match=r"log\.behind"):
        web(tmp_path, Keeper(at=9)).start()


def test_a_gap_is_shown_and_the_rest_is_fed(tmp_path):
    log = SegmentLog(tmp_path / "log", SMALL)
    source = MemoryLog()
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = VirtualClock(NOW)
    intake = IntakeService(source, Checks(), clock, Ledger(database, clock))
    intake.start()
    for second in range(200):
        send(intake, second, "a", "b", "c", "d")
    intake.stop()
    for _, data in source.read_from(1):
        log.append([data])
    log.forget_before(201)
    first = log.first_sequence()
    keeper = Keeper()
    series = SeriesCatalogue()
    for name in "abcd":
        series.number_of(f"urn:ngsi-ld:Pump:{name}", "Pump", "power")
    applier = FollowingApplier(LogFollower(tmp_path / "log"), series, [keeper])
    applier.start()
    applier.settle()
    applier.stop()
    assert first > 1
    assert [batch.sequence for batch in keeper.batches] == list(range(first, 201))
    assert applier.status()["gap"] == f"keeper: 1-{first - 1}"
    log.close()
    database.close()


def test_a_series_that_nobody_numbered_stops_the_following(house, tmp_path):
    applier = FollowingApplier(LogFollower(tmp_path / "log"), SeriesCatalogue(), [Keeper()])
    applier.start()
    send(house, 0, "a")
    with pytest.raises(Unavailable):
        applier.settle(10)
    assert applier.status()["state"] == "failed"
    applier.stop()
