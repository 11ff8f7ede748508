"""The engine: which reading meets which rules, what falls due when, and what is found.

Everything that it does follows from the rules, the batches (in order) and the ticks, so that feeding the same again
from a kept state finds the same again. Not safe for several threads; the service guards it.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.rules.engine.absence import AbsenceJudge
from gulou.hub.rules.engine.announcer import Announcer
from gulou.hub.rules.engine.derive import DeriveJudge
from gulou.hub.rules.engine.explanation import explain
from gulou.hub.rules.engine.geofence import GeofenceJudge
from gulou.hub.rules.engine.judge import Judge
from gulou.hub.rules.engine.levels import LevelsJudge, make_levels_judge
from gulou.hub.rules.engine.listeners import Index
from gulou.hub.rules.engine.pattern import PatternJudge
from gulou.hub.rules.engine.state import Occurrence, State
from gulou.hub.rules.events import Detection
from gulou.hub.rules.model import SEVERITIES, Absence, Derive, Geofence, Pattern, Rule
from gulou.hub.rules.ports import DeviceFinder, Surroundings
from gulou.kernel.clock import to_rfc3339
from gulou.kernel.errors import GulouError

_FAILURES_ALLOWED = 3
_Waiting = dict[int, tuple[Judge, State, int]]
"""What a batch has changed and not judged yet, with the time of the newest reading; by the state's identity."""

_DEFECTS = (ArithmeticError, ValueError, TypeError, LookupError, AttributeError, AssertionError, GulouError)


@dataclass(frozen=True)
class Finding:
    """A detection and what it rests on.

    Args:
        explanation: inputs with their times, conditions, and the state of each level, as plain data.
    """

    detection: Detection
    explanation: dict[str, Any]


class Engine:
    """Judges readings.

    Args:
        devices: None in a trial: nothing is commanded.
    """

    def __init__(self, surroundings: Surroundings, devices: DeviceFinder | None = None) -> None:
        self.surroundings = surroundings
        self.judges: dict[str, Judge] = {}
        self.dirty: set[tuple[str, str]] = set()
        self._announcer = Announcer(surroundings, devices)
        self._index = Index(surroundings)
        self._timers: list[tuple[int, str, str]] = []
        self._now_us = 0
        self._listening_since_us = 0
        self._found: list[Finding] = []
        self._derived: list[Reading] = []

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
        """Swap a pack's rules; what was raised by a rule that goes or judges differently now is cleared.

        Returns:
            The judges that start without a state, so that kept states can be put back.
        """
        wanted = {rule.id: rule for rule in rules if rule.enabled}
        fresh: list[Judge] = []
        for rule_id in [one for one, judge in self.judges.items() if judge.rule.pack == pack]:
            old = self.judges[rule_id]
            rule = wanted.get(rule_id)
            if rule is None or rule.state_version != old.rule.state_version:
                self._retire(old)
                del self.judges[rule_id]
        for rule_id, rule in wanted.items():
            made = _make_judge(rule, self)
            old_judge = self.judges.get(rule_id)
            if old_judge is None:
                fresh.append(made)
            else:
                made.states, made.counters = old_judge.states, old_judge.counters
            self.judges[rule_id] = made
        self._index.rebuild(self.judges.values())
        return fresh

    def put_back(self, judge: Judge, states: Iterable[State]) -> None:
        """Give a judge the states that were kept of its rule."""
        for state in states:
            judge.states[state.key] = state
            state.scheduled_us = None
            self._schedule(judge, state)

    def watch_known(self) -> None:
        """Expect every existing entity of the rules that say ``expect: known``."""
        for judge in self.judges.values():
            condition = judge.rule.condition
            if not isinstance(judge, AbsenceJudge) or not isinstance(condition, Absence) or not condition.expect_known:
                continue
            for entity_id in self.surroundings.entity_ids(judge.rule.select.entity_type):
                if entity_id not in judge.states and self._index.selects(judge, entity_id, self._now_us):
                    self._touched(judge, judge.watch(entity_id, self._now_us))

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
            values={},
        )
        return Finding(
            detection, {"rule": rule_id, "change": "cleared", "at": to_rfc3339(at_us), "reason": "rule removed"}
        )

    def _retire(self, judge: Judge) -> None:
        for key, state in judge.states.items():
            self.dirty.add((judge.rule.id, key))
            if state.occurrence is not None:
                at_us = max(self._now_us, state.occurrence.raised_at_us)
                self._guard(judge, judge.transition, state, None, at_us)

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
        while self._timers and self._timers[0][0] <= now_us:
            at_us, rule_id, key = self._timers[0]
            found = self._lookup(at_us, rule_id, key)
            if found is not None:
                judge, state = found
                due = judge.due(state)
                if due is not None and due <= now_us:
                    return True
                state.scheduled_us = None
                heapq.heappop(self._timers)
                self._schedule(judge, state)
            else:
                heapq.heappop(self._timers)
        return False

    def advance(self, now_us: int) -> None:
        """Let time pass: do what falls due up to ``now_us``, in the order of the moments."""
        if not self._now_us:
            self._listening_since_us = now_us  # time begins
        self._now_us = max(self._now_us, now_us)
        while self._timers and self._timers[0][0] <= now_us:
            at_us, rule_id, key = heapq.heappop(self._timers)
            found = self._lookup(at_us, rule_id, key)
            if found is None:
                continue
            judge, state = found
            state.scheduled_us = None
            due = judge.due(state)
            if due is not None and due <= at_us:
                self._guard(judge, judge.settle, state, due)
                self.dirty.add((rule_id, key))
            if judge.quarantined is None:
                self._schedule(judge, state)

    def _lookup(self, at_us: int, rule_id: str, key: str) -> tuple[Judge, State] | None:
        judge = self.judges.get(rule_id)
        state = None if judge is None or judge.quarantined is not None else judge.states.get(key)
        return None if judge is None or state is None or state.scheduled_us != at_us else (judge, state)

    def _schedule(self, judge: Judge, state: State) -> None:
        """See to it that the state is looked at when it falls due; one entry in the queue per state."""
        due = judge.due(state)
        if due is None or (state.scheduled_us is not None and state.scheduled_us <= due):
            return
        state.scheduled_us = due
        heapq.heappush(self._timers, (due, judge.rule.id, state.key))

    # ---- readings

    def apply(self, batch: LogBatch) -> None:
        """Judge one batch. What fell due before it was received comes first."""
        self.advance(batch.received_at_us)
        waiting: _Waiting = {}
        for reading in batch.readings:
            if reading.dataset_id is not None:
                continue
            age_us = batch.received_at_us - reading.observed_at_us
            for listener in self._index.meeting(reading, self._now_us):
                judge = listener.judge
                if judge.quarantined is not None:
                    continue
                if age_us > judge.rule.max_age_us:
                    judge.counters.history += 1
                    continue
                state = (
                    judge.offer_step(listener.step, reading)
                    if isinstance(judge, PatternJudge)
                    else judge.offer(reading)
                )
                if state is not None:
                    self._take(judge, state, reading, waiting)
        for judge, state, _ in waiting.values():
            self._evaluate(judge, state)

    def _take(self, judge: Judge, state: State, reading: Reading, waiting: _Waiting) -> None:
        """Take one reading in; readings of the same time are judged together, once the next time comes."""
        at_us = reading.observed_at_us
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
        self.dirty.add((judge.rule.id, state.key))

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
        self._schedule(judge, state)

    def _touched(self, judge: Judge, state: State) -> None:
        self.dirty.add((judge.rule.id, state.key))
        self._schedule(judge, state)

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
        if judge.counters.failures >= _FAILURES_ALLOWED:
            judge.quarantined = f"{type(error).__name__}: {error}"[:500]

    # ---- what judges call

    def announce(self, judge: Judge, state: State, occurrence: Occurrence, change: str, at_us: int) -> None:
        """Make a detection of a change."""
        value = None
        if isinstance(judge, LevelsJudge):
            value = judge.value(judge.scope(state, state.newest_us))
        detection = self._announcer.detection(judge.rule, state, occurrence, change, at_us, self._now_us, value)
        judge.counters.detections += 1
        self._found.append(Finding(detection, explain(judge.rule, state, change, at_us, value)))

    def touch(self, judge: Judge, state: State) -> None:
        """Note that a state other than the one being judged has changed."""
        self._touched(judge, state)

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
