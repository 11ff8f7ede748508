"""Silence: the kind ``absence``."""

from __future__ import annotations

from gulou.connectivity.intake import Reading
from gulou.hub.rules.engine.judge import Host, Judge
from gulou.hub.rules.engine.state import State
from gulou.hub.rules.model import Absence, Rule


class AbsenceJudge(Judge):
    """Raises when an entity has been silent too long; only the clock finds that out, never a reading.

    Silence is counted from the newest reading's own time, or from when Gulou began to listen, if that was later.
    """

    settles_by_reading = False

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
        since_us = max(state.newest_us, self.host.listening_since_us)
        return next((since_us + silence_us for severity, silence_us in self._levels if severity > present), None)

    def settle(self, state: State, until_us: int) -> None:
        while (due := self.due(state)) is not None and due <= until_us:
            present = -1 if state.occurrence is None else state.occurrence.severity
            self.transition(state, next(severity for severity, _ in self._levels if severity > present), due)
