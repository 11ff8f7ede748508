"""Numbers that come as columns: the same answers as objects, sorted and small on disk, readable by any engine."""

import threading
import time

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gulou.connectivity.intake import LogBatch, SeriesCatalogue
from gulou.hub.history import HistoryQuery, HistoryService, HistorySettings, compaction, kernels
from gulou.hub.history.query_duckdb import Stop
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Unavailable

from .building import T0, batch, reading
from .test_rollups import columns_of


def open_history(directory, catalogue, **options):
    return HistoryService(directory, VirtualClock(T0), HistorySettings(background=False, **options), catalogue)


def fill(history, catalogue, batches=4):
    for sequence in range(1, batches + 1):
        found = [(local, "flow", sequence * 10 + n, sequence + n / 8) for n in range(5) for local in "cab"]
        one = () if sequence % 2 else (reading(sequence, "open", "state"),)
        history.apply(LogBatch(sequence, T0 + sequence, "mqtt", one, columns=columns_of(catalogue, found)))
        history.flush()


def test_any_engine_reads_the_table_with_the_same_rows(tmp_path):
    catalogue = SeriesCatalogue()
    history = open_history(tmp_path, catalogue, compact_files=2)
    fill(history, catalogue)
    history.compact()
    fill_more = batch(9, reading(500, 7.5, "flow", "a"))
    history.apply(fill_more)
    history.flush()
    ours = sorted((r.entity_id, r.property, r.observed_at_us, r.sequence) for r in history.query(HistoryQuery()))
    history.close()
    table = DeltaTable(tmp_path / "readings")
    names = ["entity_id", "property", "observed_at", "sequence"]
    plain = pa.table(table.to_pyarrow_table(columns=names))
    at_us = plain["observed_at"].cast(pa.int64()).to_pylist()
    read = zip(
        plain["entity_id"].to_pylist(), plain["property"].to_pylist(), at_us, plain["sequence"].to_pylist(), strict=True
    )
    assert sorted(read) == ours
    query = "SELECT entity_id, property, epoch_us(observed_at), sequence FROM read_parquet($files) ORDER BY ALL"
    assert duckdb.execute(query, {"files": table.file_uris()}).fetchall() == ours


def test_a_reader_of_single_readings_alone_is_not_given_columns(tmp_path):
    history = HistoryService(tmp_path, VirtualClock(T0), HistorySettings(background=False))
    assert not history.takes_columns
    history.close()
    history = open_history(tmp_path, SeriesCatalogue())
    assert history.takes_columns
    history.close()


def test_the_newest_of_every_series_survives_a_restart_without_reading_the_lake(tmp_path, monkeypatch):
    catalogue = SeriesCatalogue()
    history = open_history(tmp_path, catalogue)
    fill(history, catalogue)
    before = sorted(history.latest().to_pylist(), key=str)
    assert [row["value"] for row in before if row["property"] == "flow"] == [4.5, 4.5, 4.5]
    assert [row["text"] for row in before if row["property"] == "state"] == ['"open"']
    history.close()
    asked = []
    monkeypatch.setattr("gulou.hub.history.service.learn_all", lambda _, rows: asked.extend(rows))
    history = open_history(tmp_path, catalogue)
    assert (sorted(history.latest().to_pylist(), key=str), asked) == (before, [])
    assert history.latest("WaterLevelObserved", "flow").num_rows == 3
    history.close()


@pytest.mark.parametrize("harm", ["gone", "torn", "other catalogue"])
def test_without_the_note_of_the_newest_it_is_read_from_the_lake(tmp_path, harm):
    catalogue = SeriesCatalogue()
    history = open_history(tmp_path, catalogue)
    fill(history, catalogue)
    before = sorted(history.latest().to_pylist(), key=str)
    history.close()
    note = tmp_path / "latest"
    harms = {
        "gone": note.unlink,
        "torn": lambda: note.write_bytes(note.read_bytes()[:-3]),
        "other catalogue": lambda: 0,
    }
    harms[harm]()
    renumbered = SeriesCatalogue()
    renumbered.number_of("urn:ngsi-ld:Other:x", "Other", "flow")
    history = open_history(tmp_path, renumbered if harm == "other catalogue" else catalogue)
    assert sorted(history.latest().to_pylist(), key=str) == before
    history.close()


def test_a_series_known_from_objects_stays_late_when_it_gets_a_number(tmp_path):
    catalogue = SeriesCatalogue()
    history = open_history(tmp_path, catalogue)
    history.apply(batch(1, reading(10, 1.0, "flow", "a")))
    history.flush()
    history.apply(LogBatch(2, T0, "mqtt", (), columns=columns_of(catalogue, [("a", "flow", 10, 5.0)])))
    history.flush()
    assert [row.value for row in history.query(HistoryQuery())] == [5.0]
    history.close()


def test_an_object_and_a_row_of_one_record_and_time_give_the_row(tmp_path):
    catalogue = SeriesCatalogue()
    history = open_history(tmp_path, catalogue, compact_files=2)
    columns = columns_of(catalogue, [("a", "flow", 10, 5.0)])
    for sequence in (1, 2):
        history.apply(LogBatch(sequence, T0, "mqtt", (reading(10, 1.0, "flow", "a"),), columns=columns))
        assert [row.value for row in history.query(HistoryQuery())] == [5.0]
        history.flush()
        assert [row.value for row in history.query(HistoryQuery())] == [5.0]
    history.compact()
    assert ([row.value for row in history.query(HistoryQuery())], history.status()["rows"]) == ([5.0], 1)
    history.close()


def test_a_query_that_is_cancelled_ends(tmp_path):
    catalogue = SeriesCatalogue()
    history = open_history(tmp_path, catalogue)
    fill(history, catalogue)
    stop = Stop()
    stop.ask()
    with pytest.raises(Unavailable) as caught:
        history.query(HistoryQuery(), stop)
    assert caught.value.code == "history.cancelled"
    assert len(history.query(HistoryQuery(), Stop())) == 62
    history.close()


def test_flushing_waits_while_merging_is_too_far_behind(tmp_path):
    catalogue = SeriesCatalogue()
    options = HistorySettings(flush_rows=5, flush_s=0.01, compact_backlog=4, compact_files=2, latest_s=0.001)
    history = HistoryService(tmp_path, VirtualClock(T0), options, catalogue)
    history.start()
    for sequence in range(1, 200):
        found = [("a", "flow", sequence + n / 8, n) for n in range(5)]
        history.apply(LogBatch(sequence, T0, "mqtt", (), columns=columns_of(catalogue, found)))
    history.close()
    history = open_history(tmp_path, catalogue)
    assert len(history.query(HistoryQuery())) == 199 * 5
    history.close()


def test_a_merge_that_takes_long_stops_nobody_for_ever(tmp_path, monkeypatch):
    catalogue, may_end = SeriesCatalogue(), threading.Event()
    options = HistorySettings(
        flush_rows=5, flush_s=0.01, tail_max_rows=10, compact_backlog=4, compact_files=2, compact_wait_s=0.05,
        latest_s=0.001, tail_wait_s=30.0,
    )  # fmt: skip
    history = HistoryService(tmp_path, VirtualClock(T0), options, catalogue)
    merge = history._merge
    monkeypatch.setattr(history, "_merge", lambda chosen: (may_end.wait(60), merge(chosen)))
    history.start()
    for sequence in range(1, 30):
        found = [("a", "flow", sequence + n / 8, n) for n in range(5)]
        history.apply(LogBatch(sequence, T0, "mqtt", (), columns=columns_of(catalogue, found)))
    assert history.status()["flushes_held"] > 1
    may_end.set()
    history.close()


def test_a_merge_is_given_up_when_the_history_is_closed(tmp_path, monkeypatch):
    catalogue, begun, slices = SeriesCatalogue(), threading.Event(), []
    options = HistorySettings(flush_rows=5, flush_s=0.01, compact_files=2, latest_s=0.001)
    history = HistoryService(tmp_path, VirtualClock(T0), options, catalogue)
    merged = compaction._merged

    def slowly(paths):
        for block in merged(paths):
            for _ in range(1000):  # the same slice again and again: it would go on for a minute
                slices.append(1)
                begun.set()
                time.sleep(0.06)
                yield block

    monkeypatch.setattr(compaction, "_merged", slowly)
    history.start()
    for sequence in range(1, 10):
        found = [("a", "flow", sequence + n / 8, n) for n in range(5)]
        history.apply(LogBatch(sequence, T0, "mqtt", (), columns=columns_of(catalogue, found)))
        time.sleep(0.02)
    assert begun.wait(20)
    history.close()
    assert len(slices) < 900
    assert history.status()["error"] is None
    monkeypatch.undo()
    table = DeltaTable(tmp_path / "readings")
    assert len(list((tmp_path / "readings").rglob("*.parquet"))) == len(table.file_uris())  # nothing is left behind
    again = open_history(tmp_path, catalogue, compact_files=2)
    assert len(again.query(HistoryQuery())) == 9 * 5
    assert again.compact() > 0
    assert len(again.query(HistoryQuery())) == 9 * 5
    again.close()


def test_several_may_note_the_newest_readings_at_once(tmp_path):
    catalogue = SeriesCatalogue()
    history = open_history(tmp_path, catalogue)
    fill(history, catalogue)
    problems = []

    def note():
        try:
            for _ in range(20):
                history._note_latest(0.0)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert problems == []
    history.close()


def test_merging_goes_on_after_the_disk_was_full(tmp_path, monkeypatch):
    catalogue, is_full = SeriesCatalogue(), [True]
    options = HistorySettings(flush_rows=5, flush_s=0.01, compact_files=2, latest_s=0.001)
    history = HistoryService(tmp_path, VirtualClock(T0), options, catalogue)
    history.start()
    save = history._times.save

    def refuse(path, position):
        if is_full[0]:
            raise OSError(28, "No space left on device")
        return save(path, position)

    monkeypatch.setattr(history._times, "save", refuse)
    sequence = 0
    until_s = time.monotonic() + 20
    while history.status()["compactions"] == 0 and time.monotonic() < until_s:
        sequence += 1
        found = [("a", "flow", sequence + n / 8, n) for n in range(5)]
        history.apply(LogBatch(sequence, T0, "mqtt", (), columns=columns_of(catalogue, found)))
        time.sleep(0.02)
        is_full[0] = sequence < 20
    assert history.status()["compactions"] > 0
    history.close()


def plain(function):
    return getattr(function, "py_func", function)


series_rows = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5), st.integers(-9, 9)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(series_rows)
def test_kernels_give_the_same_compiled_and_plain(rows):
    number = np.array([one for one, _, _ in rows], np.int32)
    at_us = np.array([one for _, one, _ in rows], np.int64)
    value = np.array([one for _, _, one in rows], np.float64)
    results = []
    for wrap in (lambda function: function, plain):
        newest_us, newest = np.full(4, kernels.NEVER_US, np.int64), np.full(4, np.nan)
        late, order = np.empty(len(rows), np.int8), np.empty(len(rows), np.int64)
        count = wrap(kernels.mark_rows)(number, at_us, value, newest_us, newest, late)
        kept = wrap(kernels.order_rows)(number, at_us, 4, order)
        results.append((count, newest_us.tolist(), str(newest.tolist()), late.tolist(), order[:kept].tolist()))
    assert results[0] == results[1]
    expected: dict = {}
    for row, (one, at, _) in enumerate(rows):
        expected[one, at] = row
    assert results[0][4] == [expected[key] for key in sorted(expected)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True).map(sorted), min_size=1, max_size=6),
    arrays.arrays(np.int64, 6, elements=st.integers(0, 2)),
)
def test_merging_and_rolling_up_are_the_same_compiled_and_plain(runs, groups):
    groups = np.sort(groups[: len(runs)])
    at_us = np.array([at for run in runs for at in run], np.int64)
    length = np.array([len(run) for run in runs], np.int64)
    start = np.cumsum(length) - length
    sequence = np.repeat(np.arange(len(runs)), length)
    late = np.zeros(len(at_us), np.int8)
    results = []
    for wrap in (lambda function: function, plain):
        order, group = np.empty(len(at_us), np.int64), np.empty(len(at_us), np.int64)
        kept = wrap(kernels.merge_runs)(start, length, groups, at_us, sequence, late, order, group)
        order, group = order[:kept], group[:kept].copy()
        value, numeric = order * 1.5, order % 4 > 0
        wholes = [np.empty(kept, np.int64) for _ in range(4)]
        parts, ends = [np.empty(kept) for _ in range(3)], [np.empty(kept, np.int64) for _ in range(2)]
        steps = wrap(kernels.roll_up)(group, at_us[order], value, numeric, 4, *wholes, *parts, *ends)
        found = [one[:steps].tolist() for one in (*wholes, *parts, *ends)]
        results.append((order.tolist(), group.tolist(), found))
    assert results[0] == results[1]
    wins = {}
    for run, (times, of) in enumerate(zip(runs, groups.tolist(), strict=True)):
        for place, at in enumerate(times):
            wins[of, at] = int(start[run]) + place
    assert results[0][0] == [wins[key] for key in sorted(wins)]
    assert sum(results[0][2][2]) == len(wins)
