"""Levels with hysteresis and hold: the kinds ``threshold``, ``rate`` and ``window``."""

from __future__ import annotations

from gulou.connectivity.intake import Reading
from gulou.hub.rules.engine.guards import NEVER
from gulou.hub.rules.engine.judge import Band, Host, Judge, between
from gulou.hub.rules.engine.scope import StateScope
from gulou.hub.rules.engine.state import Input, Samples, State, Switch
from gulou.hub.rules.expression.functions import AGGREGATES, rate
from gulou.hub.rules.model import Level, Rule, Threshold, Window


def step(switch: Switch, on: bool | None, off: bool | None, at_us: int) -> None:
    """Note since when the way to the other side has been true; unknown changes nothing."""
    ahead = off if switch.on else on
    if ahead is True:
        if switch.since_us is None:
            switch.since_us = at_us
    elif ahead is False:
        switch.since_us = None


def way_ahead(level: Level, switch: Switch, value: float | None, scope: StateScope, *, below: bool) -> bool | None:
    """Say whether a level's way to its other side is true: its condition while it is off, its way back while on."""
    limit, clear_limit = level.limit, level.clear_limit
    if limit is not None and clear_limit is not None:
        if value is None:
            return None
        if switch.on:
            return value > clear_limit if below else value < clear_limit
        return value <= limit if below else value >= limit
    if switch.on and level.clear is not None:
        back: bool | None = level.clear.evaluate(scope)
        return back
    on: bool | None = level.when.evaluate(scope) if level.when is not None else None
    return on if not switch.on or on is None else not on


class LevelsJudge(Judge):
    """Judges levels at each reading."""

    __slots__ = ("_below", "_expires", "_levels", "_looks_back", "_value", "condition", "judged")

    def __init__(self, rule: Rule, host: Host, condition: Threshold | Window) -> None:
        super().__init__(rule, host)
        self._levels = condition.levels
        self._below = condition.below
        self._value = condition.value
        self._expires = rule.expires_us is not None
        self._looks_back = isinstance(condition, Window) or bool(condition.of)
        self.condition = condition
        if isinstance(condition, Threshold) and rule.select.where is None and rule.select.id_pattern is None:
            calm = condition.calm
            self.calm = calm if calm is not None and rule.inputs == {calm[0]} else None
        self.judged: float | None = None
        """The value that is being judged, while it is."""

    def new_state(self, key: str) -> State:
        return State(key, switches=[Switch() for _ in self._levels])

    def is_calm(self, state: State) -> bool:
        if self.calm is None or state.occurrence is not None or state.ended is not None:
            return False
        return not any(switch.on or switch.since_us is not None for switch in state.switches)

    def judge(self, state: State) -> None:
        self.judge_at(state, state.newest_us, state.newest_us)

    def judge_at(self, state: State, at_us: int, seen_from_us: int) -> None:
        """Judge the past as seen from one instant; what is found happens at ``at_us``."""
        if state.ended is not None and state.ended.raised_at_us < at_us:
            state.ended = None  # nothing is raised at its instant any more
        scope = self.scope(state, seen_from_us)
        value = self.value(scope)
        below, turning = self._below, False
        for level, switch in zip(self._levels, state.switches, strict=True):
            ahead = way_ahead(level, switch, value, scope, below=below)
            if ahead is False:
                switch.since_us = None
            elif switch.since_us is not None:
                turning = True
            elif ahead is True:
                switch.since_us, turning = at_us, True
        if turning:
            self.judged = value
            self._flip(state, at_us)
            self.judged = None

    def tolerance(self, state: State, name: str) -> Band | None:
        """The gap in which no switch's way to its other side becomes true or stops being so."""
        condition = self.condition
        if not isinstance(condition, Threshold) or condition.lone_input != name or state.ended is not None:
            return None
        known = state.inputs.get(name)
        if known is None or type(known.value) is not float or (self._expires and state.occurrence is not None):
            return None
        scope = self.scope(state, state.newest_us)
        value = self.value(scope)
        cuts: list[float] = []
        for level, switch in zip(self._levels, state.switches, strict=True):
            ahead = way_ahead(level, switch, value, scope, below=self._below)
            if (ahead is True and switch.since_us is None) or (ahead is False and switch.since_us is not None):
                return None  # the next reading begins or ends something, whatever it says
            cuts.extend(level.cuts(name, on=switch.on))
        until_us = self._next_flip(state)
        return between(known.value, cuts, NEVER if until_us is None else until_us)

    def value(self, scope: StateScope) -> float | None:
        """Return the number that limits are held against."""
        if self._looks_back:
            scope.this = self.this(scope)
        if self._value is None:
            return scope.this
        found = self._value.evaluate(scope)
        if type(found) is float:
            return found
        return float(found) if isinstance(found, int | float) else None

    def this(self, scope: StateScope) -> float | None:
        """Return the rate, for kind ``rate``."""
        condition = self.condition
        if isinstance(condition, Threshold) and condition.of:
            samples = scope.samples(condition.of, condition.over_us + 1)
            return rate(samples, condition.per_us, condition.minimum_span_us)
        return None

    def _next_flip(self, state: State) -> int | None:
        for switch in state.switches:
            if switch.since_us is not None:
                break
        else:
            return None  # nearly always
        due: int | None = None
        for level, switch in zip(self._levels, state.switches, strict=True):
            if switch.since_us is not None:
                at_us = switch.since_us + (level.clear_hold_us if switch.on else level.hold_us)
                due = at_us if due is None else min(due, at_us)
        return due

    def _flip(self, state: State, until_us: int) -> None:
        """Turn every switch whose time has come, in the order of the times."""
        while (due := self._next_flip(state)) is not None and due <= until_us:
            highest: int | None = None
            for level, switch in zip(self._levels, state.switches, strict=True):
                hold_us = level.clear_hold_us if switch.on else level.hold_us
                if switch.since_us is not None and switch.since_us + hold_us == due:
                    switch.on, switch.since_us = not switch.on, None
                if switch.on:
                    highest = level.severity
            self.transition(state, highest, due)

    def due(self, state: State) -> int | None:
        flip = self._next_flip(state)
        return _earliest(flip, super().due(state)) if self._expires else flip

    def settle(self, state: State, until_us: int) -> None:
        self._flip(state, until_us)
        super().settle(state, until_us)


class SlidingJudge(LevelsJudge):
    """A window that slides with each reading."""

    __slots__ = ()

    def this(self, scope: StateScope) -> float | None:
        condition = self.condition
        assert isinstance(condition, Window)
        samples = scope.samples(condition.of, condition.over_us)
        return AGGREGATES[condition.function](samples) if len(samples[0]) >= condition.minimum else None


class TumblingJudge(LevelsJudge):
    """Whole windows, counted from the epoch; each is judged once, when stragglers have had their time."""

    __slots__ = ("_window",)

    def __init__(self, rule: Rule, host: Host, condition: Window) -> None:
        super().__init__(rule, host, condition)
        self._window = condition

    def take(self, state: State, reading: Reading) -> bool:
        closed_us = state.complete_us if state.bucket_us is None else state.bucket_us
        if reading.property == self._window.of and closed_us is not None and reading.observed_at_us < closed_us:
            self.counters.late += 1
            return False
        return super().take(state, reading)

    def too_late(self, state: State, known: Input, at_us: int) -> bool:
        return False  # take() has seen to it

    def trim(self, state: State, samples: Samples, over_us: int) -> None:
        if state.bucket_us is None:
            state.bucket_us = samples.times[0] - samples.times[0] % self._window.over_us

    def judge(self, state: State) -> None:
        """A whole window is judged by its end, never by a reading."""

    def this(self, scope: StateScope) -> float | None:
        samples = scope.samples(self._window.of, self._window.over_us)
        enough = len(samples[0]) >= self._window.minimum
        return AGGREGATES[self._window.function](samples) if enough or self._window.function == "count" else None

    def _closing(self, state: State) -> int | None:
        return None if state.bucket_us is None else state.bucket_us + self._window.over_us + self.rule.lateness_us

    def due(self, state: State) -> int | None:
        return _earliest(self._closing(state), super().due(state))

    def settle(self, state: State, until_us: int) -> None:
        while (closing := self._closing(state)) is not None and closing <= until_us:
            flip = self._next_flip(state)
            end_us = closing - self.rule.lateness_us
            if flip is not None:
                self._flip(state, min(end_us, until_us))
            self._close(state, end_us)
        super().settle(state, until_us)

    def _close(self, state: State, end_us: int) -> None:
        samples = state.samples[self._window.of]
        was_empty = not samples.between(end_us - self._window.over_us - 1, end_us - 1)[0]
        self.judge_at(state, end_us, seen_from_us=end_us - 1)  # [start, end): its last instant is the µs before
        samples.forget_until(end_us - 1)
        state.bucket_us = state.complete_us = end_us
        if was_empty:  # nothing more will change until something comes
            first = samples.times[0] if samples.times else None
            state.bucket_us = None if first is None else first - first % self._window.over_us


class SessionJudge(LevelsJudge):
    """Readings less than a gap apart make a session; each is judged once, when it and its stragglers are over.

    ``bucket_us`` of the state is the end of the oldest open session: its last reading and the gap after it.
    """

    __slots__ = ("_span_us", "_window")

    def __init__(self, rule: Rule, host: Host, condition: Window) -> None:
        super().__init__(rule, host, condition)
        self._window = condition
        self._span_us = condition.over_us

    def take(self, state: State, reading: Reading) -> bool:
        if reading.property == self._window.of and reading.observed_at_us < (state.complete_us or 0):
            self.counters.late += 1
            return False
        return super().take(state, reading)

    def too_late(self, state: State, known: Input, at_us: int) -> bool:
        return False  # take() has seen to it

    def trim(self, state: State, samples: Samples, over_us: int) -> None:
        times, gap_us = samples.times, self._window.gap_us
        goes_on = len(times) > 1 and times[-1] == state.newest_us and state.bucket_us == times[-2] + gap_us
        if goes_on and times[-1] < times[-2] + gap_us and times[-1] - times[0] < over_us:
            state.bucket_us = times[-1] + gap_us  # nearly always: the newest reading goes on with the only session
        else:
            state.bucket_us = self._end(times)

    def _end(self, times: list[int]) -> int | None:
        """Return the end of the oldest session."""
        if not times:
            return None
        gap_us, over_us = self._window.gap_us, self._window.over_us
        last_us = times[0]
        for at_us in times[1:]:
            if at_us - last_us >= gap_us or at_us - times[0] >= over_us:
                return min(last_us + gap_us, at_us)
            last_us = at_us
        return last_us + gap_us

    def judge(self, state: State) -> None:
        """A session is judged by its end, never by a reading."""

    def this(self, scope: StateScope) -> float | None:
        samples = scope.samples(self._window.of, self._span_us)
        return AGGREGATES[self._window.function](samples) if len(samples[0]) >= self._window.minimum else None

    def _closing(self, state: State) -> int | None:
        return None if state.bucket_us is None else state.bucket_us + self.rule.lateness_us

    def due(self, state: State) -> int | None:
        return _earliest(self._closing(state), super().due(state))

    def settle(self, state: State, until_us: int) -> None:
        while (closing := self._closing(state)) is not None and closing <= until_us:
            self._flip(state, min(closing - self.rule.lateness_us, until_us))
            self._close(state, closing - self.rule.lateness_us)
        super().settle(state, until_us)

    def _close(self, state: State, end_us: int) -> None:
        samples = state.samples[self._window.of]
        times, _ = samples.between(0, end_us - 1)
        last_us = times[-1]
        self._span_us = last_us - times[0] + 1
        self.judge_at(state, end_us, seen_from_us=last_us)
        self._span_us = self._window.over_us
        samples.forget_until(end_us - 1)
        state.complete_us, state.bucket_us = end_us, self._end(samples.times)


def _earliest(*moments: int | None) -> int | None:
    there = [moment for moment in moments if moment is not None]
    return min(there) if there else None


def make_levels_judge(rule: Rule, host: Host) -> LevelsJudge:
    """Choose the judge for a rule with levels."""
    condition = rule.condition
    if isinstance(condition, Window):
        if condition.gap_us:
            return SessionJudge(rule, host, condition)
        return TumblingJudge(rule, host, condition) if condition.tumbling else SlidingJudge(rule, host, condition)
    assert isinstance(condition, Threshold)
    return LevelsJudge(rule, host, condition)
