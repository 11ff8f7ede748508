"""Timers on the wheel run as they would in a heap; those that watch series are moved on by columns."""

from __future__ import annotations

import copy
import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gulou.connectivity.intake import Columns, LogBatch, SeriesCatalogue
from gulou.hub.rules.engine import Engine
from gulou.hub.rules.engine import engine as engine_module
from gulou.hub.rules.engine.absence import AbsenceJudge
from gulou.hub.rules.engine.wheel import Wheel

S = 1_000_000
START = 1_700_000_000 * S
TYPE = "WaterLevelObserved"

moments = st.one_of(st.integers(0, 5 * S), st.integers(0, 4_000 * S), st.sampled_from([0, 1 << 20, (1 << 20) - 1]))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), moments, st.sampled_from("abc"), st.sampled_from("xy")), max_size=60))
def test_timers_come_in_the_order_of_a_heap(steps):
    wheel, queue, now_us = Wheel(), [], 0
    for adds, at_us, rule, key in steps:
        if adds:
            number = wheel.add(at_us, rule, key)
            heapq.heappush(queue, (at_us, rule, key, number))
            continue
        now_us = max(now_us, at_us)
        while (entry := wheel.first(now_us, None, 0)) is not None:
            assert entry[:3] == queue[0][:3]
            queue.remove(entry)
            heapq.heapify(queue)
            wheel.pop()
        assert not queue or queue[0][0] > now_us
        assert len(wheel) == len(queue)


@settings(max_examples=200, deadline=None)
@given(st.lists(moments, max_size=20), moments, st.lists(st.tuples(moments, st.integers(-1, 3)), max_size=60))
def test_timers_set_all_at_once_come_as_if_set_one_by_one(before, turned_us, timers):
    one, many = Wheel(), Wheel()
    for wheel in (one, many):
        for number, at_us in enumerate(before):
            wheel.add(at_us, "r", f"before-{number}")
        while wheel.first(turned_us, None, 0) is not None:
            wheel.pop()
    keys = [f"k{number:02}" for number in range(len(timers))]
    for key, (due_us, series) in zip(keys, timers, strict=True):
        one.add(due_us, "r", key, series, 1, 5 * S)
    columns = np.array([(due_us, series, 1, 5 * S) for due_us, series in timers], np.int64).reshape(-1, 4).T
    numbers = many.add_all(columns[0], "r", keys, *columns[1:])
    assert len(numbers) == len(set(numbers)) == len(timers)
    assert len(one) == len(many)
    streams = [[S, 7 * S], [S], [3 * S, 4_100 * S], []]
    for now_us in (turned_us, 10 * S, 4_050 * S, 5_000 * S):
        come = []
        for wheel in (one, many):
            come.append([])
            while (entry := wheel.first(now_us, heard(streams), 0)) is not None:
                come[-1].append(entry[:3])
                wheel.pop()
        assert come[0] == come[1]
    assert len(many) == len(one)


def heard(times):
    """Answer as the lanes do: by series, when each reading came."""

    def renewal(series, known):
        return np.array(
            [times[one][-1] if len(times[one]) > count else -1 for one, count in zip(series, known, strict=True)]
        )

    return renewal


streams = st.lists(st.lists(st.integers(0, 60 * S), max_size=8).map(sorted), min_size=1, max_size=5)


@settings(max_examples=300, deadline=None)
@given(streams, st.integers(0, 30 * S), st.integers(1, 20 * S), st.lists(st.integers(0, 100 * S), max_size=8))
def test_a_watching_timer_comes_when_one_that_each_reading_sets_anew_would(streams, since_us, silence_us, looks):
    """Looked at as often as ever: what is found due, and when, is what a timer set anew by each reading would find."""
    wheel, alive = Wheel(), {}
    for number in range(len(streams)):
        timer = wheel.add(max(0, since_us) + silence_us, "r", str(number), number, 0, silence_us)
        alive[number] = timer
    for now_us in [*sorted(looks), 200 * S]:
        past = [[at_us for at_us in stream if at_us <= now_us] for stream in streams]
        truth = {number: max([since_us, *times]) + silence_us for number, times in enumerate(past) if number in alive}
        found = []
        while (entry := wheel.first(now_us, heard(past), since_us)) is not None:
            wheel.pop()
            number = int(entry[2])
            assert entry[0] <= truth[number]  # never too late
            if entry[0] == truth[number]:
                found.append((entry[0], number))
                del alive[number]
            else:
                wheel.add(truth[number], "r", entry[2], number, len(past[number]), silence_us)
        assert found == sorted((due, number) for number, due in truth.items() if due <= now_us)


class Station:
    """An engine with an absence rule and series, fed by columns."""

    def __init__(self, kit, entities: int, more: str = "") -> None:
        self.catalogue = SeriesCatalogue()
        for number in range(entities):
            self.catalogue.number_of(f"urn:ngsi-ld:{TYPE}:s-{number}", TYPE, "waterLevel", "test")
        self.engine = Engine(kit.City(), None, self.catalogue)
        rules = kit.parse(
            kit.rule(f"kind: absence\nselect: {{type: {TYPE}}}\nproperty: waterLevel\nlevels: {{blue: 30s}}\n{more}")
        )
        self.engine.replace(rules.pack, rules.rules)
        self.sequence = 0

    def hear(self, at_s: float, numbers, observed_s: float | None = None) -> None:
        self.sequence += 1
        series = np.array(numbers, np.int32)
        observed = np.full(len(series), START + round((at_s if observed_s is None else observed_s) * S))
        columns = Columns(series, observed, np.ones(len(series)))
        self.engine.apply(LogBatch(self.sequence, START + round(at_s * S), "test", (), columns=columns))

    def silent(self, at_s: float) -> list[str]:
        self.engine.advance(START + round(at_s * S))
        return [one.detection.entity_id.rsplit("-")[-1] for one in self.engine.take_found()[0]]


def test_of_what_is_heard_all_along_nobody_looks_at_each(kit, monkeypatch):
    station = Station(kit, 2_000)
    looked = []
    due = AbsenceJudge.due
    for at_s in range(0, 200, 10):
        station.hear(at_s, range(1_999 if at_s else 2_000))
        if not at_s:
            monkeypatch.setattr(AbsenceJudge, "due", lambda judge, state: looked.append(state.key) or due(judge, state))
    assert station.silent(191) == ["1999"]
    assert {key.rsplit("-")[-1] for key in looked} == {"1999"}
    assert len(station.silent(220)) == 1_999


def test_a_reading_that_counts_as_history_puts_nothing_off(kit):
    station = Station(kit, 2, "max_age: 5s")
    station.hear(0, [0, 1])
    station.hear(25, [0, 1])
    station.hear(40, [0], observed_s=30)  # newer than the one before, but ten seconds old when it came
    station.hear(41, [1])
    assert station.silent(54) == []
    assert station.silent(56) == ["0"]
    assert station.silent(72) == ["1"]


def test_states_that_come_back_all_at_once_are_looked_at_as_one_by_one(kit, monkeypatch):
    before = Station(kit, 80)
    before.hear(0, range(80))
    before.hear(20, range(0, 80, 2))
    before.silent(35)
    [judge] = before.engine.judges.values()
    states = copy.deepcopy(list(judge.states.values()))
    blocks = [(block, before.engine.lane_block(block)) for block in before.engine.begin_snapshot().blocks]
    found = []
    for few in (0, 1_000):
        monkeypatch.setattr(engine_module, "_FEW", few)
        again = Station(kit, 80)
        again.engine.restore_lanes(blocks)
        again.engine.restore_clock(START + 35 * S, START)
        [judge] = again.engine.judges.values()
        again.engine.put_back(judge, copy.deepcopy(states))
        again.hear(45, [0, 1])
        found.append([(at_s, again.silent(at_s)) for at_s in (49, 51, 60, 74, 76)])
    assert found[0] == found[1]
    assert sum(len(numbers) for _, numbers in found[0]) > 40
