"""What all kinds of rules have in common: taking readings in, occurrences, timers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from gulou.connectivity.intake import Reading
from gulou.hub.rules.engine.guards import NEVER
from gulou.hub.rules.engine.scope import StateScope
from gulou.hub.rules.engine.state import Input, Missed, Occurrence, RuleCounters, Samples, State
from gulou.hub.rules.model import Rule
from gulou.hub.rules.ports import Surroundings

Change = str  # raised | changed | cleared
Band = tuple[float, float, int]
"""What a state tolerates: values strictly between two numbers, before a moment (µs UTC)."""


class Host(Protocol):
    """What a judge needs of the engine."""

    surroundings: Surroundings

    @property
    def now_us(self) -> int: ...

    @property
    def listening_since_us(self) -> int: ...

    def announce(self, judge: Judge, state: State, occurrence: Occurrence, change: Change, at_us: int) -> None: ...

    def spare(self, judge: Judge, state: State) -> None:
        """Announce that a state other than the one being judged is going to change."""

    def touch(self, judge: Judge, state: State) -> None:
        """Note that a state other than the one being judged has changed."""

    def derive(self, rule: Rule, reading: Reading) -> None: ...


class Judge:
    """Judges one rule; the states are kept by entity (a pattern has its own keys)."""

    settles_by_reading: ClassVar[bool] = True
    """Whether a reading's own time moves the timers of its state."""

    __slots__ = (
        "_windows",
        "active",
        "calm",
        "counters",
        "host",
        "listeners",
        "quarantined",
        "retired",
        "rule",
        "spent",
        "states",
    )

    def __init__(self, rule: Rule, host: Host) -> None:
        self.rule = rule
        self.host = host
        self.states: dict[str, State] = {}
        self.calm: tuple[str, float, float] | None = None
        """Of a plain limit: its property, and two numbers; while values stay between them no state is kept.

        All that there is to know of such an entity is in the lane of its series (``Lanes``).
        """
        self.active = 0
        """How many detections are raised."""
        self.counters = RuleCounters()
        self.spent = (0, 0)
        """Evaluations and nanoseconds when its budget was last looked at."""
        self.quarantined: str | None = None
        self.retired = False
        self.listeners: tuple[Any, ...] = ()
        """Where the index keeps it."""
        self._windows = rule.windows

    def state_of(self, key: str) -> State:
        state = self.states.get(key)
        if state is None:
            state = self.states[key] = self.new_state(key)
        return state

    def new_state(self, key: str) -> State:
        return State(key)

    def take(self, state: State, reading: Reading) -> bool:
        """Take a reading in; False where it is too late to count."""
        name, at_us, value = reading.property, reading.observed_at_us, reading.value
        known = state.inputs.get(name)
        over_us = self._windows.get(name)
        if known is not None and at_us < known.observed_us:
            if over_us is None or self.too_late(state, known, at_us):
                self.counters.late += 1
                return False
        elif known is not None and at_us == known.observed_us:
            known.value = value
        else:
            state.inputs[name] = Input(at_us, value, known.value if known is not None else None)
        if over_us is not None and isinstance(value, int | float) and not isinstance(value, bool):
            samples = state.samples.get(name)
            if samples is None:
                samples = state.samples[name] = Samples()
            if not samples.insert(at_us, float(value)):
                self.counters.overflowed += 1
            self.trim(state, samples, over_us)
        state.newest_us = max(state.newest_us, at_us)
        self.counters.taken += 1
        return True

    def is_calm(self, state: State) -> bool:
        """Say whether a state holds nothing that its series does not."""
        return False

    def awaken(self, key: str, newest: Missed) -> State:
        """Make the state of an entity that kept none, from what is known of its series."""
        assert self.calm is not None
        state = self.states[key] = self.new_state(key)
        state.inputs[self.calm[0]] = newest.as_input()
        state.newest_us = newest.observed_us
        return state

    def tolerance(self, state: State, name: str) -> Band | None:
        """Return within which values of a property no reading that is newer than all before can change anything.

        Until it is left, ``catch_up`` is all that such readings do to the state. None: every reading must be judged.
        """
        return None

    def catch_up(self, state: State, name: str, missed: Missed) -> None:
        """Take in what came within the tolerance and was not judged."""
        known = state.inputs[name]
        known.previous = missed.before if missed.readings > 1 else known.value
        known.value, known.observed_us, known.count = missed.value, missed.observed_us, missed.total
        state.newest_us = max(state.newest_us, missed.observed_us)
        self.counters.taken += missed.readings

    def counted(self, state: State, name: str) -> int | None:
        """Return how many readings of a property had come when the state was last brought up to date."""
        known = state.inputs.get(name)
        return None if known is None else known.count

    def count(self, state: State, name: str, readings: int) -> None:
        """Note that the state is up to date with so many readings, whether it took the last or had no use for it."""
        known = state.inputs.get(name)
        if known is not None:
            known.count = readings

    def heard(self, state: State) -> Iterable[str]:
        """Return the properties of the state's entity that it has heard."""
        return state.inputs

    def too_late(self, state: State, known: Input, at_us: int) -> bool:
        """Say whether a reading that is older than the newest is too old even for a window."""
        return at_us < known.observed_us - self.rule.lateness_us

    def trim(self, state: State, samples: Samples, over_us: int) -> None:
        """Forget what no window reaches any more."""
        samples.forget_until(max(state.newest_us, samples.times[-1]) - over_us)

    def judge(self, state: State) -> None:
        """Look at the state after new readings, at its ``newest_us``."""
        raise NotImplementedError

    def due(self, state: State) -> int | None:
        """Return when the state must be looked at although nothing comes; None: never."""
        return self._expiry(state)

    def silence(self, state: State) -> tuple[str, int, int] | None:
        """Return what can put off when the state falls due without its being judged: noted readings of a property.

        Returns:
            The property, how many of its readings are known, and how long after a newer one it is due, µs.
        """
        return None

    def settle(self, state: State, until_us: int) -> None:
        """Do everything that falls due up to ``until_us``."""
        expiry = self._expiry(state)
        if expiry is not None and expiry <= until_us:
            self.reset(state)
            self.transition(state, None, expiry)

    def reset(self, state: State) -> None:
        """Go back to the start because the inputs fell silent."""
        for switch in state.switches:
            switch.on, switch.since_us = False, None

    def _expiry(self, state: State) -> int | None:
        if self.rule.expires_us is None or state.occurrence is None:
            return None
        return state.newest_us + self.rule.expires_us

    def scope(self, state: State, now_us: int) -> StateScope:
        return StateScope(state, state.key, now_us, self.rule.fresh_us, self.host.surroundings)

    def transition(self, state: State, severity: int | None, at_us: int, entity_id: str | None = None) -> None:
        """Move to a severity (None: nothing found), and tell where that is a change."""
        present = state.occurrence
        if present is None:
            if severity is None:
                return
            subject = entity_id or state.key
            name, again = f"{self.rule.id}/{subject}/{at_us}", 0
            if state.ended is not None and state.ended.raised_at_us == at_us:  # a reading of that time was corrected
                again = state.ended.again + 1
                name = f"{name}/{again}"
            self.active += 1
            state.occurrence = Occurrence(name, subject, at_us, severity, severity, again=again)
            self.host.announce(self, state, state.occurrence, "raised", at_us)
        elif severity is None:
            state.occurrence = None
            state.ended = present if present.raised_at_us == at_us else None
            present.changes += 1
            self.active -= 1
            self.host.announce(self, state, present, "cleared", at_us)
        elif severity != present.severity:
            present.changes += 1
            present.severity = severity
            present.peak = max(present.peak, severity)
            self.host.announce(self, state, present, "changed", at_us)


def between(value: float, cuts: Iterable[float], until_us: int = NEVER) -> Band | None:
    """Return the gap between the cuts that a value lies in; None where it lies on one."""
    low, high = -math.inf, math.inf
    for cut in cuts:
        if cut < value:
            low = max(low, cut)
        elif cut > value:
            high = min(high, cut)
        else:
            return None
    return low, high, until_us
