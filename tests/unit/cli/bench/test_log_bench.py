"""The benchmark of the log: what it answers, with a plan of moments."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from gulou.cli.bench import log as bench
from gulou.cli.bench.app import bench_app


def test_it_measures_the_log_the_door_and_sqlite(monkeypatch, tmp_path):
    plan = bench.LogPlan(seconds=0.05, series=100, at_once=4, batches=(5, 50))
    monkeypatch.setattr(bench, "LogPlan", lambda **_: plan)
    result = CliRunner().invoke(
        bench_app, ["log", "--quick", "--json", "--directory", str(tmp_path)], catch_exceptions=False
    )
    answer = json.loads(result.stdout)
    assert answer["name"] == "log"
    assert set(answer["median"]) == {f"{way}_{rows}" for way in ("own", "sqlite", "door") for rows in (5, 50)}
    for name, figures in answer["median"].items():
        assert figures["commits_per_s"] > 0, name
        assert figures["ms"]["p50"] <= figures["ms"]["p99"], name
    assert answer["median"]["door_50"]["rejected"] == 0
    assert list(tmp_path.iterdir()) == []
