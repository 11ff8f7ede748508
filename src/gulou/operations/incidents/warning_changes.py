"""How detections and decisions change a warning: plain functions from one state to the next."""

from __future__ import annotations

from msgspec.structs import replace

from gulou.access import Principal
from gulou.hub.rules import Detection, command_id
from gulou.kernel import Conflict, NotFound
from gulou.operations.incidents.model import Action, Warning  # noqa: A004

_MOST_ACTIONS = 64


def new_warning(detection: Detection, warning_id: str, message_id: str, now_us: int) -> Warning:
    """Make the warning of a detection."""
    return Warning(
        id=warning_id,
        message_id=message_id,
        detection_id=detection.id,
        rule_id=detection.rule_id,
        rule_version=detection.rule_version,
        entity_id=detection.entity_id,
        entity_type=detection.entity_type,
        severity=detection.severity,
        peak=detection.severity,
        category=detection.category,
        headline=detection.headline,
        description=detection.description,
        raised_at_us=detection.raised_at_us,
        changed_at_us=now_us,
        values=detection.values,
        location=detection.location,
        department=detection.department,
        deadline_s=detection.deadline_s,
        actions=with_commands((), detection),
    )


def with_commands(actions: tuple[Action, ...], detection: Detection) -> tuple[Action, ...]:
    """Add a detection's commands; what is proposed already is not proposed twice."""
    found = list(actions)
    for index, command in enumerate(detection.commands):
        waiting = [one for one in found if one.state == "proposed"]
        same = any(
            (one.device_id, one.name, one.parameters) == (command.device_id, command.name, command.parameters)
            for one in waiting
        )
        if len(found) >= _MOST_ACTIONS or (same and command.approval == "person"):
            continue
        found.append(
            Action(
                n=len(found),
                device_id=command.device_id,
                name=command.name,
                parameters=command.parameters,
                approval=command.approval,
                state="proposed" if command.approval == "person" else "requested",
                effect=command.effect,
                command_id=command_id(detection, index),
            )
        )
    return tuple(found)


def cleared_by_now(warning: Warning, now_us: int) -> Warning:
    """Clear a warning; nobody decides any more on what a cleared warning had proposed."""
    actions = tuple(replace(one, state="withdrawn") if one.state == "proposed" else one for one in warning.actions)
    return replace(
        warning,
        state="cleared",
        cleared_at_us=now_us,
        changed_at_us=now_us,
        actions=actions,
        version=warning.version + 1,
    )


def action_of(warning: Warning, n: int) -> Action:
    if not 0 <= n < len(warning.actions):
        raise NotFound("warning.action_unknown", warning_id=warning.id, n=n)
    return warning.actions[n]


def with_action(warning: Warning, action: Action) -> Warning:
    return replace(warning, actions=tuple(action if one.n == action.n else one for one in warning.actions))


def check_active(warning: Warning) -> None:
    if warning.state != "active":
        raise Conflict("warning.cleared", warning_id=warning.id)


def check_visible(warning: Warning, principal: Principal) -> None:
    """Who may not see it is not told that it is there."""
    if not principal.may("warning.read", warning.department, warning.entity_type):
        raise NotFound("warning.unknown", warning_id=warning.id)
