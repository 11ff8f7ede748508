"""The segment files: torn tails, damage, recycling, disks that are full or broken."""

import errno
import os
import resource

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gulou.connectivity.intake import LogSettings, SegmentLog
from gulou.connectivity.intake.segment import DATA_OFFSET, frame_bytes
from gulou.kernel.errors import Conflict, Fault, Unavailable

SMALL = LogSettings(segment_mb=0.01, keep_segments=0, spare_segments=2)
ONE = LogSettings(segment_mb=0.1)


def segments(directory):
    return sorted(directory.glob("*.seg"))


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def read_all(directory, settings=ONE):
    log = SegmentLog(directory, settings)
    try:
        return [record for _, record in log.read_from(1)]
    finally:
        log.close()


@pytest.fixture
def written(tmp_path):
    """A log of ten commits of two records, and where each frame begins."""
    log = SegmentLog(tmp_path, ONE)
    offsets = []
    for n in range(10):
        offsets.append(log._offset)
        log.append([b"%d-one" % n, b"%d-two" % n * 50])
    offsets.append(log._offset)
    log.close()
    return tmp_path, offsets


def test_a_log_comes_back_after_a_restart_and_goes_on(written):
    directory, _ = written
    log = SegmentLog(directory, ONE)
    assert log.last_sequence() == 20
    assert log.append([b"more"]) == 21
    log.close()
    assert len(read_all(directory)) == 21


@pytest.mark.parametrize("cut", [0, 1, 31, 32, 40, 100])
def test_a_torn_tail_is_left_out_and_written_over(written, cut):
    directory, offsets = written
    [path] = segments(directory)
    overwrite(path, offsets[9] + cut, bytes(offsets[10] - offsets[9] - cut))
    log = SegmentLog(directory, ONE)
    assert log.last_sequence() == 18
    log.append([b"again"])
    log.close()
    records = read_all(directory)
    assert (len(records), records[-1]) == (19, b"again")


@pytest.mark.parametrize("frame", [0, 4, 8])
@pytest.mark.parametrize("byte", [0, 5, 9, 13, 25, 33, 60])
def test_damage_in_the_middle_names_file_and_offset(written, frame, byte):
    directory, offsets = written
    [path] = segments(directory)
    position = offsets[frame] + byte
    overwrite(path, position, bytes([path.read_bytes()[position] ^ 0xFF]))
    with pytest.raises(Fault) as refused:
        SegmentLog(directory, ONE)
    assert refused.value.code == "log.damaged"
    assert refused.value.params == {"file": str(path), "offset": offsets[frame], "sequence": frame * 2 + 1}


def test_after_a_refusal_the_directory_is_free_again(written):
    directory, offsets = written
    [path] = segments(directory)
    good = path.read_bytes()
    overwrite(path, offsets[3], b"\0" * 8)
    with pytest.raises(Fault):
        SegmentLog(directory, ONE)
    path.write_bytes(good)
    assert len(read_all(directory)) == 20


def test_a_damaged_header_is_named(written):
    directory, _ = written
    [path] = segments(directory)
    overwrite(path, 20, b"\xff")
    with pytest.raises(Fault) as refused:
        SegmentLog(directory, ONE)
    assert refused.value.params["offset"] == 0


def test_damage_in_an_older_segment_is_found_when_it_is_read(tmp_path):
    log = SegmentLog(tmp_path, SMALL)
    for n in range(40):
        log.append([b"%02d" % n * 500])
    path = segments(tmp_path)[1]
    overwrite(path, DATA_OFFSET + 40, b"\xff\xff\xff")
    with pytest.raises(Fault) as refused:
        list(log.read_from(1))
    assert (refused.value.code, refused.value.params["file"]) == ("log.damaged", str(path))
    log.close()


def test_a_missing_segment_is_noticed(tmp_path):
    log = SegmentLog(tmp_path, SMALL)
    for n in range(40):
        log.append([b"%02d" % n * 500])
    log.close()
    segments(tmp_path)[1].unlink()
    with pytest.raises(Fault):
        read_all(tmp_path, SMALL)


def test_a_sender_cannot_forge_a_frame_in_its_own_bytes(tmp_path):
    """The torn last frame holds what looks like later, sound frames: still a torn tail, not damage."""
    log = SegmentLog(tmp_path, ONE)
    log.append([b"first"])
    torn_at = log._offset
    forged = frame_bytes([b"forged"], 900, 12345)
    log.append([bytes(8 - 36 % 8) + forged * 50])
    log.close()
    overwrite(segments(tmp_path)[0], torn_at, b"\0\0\0\0")
    assert read_all(tmp_path) == [b"first"]


def test_full_segments_are_used_again_and_their_old_frames_stay_dead(tmp_path):
    log = SegmentLog(tmp_path, SMALL)
    for n in range(400):
        log.append([b"%03d" % n * 300])
        log.forget_before(log.last_sequence())
    assert len(list(tmp_path.iterdir())) <= 5
    last = log.last_sequence()
    log.close()
    log = SegmentLog(tmp_path, SMALL)
    assert log.last_sequence() == last
    assert [record[:3] for _, record in log.read_from(399)] == [b"398", b"399"]
    log.close()


def test_only_one_process_may_have_it(tmp_path):
    log = SegmentLog(tmp_path, ONE)
    with pytest.raises(Conflict) as refused:
        SegmentLog(tmp_path, ONE)
    assert refused.value.code == "log.in_use"
    log.close()
    SegmentLog(tmp_path, ONE).close()


def test_a_closed_log_takes_nothing(tmp_path):
    log = SegmentLog(tmp_path, ONE)
    log.close()
    with pytest.raises(Unavailable):
        log.append([b"late"])


def test_strange_files_are_left_alone(tmp_path):
    (tmp_path / "notes.seg").write_text("mine")
    SegmentLog(tmp_path, ONE).close()
    assert (tmp_path / "notes.seg").read_text() == "mine"


@pytest.fixture
def file_size_limit():
    """A process that may write no file longer than 64 KiB: the kernel's own way to say that there is no room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_no_room_for_a_segment_is_refused_and_later_taken(tmp_path, file_size_limit):
    log = SegmentLog(tmp_path, LogSettings(segment_mb=0.05))
    log.append([b"kept" * 5_000])
    with pytest.raises(Unavailable) as refused:
        log.append([b"x" * 90_000])
    assert (refused.value.code, refused.value.retry) == ("intake.disk_full", "later")
    assert log.append([b"small" * 5_000]) == 2
    log.close()
    assert [len(record) for record in read_all(tmp_path)] == [20_000, 25_000]
    assert not list(tmp_path.glob("spare-*"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_sync_without_room_is_refused_and_the_log_goes_on(tmp_path, monkeypatch, number):
    log = SegmentLog(tmp_path, ONE)
    log.append([b"one"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _failing(number))
        with pytest.raises(Unavailable):
            log.append([b"lost", b"lost too"])
    assert log.append([b"two"]) == 2
    log.close()
    assert read_all(tmp_path) == [b"one", b"two"]


def test_a_disk_that_fails_ends_the_log_until_it_is_opened_again(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path, ONE)
    log.append([b"one"])
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", _failing(errno.EIO))
        with pytest.raises(Fault) as refused:
            log.append([b"lost"])
    assert refused.value.code == "log.write_failed"
    with pytest.raises(Fault):
        log.append([b"refused"])
    log.close()
    assert read_all(tmp_path)[0] == b"one"


def _failing(number):
    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    return fail


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    commits=st.lists(st.lists(st.binary(max_size=3_000), min_size=1, max_size=4), min_size=1, max_size=12),
    cut=st.floats(0, 1),
)
def test_whatever_is_torn_off_the_end_what_was_committed_before_is_there(tmp_path_factory, commits, cut):
    directory = tmp_path_factory.mktemp("log")
    log = SegmentLog(directory, SMALL)
    for records in commits[:-1]:
        log.append(records)
    begin = (log._segments[-1].path, log._offset)
    log.append(commits[-1])
    path, end = log._segments[-1].path, log._offset
    log.close()
    start = begin[1] if begin[0] == path else DATA_OFFSET
    torn = start + int((end - start) * cut)
    overwrite(path, torn, bytes(end - torn))
    before = [record for records in commits[:-1] for record in records]
    found = read_all(directory, SMALL)
    assert found in (before, before + commits[-1])


def test_the_next_segment_is_made_ahead_and_used(tmp_path, wait_for):
    log = SegmentLog(tmp_path, SMALL)
    log.prepare()
    assert not list(tmp_path.glob("spare-*"))
    log.append([b"x" * 6_000])
    log.prepare()
    log.prepare()
    wait_for(lambda: list(tmp_path.glob("spare-*.free")))
    [spare] = tmp_path.glob("spare-*.free")
    log.append([b"y" * 6_000])
    assert not spare.exists()
    assert len(segments(tmp_path)) == 2
    assert [record[:1] for _, record in log.read_from(1)] == [b"x", b"y"]
    log.close()


def test_a_file_whose_new_name_a_crash_has_undone_is_known_by_its_content(tmp_path, wait_for):
    log = SegmentLog(tmp_path, SMALL)
    spares = []
    for letter in b"abc":
        log.append([bytes([letter]) * 6_000])
        log.prepare()
        wait_for(lambda: list(tmp_path.glob("spare-*.free")))
        spares += [path.name for path in tmp_path.glob("spare-*.free")]
    log.append([b"d" * 6_000])
    log.close()
    *_, third, fourth = segments(tmp_path)
    third.rename(tmp_path / spares[1])
    fourth.rename(tmp_path / spares[2])
    log = SegmentLog(tmp_path, SMALL)
    assert [record[:1] for _, record in log.read_from(1)] == [b"a", b"b", b"c", b"d"]
    assert log.append([b"e"]) == 5
    log.close()
    assert segments(tmp_path)[-2:] == [third, fourth]


def test_a_spare_file_that_holds_nothing_acknowledged_stays_one(tmp_path, wait_for):
    log = SegmentLog(tmp_path, SMALL)
    log.append([b"x" * 6_000])
    log.prepare()
    wait_for(lambda: list(tmp_path.glob("spare-*.free")))
    [spare] = tmp_path.glob("spare-*.free")
    log.append([b"y" * 6_000])
    log.close()
    segments(tmp_path)[-1].rename(spare)
    overwrite(spare, DATA_OFFSET + 40, b"torn")
    log = SegmentLog(tmp_path, SMALL)
    assert log.last_sequence() == 1
    assert log.append([b"z" * 6_000]) == 2
    log.close()
    assert [record[:1] for record in read_all(tmp_path, SMALL)] == [b"x", b"z"]


def test_what_was_given_up_in_a_crash_is_cleared_away(tmp_path):
    (tmp_path / "spare-00000000000000000001.old").write_bytes(b"old")
    SegmentLog(tmp_path, SMALL).close()
    assert not list(tmp_path.glob("*.old"))


def test_what_was_half_made_is_cleared_away(tmp_path):
    (tmp_path / "spare-1.new").write_bytes(b"half")
    SegmentLog(tmp_path, SMALL).close()
    assert not list(tmp_path.glob("*.new"))


def test_making_ahead_without_room_is_left_for_the_commit(tmp_path, file_size_limit):
    log = SegmentLog(tmp_path, LogSettings(segment_mb=0.06))
    log.append([b"x" * 50_000])
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    log.prepare()
    assert not list(tmp_path.glob("spare-*"))
    log.close()


def test_a_commit_ends_in_zeros_up_to_the_end_of_its_page_within_its_file(tmp_path):
    log = SegmentLog(tmp_path, SMALL)
    [path] = segments(tmp_path)
    size = path.stat().st_size
    overwrite(path, DATA_OFFSET, b"\xaa" * (size - DATA_OFFSET))
    log.append([b"one"])
    content, end = path.read_bytes(), log._offset
    assert content[end : (end // 4_096 + 1) * 4_096].strip(b"\0") == b""
    assert content[(end // 4_096 + 1) * 4_096 :].strip(b"\xaa") == b"", "further pages are as they were"
    while len(segments(tmp_path)) == 1:
        log.append([b"more" * 300])
    assert path.stat().st_size == size
    log.close()
    assert len(read_all(tmp_path, SMALL)) == log.last_sequence()
