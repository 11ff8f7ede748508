"""Silence: the kind ``absence``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar

from gulou.connectivity.intake import Reading
from gulou.hub.rules.engine.guards import NEVER
from gulou.hub.rules.engine.judge import Band, Host, Judge
from gulou.hub.rules.engine.state import Missed, State
from gulou.hub.rules.model import Absence, Rule


class AbsenceJudge(Judge):
    """Raises when an entity has been silent too long; only the clock finds that out, never a reading.

    Silence is counted from the newest reading's own time, or from when Gulou began to listen, if that was later.
    """

    __slots__ = ("_levels",)
    settles_by_reading: ClassVar[bool] = False

    def __init__(self, rule: Rule, host: Host, condition: Absence) -> None:
        super().__init__(rule, host)
        self._levels = condition.levels

    def take(self, state: State, reading: Reading) -> bool:
        if reading.observed_at_us <= state.newest_us:
            self.counters.late += 1
            return False
        state.newest_us = reading.observed_at_us
        self.counters.taken += 1
        return True

    def tolerance(self, state: State, name: str) -> Band | None:
        """Any reading is welcome while nothing is raised: the clock asks when the entity was last heard."""
        if state.occurrence is not None or state.heard is None or name not in state.heard:
            return None
        return -math.inf, math.inf, NEVER

    def catch_up(self, state: State, name: str, missed: Missed) -> None:
        assert state.heard is not None
        state.heard[name] = missed.total
        state.newest_us = max(state.newest_us, missed.observed_us)
        self.counters.taken += missed.readings

    def counted(self, state: State, name: str) -> int | None:
        return None if state.heard is None else state.heard.get(name)

    def count(self, state: State, name: str, readings: int) -> None:
        if state.heard is None:
            state.heard = {}
        state.heard[name] = readings

    def heard(self, state: State) -> Iterable[str]:
        return state.heard or ()

    def watch(self, entity_id: str, now_us: int) -> State:
        """Expect an entity that has not been heard yet."""
        state = self.state_of(entity_id)
        if not state.newest_us:
            state.newest_us = now_us
        return state

    def judge(self, state: State) -> None:
        if state.occurrence is not None:
            self.transition(state, None, max(state.newest_us, state.occurrence.raised_at_us))

    def due(self, state: State) -> int | None:
        present = -1 if state.occurrence is None else state.occurrence.severity
        for severity, silence_us in self._levels:
            if severity > present:
                return max(state.newest_us, self.host.listening_since_us) + silence_us
        return None

    def silence(self, state: State) -> tuple[str, int, int] | None:
        if state.occurrence is not None or not state.heard:
            return None
        name, known = next(iter(state.heard.items()))  # of several, one is enough: the timer may come too early
        return name, known, self._levels[0][1]

    def settle(self, state: State, until_us: int) -> None:
        while (due := self.due(state)) is not None and due <= until_us:
            present = -1 if state.occurrence is None else state.occurrence.severity
            self.transition(state, next(severity for severity, _ in self._levels if severity > present), due)
