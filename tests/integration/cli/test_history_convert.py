"""A history that an earlier version wrote: every command says what to do, and the one that converts it does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 1, tzinfo=UTC)
TIME, TEXT = pa.timestamp("us", tz="UTC"), pa.string()


def write_earlier(history: Path, count: int) -> None:
    """Write readings, one a minute, with the columns of that version."""
    at = [START + timedelta(minutes=n) for n in range(count)]
    columns = {
        "ym": pa.array(["2026-01"] * count, TEXT),
        "entity_type": pa.array(["WaterLevelObserved"] * count, TEXT),
        "entity_id": pa.array(["urn:ngsi-ld:WaterLevelObserved:gauge-1"] * count, TEXT),
        "property": pa.array(["waterLevel"] * count, TEXT),
        "dataset_id": pa.nulls(count, TEXT),
        "observed_at": pa.array(at, TIME),
        "value": pa.array([n / 8 for n in range(count)], pa.float64()),
        "text": pa.nulls(count, TEXT),
        "unit_code": pa.array(["MTR"] * count, TEXT),
        "kind": pa.array(["Property"] * count, TEXT),
        "device_id": pa.nulls(count, TEXT),
        "flags": pa.nulls(count, TEXT),
        "source": pa.array(["test"] * count, TEXT),
        "received_at": pa.array([one + timedelta(seconds=2) for one in at], TIME),
        "sequence": pa.array([1] * count, pa.int64()),
        "late": pa.array([0] * count, pa.int8()),
    }
    needed = {"ym", "entity_type", "entity_id", "property", "observed_at", "kind", "source", "received_at", "sequence"}
    schema = pa.schema(
        [pa.field(name, column.type, nullable=name not in {*needed, "late"}) for name, column in columns.items()]
    )
    write_deltalake(
        history / "readings",
        pa.table(list(columns.values()), schema=schema),
        partition_by=["ym"],
    )


def test_an_earlier_history_is_refused_by_name_and_converted(gulou, lines, tmp_path) -> None:
    data = tmp_path / "data"
    write_earlier(data / "history", 300)
    what = ("WaterLevelObserved", "--property", "waterLevel", "--from", "2026-01-01")
    asked = ("query", *what, "--json", "--data", data)

    refused = gulou(*asked, check=False)
    assert refused.returncode != 0
    assert "gulou history convert" in refused.stderr

    (told,) = lines(gulou("history", "convert", "--json", "--data", data).stdout)
    assert told == {"path": str(data / "history"), "readings": 300}
    rows = lines(gulou(*asked).stdout)
    assert [one["value"] for one in rows] == [n / 8 for n in range(300)]
    (told,) = lines(gulou("history", "convert", "--json", "--data", data).stdout)
    assert told["readings"] == 0


def test_a_history_in_use_is_left_alone(gulou, running_gulou, tmp_path) -> None:
    running = running_gulou(tmp_path / "data").start()
    try:
        refused = gulou("history", "convert", "--data", tmp_path / "data", check=False)
    finally:
        running.stop()
    assert refused.returncode != 0
    assert refused.stderr.strip()
    assert "Traceback" not in refused.stderr
