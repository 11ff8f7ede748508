"""What every log promises, tried on each implementation."""

import threading

import pytest

from gulou.connectivity.intake import LogSettings, MemoryLog, SegmentLog


@pytest.fixture(params=["memory", "segments"])
def log(request, tmp_path):
    settings = LogSettings(segment_mb=0.01, keep_segments=0)
    made = {"memory": lambda: MemoryLog(keep_records=0), "segments": lambda: SegmentLog(tmp_path / "log", settings)}
    log = made[request.param]()
    yield log
    log.close()


def test_an_empty_log_starts_at_one(log):
    assert (log.first_sequence(), log.last_sequence()) == (1, 0)
    assert list(log.read_from(1)) == []


def test_records_come_back_in_order_with_their_sequences(log):
    assert log.append([b"a", b"", b"c"]) == 3
    assert log.append([b"d"]) == 4
    assert list(log.read_from(1)) == [(1, b"a"), (2, b""), (3, b"c"), (4, b"d")]
    assert list(log.read_from(3)) == [(3, b"c"), (4, b"d")]
    assert list(log.read_from(5)) == []


def test_appending_nothing_changes_nothing(log):
    log.append([b"a"])
    assert log.append([]) == 1
    assert log.last_sequence() == 1


def test_it_grows_over_many_segments_and_records_larger_than_one(log):
    records = [bytes([n % 256]) * (n * 37 % 30_000) for n in range(200)]
    for record in records:
        log.append([record])
    assert [record for _, record in log.read_from(1)] == records
    assert [number for number, _ in log.read_from(150)] == list(range(150, 201))


def test_what_is_forgotten_is_at_most_what_was_allowed(log):
    for n in range(100):
        log.append([b"%d" % n * 1_000])
    log.forget_before(60)
    assert 1 < log.first_sequence() <= 60
    assert [number for number, _ in log.read_from(60)] == list(range(60, 101))
    log.forget_before(1)
    log.forget_before(10_000)
    assert log.last_sequence() == 100
    assert log.append([b"next"]) == 101
    assert list(log.read_from(101)) == [(101, b"next")]


def test_writers_on_many_threads_each_get_their_own_sequences(log):
    taken = []

    def write(name):
        for n in range(50):
            taken.append((log.append([b"%s-%d" % (name, n)]), b"%s-%d" % (name, n)))

    threads = [threading.Thread(target=write, args=(name,)) for name in (b"x", b"y", b"z")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(log.read_from(1))
