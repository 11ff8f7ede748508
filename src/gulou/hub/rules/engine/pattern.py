"""Several things within a time: the kind ``pattern``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from gulou.connectivity.intake import Reading
from gulou.hub.rules.engine.judge import Band, Host, Judge, between
from gulou.hub.rules.engine.scope import StateScope
from gulou.hub.rules.engine.state import Input, Match, State
from gulou.hub.rules.model import Pattern, Rule

_MOST_MATCHES = 1_000
_GROUP = "group|"


class PatternJudge(Judge):
    """Keeps what happened per step and group, and looks for a complete chain with each new thing that happens.

    A group's state has the key ``group|<value of the join attribute>``; the inputs of one step and entity live under
    ``<index of the step>|<entity id>``.
    """

    __slots__ = ("_condition", "_step_windows")

    def __init__(self, rule: Rule, host: Host, condition: Pattern) -> None:
        super().__init__(rule, host)
        self._condition = condition
        self._step_windows = [step.when.windows for step in condition.steps]

    def new_state(self, key: str) -> State:
        return State(key, matches=[[] for _ in self._condition.steps] if key.startswith(_GROUP) else [])

    def tolerance(self, state: State, name: str) -> Band | None:
        """A step happens with every reading while its condition is true; while it is not, nothing does."""
        number, _, entity_id = state.key.partition("|")
        when = self._condition.steps[int(number)].when
        known = state.inputs.get(name)
        if known is None or when.cuts is None or when.inputs != {name} or type(known.value) is not float:
            return None
        scope = StateScope(state, entity_id, state.newest_us, self.rule.fresh_us, self.host.surroundings)
        return None if when.evaluate(scope) is True else between(known.value, when.cuts[name])

    def heard(self, state: State) -> Iterable[str]:
        return ()  # its timers are those of groups

    def take(self, state: State, reading: Reading) -> bool:
        index = int(state.key.partition("|")[0])
        self._windows = dict(self._step_windows[index])
        return super().take(state, reading)

    def judge(self, state: State) -> None:
        number, _, entity_id = state.key.partition("|")
        index = int(number)
        scope = StateScope(state, entity_id, state.newest_us, self.rule.fresh_us, self.host.surroundings)
        if self._condition.steps[index].when.evaluate(scope) is not True:
            return
        group = self._group_of(entity_id)
        if group is None:
            return
        values = {name: known.value for name, known in state.inputs.items()}
        joint = self.state_of(_GROUP + group)
        self.host.spare(self, joint)
        self._happened(joint, index, Match(state.newest_us, entity_id, values))
        self.host.touch(self, joint)

    def _group_of(self, entity_id: str) -> str | None:
        join = self._condition.join
        if join is None:
            return ""
        if join == "this":
            return entity_id
        found = (self.host.surroundings.attributes(entity_id) or {}).get(join)
        if isinstance(found, list):
            found = found[0] if found else None
        return None if found is None else str(found)

    def _happened(self, group: State, index: int, match: Match) -> None:
        """Remember a match and see whether it completes a chain."""
        kept = group.matches[index]
        if any(one.at_us == match.at_us and one.entity_id == match.entity_id for one in kept):
            return
        insort(kept, match, key=lambda one: one.at_us)
        group.newest_us = max(group.newest_us, match.at_us)
        for matches in group.matches:
            oldest_us = group.newest_us - self._condition.within_us - self.rule.lateness_us
            del matches[: max(bisect_left(matches, oldest_us, key=lambda one: one.at_us), len(matches) - _MOST_MATCHES)]
        chain = self._chain(group, index, match)
        if chain is None:
            return
        complete_us = max(one.at_us for one in chain)
        if group.complete_us is not None and complete_us <= group.complete_us:
            return  # that time has been told already
        self.settle(group, complete_us)
        group.complete_us = complete_us
        if group.occurrence is None:
            for step, one in zip(self._condition.steps, chain, strict=True):
                for name, value in one.values.items():
                    group.inputs[f"{step.name}.{name}"] = Input(one.at_us, value)
        self.transition(group, self._condition.severity, complete_us, chain[self._condition.subject].entity_id)

    def _chain(self, group: State, index: int, match: Match) -> list[Match] | None:
        """Find a complete chain through ``match``: each neighbour as near to it as can be, for the least span."""
        if match.at_us < group.newest_us - self._condition.within_us - self.rule.lateness_us:
            return None
        chain = self._ordered(group, index, match) if self._condition.in_order else self._unordered(group, index, match)
        if chain is None:
            return None
        times = [one.at_us for one in chain]
        return chain if max(times) - min(times) <= self._condition.within_us else None

    def _ordered(self, group: State, index: int, match: Match) -> list[Match] | None:
        chain: list[Match] = [match]
        for matches in reversed(group.matches[:index]):
            place = bisect_right(matches, chain[0].at_us, key=lambda one: one.at_us)
            if not place:
                return None
            chain.insert(0, matches[place - 1])
        for matches in group.matches[index + 1 :]:
            place = bisect_left(matches, chain[-1].at_us, key=lambda one: one.at_us)
            if place == len(matches):
                return None
            chain.append(matches[place])
        return chain

    def _unordered(self, group: State, index: int, match: Match) -> list[Match] | None:
        """Slide a span of ``within`` that holds ``match``: every step must have happened inside one of them."""
        within_us = self._condition.within_us
        others = [matches for step, matches in enumerate(group.matches) if step != index]
        starts = sorted(
            {one.at_us for matches in group.matches for one in matches if 0 <= match.at_us - one.at_us <= within_us}
        )
        for start_us in reversed(starts):  # latest first: the chain nearest in time
            found: list[Match] = []
            for matches in others:
                place = bisect_left(matches, start_us, key=lambda one: one.at_us)
                if place == len(matches) or matches[place].at_us > start_us + within_us:
                    break
                found.append(matches[place])
            else:
                found.insert(index, match)
                return found
        return None

    def due(self, state: State) -> int | None:
        if state.occurrence is None or state.complete_us is None:
            return None
        return state.complete_us + self._condition.clear_after_us

    def settle(self, state: State, until_us: int) -> None:
        due = self.due(state)
        if due is not None and due <= until_us:
            self.transition(state, None, due)
            state.inputs = {}
