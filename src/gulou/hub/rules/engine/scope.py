"""An expression's view of one state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gulou.hub.rules.engine.state import State
from gulou.hub.rules.ports import Surroundings


class StateScope:
    """Reads the inputs of one state as they are at ``now_us``.

    Args:
        fresh_us: an input older than this counts as unknown.
    """

    __slots__ = ("_entity_id", "_fresh_us", "_now_us", "_state", "_surroundings", "this")

    def __init__(
        self, state: State, entity_id: str, now_us: int, fresh_us: int | None, surroundings: Surroundings
    ) -> None:
        self.this: float | None = None
        self._state = state
        self._entity_id = entity_id
        self._now_us = now_us
        self._fresh_us = fresh_us
        self._surroundings = surroundings

    def value(self, name: str) -> Any:
        known = self._state.inputs.get(name)
        if known is None or (self._fresh_us is not None and self._now_us - known.observed_us > self._fresh_us):
            return None
        return known.value

    def attribute(self, name: str) -> Any:
        if name in self._state.inputs:
            return self.value(name)
        if name == "id":
            return self._entity_id
        return (self._surroundings.attributes(self._entity_id) or {}).get(name)

    def previous(self, name: str) -> Any:
        known = self._state.inputs.get(name)
        return None if known is None else known.previous

    def samples(self, name: str, over_us: int) -> tuple[Sequence[int], Sequence[float]]:
        kept = self._state.samples.get(name)
        return ((), ()) if kept is None else kept.between(self._now_us - over_us, self._now_us)
