"""What only a history on disk must do: exactly once, restart, failures of the disk, bounds."""

import json
import os
import threading

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from gulou.hub.history import AggregateQuery, HistoryQuery, HistoryService, HistorySettings
from gulou.hub.history.query_duckdb import Stop, _Asked
from gulou.hub.history.store_delta import Lake
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Conflict, Fault, Invalid, Unavailable

from .building import MINUTE_US, T0, batch, reading

DAY_US = 1440 * MINUTE_US


def open_history(directory, **options):
    return HistoryService(directory, VirtualClock(T0), HistorySettings(background=False, **options))


def values(history, **query):
    return [row.value for row in history.query(HistoryQuery(**query))]


def ask_in_sql(history, statement):
    snapshot = history._snapshot()
    return history._engine._fetch(snapshot, _Asked(history._engine._paths, snapshot, HistoryQuery()), statement)


def test_position_moves_only_with_the_flush_and_survives(tmp_path):
    history = open_history(tmp_path)
    history.apply(batch(5, reading(0)))
    assert (history.position(), values(history)) == (0, [1.0])
    history.checkpoint()
    assert history.position() == 5
    history.apply(batch(6))
    history.checkpoint()
    assert history.position() == 6  # a record of rejects alone moves it too, or the log could never be recycled
    history.close()
    again = open_history(tmp_path)
    assert (again.position(), values(again)) == (6, [1.0])
    again.apply(batch(5, reading(0, 9.0)))
    assert values(again) == [1.0]
    again.close()


def test_a_correction_after_a_restart_replaces_what_is_in_the_lake(tmp_path):
    for sequence, exact in ((1, 1000), (2, 0), (3, 1000)):
        history = open_history(tmp_path, exact_start_rows=exact)
        history.apply(batch(sequence, reading(0, float(sequence)), reading(sequence, 0.5)))
        assert values(history, to_us=T0 + 1) == [float(sequence)]
        history.close()


def test_readings_go_to_the_month_of_their_own_time(tmp_path):
    history = open_history(tmp_path)
    history.apply(batch(1, reading(0), reading(-1), reading(45 * 1440)))
    history.flush()
    assert sorted(path.name for path in (tmp_path / "readings").glob("ym=*")) == [
        "ym=2025-02",
        "ym=2025-03",
        "ym=2025-04",
    ]
    assert len(values(history)) == 3
    history.close()


def test_the_table_is_a_delta_table_that_others_read(tmp_path):
    history = open_history(tmp_path)
    history.apply(batch(1, reading(0, 2.5), reading(1, "open")))
    history.apply(batch(2, reading(2, True)))
    history.flush()
    history.close()
    rows = pa.table(DeltaTable(tmp_path / "readings").to_pyarrow_table()).sort_by("observed_at").to_pylist()
    assert [(row["value"], row["text"], row["ym"]) for row in rows] == [
        (2.5, None, "2025-03"), (None, '"open"', "2025-03"), (1.0, "true", "2025-03"),
    ]  # fmt: skip


def test_compaction_keeps_every_reading_sorts_them_and_leaves_few_files(tmp_path):
    history = open_history(tmp_path, compact_files=4)
    for sequence in range(1, 13):
        history.apply(batch(sequence, *(reading(sequence * 10 + n, float(n), local=f"d-{n % 3}") for n in range(10))))
        history.flush()
    before = history.query(HistoryQuery())
    assert history.status()["files"] == 12
    assert history.compact() == 1
    assert (history.status()["files"], history.status()["rows"]) == (1, 120)
    assert history.query(HistoryQuery()) == before
    history.close()
    history = open_history(tmp_path)
    assert history.query(HistoryQuery()) == before
    history.close()
    (path,) = DeltaTable(tmp_path / "readings").file_uris()
    table = pa.parquet.read_table(path)
    keys = list(zip(table["entity_id"].to_pylist(), table["observed_at"].to_pylist(), strict=True))
    assert keys == sorted(keys)


def test_a_month_that_nobody_writes_to_any_more_becomes_one_file(tmp_path):
    history = open_history(tmp_path, quiet_s=1e-6)
    for sequence in (1, 2):
        history.apply(batch(sequence, reading(sequence), reading(45 * 1440 + sequence)))
        history.flush()
    assert history.compact() == 2
    assert (history.status()["files"], len(values(history))) == (2, 4)
    assert history.compact() == 0
    history.close()


def test_a_replaced_reading_is_gone_after_compaction(tmp_path):
    history = open_history(tmp_path, compact_files=2)
    for sequence, value in enumerate([1.0, 2.0, 3.0], start=1):
        history.apply(batch(sequence, reading(0, value), reading(sequence, value)))
        history.flush()
    assert history.compact() == 1
    assert history.status()["rows"] == 4
    assert not any(file.late for file in history._lake.state.files)
    assert values(history) == [3.0, 1.0, 2.0, 3.0]
    history.close()


def test_old_months_are_deleted_when_a_retention_is_set(tmp_path):
    history = open_history(tmp_path, retention_days=40)
    history.apply(batch(1, reading(-70 * 1440, 1.0), reading(-35 * 1440, 2.0), reading(0, 3.0)))
    history.flush()
    history.compact()
    assert values(history) == [2.0, 3.0]
    history.close()


def test_tidying_deletes_replaced_files_later_and_loses_nothing(tmp_path):
    clock = VirtualClock(T0)
    history = HistoryService(tmp_path, clock, HistorySettings(background=False, compact_files=2))
    for sequence in range(1, 5):
        history.apply(batch(sequence, reading(sequence)))
        history.flush()
    clock.advance(3601)
    history.compact()
    assert values(history) == [1.0] * 4
    history.apply(batch(5, reading(5)))
    history.close()
    history = open_history(tmp_path)
    assert (history.position(), len(values(history))) == (5, 5)
    history.close()


def test_a_file_that_no_commit_names_is_deleted_when_it_is_old(tmp_path):
    history = open_history(tmp_path)
    history.apply(batch(1, reading(0)))
    history.flush()
    old, young = (tmp_path / "readings" / "ym=2025-03" / name for name in ("old.parquet", "young.parquet"))
    for path in (old, young):
        path.write_bytes(b"left by a crash")
    os.utime(old, (1, 1))
    history._lake.tidy(1)
    assert (old.exists(), young.exists()) == (False, True)
    assert values(history) == [1.0]
    history.close()


def test_a_second_opener_is_refused(tmp_path):
    history = open_history(tmp_path)
    with pytest.raises(Conflict) as caught:
        open_history(tmp_path)
    assert caught.value.code == "history.in_use"
    history.close()
    open_history(tmp_path).close()


def test_a_write_that_fails_loses_nothing_and_leaves_no_file(tmp_path):
    history = open_history(tmp_path)
    history.apply(batch(1, reading(0)))
    log = tmp_path / "readings" / "_delta_log"
    log.rename(tmp_path / "elsewhere")
    log.write_text("in the way")
    with pytest.raises((Unavailable, Fault)):
        history.flush()
    assert (history.position(), values(history)) == (0, [1.0])
    log.unlink()
    (tmp_path / "elsewhere").rename(log)


def test_a_file_that_cannot_be_written_leaves_the_rest_readable(tmp_path, monkeypatch):
    history = open_history(tmp_path)
    history.apply(batch(1, reading(0), reading(45 * 1440)))

    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gulou.hub.history.store_delta.pq.ParquetWriter", full)
        with pytest.raises(Unavailable) as caught:
            history.flush()
    assert caught.value.code == "history.write_failed"
    assert list((tmp_path / "readings").glob("ym=*/*")) == []
    assert len(values(history)) == 2
    history.flush()
    assert (history.position(), len(values(history))) == (1, 2)
    history.close()


def test_a_commit_that_went_in_and_then_failed_is_not_written_twice(tmp_path, monkeypatch):
    history = open_history(tmp_path)
    history.apply(batch(1, reading(0)))

    def fail(*_args):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "_sync_commit", fail)
        with pytest.raises(Fault) as caught:
            history.flush()
    assert caught.value.code == "history.uncertain"
    with pytest.raises(Fault):
        history.flush()
    assert values(history) == [1.0]
    with pytest.raises(Fault):
        history.close()
    again = open_history(tmp_path)
    again.apply(batch(1, reading(0)))
    assert (again.position(), values(again)) == (1, [1.0])
    again.close()


@pytest.mark.parametrize("torn", [b"", b'{"commitInfo":{"timestamp":17'])
def test_a_commit_torn_by_a_power_failure_is_set_aside(tmp_path, torn):
    history = open_history(tmp_path)
    for sequence in (1, 2):
        history.apply(batch(sequence, reading(sequence)))
        history.flush()
    history.close()
    last = sorted((tmp_path / "readings" / "_delta_log").glob("*.json"))[-1]
    last.write_bytes(torn)
    again = open_history(tmp_path)
    assert (again.position(), len(values(again))) == (1, 1)
    again.apply(batch(2, reading(2)))
    again.flush()
    assert (again.position(), len(values(again))) == (2, 2)
    again.close()


def test_a_damaged_table_is_a_fault_that_names_it(tmp_path):
    open_history(tmp_path).close()
    log = tmp_path / "readings" / "_delta_log" / f"{0:020d}.json"
    log.write_text(json.dumps({"protocol": {"minReaderVersion": 99, "minWriterVersion": 99}}))
    with pytest.raises(Fault) as caught:
        open_history(tmp_path)
    assert caught.value.code == "history.damaged"
    assert caught.value.params["path"] == str(tmp_path)


def test_a_lost_data_file_is_a_fault_of_the_query_only(tmp_path):
    history = open_history(tmp_path)
    history.apply(batch(1, reading(0)))
    history.flush()
    next((tmp_path / "readings").glob("ym=*/*.parquet")).unlink()
    with pytest.raises(Fault) as caught:
        values(history)
    assert caught.value.code == "history.unreadable"
    assert values(history, from_us=T0 + DAY_US) == []
    history.close()


def test_without_a_thread_a_full_tail_is_flushed_in_line(tmp_path):
    history = open_history(tmp_path, tail_max_rows=25)
    for sequence in range(1, 11):
        history.apply(batch(sequence, *(reading(sequence * 10 + n) for n in range(10))))
    assert history.status()["tail_rows"] <= 25
    assert len(values(history)) == 100
    history.close()


def test_more_rows_than_allowed_is_an_error_and_never_a_silent_cut(tmp_path):
    history = open_history(tmp_path, query_max_rows=5)
    history.apply(batch(1, *(reading(n, local=f"d-{n}") for n in range(6))))
    for action in (lambda: history.query(HistoryQuery()), lambda: history.aggregate(AggregateQuery(by="id"))):
        with pytest.raises(Invalid) as caught:
            action()
        assert caught.value.code == "history.too_many_rows"
    assert len(values(history, limit=5)) == 5
    with pytest.raises(Invalid) as caught:
        history.stream(HistoryQuery(limit=6))
    assert caught.value.code == "history.limit"
    history.close()


def test_a_query_past_its_time_is_stopped_and_the_next_one_runs(tmp_path):
    history = open_history(tmp_path, query_timeout_s=0.05)
    history.apply(batch(1, *(reading(n / 100, float(n), local=f"d-{n % 50}") for n in range(40_000))))
    heavy = "SELECT count(*) FROM range(100000) a, range(100000) b, found WHERE a.range * b.range % 7 = value"
    with pytest.raises(Unavailable) as caught:
        ask_in_sql(history, heavy)
    assert caught.value.code == "history.too_slow"
    history.close()


def test_a_reader_that_dawdles_does_not_keep_its_turn(tmp_path):
    history = open_history(tmp_path, max_queries=1, query_timeout_s=0.2)
    history.apply(batch(1, *(reading(n) for n in range(5000))))
    rows = history.stream(HistoryQuery())
    next(rows)
    with pytest.raises(Unavailable) as caught:
        values(history)
    assert caught.value.code == "history.busy"
    rows.close()
    assert len(values(history, limit=5)) == 5
    history.close()


def test_a_reader_can_be_stopped_amid_the_rows(tmp_path):
    history = open_history(tmp_path)
    history.apply(batch(1, *(reading(n / 100, float(n)) for n in range(50_000))))
    history.flush()
    stop = Stop()
    rows = history.stream(HistoryQuery(), stop)
    assert next(rows).value == 0.0
    stop.ask()
    with pytest.raises(Unavailable) as caught:
        list(rows)
    assert caught.value.code == "history.cancelled"
    assert len(values(history)) == 50_000
    history.close()


def test_the_engine_reads_nothing_outside_the_history(tmp_path):
    history = open_history(tmp_path / "history")
    secret = tmp_path / "secret.parquet"
    pa.parquet.write_table(pa.table({"a": [1]}), secret)
    statement = f"SELECT * FROM read_parquet('{secret}')"
    with pytest.raises(Fault):
        ask_in_sql(history, statement)
    history.close()


def test_queries_agree_while_flushing_and_compaction_run(tmp_path):
    """Each answer is a whole prefix of the log: no reading twice, none missing, order kept."""
    history = HistoryService(
        tmp_path, VirtualClock(T0), HistorySettings(flush_s=0.01, compact_files=2, flush_rows=200, tail_max_rows=1000)
    )
    history.start()
    batches, size = 120, 20
    wrong, done = [], threading.Event()

    def ask():
        least = 0
        while not done.is_set():
            seen = [(row.sequence, row.value) for row in history.query(HistoryQuery())]
            expected = [(1 + n // size, float(n)) for n in range(len(seen))]
            if seen != expected or len(seen) % size or len(seen) < least:
                wrong.append(seen)
            least = len(seen)

    asking = threading.Thread(target=ask)
    asking.start()
    for sequence in range(1, batches + 1):
        first = (sequence - 1) * size
        history.apply(batch(sequence, *(reading(first + n, float(first + n), local=f"d-{n}") for n in range(size))))
        if sequence % 10 == 0:
            history.checkpoint()
            threading.Event().wait(0.01)
    done.set()
    asking.join()
    assert wrong == []
    history.close()
    assert history.status()["flushes"] > 1
    assert history.position() == batches


def test_a_fault_of_the_flushing_thread_reaches_the_feed(tmp_path, monkeypatch):
    history = HistoryService(
        tmp_path, VirtualClock(T0), HistorySettings(flush_s=0.01, tail_max_rows=5, flush_rows=5, tail_wait_s=20)
    )

    def fail(*_args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Lake, "_sync_commit", fail)
    history.start()
    history.apply(batch(1, *(reading(n) for n in range(5))))
    with pytest.raises(Fault) as caught:
        history.apply(batch(2, *(reading(10 + n) for n in range(5))))
    assert caught.value.code == "history.uncertain"
    assert history.status()["error"] == "history.uncertain"
    with pytest.raises(Fault):
        history.close()
