"""The log and its catalogue, encrypted on disk; and a log that a disk refused for a while."""

from __future__ import annotations

import errno
import os
import secrets

import numpy as np
import pytest

from gulou.connectivity.intake import (
    Columns,
    ColumnSubmission,
    IntakeService,
    Ledger,
    LogFollower,
    LogKeys,
    LogSettings,
    Payload,
    SegmentLog,
    SeriesCatalogue,
)
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Fault, Invalid, Unavailable
from gulou.records import Database

NOW = 1_780_000_000_000_000
SECRET = b"nobody may read this on the disk"


@pytest.fixture
def key_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(secrets.token_hex(32) + "\n")
    return file


def settings(key_file=None, **more):
    return LogSettings(segment_mb=0.05, keep_segments=0, encryption_key_file=key_file, **more)


def everything(directory):
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file())


def records(log):
    return [record for _, record in log.read_from(1)]


def fill(log, count=20):
    for number in range(count):
        log.append([SECRET * 20, b"%d" % number])


def test_what_is_written_with_a_key_comes_back_and_stands_nowhere_on_the_disk(tmp_path, key_file):
    log = SegmentLog(tmp_path / "log", settings(key_file))
    fill(log, 200)
    wanted = records(log)
    log.close()
    assert len(wanted) == 400
    assert SECRET not in everything(tmp_path / "log")
    log = SegmentLog(tmp_path / "log", settings(key_file))
    assert records(log) == wanted
    follower = LogFollower(tmp_path / "log", keys=LogKeys.read(key_file))
    assert [record for _, record in follower.read_from(1)] == wanted
    log.close()


def test_without_the_key_and_with_another_the_start_is_refused_and_nothing_changes(tmp_path, key_file):
    log = SegmentLog(tmp_path / "log", settings(key_file))
    fill(log)
    log.close()
    before = everything(tmp_path / "log")
    other = tmp_path / "other"
    other.write_text(secrets.token_hex(32))
    for wrong, code in ((None, "log.key_missing"), (other, "log.key_wrong")):
        with pytest.raises(Fault) as caught:
            SegmentLog(tmp_path / "log", settings(wrong))
        assert caught.value.code == code
        with pytest.raises(Fault) as caught:
            list(LogFollower(tmp_path / "log", keys=LogKeys.read(wrong)).read_from(1))
        assert caught.value.code == code
    assert everything(tmp_path / "log") == before


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31, "ab" * 32 + "\nab"])
def test_a_key_file_that_holds_no_key_is_refused(tmp_path, text):
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(Invalid, match=r"log\.key_unreadable"):
        LogKeys.read(file)
    with pytest.raises(Invalid, match=r"log\.key_unreadable"):
        LogKeys.read(tmp_path / "none")


def test_a_key_may_be_set_later_and_changed(tmp_path, key_file):
    log = SegmentLog(tmp_path / "log", settings())
    fill(log, 30)
    log.close()
    log = SegmentLog(tmp_path / "log", settings(key_file))
    log.append([b"sealed " + SECRET])
    log.close()
    second = tmp_path / "second"
    second.write_text(secrets.token_hex(32) + "\n" + key_file.read_text())
    log = SegmentLog(tmp_path / "log", settings(second))
    log.append([b"anew"])
    assert records(log)[-2:] == [b"sealed " + SECRET, b"anew"]
    assert len(records(log)) == 62
    last = log.last_sequence()
    log.forget_before(last + 1)
    assert records(log) == [b"anew"]
    log.close()
    assert SECRET not in everything(tmp_path / "log"), "files from before the key are not kept for using again"


def test_a_sealed_frame_that_was_moved_or_changed_is_damage(tmp_path, key_file):
    log = SegmentLog(tmp_path / "log", settings(key_file))
    fill(log, 3)
    (path,) = (tmp_path / "log").glob("*.seg")
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(Fault, match=r"log\.damaged"):
        records(log)
    log.close()


def numbered(catalogue, *names):
    for name in names:
        catalogue.number_of(f"urn:ngsi-ld:Pump:{name}", "Pump", "power", "device-secret")
    catalogue.sync()


def test_the_catalogue_is_sealed_too_anew_when_the_key_is_new(tmp_path, key_file):
    path, keys = tmp_path / "series", LogKeys.read(key_file)
    plain = SeriesCatalogue(path)
    numbered(plain, "a", "b")
    plain.close()
    early = SeriesCatalogue(path, readonly=True, keys=keys)
    sealed = SeriesCatalogue(path, keys=keys)
    numbered(sealed, "c")
    assert b"device-secret" not in path.read_bytes()
    early.refresh()
    for one in (early, SeriesCatalogue(path, readonly=True, keys=keys)):
        assert [one.get(n).entity_id[-1] for n in range(len(one))] == ["a", "b", "c"]
    sealed.close()
    for wrong, code in ((None, "log.key_missing"), ("other", "log.key_wrong")):
        file = None if wrong is None else tmp_path / wrong
        if file is not None:
            file.write_text(secrets.token_hex(32))
        with pytest.raises(Fault) as caught:
            SeriesCatalogue(path, keys=LogKeys.read(file))
        assert caught.value.code == code
    assert len(SeriesCatalogue(path, keys=keys)) == 3


class Checks:
    def check(self, entity_type, property_name, value, unit_code):
        return value


class Disk:
    """Stands in for the disk: refuses syncs of files while told to."""

    def __init__(self, patch, number=errno.EIO):
        self.refuses, self.number = False, number
        self.sync, self.write = os.fdatasync, os.pwrite
        patch.setattr("gulou.connectivity.intake.log_segments.os.fdatasync", self._or(self.sync))
        patch.setattr("gulou.connectivity.intake.log_segments.os.pwrite", self._or(self.write))

    def _or(self, call):
        def tried(*arguments):
            if self.refuses:
                raise OSError(self.number, os.strerror(self.number))
            return call(*arguments)

        return tried


@pytest.fixture
def house(tmp_path):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = VirtualClock(NOW)
    log = SegmentLog(tmp_path / "log")
    intake = IntakeService(log, Checks(), clock, Ledger(database, clock))
    intake.start()
    yield intake, log
    intake.stop()
    log.close()
    database.close()


def send(intake, second):
    number = intake.series.number_of("urn:ngsi-ld:Pump:a", "Pump", "power")
    rows = Columns(np.array([number], np.int32), np.array([NOW + second]), np.array([1.0]))
    return intake.submit_columns(ColumnSubmission("mqtt", "mqtt/1", rows, lambda row: Payload(b"", ""))).result(5)


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_a_disk_that_refuses_for_a_while_is_taken_up_again_by_itself(house, tmp_path, monkeypatch, number):
    intake, log = house
    assert send(intake, 1).sequence == 1
    disk = Disk(monkeypatch, number)
    disk.refuses = True
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"intake\.failed"):
            send(intake, 2)
    assert intake.status()["state"] == "failed"
    intake.tick(NOW)
    assert intake.status()["state"] == "failed", "the disk still refuses"
    disk.refuses = False
    intake.tick(NOW)
    assert intake.status()["state"] == "running"
    assert send(intake, 2).stored == 1, "the first try left no trace"
    assert send(intake, 3).sequence == 3
    intake.settle()
    assert [sequence for sequence, _ in log.read_from(1)] == [1, 2, 3]
    assert [sequence for sequence, _ in LogFollower(tmp_path / "log").read_from(1)] == [1, 2, 3]


def test_what_a_failed_write_left_in_the_old_file_is_never_read(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path)
    log.append([b"1"])
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        disk.write = os.pwrite
        patch.setattr("gulou.connectivity.intake.log_segments.os.pwrite", disk.write)
        disk.refuses = True
        with pytest.raises(Fault, match=r"log\.write_failed"):
            log.append([b"never acknowledged"])
    log.mend()
    assert log.append([b"2"]) == 2
    log.close()
    again = SegmentLog(tmp_path)
    assert list(again.read_from(1)) == [(1, b"1"), (2, b"2")]
    again.close()


def test_a_log_that_failed_before_its_first_record_is_mended_in_place(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path)
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        disk.refuses = True
        with pytest.raises(Fault):
            log.append([b"x"])
    log.mend()
    log.append([b"1"])
    assert list(log.read_from(1)) == [(1, b"1")]
    assert len(list(tmp_path.glob("*.seg"))) == 1
    log.close()


def test_a_directory_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Fault, match=r"log\.write_failed"):
        SegmentLog(tmp_path / "file" / "log")
