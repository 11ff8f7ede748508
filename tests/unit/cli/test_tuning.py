"""The collector of garbage in processes that live long."""

import gc

import pytest

from gulou.cli import tuning


@pytest.fixture
def collections():
    made = tuning._Collections()
    yield made
    gc.unfreeze()


@pytest.mark.parametrize(("generation", "took_s", "aside"), [(1, 0.02, True), (1, 0.001, False), (0, 0.02, False)])
def test_what_a_long_collection_leaves_is_set_aside(collections, monkeypatch, generation, took_s, aside):
    now = [100.0]
    monkeypatch.setattr(tuning.time, "perf_counter", lambda: now[0])
    before = gc.get_freeze_count()
    collections.note("start", {"generation": generation})
    now[0] += took_s
    collections.note("stop", {"generation": generation})
    assert (gc.get_freeze_count() > before) is aside
