"""How the closed loop's benchmark searches, judges and sums up; without a platform."""

import msgspec
import numpy as np
import pytest

from gulou.cli.bench import LoopPlan
from gulou.cli.bench.loop import describe_machine, measure_runs, search_rate, settle
from gulou.cli.bench.model import Spread, StepResult
from gulou.cli.bench.platform import _names, _rules
from gulou.hub.rules import RuleSet
from gulou.kernel.errors import Fault
from gulou.vocabulary import Vocabulary

QUICK = Spread(2.0, 9.0, 12.0)
SLOW = Spread(900.0, 5_000.0, 6_000.0)


def result(asked, sustained=True, **changes):
    spread = QUICK if sustained else SLOW
    made = StepResult(
        asked_per_s=asked,
        rate_per_s=asked,
        sent=100,
        acked=100,
        waiting=0,
        probes=10,
        commands=10,
        unanswered=0,
        loop_ms=spread,
        ack_ms=spread,
    )
    return msgspec.structs.replace(made, **changes)


def machine(capacity):
    asked = []

    def step(rate_per_s, seconds):
        asked.append((rate_per_s, seconds))
        return result(rate_per_s, rate_per_s <= capacity)

    return step, asked


@pytest.mark.parametrize("capacity", [130, 500, 777, 12_345, 900_000])
def test_the_search_finds_the_capacity_from_below(capacity):
    step, _ = machine(capacity)

    found = search_rate(LoopPlan(), step)

    assert 0.7 * capacity <= found <= capacity


def test_a_rate_that_fails_once_is_tried_once_more():
    failed = set()

    def step(rate_per_s, seconds):
        first = rate_per_s not in failed
        failed.add(rate_per_s)
        return result(rate_per_s, not first and rate_per_s <= 900_000)

    assert search_rate(LoopPlan(), step) > 0.7 * 900_000


def test_the_first_contact_is_over_when_answers_are_quick_again():
    answers = iter([False, False, True, True])
    rates = []

    def step(rate_per_s, seconds):
        rates.append(rate_per_s)
        return result(rate_per_s, next(answers), **({} if len(rates) > 2 else {"unanswered": 1}))

    settle(LoopPlan(rate_per_s=5_000.0, series=10_000), step)
    assert rates == [5_000.0] * 3


def test_the_search_gives_up_on_a_machine_that_sustains_nothing():
    step, asked = machine(0)

    with pytest.raises(Fault, match=r"bench\.not_sustained"):
        search_rate(LoopPlan(), step)
    assert len({rate for rate, _ in asked}) < 10


def test_runs_go_lower_when_the_rate_does_not_hold_for_longer():
    step, asked = machine(700)

    runs, sustained = measure_runs(LoopPlan(runs=2, run_s=15), step, 1_000)

    assert sustained
    assert [run.asked_per_s for run in runs] == pytest.approx([640, 640])
    assert {seconds for _, seconds in asked} == {15}


def test_a_rate_that_was_asked_for_is_not_lowered():
    step, asked = machine(700)

    runs, sustained = measure_runs(LoopPlan(runs=2, rate_per_s=1_000), step, 1_000)

    assert not sustained
    assert len(runs) == len(asked) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"rate_per_s": 950.0},
        {"waiting": 501},
        {"unanswered": 1},
        {"loop_ms": SLOW},
        {"ack_ms": SLOW},
        {"loop_ms": Spread(None, None, None)},
    ],
)
def test_what_does_not_keep_up_is_not_sustained(changes):
    assert result(1_000.0).is_sustained(1_000)
    assert not result(1_000.0, **changes).is_sustained(1_000)


def test_percentiles_are_of_the_nearest_rank():
    spread = Spread.of([float(n) for n in range(1_000, 0, -1)])

    assert (spread.p50, spread.p99, spread.p999) == (501.0, 991.0, 1_000.0)
    assert Spread.of([]) == Spread(None, None, None)


def test_percentiles_of_a_histogram_are_those_of_its_samples():
    samples_us = np.random.default_rng(1).integers(1, 5_000, 10_000)
    counts = np.bincount(samples_us, minlength=6_000)

    assert Spread.of_micros(counts) == Spread.of([sample / 1_000 for sample in samples_us.tolist()])
    assert Spread.of_micros(np.zeros(10, np.int64)) == Spread(None, None, None)


def test_each_series_has_a_rule_and_those_of_the_probes_command():
    plan = LoopPlan(series=10, probes=4, rules=10, gateways=3)
    text = "rules:\n" + "".join(_rules(plan))

    rules = RuleSet.parse({"rules/r.yaml": text}, Vocabulary.load(), pack="bench").rules

    assert len(rules) == 10
    assert [bool(rule.commands) for rule in rules] == [True] * 4 + [False] * 6
    names = {name for one in _names(plan) for name in [*one.sensors, *(probe for probe, _ in one.probes)]}
    assert {rule.select.exact_id.rpartition(":")[2] for rule in rules} == names


def test_fewer_rules_than_probes_would_leave_probes_without_an_answer():
    assert "".join(_rules(LoopPlan(series=10, probes=4, rules=1))).count("commands") == 4


def test_the_machine_is_described():
    found = describe_machine()

    assert found["cores"] > 0
    assert set(found) >= {"processor", "memory_gib", "system", "python", "gulou", "load_before"}
