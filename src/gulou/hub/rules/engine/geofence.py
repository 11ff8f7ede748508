"""Where things are: the kind ``geofence``."""

from __future__ import annotations

from typing import Any

from gulou.connectivity.intake import Reading
from gulou.hub.rules.engine.area import Area
from gulou.hub.rules.engine.judge import Host, Judge
from gulou.hub.rules.engine.levels import step
from gulou.hub.rules.engine.state import State, Switch
from gulou.hub.rules.model import Geofence, Rule

_LOOK_AGAIN_US = 60_000_000


class GeofenceJudge(Judge):
    """Raises while an entity is on the wrong side of an area's border; the border itself belongs to the area."""

    __slots__ = ("_area", "_area_seen_us", "_condition")

    def __init__(self, rule: Rule, host: Host, condition: Geofence) -> None:
        super().__init__(rule, host)
        self._condition = condition
        self._area: Area | None = None if condition.area is None else Area(condition.area)
        self._area_seen_us: int | None = None

    def new_state(self, key: str) -> State:
        return State(key, switches=[Switch()])

    def take(self, state: State, reading: Reading) -> bool:
        newest = state.inputs.get(reading.property)
        if not super().take(state, reading):
            return False
        if reading.property == self._condition.property and (
            newest is None or reading.observed_at_us >= newest.observed_us
        ):
            state.inside = self._inside(reading.value)
        return True

    def _inside(self, position: Any) -> bool | None:
        area = self._present_area()
        return None if area is None or not isinstance(position, dict) else area.holds(position)

    def _present_area(self) -> Area | None:
        """Return the area; that of an entity is looked up again once a minute."""
        entity_id, now_us = self._condition.area_entity, self.host.now_us
        if entity_id is None:
            return self._area
        if self._area_seen_us is None or now_us - self._area_seen_us >= _LOOK_AGAIN_US:
            self._area_seen_us = now_us
            form = (self.host.surroundings.attributes(entity_id) or {}).get("location")
            self._area = Area(form) if isinstance(form, dict) else None
        return self._area

    def judge(self, state: State) -> None:
        if state.inside is None:
            return
        event, switch = self._condition.event, state.switches[0]
        there = state.inside if event in ("enter", "inside") else not state.inside
        crossing = event in ("enter", "leave")
        if not there:
            state.armed = True
        also = self._also(state)
        on = None if there and also is None else there and bool(also) and (state.armed or not crossing)
        off = not there if crossing else (None if there and also is None else not (there and also))
        step(switch, on, off, state.newest_us)
        self._flip(state, state.newest_us)

    def _also(self, state: State) -> bool | None:
        if self._condition.also is None:
            return True
        truth = self._condition.also.evaluate(self.scope(state, state.newest_us))
        return truth if isinstance(truth, bool) else None

    def _next_flip(self, state: State) -> int | None:
        switch = state.switches[0]
        return None if switch.since_us is None else switch.since_us + (0 if switch.on else self._condition.hold_us)

    def _flip(self, state: State, until_us: int) -> None:
        due, switch = self._next_flip(state), state.switches[0]
        if due is None or due > until_us:
            return
        switch.on, switch.since_us = not switch.on, None
        if switch.on:
            state.armed = False
        self.transition(state, self._condition.severity if switch.on else None, due)

    def due(self, state: State) -> int | None:
        there = [moment for moment in (self._next_flip(state), super().due(state)) if moment is not None]
        return min(there) if there else None

    def settle(self, state: State, until_us: int) -> None:
        self._flip(state, until_us)
        super().settle(state, until_us)
