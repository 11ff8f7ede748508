"""What a detection rests on, as plain data that a person can check."""

from __future__ import annotations

from typing import Any

from gulou.hub.rules.durations import write_duration
from gulou.hub.rules.engine.state import State
from gulou.hub.rules.model import SEVERITIES, Absence, Geofence, Level, Pattern, Rule, Threshold, Window, expressions_of
from gulou.kernel.clock import to_rfc3339

_MOST_MATCHES = 5


def explain(rule: Rule, state: State, change: str, at_us: int, value: float | None) -> dict[str, Any]:
    """Tell the inputs with their times, the conditions, and how each level stood."""
    told: dict[str, Any] = {
        "rule": rule.id,
        "version": rule.version,
        "kind": rule.kind,
        "change": change,
        "at": to_rfc3339(at_us),
        "inputs": {
            name: {"value": one.value, "previous": one.previous, "observedAt": to_rfc3339(one.observed_us)}
            for name, one in state.inputs.items()
        },
        "expressions": [one.text for one in expressions_of(rule.condition)],
    }
    if value is not None:
        told["value"] = value
    condition = rule.condition
    if isinstance(condition, Threshold | Window):
        pairs = zip(condition.levels, state.switches, strict=True)
        told["levels"] = [_level(level, is_on=switch.on) for level, switch in pairs]
        told["window"] = {name: len(samples.times) for name, samples in state.samples.items()}
    elif isinstance(condition, Absence):
        told["lastHeard"] = to_rfc3339(state.newest_us)
    elif isinstance(condition, Geofence):
        told["inside"] = state.inside
    elif isinstance(condition, Pattern):
        told["steps"] = {
            step.name: [{"at": to_rfc3339(one.at_us), "entity": one.entity_id} for one in matches[-_MOST_MATCHES:]]
            for step, matches in zip(condition.steps, state.matches, strict=True)
        }
    return told


def _level(level: Level, *, is_on: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"severity": SEVERITIES[level.severity], "on": is_on, "hold": write_duration(level.hold_us)}
    if level.limit is not None:
        return {**told, "limit": level.limit, "clearLimit": level.clear_limit}
    return {**told, "when": level.when.text if level.when else None, "clear": level.clear.text if level.clear else None}
