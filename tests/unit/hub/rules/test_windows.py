"""Windows and rates against a plain calculation, late readings, and stragglers."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gulou.kernel import Invalid

ROAD = "urn:ngsi-ld:TrafficFlowObserved:r1"
TYPE = "select: {type: TrafficFlowObserved}\nof: intensity\n"
FUNCTIONS = {
    "mean": statistics.fmean,
    "min": min,
    "max": max,
    "sum": math.fsum,
    "count": len,
    "range": lambda values: max(values) - min(values),
    "last": lambda values: values[-1],
}

arrivals = st.lists(
    st.tuples(st.integers(0, 120), st.integers(0, 40)), min_size=1, max_size=30, unique_by=lambda pair: pair[0]
)


@settings(max_examples=150, deadline=None)
@given(
    arrivals=arrivals, function=st.sampled_from(sorted(FUNCTIONS)), over=st.integers(1, 40), minimum=st.integers(1, 4)
)
def test_a_sliding_window_holds_what_was_observed_within_it(kit, arrivals, function, over, minimum):
    lateness = 20
    bench = kit.bench(
        kit.rule(
            f"kind: window\n{TYPE}function: {function}\nover: {over}s\nminimum: {minimum}\n"
            f"lateness: {lateness}s\nlevels: {{red: 10}}"
        )
    )
    kept, lit, expected, late = {}, False, [], 0
    for at, value in arrivals:
        bench.send(at, ROAD, received=121, intensity=float(value))
        newest = max(kept, default=at)
        if at < newest - lateness:
            late += 1
            continue
        kept[at] = float(value)
        now = max(kept)
        inside = [kept[moment] for moment in sorted(kept) if now - over < moment <= now]
        if len(inside) >= minimum and (FUNCTIONS[function](inside) >= 10) != lit:
            lit = not lit
            expected.append("raised" if lit else "cleared")
    assert [state for state, _ in bench.states] == expected
    assert bench.engine.judges["test/r"].counters.late == late


@settings(max_examples=150, deadline=None)
@given(arrivals=arrivals.map(sorted), over=st.integers(2, 40))
def test_a_rate_is_that_between_the_ends_of_the_window(kit, arrivals, over):
    bench = kit.bench(kit.rule(f"kind: rate\n{TYPE}over: {over}s\nper: 1m\nlevels: {{yellow: 30}}"))
    lit, expected, seen = False, [], {}
    for at, value in arrivals:
        bench.send(at, ROAD, intensity=float(value))
        seen[at] = value
        first = min(moment for moment in seen if moment >= at - over)
        known = at - first >= over / 2 and at > first
        if known and ((value - seen[first]) * 60 / (at - first) >= 30) != lit:
            lit = not lit
            expected.append(("raised" if lit else "cleared", at))
    raised = [at for state, at in expected if state == "raised"]
    assert [state for state, _ in bench.states] == [state for state, _ in expected]
    assert [one.raised_at_us / kit.S for one in bench.found if one.state == "raised"] == raised


@settings(max_examples=150, deadline=None)
@given(arrivals=arrivals.map(sorted), over=st.sampled_from([5, 10, 30]))
def test_whole_windows_are_judged_once_at_their_end(kit, arrivals, over):
    bench = kit.bench(
        kit.rule(
            f"kind: window\n{TYPE}function: sum\nover: {over}s\nwindow: tumbling\nlateness: 2s\nlevels: {{red: 40}}"
        )
    )
    for at, value in arrivals:
        bench.send(at, ROAD, intensity=float(value))
    bench.tick(400)
    sums: dict[int, float] = {}
    for at, value in arrivals:
        sums[at // over] = sums.get(at // over, 0) + value
    lit, expected = False, []
    for bucket in sorted(sums):
        if (sums[bucket] >= 40) != lit:
            lit = not lit
            expected.append(("raised" if lit else "cleared", (bucket + 1) * over))
    assert [state for state, _ in bench.states] == [state for state, _ in expected]
    raised = [at for state, at in expected if state == "raised"]
    assert [one.raised_at_us / kit.S for one in bench.found if one.state == "raised"] == raised


def test_an_empty_whole_window_counts_nothing(kit):
    bench = kit.bench(
        kit.rule(
            f"kind: window\n{TYPE}function: count\nover: 10s\nwindow: tumbling\ndirection: below\nlevels: {{red: 0}}"
        )
    )
    bench.send(3, ROAD, intensity=1.0).tick(24.9)
    assert bench.told == []
    bench.tick(25)
    assert bench.told == [("raised", "red", 20.0)]
    bench.tick(1000)
    bench.send(1001, ROAD, intensity=1.0).tick(1015)
    assert bench.states == [("raised", "red"), ("cleared", "red")]


def test_a_straggler_counts_until_its_window_is_judged(kit):
    bench = kit.bench(
        kit.rule(f"kind: window\n{TYPE}function: sum\nover: 10s\nwindow: tumbling\nlateness: 5s\nlevels: {{red: 10}}")
    )
    bench.send(9, ROAD, intensity=5.0).send(11, ROAD, intensity=0.0)
    bench.send(8, ROAD, received=14, intensity=5.0).tick(15)
    bench.send(7, ROAD, received=16, intensity=99.0)
    assert bench.told == [("raised", "red", 10.0)]
    assert bench.engine.judges["test/r"].counters.late == 1


def test_a_correction_replaces_the_reading_of_its_moment(kit):
    bench = kit.bench(kit.rule(f"kind: window\n{TYPE}function: sum\nover: 1m\nlevels: {{red: 10}}"))
    bench.send(1, ROAD, intensity=4.0).send(2, ROAD, intensity=4.0).send(1, ROAD, received=3, intensity=6.0)
    assert bench.told == [("raised", "red", 2.0)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("mean_over(intensity, '10s')", 25.0),
        ("mean_over(intensity, '10s', 4)", None),
        ("max_over(intensity, '10s') - min_over(intensity, '10s')", 10.0),
        ("count_over(intensity, '4s')", 1.0),
        ("change_over(intensity, '5s')", 10.0),
        ("rate_over(intensity, '10s', '1m')", 120.0),
        ("previous(intensity)", 20.0),
        ("sum_over(intensity, '1m') / count_over(intensity, '1m')", 20.0),
    ],
)
def test_the_past_in_expressions(kit, expression, expected):
    bench = kit.bench(
        kit.rule(
            f"kind: threshold\nselect: {{type: TrafficFlowObserved}}\nvalue: {expression}\nlevels: {{blue: -1000}}"
        )
    )
    for at, value in ((0, 10.0), (5, 20.0), (10, 30.0)):
        bench.send(at + 1, ROAD, intensity=value)
    judge = bench.engine.judges["test/r"]
    state = judge.states[ROAD]
    value = judge.value(judge.scope(state, state.newest_us))
    assert value == expected


def test_windows_stay_bounded(kit):
    from gulou.hub.rules.engine.state import Samples

    samples = Samples()
    kept = [samples.insert(at, 1.0) for at in range(20_002)]
    assert (len(samples.times), kept.count(False), samples.times[0]) == (20_000, 2, 2)


SESSION = f"kind: window\n{TYPE}function: sum\nwindow: session\ngap: 10s\nlateness: 2s\nlevels: {{yellow: 5, red: 20}}"


def sessions(readings, gap):
    """The plain meaning: cut the sorted readings where two are a gap or more apart; (end, sum) of each."""
    cut = [[readings[0]]]
    for one in readings[1:]:
        if one[0] - cut[-1][-1][0] >= gap:
            cut.append([])
        cut[-1].append(one)
    return [(session[-1][0] + gap, sum(value for _, value in session)) for session in cut]


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 15), st.integers(0, 9)), min_size=1, max_size=30),
    dice=st.randoms(use_true_random=False),
)
def test_sessions_follow_their_definition_in_whatever_order_readings_come(kit, steps, dice):
    at, readings = 100, []
    for apart, value in steps:
        at += apart
        readings.append((at, value))
    bench = kit.bench(kit.rule(SESSION).replace("'{name}'", "'{value:.0f}'"))
    received = 0.0
    for late, observed, value in sorted((at + dice.choice([0, 0, 1.5]), at, value) for at, value in readings):
        received = max(received, late)  # never later than the lateness
        bench.send(observed, ROAD, received=received, intensity=float(value))
    bench.tick(at + 1_000)
    severity, expected = None, []
    for end, total in sessions(readings, 10):
        now = "red" if total >= 20 else "yellow" if total >= 5 else None
        if now != severity:
            expected.append(("raised" if severity is None else "changed" if now else "cleared", end, str(total)))
            severity = now
    raised = [one for one in expected if one[0] == "raised"]
    assert [(one.state, one.headline["en"]) for one in bench.found] == [(state, total) for state, _, total in expected]
    assert [one.raised_at_us / kit.S for one in bench.found if one.state == "raised"] == [end for _, end, _ in raised]


def test_a_session_is_cut_at_its_longest_and_gap_belongs_to_sessions(kit):
    bench = kit.bench(kit.rule(SESSION + "\nover: 20s"))
    for at in range(100, 145, 5):
        bench.send(at, ROAD, intensity=2.0)
    assert bench.told == [("raised", "yellow", 120.0)]
    with pytest.raises(Invalid) as caught:
        kit.parse(kit.rule(SESSION.replace("session", "tumbling") + "\nover: 20s"))
    assert caught.value.params["problems"][0]["code"] == "rules.gap_without_session"
