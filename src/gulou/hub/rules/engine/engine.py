"""The engine: which reading meets which rules, what falls due when, and what is found.

Everything that it does follows from the rules, the batches (in order) and the ticks, so that feeding the same again
from a kept state finds the same again. Not safe for several threads; the service guards it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from gulou.connectivity.intake import Columns, LogBatch, Reading, SeriesCatalogue
from gulou.hub.rules.engine.absence import AbsenceJudge
from gulou.hub.rules.engine.announcer import Announcer
from gulou.hub.rules.engine.derive import DeriveJudge
from gulou.hub.rules.engine.explanation import explain
from gulou.hub.rules.engine.geofence import GeofenceJudge
from gulou.hub.rules.engine.guards import NEVER
from gulou.hub.rules.engine.judge import Judge
from gulou.hub.rules.engine.lanes import Lanes
from gulou.hub.rules.engine.levels import LevelsJudge, make_levels_judge
from gulou.hub.rules.engine.listeners import Index, Listener
from gulou.hub.rules.engine.pattern import PatternJudge
from gulou.hub.rules.engine.shards import Shards
from gulou.hub.rules.engine.state import Occurrence, State
from gulou.hub.rules.engine.wheel import Entry, Wheel
from gulou.hub.rules.events import Detection
from gulou.hub.rules.model import SEVERITIES, Absence, Derive, Geofence, Pattern, Rule
from gulou.hub.rules.ports import DeviceFinder, Surroundings
from gulou.kernel.clock import to_rfc3339
from gulou.kernel.errors import GulouError

_FAILURES_ALLOWED = 3
_STATES_A_STEP = 200
_FEW = 50
_Waiting = dict[int, tuple[Judge, State, int]]
"""What a batch has changed and not judged yet, with the time of the newest reading; by the state's identity."""

_states = msgspec.msgpack.Encoder()
_DEFECTS = (ArithmeticError, ValueError, TypeError, LookupError, AttributeError, AssertionError, GulouError)


@dataclass(frozen=True)
class Finding:
    """A detection and what it rests on.

    Args:
        explanation: inputs with their times, conditions, and the state of each level, as plain data.
    """

    detection: Detection
    explanation: dict[str, Any]


@dataclass
class Change:
    """What a pack's new rules change: judges that go, judges whose rule says the same in other words, new judges."""

    pack: str
    gone: list[Judge] = field(default_factory=list)
    retold: list[tuple[Judge, Rule]] = field(default_factory=list)
    fresh: list[Judge] = field(default_factory=list)


@dataclass
class Snapshot:
    """What changed since the last one, as it stood at one moment.

    Args:
        states: to be encoded, one by one; those that change before their turn are encoded then.
        rows: what has been encoded: rule id, key, state version, state.
        let_go: rule id and key of states that are kept no more; one of them may be among ``rows`` again.
        blocks: numbers of the lanes' blocks that changed.
    """

    states: list[tuple[Judge, State]]
    blocks: list[int]
    now_us: int
    listening_since_us: int
    rows: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    let_go: list[tuple[str, str]] = field(default_factory=list)


class Engine:
    """Judges readings.

    Args:
        devices: None in a trial: nothing is commanded.
        series: the numbers that columns speak of. Readings that come as columns and can change nothing are only
            noted; without it everything is judged, and columns cannot come.
        budget: most µs that judging a reading may cost a rule on average, and over how many readings that is averaged.
    """

    def __init__(
        self,
        surroundings: Surroundings,
        devices: DeviceFinder | None = None,
        series: SeriesCatalogue | None = None,
        budget: tuple[float, int] | None = None,
    ) -> None:
        self.surroundings = surroundings
        self.judges: Shards[Judge] = Shards()
        self.dirty: dict[int, tuple[Judge, State]] = {}
        self.put_aside: list[Judge] = []
        """Judges that were quarantined since somebody last looked."""
        self._announcer = Announcer(surroundings, devices)
        self._index = Index(surroundings)
        self._lanes = None if series is None else Lanes(series, self._index)
        self._budget = budget
        self._packs: dict[str, Shards[None]] = {}
        self._expecting: dict[str, AbsenceJudge] = {}
        self._timers = Wheel()
        self._now_us = 0
        self._listening_since_us = 0
        self._found: list[Finding] = []
        self._derived: list[Reading] = []
        self._epoch = 1
        self._let_go: list[tuple[str, str]] = []
        self._roused: list[tuple[Judge, State]] = []
        self._snapshot: Snapshot | None = None

    @property
    def now_us(self) -> int:
        """The latest moment that a batch or a tick has told, µs UTC."""
        return self._now_us

    @property
    def listening_since_us(self) -> int:
        """Since when it has been listening without a break, µs UTC; silence before that is nobody's fault."""
        return self._listening_since_us

    def take_found(self) -> tuple[list[Finding], list[Reading]]:
        """Return what was found and derived since the last call, and forget it."""
        found, derived = self._found, self._derived
        self._found, self._derived = [], []
        return found, derived

    # ---- rules

    def replace(self, pack: str, rules: Iterable[Rule]) -> list[Judge]:
        """Swap a pack's rules in one go; return the judges that start without a state."""
        change = self.plan(pack, rules)
        for _ in self.steps(change):
            pass
        return change.fresh

    def plan(self, pack: str, rules: Iterable[Rule]) -> Change:
        """Say what a pack's new rules change. Other threads may judge meanwhile, but not change rules."""
        wanted = {rule.id: rule for rule in rules if rule.enabled}
        change = Change(pack)
        for rule_id in self._packs.setdefault(pack, Shards()):
            judge, rule = self.judges[rule_id], wanted.get(rule_id)
            if rule is None or rule.state_version != judge.rule.state_version:
                change.gone.append(judge)
            else:
                del wanted[rule_id]
                if rule.version != judge.rule.version:
                    change.retold.append((judge, rule))
        change.fresh = [_make_judge(rule, self) for rule in wanted.values()]
        return change

    def steps(self, change: Change) -> Iterator[None]:
        """Carry a change out; what was raised by a rule that goes or judges differently now is cleared.

        Between two steps readings may be judged; each rule is in force for a series, or out of it, as a whole.
        """
        types: dict[str, None] = {}
        for judge in change.gone:
            types.update(dict.fromkeys(self._forget_series(judge)))
            yield from self._retire(judge)
        for judge, rule in change.retold:
            judge.rule = rule
            yield
        for judge in change.fresh:
            self._employ(judge)
            types.update(dict.fromkeys(self._forget_series(judge)))
            yield
        for entity_type in types:
            if self._lanes is not None:
                yield from self._lanes.forget_type(entity_type)

    def _employ(self, judge: Judge) -> None:
        rule = judge.rule
        self.judges[rule.id] = judge
        self._packs[rule.pack][rule.id] = None
        self._index.add(judge)
        condition = rule.condition
        if isinstance(judge, AbsenceJudge) and isinstance(condition, Absence) and condition.expect_known:
            self._expecting[rule.id] = judge

    def _forget_series(self, judge: Judge) -> list[str]:
        """Let the series that a rule names find their listeners anew.

        Returns:
            The types of which the rule may mean any series.
        """
        types = []
        for listener in judge.listeners:
            entity_id = listener.select.exact_id
            if entity_id is None or listener.properties is None:
                types.append(listener.select.entity_type)
            elif self._lanes is not None:
                for name in listener.properties:
                    number = self._lanes.number_of(entity_id, name)
                    if number is not None:
                        self._lanes.forget(number)
        return types

    def _retire(self, judge: Judge) -> Iterator[None]:
        """Take a rule out of force, and clear what it has raised."""
        rule = judge.rule
        del self.judges[rule.id]
        self._packs[rule.pack].pop(rule.id, None)
        self._expecting.pop(rule.id, None)
        self._index.remove(judge)
        judge.retired, judge.quarantined = True, judge.quarantined or "removed"
        states = list(judge.states.values()) if judge.active else []
        for start in range(0, len(states), _STATES_A_STEP):
            for state in states[start : start + _STATES_A_STEP]:
                if state.occurrence is not None:
                    self._bring_up_to_date(judge, state)
                    with suppress(*_DEFECTS):
                        judge.transition(state, None, max(self._now_us, state.occurrence.raised_at_us))
            yield
        yield

    def plan_anew(self, judge: Judge) -> Change:
        """Say what it takes to let a rule begin anew: what it had raised is cleared, its states are forgotten."""
        return Change(judge.rule.pack, gone=[judge], fresh=[_make_judge(judge.rule, self)])

    def put_back(self, judge: Judge, states: Sequence[State]) -> None:
        """Give a judge the states that were kept of its rule."""
        lanes = None if judge.calm is None else self._lanes
        for state in states:
            judge.states[state.key] = state
            judge.active += state.occurrence is not None
            state.scheduled_us, state.timer, state.epoch, state.kept = None, None, 0, True
            if lanes is not None and judge.is_calm(state):  # an earlier version kept it
                self._bring_up_to_date(judge, state)
                self._let_go_of(lanes, judge, state)
        self._schedule_all(judge, states)

    def watch_known(self) -> Iterator[None]:
        """Expect every existing entity of the rules that say ``expect: known``; in small steps."""
        for judge in list(self._expecting.values()):
            entity_ids = list(self.surroundings.entity_ids(judge.rule.select.entity_type))
            for start in range(0, len(entity_ids), _STATES_A_STEP):
                for entity_id in entity_ids[start : start + _STATES_A_STEP]:
                    if entity_id not in judge.states and self._index.selects(judge, entity_id, self._now_us):
                        self._mark(judge, state := judge.watch(entity_id, self._now_us))
                        self._schedule(judge, state)
                yield

    def abandon(self, rule_id: str, state: State) -> Finding:
        """Clear what a rule had raised that is not there any more; only its name is known."""
        occurrence = state.occurrence
        assert occurrence is not None
        at_us = max(self._now_us, occurrence.raised_at_us)
        detection = Detection(
            at_us=self._now_us,
            id=occurrence.id,
            state="cleared",
            rule_id=rule_id,
            rule_version="",
            entity_id=occurrence.entity_id,
            entity_type=occurrence.entity_id.split(":")[2] if occurrence.entity_id.count(":") > 2 else "",
            severity=SEVERITIES[occurrence.severity],
            category="",
            headline={},
            description={},
            raised_at_us=occurrence.raised_at_us,
            n=occurrence.changes + 1,
            values={},
        )
        return Finding(
            detection, {"rule": rule_id, "change": "cleared", "at": to_rfc3339(at_us), "reason": "rule removed"}
        )

    def watched(self, judge: Judge) -> int:
        """Return how many entities (of a pattern: groups) a rule hears."""
        select = judge.rule.select
        if judge.calm is None or self._lanes is None:
            return len(judge.states)
        if select.exact_id is None:
            return max(self._lanes.series_of(select.entity_type, judge.calm[0]), len(judge.states))
        number = self._lanes.number_of(select.exact_id, judge.calm[0])
        return len(judge.states) if number is None else min(self._lanes.count(number), 1)

    # ---- time

    def restore_clock(self, now_us: int, listening_since_us: int) -> None:
        """Go on from where a checkpoint left the clock."""
        self._now_us, self._listening_since_us = now_us, listening_since_us

    def resume(self, now_us: int) -> None:
        """Begin to listen again after a break; silence during it does not count."""
        self._now_us = max(self._now_us, now_us)
        self._listening_since_us = self._now_us

    def has_due(self, now_us: int) -> bool:
        """Say whether anything falls due up to ``now_us``; changes nothing that could be noticed."""
        while (entry := self._first_timer(now_us)) is not None:
            found = self._lookup(entry)
            if found is not None:
                judge, state = found
                self._bring_up_to_date(judge, state)
                due = judge.due(state)
                if due is not None and due <= now_us:
                    return True
                state.scheduled_us = state.timer = None
                self._timers.pop()
                self._schedule(judge, state)
            else:
                self._timers.pop()
        return False

    def _first_timer(self, now_us: int) -> Entry | None:
        renewal = None if self._lanes is None else self._lanes.newest_beyond
        return self._timers.first(now_us, renewal, self._listening_since_us)

    def advance(self, now_us: int) -> None:
        """Let time pass: do what falls due up to ``now_us``, in the order of the moments."""
        if not self._now_us:
            self._listening_since_us = now_us  # time begins
        self._now_us = max(self._now_us, now_us)
        while (entry := self._first_timer(now_us)) is not None:
            self._timers.pop()
            found = self._lookup(entry)
            if found is None:
                continue
            at_us = entry[0]
            judge, state = found
            self._bring_up_to_date(judge, state)
            state.scheduled_us = state.timer = None
            due = judge.due(state)
            if due is not None and due <= at_us:
                self._mark(judge, state)
                self._guard(judge, judge.settle, state, due)
                self._close_lanes(judge, state)
            if judge.quarantined is None:
                self._schedule(judge, state)

    def _lookup(self, entry: Entry) -> tuple[Judge, State] | None:
        _, rule_id, key, number = entry
        judge = self.judges.get(rule_id)
        state = None if judge is None or judge.quarantined is not None else judge.states.get(key)
        return None if judge is None or state is None or state.timer != number else (judge, state)

    def _schedule(self, judge: Judge, state: State) -> None:
        """See to it that the state is looked at when it falls due, or before; one timer per state that counts."""
        due = judge.due(state)
        if due is None or (state.scheduled_us is not None and state.scheduled_us <= due):
            return
        state.scheduled_us = due
        watched = judge.silence(state)
        series = None
        if watched is not None and self._lanes is not None and judge.rule.select.where is None:
            series = self._lanes.number_of(state.key, watched[0])
        if watched is None or series is None:
            state.timer = self._timers.add(due, judge.rule.id, state.key)
        else:
            _, known, silence_us = watched
            state.timer = self._timers.add(due, judge.rule.id, state.key, series, known, silence_us)

    def _schedule_all(self, judge: Judge, states: Sequence[State]) -> None:
        """Do the same for states that have no timer; those that wait for silence, a million at a start, all at once."""
        lanes, silent = self._lanes, dict[str, list[tuple[State, int, int, int]]]()
        if lanes is None or judge.rule.select.where is not None or len(states) < _FEW:
            for state in states:
                self._schedule(judge, state)
            return
        for state in states:
            due, watched = judge.due(state), judge.silence(state)
            if due is None or watched is None:
                self._schedule(judge, state)
            else:
                silent.setdefault(watched[0], []).append((state, due, watched[1], watched[2]))
        for name, held in silent.items():
            keys = [state.key for state, *_ in held]
            numbers = lanes.numbers_of(keys, name)
            due_us, known, silence_us = np.array([times for _, *times in held], np.int64).T
            timers = self._timers.add_all(due_us, judge.rule.id, keys, numbers, known, silence_us)
            for (state, due, *_), timer in zip(held, timers, strict=True):
                state.scheduled_us, state.timer = due, timer

    # ---- readings

    def apply(self, batch: LogBatch) -> None:
        """Judge one batch. What fell due before it was received comes first."""
        self.advance(batch.received_at_us)
        waiting: _Waiting = {}
        touched: dict[int, None] = {}
        for reading in batch.readings:
            if reading.dataset_id is None:
                if self._index.asks(reading.entity_type, reading.property):
                    self.described(reading.entity_id, (reading.entity_type,))
                self._judge_object(reading, batch.received_at_us, waiting, touched)
        if batch.columns is not None and self._lanes is not None:
            columns = batch.columns
            for row in self._lanes.sift(columns, batch.received_at_us, self._now_us):
                self._judge_row(self._lanes, columns, row, batch.received_at_us, waiting, touched)
        for judge, state, _ in waiting.values():
            self._evaluate(judge, state)
        if self._lanes is not None:
            for judge, state, _ in waiting.values():
                self._let_go_of(self._lanes, judge, state)
            for judge, state in self._roused:
                self._let_go_of(self._lanes, judge, state)
            self._roused.clear()
            for number in touched:
                self._lanes.refresh(number)

    def described(self, entity_id: str, entity_types: Iterable[str]) -> None:
        """Note that an entity's attributes have changed: which rules it concerns is found anew."""
        names = self._index.described(entity_id, entity_types)
        if self._lanes is None:
            return
        for name in names:
            number = self._lanes.number_of(entity_id, name)
            if number is not None:
                self._lanes.close(number)

    def _judge_object(self, reading: Reading, received_us: int, waiting: _Waiting, touched: dict[int, None]) -> None:
        """Show a reading to everybody who listens."""
        lanes, age_us = self._lanes, received_us - reading.observed_at_us
        number = None if lanes is None else lanes.number_of(reading.entity_id, reading.property)
        if lanes is None or number is None:
            for listener in self._index.meeting(reading.entity_id, reading.entity_type, reading.property):
                self._offer(listener, reading, age_us, waiting)
            return
        listeners = lanes.listeners(number)
        lanes.close(number)
        touched[number] = None
        for listener in listeners:
            self._bring(lanes, listener, reading, number)
        count = lanes.note(number, reading.observed_at_us, reading.value)
        for listener in listeners:
            self._offer(listener, reading, age_us, waiting, count)

    def _judge_row(
        self,
        lanes: Lanes,
        columns: Columns,
        row: int,
        received_us: int,
        waiting: _Waiting,
        touched: dict[int, None],
    ) -> None:
        """Show a row that may change something to those whom it may concern."""
        number = int(columns.series[row])
        at_us, value = int(columns.observed_at_us[row]), float(columns.value[row])
        age_us = received_us - at_us
        is_first = number not in touched and lanes.is_unjudged(number, at_us)
        if is_first and self._begin(lanes, number, at_us, value, age_us):
            return
        touched[number] = None
        if lanes.is_newer(number, at_us) and lanes.is_patient(number, age_us):
            listeners = lanes.concerned(number, at_us, value, self._now_us)
        else:
            listeners = lanes.listeners(number)
            lanes.close(number)
        if not listeners:
            lanes.note(number, at_us, value)
            return
        series = lanes.catalogue.get(number)
        reading = Reading(
            series.entity_id, series.entity_type, series.property, value, at_us, device_id=series.device_id
        )
        for listener in listeners:
            self._bring(lanes, listener, reading, number)
        count = lanes.note(number, at_us, value)
        for listener in listeners:
            self._offer(listener, reading, age_us, waiting, count)

    def _begin(self, lanes: Lanes, number: int, at_us: int, value: float, age_us: int) -> bool:
        """Note a reading of a series that no rule has judged yet, if all rules on it are plain limits and far off.

        Very many series are met for the first time in one moment, after a start and when very many rules come.

        Returns:
            Whether that was so; else nothing has been done.
        """
        listeners = lanes.listeners(number)
        entity_id = lanes.catalogue.get(number).entity_id
        low, high, patience_us = -math.inf, math.inf, NEVER
        for listener in listeners:
            judge = listener.judge
            calm, most_us = judge.calm, judge.rule.max_age_us
            if calm is None or judge.quarantined is not None or age_us > most_us:
                return False
            if not listener.is_calm(entity_id, value):
                return False
            low, high, patience_us = max(low, calm[1]), min(high, calm[2]), min(patience_us, most_us)
        if not listeners:
            return False
        for listener in listeners:
            listener.judge.counters.taken += 1
            listener.judge.counters.evaluations += 1
        lanes.begin(number, at_us, value, (low, high), patience_us)
        return True

    def _bring(self, lanes: Lanes, listener: Listener, reading: Reading, number: int) -> None:
        """Bring a listener's state up to date before it sees a reading."""
        judge = listener.judge
        if judge.quarantined is not None:
            return
        state = judge.states.get(listener.prefix + reading.entity_id)
        if state is not None:
            known = judge.counted(state, reading.property)
            missed = None if known is None else lanes.missed(number, known)
            if missed is not None:
                self.spare(judge, state)
                judge.catch_up(state, reading.property, missed)
        elif judge.calm is not None and (newest := lanes.missed(number, 0)) is not None:
            self._roused.append((judge, judge.awaken(reading.entity_id, newest)))

    def _let_go_of(self, lanes: Lanes, judge: Judge, state: State) -> None:
        """Keep no state of an entity any more where its series says all that there is to know."""
        if not judge.is_calm(state) or judge.calm is None or judge.states.get(state.key) is not state:
            return
        known, number = state.inputs.get(judge.calm[0]), lanes.number_of(state.key, judge.calm[0])
        newest = None if number is None else lanes.missed(number, 0)
        if known is None or newest is None or known != newest.as_input():
            return
        del judge.states[state.key]
        self.dirty.pop(id(state), None)
        self.spare(judge, state)
        state.epoch = 0
        if state.kept and not judge.retired:
            self._let_go.append((judge.rule.id, state.key))

    def _offer(
        self, listener: Listener, reading: Reading, age_us: int, waiting: _Waiting, count: int | None = None
    ) -> None:
        """Give a reading to one listener, which may have no use for it.

        Args:
            count: how many readings of the series have come, with this one; None where nobody counts.
        """
        judge = listener.judge
        if judge.quarantined is not None:
            return
        key = listener.prefix + reading.entity_id
        if not listener.holds(reading.entity_id, self._now_us, self.surroundings):
            wanted = False
        elif age_us > judge.rule.max_age_us:
            judge.counters.history += 1
            wanted = False
        else:
            wanted = True
            self._take(judge, judge.state_of(key), reading, waiting)
        if not wanted and judge.calm is not None and count is not None:
            judge.state_of(key)  # since its series says more than the rule knows
        if count is not None and (state := judge.states.get(key)) is not None:
            if not wanted:
                self._mark(judge, state)
                if state.timer is not None:
                    self._timers.unwatch(state.timer)
            judge.count(state, reading.property, count)

    def _take(self, judge: Judge, state: State, reading: Reading, waiting: _Waiting) -> None:
        """Take one reading in; readings of the same time are judged together, once the next time comes."""
        at_us = reading.observed_at_us
        self._mark(judge, state)
        before = waiting.get(id(state))
        if before is not None and before[2] != at_us:
            self._evaluate(judge, state)
            del waiting[id(state)]
        due = state.scheduled_us  # never later than what really falls due
        if due is not None and due <= at_us and judge.settles_by_reading:
            self._guard(judge, judge.settle, state, at_us)
        if judge.quarantined is None:
            try:  # what _guard does, without its call: this runs for each reading and rule
                if judge.take(state, reading):
                    waiting[id(state)] = (judge, state, at_us)
            except _DEFECTS as error:
                self._failed(judge, error)

    def _evaluate(self, judge: Judge, state: State) -> None:
        """Judge a state that ``_take`` has changed, and noted as changed."""
        counters = judge.counters
        begun_ns = time.perf_counter_ns()
        if judge.quarantined is None:
            try:
                judge.judge(state)
            except _DEFECTS as error:
                self._failed(judge, error)
        counters.busy_ns += time.perf_counter_ns() - begun_ns
        counters.evaluations += 1
        if self._budget is not None and counters.evaluations - judge.spent[0] >= self._budget[1]:
            self._check_budget(judge, self._budget[0])
        self._schedule(judge, state)

    def _check_budget(self, judge: Judge, most_us: float) -> None:
        """Put a rule aside that cost more than it may, on average since the last look."""
        counters, (evaluations, busy_ns) = judge.counters, judge.spent
        mean_us = (counters.busy_ns - busy_ns) / (counters.evaluations - evaluations) / 1_000
        judge.spent = (counters.evaluations, counters.busy_ns)
        if mean_us > most_us and judge.quarantined is None:
            self._quarantine(judge, f"budget: {mean_us:.0f} µs per reading, {most_us:g} allowed")

    def _bring_up_to_date(self, judge: Judge, state: State) -> None:
        """Let a state take in what was only noted, before anybody but a reading looks at it."""
        lanes = self._lanes
        if lanes is None or judge.quarantined is not None:
            return
        for name in tuple(judge.heard(state)):
            number = lanes.number_of(state.key, name)
            known = None if number is None else judge.counted(state, name)
            if number is None or known is None or not any(one.held(state.key) for one in judge.listeners):
                continue
            missed = lanes.missed(number, known)
            if missed is not None:
                self.spare(judge, state)
                judge.catch_up(state, name, missed)

    def _close_lanes(self, judge: Judge, state: State) -> None:
        """Have the next readings of a state judged, since the clock has changed it."""
        if self._lanes is not None:
            for name in judge.heard(state):
                number = self._lanes.number_of(state.key, name)
                if number is not None:
                    self._lanes.close(number)

    # ---- what a checkpoint keeps

    def begin_snapshot(self) -> Snapshot:
        """Freeze what changed since the last snapshot; ``encode`` and ``lane_block`` read it as it is now."""
        blocks = [] if self._lanes is None else self._lanes.begin_snapshot()
        states = list(self.dirty.values())
        self._snapshot = Snapshot(states, blocks, self._now_us, self._listening_since_us, let_go=self._let_go)
        self.dirty, self._let_go = {}, []
        self._epoch += 1
        return self._snapshot

    def encode(self, snapshot: Snapshot, first: int, last: int) -> None:
        """Encode some of a snapshot's states."""
        for judge, state in snapshot.states[first:last]:
            self.spare(judge, state)

    def lane_block(self, block: int) -> bytes:
        """Return one of a snapshot's blocks; they are asked for in rising order."""
        assert self._lanes is not None
        return self._lanes.snapshot_block(block)

    def end_snapshot(self, snapshot: Snapshot, *, kept: bool) -> None:
        """Forget it; what could not be kept counts as changed again."""
        self._snapshot = None
        if self._lanes is not None:
            self._lanes.end_snapshot([] if kept else snapshot.blocks)
        if not kept:
            self._let_go[:0] = snapshot.let_go
            for judge, state in snapshot.states:
                if judge.states.get(state.key) is state:
                    self._mark(judge, state)

    def restore_lanes(self, blocks: Iterable[tuple[int, bytes]]) -> None:
        """Put back what was kept of the lanes."""
        for block, data in blocks:
            if self._lanes is not None:
                self._lanes.restore_block(block, data)

    def spare(self, judge: Judge, state: State) -> None:
        """Encode a state that is about to change, if a snapshot still needs it as it is."""
        snapshot = self._snapshot
        if snapshot is not None and state.epoch == self._epoch - 1:
            state.epoch = 0
            if not judge.retired:
                rule, state.kept = judge.rule, True
                snapshot.rows.append((rule.id, state.key, rule.state_version, _states.encode(state)))

    def _mark(self, judge: Judge, state: State) -> None:
        """Note that a state is about to change."""
        if state.epoch != self._epoch:
            self.spare(judge, state)
            state.epoch = self._epoch
            self.dirty[id(state)] = (judge, state)

    def _guard(self, judge: Judge, action: Callable[..., Any], *arguments: Any) -> Any:
        """Run a judge's action; a rule that keeps failing is put aside, the others go on."""
        if judge.quarantined is not None:
            return None
        try:
            return action(*arguments)
        except _DEFECTS as error:
            self._failed(judge, error)
            return None

    def _failed(self, judge: Judge, error: Exception) -> None:
        judge.counters.failures += 1
        if judge.counters.failures >= _FAILURES_ALLOWED and judge.quarantined is None:
            self._quarantine(judge, f"{type(error).__name__}: {error}"[:500])

    def _quarantine(self, judge: Judge, reason: str) -> None:
        judge.quarantined = reason
        self.put_aside.append(judge)

    # ---- what judges call

    def announce(self, judge: Judge, state: State, occurrence: Occurrence, change: str, at_us: int) -> None:
        """Make a detection of a change."""
        value = None
        if isinstance(judge, LevelsJudge):
            value = judge.judged
            if value is None:
                value = judge.value(judge.scope(state, state.newest_us))
        detection = self._announcer.detection(judge.rule, state, occurrence, change, at_us, self._now_us, value)
        judge.counters.detections += 1
        self._found.append(Finding(detection, explain(judge.rule, state, change, at_us, value)))

    def touch(self, judge: Judge, state: State) -> None:
        """Note that a state other than the one being judged has changed."""
        self._mark(judge, state)
        self._schedule(judge, state)

    def derive(self, rule: Rule, reading: Reading) -> None:
        """Collect a computed reading."""
        self._derived.append(reading)


def _make_judge(rule: Rule, engine: Engine) -> Judge:
    condition = rule.condition
    if isinstance(condition, Absence):
        return AbsenceJudge(rule, engine, condition)
    if isinstance(condition, Geofence):
        return GeofenceJudge(rule, engine, condition)
    if isinstance(condition, Pattern):
        return PatternJudge(rule, engine, condition)
    if isinstance(condition, Derive):
        return DeriveJudge(rule, engine, condition)
    return make_levels_judge(rule, engine)
