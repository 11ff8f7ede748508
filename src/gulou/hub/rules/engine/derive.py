"""Computed properties: the kind ``derive``."""

from __future__ import annotations

import math

from gulou.connectivity.intake import Reading
from gulou.hub.rules.engine.judge import Host, Judge
from gulou.hub.rules.engine.state import State
from gulou.hub.rules.model import Derive, Rule


class DeriveJudge(Judge):
    """Computes a property at each reading of its inputs; at most once in ``every``."""

    __slots__ = ("_condition",)

    def __init__(self, rule: Rule, host: Host, condition: Derive) -> None:
        super().__init__(rule, host)
        self._condition = condition

    def judge(self, state: State) -> None:
        condition, at_us = self._condition, state.newest_us
        if state.derived_us is not None and at_us != state.derived_us and at_us - state.derived_us < condition.every_us:
            return
        found = condition.value.evaluate(self.scope(state, at_us))
        if not isinstance(found, int | float) or not math.isfinite(found):
            return
        value = float(found) if condition.decimals is None else round(float(found), condition.decimals)
        if at_us == state.derived_us and value == state.derived:
            return  # the same news twice
        state.derived_us, state.derived = at_us, value
        entity_type = self.rule.select.entity_type
        self.host.derive(
            self.rule, Reading(state.key, entity_type, condition.property, value, at_us, flags=("derived",))
        )
