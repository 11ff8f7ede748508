"""A history of an earlier version: refused with what to do, converted with every reading, however often broken off."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from gulou.hub.history import HistoryQuery, HistoryService, HistorySettings, conversion, convert_history
from gulou.kernel.clock import VirtualClock
from gulou.kernel.errors import Conflict, Fault, Unavailable

from .building import T0, batch, reading

S = 1_000_000
TIME = pa.timestamp("us", tz="UTC")
EARLIER = pa.schema(
    [
        pa.field("ym", pa.string(), nullable=False),
        *(pa.field(name, pa.string(), nullable=False) for name in ("entity_type", "entity_id", "property")),
        pa.field("dataset_id", pa.string()),
        pa.field("observed_at", TIME, nullable=False),
        pa.field("value", pa.float64()),
        *(pa.field(name, pa.string()) for name in ("text", "unit_code")),
        pa.field("kind", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("device_id", "flags")),
        pa.field("source", pa.string(), nullable=False),
        pa.field("received_at", TIME, nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("late", pa.int8(), nullable=False),
    ]
)
"""The columns that version 0.1 before roll-ups wrote, in the order in which it sorted files."""


def rows_of(history):
    return list(history.query(HistoryQuery()))


def opened(directory):
    return HistoryService(directory, VirtualClock(T0), HistorySettings(background=False))


@pytest.fixture
def told():
    """Readings of three months, with texts, truth values and corrections; flushed in five batches."""
    return [
        batch(
            sequence,
            *(reading(n * 10_000 + sequence, n + sequence / 8, "flow", local) for n in range(12) for local in "ba"),
            reading(sequence, "open" if sequence % 2 else True, "state"),
            reading(10_000 + 1, float(sequence), "flow", "a"),  # the same series and time again
        )
        for sequence in range(1, 6)
    ]


@pytest.fixture
def earlier(tmp_path, told):
    """(directory of the earlier version, the rows that this version makes of the same batches)."""
    new = opened(tmp_path / "new")
    for one in told:
        new.apply(one)
        new.flush()
    expected = rows_of(new)
    new.close()
    directory = tmp_path / "history"
    table = DeltaTable(tmp_path / "new" / "readings")
    for action in sorted(pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()):
        with pq.ParquetFile(tmp_path / "new" / "readings" / action) as file:
            found = file.read()
        received = (
            found["observed_at"].cast(pa.int64()).to_numpy() // S * S + found["delay_s"].to_numpy().astype(np.int64) * S
        )
        columns = {name: found[name] for name in found.column_names}
        columns["received_at"] = pa.array(received).cast(TIME)
        columns["ym"] = pa.array([action.partition("=")[2][:7]] * found.num_rows)
        sequence = max(columns["sequence"].to_pylist())
        write_deltalake(
            directory / "readings",
            pa.table([columns[one.name].cast(one.type) for one in EARLIER], schema=EARLIER),
            mode="append",
            partition_by=["ym"],
            commit_properties=CommitProperties(app_transactions=[Transaction("gulou-history", sequence)]),
        )
    return directory, expected


def test_it_is_refused_with_the_command_that_converts_it(earlier):
    directory, _ = earlier
    with pytest.raises(Conflict) as refused:
        opened(directory)
    assert refused.value.code == "history.earlier"


def test_it_is_converted_with_every_reading_and_goes_on_where_it_was(earlier, told):
    directory, expected = earlier
    steps = []
    assert convert_history(directory, lambda done, files: steps.append((done, files))) >= len(expected)
    assert steps[-1][0] == steps[-1][1] == len(steps)
    assert sorted(one.name for one in directory.iterdir() if one.name.startswith("readings")) == ["readings"]
    history = opened(directory)
    assert (rows_of(history), history.position()) == (expected, 5)
    history.apply(told[4])  # it has that one
    history.apply(batch(6, reading(7, 1.5, "flow", "c")))
    history.flush()
    history.compact()
    assert len(rows_of(history)) == len(expected) + 1
    history.close()
    assert convert_history(directory) == 0


@pytest.mark.parametrize(("where", "call"), [("_converted", 2), ("sync", 1), ("_finish", 2), ("sync", 2)])
def test_broken_off_it_is_begun_anew_or_finished(earlier, monkeypatch, where, call):
    directory, expected = earlier
    with monkeypatch.context() as patch:
        patch.setattr(conversion, where, broken_at(call, getattr(conversion, where)))
        with pytest.raises(KeyboardInterrupt):
            convert_history(directory)
    with pytest.raises(Conflict):
        opened(directory)
    convert_history(directory)
    history = opened(directory)
    assert rows_of(history) == expected
    history.close()


def broken_at(call, function):
    calls = []

    def run(*arguments):
        calls.append(arguments)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments)

    return run


def test_without_room_nothing_is_changed(earlier, monkeypatch):
    directory, expected = earlier
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(Unavailable) as refused:
        convert_history(directory)
    assert refused.value.code == "history.no_room"
    monkeypatch.undo()
    convert_history(directory)
    history = opened(directory)
    assert rows_of(history) == expected
    history.close()


def test_a_file_that_cannot_be_read_leaves_the_old_one(earlier):
    directory, _ = earlier
    file = next(directory.glob("readings/*/*.parquet"))
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(Fault) as refused:
        convert_history(directory)
    assert refused.value.code == "history.damaged"
    assert file.exists()


def test_delays_are_what_they_were():
    rows = pa.table({"received_at": pa.array([1_999_999, 5_000_001]), "observed_at": pa.array([1_000_000, 9_000_000])})
    times = {name: rows[name].cast(TIME) for name in rows.column_names}
    others = {one.name: pa.array([None, None], one.type) for one in EARLIER if one.name not in times}
    converted = conversion._converted(pa.table({**others, **times}))
    assert converted["delay_s"].to_pylist() == [1, -3]
    assert np.array_equal(converted["row"], [0, 1])


def test_there_is_nothing_to_convert_in_an_empty_place(tmp_path):
    assert convert_history(tmp_path / "history") == 0
