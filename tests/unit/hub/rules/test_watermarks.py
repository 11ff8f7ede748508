"""Each series has its own watermark: one source's clock, backlog or silence does nothing to the readings of others."""

from __future__ import annotations

import pytest

ROAD = "urn:ngsi-ld:TrafficFlowObserved:r"
SUM = "kind: window\nselect: {type: TrafficFlowObserved}\nof: intensity\nfunction: sum\nover: 10s\nlevels: {red: 10}\n"


@pytest.fixture
def late(kit):
    """Return how many readings a bench has found late."""
    return lambda bench: bench.engine.judges["test/r"].counters.late


@pytest.mark.parametrize("window", ["sliding", "tumbling"])
def test_a_clock_that_runs_ahead_makes_nobody_else_late(kit, late, window):
    bench = kit.bench(kit.rule(f"{SUM}window: {window}\nlateness: 2s"))
    bench.send(100, f"{ROAD}1", received=12, intensity=1.0)  # its clock is ahead of everybody's
    for at in (12, 13, 14):
        bench.send(at, f"{ROAD}2", intensity=5.0)
    bench.tick(30)
    assert [(one.entity_id, one.state) for one in bench.found] == [(f"{ROAD}2", "raised")]
    assert late(bench) == 0


def test_who_is_silent_holds_nobody_up_and_is_judged_by_the_clock(kit):
    bench = kit.bench(kit.rule(f"{SUM}window: tumbling\nlateness: 2s"))
    bench.send(12, f"{ROAD}1", intensity=20.0)  # and then nothing more
    bench.send(12, f"{ROAD}2", intensity=20.0)
    bench.send(23, f"{ROAD}2", received=21, intensity=1.0)  # its own time has passed the end and the lateness
    assert [(one.entity_id, one.raised_at_us // kit.S) for one in bench.found] == [(f"{ROAD}2", 20)]
    bench.tick(21.9)
    assert len(bench.found) == 1
    bench.tick(22)
    assert [(one.entity_id, one.raised_at_us // kit.S) for one in bench.found[1:]] == [(f"{ROAD}1", 20)]


def test_what_a_gateway_kept_while_it_was_cut_off_enters_sliding_windows_whole(kit, late):
    rule = kit.rule(f"{SUM}window: sliding\nlateness: 2s")
    cut_off, online = kit.bench(rule), kit.bench(rule)
    for at in range(1, 40):
        online.send(at, f"{ROAD}1", intensity=float(at % 4))
    online.send(1_000, f"{ROAD}2", intensity=1.0)
    cut_off.send(1_000, f"{ROAD}2", intensity=1.0)  # who stayed online has long been further
    for at in range(1, 40):
        cut_off.send(at, f"{ROAD}1", received=1_000, intensity=float(at % 4))
    assert cut_off.told == online.told != []
    assert late(cut_off) == 0


def test_whole_windows_wait_for_their_lateness_and_count_who_comes_later_still(kit, late):
    patient, hasty = (kit.bench(kit.rule(f"{SUM}window: tumbling\nlateness: {wait}")) for wait in ("10m", "5s"))
    for bench in (patient, hasty):
        bench.send(1, f"{ROAD}1", intensity=1.0)
        bench.tick(60)
        for at in (2, 3, 4):  # kept by the gateway while it was cut off
            bench.send(at, f"{ROAD}1", received=61, intensity=5.0)
        bench.tick(700)
    assert (late(patient), patient.states) == (0, [("raised", "red")])
    assert (late(hasty), hasty.states) == (3, [])
