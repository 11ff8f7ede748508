"""Every benchmark answers in one shape, and can be held against an earlier answer."""

from __future__ import annotations

import json

import pytest

from gulou.cli.bench.report import describe_machine, finish, make_report
from gulou.kernel.errors import Invalid

RUNS = [
    {"rate_per_s": 90.0, "ack_ms": {"p50": 1.0, "p99": 9.0}, "peer": "absent"},
    {"rate_per_s": 110, "ack_ms": {"p50": 3.0, "p99": None}, "peer": "absent"},
    {"rate_per_s": 100, "ack_ms": {"p50": 2.0, "p99": 5.0}, "peer": "absent"},
]


def report(factor=1.0, settings=None):
    runs = [{**run, "rate_per_s": run["rate_per_s"] * factor} for run in RUNS]
    return make_report("loop", describe_machine(), settings or {"series": 10}, runs, extra={"lost": 0})


def test_medians_and_spread_are_of_numbers_only():
    made = report()
    assert made.median == {"rate_per_s": 100.0, "ack_ms": {"p50": 2.0, "p99": 7.0}, "lost": 0}
    assert made.spread["rate_per_s"] == (90.0, 110.0)
    assert "peer" not in made.spread


def test_the_answer_is_one_line_of_json_and_can_be_compared(tmp_path, capsys):
    file = tmp_path / "then.json"
    finish(report(), as_json=True, save=file)
    finish(report(factor=2.0), as_json=True, compare=file)
    _, now = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert now["comparison"]["ratios"]["rate_per_s"] == 2.0
    assert now["comparison"]["same_settings"] is True
    assert set(now) >= {"name", "machine", "settings", "runs", "median"}


def test_people_see_the_figures_and_a_warning_when_the_settings_differ(tmp_path, capsys):
    file = tmp_path / "then.json"
    finish(report(), as_json=False, save=file)
    finish(report(settings={"series": 20}), as_json=False, compare=file)
    text = capsys.readouterr().out
    assert "ack_ms.p99" in text
    assert "other settings" in text


@pytest.mark.parametrize("content", ["no json", '{"name": "log"}'])
def test_a_file_that_is_no_answer_is_named(tmp_path, content):
    file = tmp_path / "then.json"
    file.write_text(content)
    with pytest.raises(Invalid, match="saved_unreadable"):
        finish(report(), as_json=True, compare=file)
    with pytest.raises(Invalid, match="saved_unreadable"):
        finish(report(), as_json=True, compare=tmp_path / "missing.json")
