"""Warnings and incidents as they stand. Frozen, no I/O; times in µs UTC."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Severity = Literal["blue", "yellow", "orange", "red"]
SEVERITIES: tuple[Severity, ...] = ("blue", "yellow", "orange", "red")
ActionState = Literal["proposed", "approved", "declined", "requested", "withdrawn"]
IncidentState = Literal["open", "dispatched", "closed"]
TaskState = Literal["open", "in_progress", "done", "cancelled"]


def graver(one: str, other: str) -> str:
    """Return the graver of two severities."""
    return max(one, other, key=SEVERITIES.index)


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A command that a warning proposes, or that its rule has sent already (``requested``).

    Args:
        n: its number within the warning, from 0.
        effect: ``{"entity_id", "property", "value", "tolerance", "within_s"}`` or None.
        command_state: of the command, once there is one.
    """

    n: int
    device_id: str
    name: str
    parameters: dict[str, Any] = {}
    approval: str = "person"
    state: ActionState = "proposed"
    effect: dict[str, Any] | None = None
    command_id: str | None = None
    command_state: str | None = None
    decided_by: str | None = None
    decided_at_us: int | None = None
    note: str | None = None


class Warning(msgspec.Struct, frozen=True, kw_only=True):  # noqa: A001 - 预警, the field's word
    """A warning (预警): a rule finds something on an entity, or did.

    Args:
        message_id: for the exchange with other systems, GB/T 35965.1 form.
        detection_id: the occurrence that it stands for now; a new one while it is active counts as a repeat.
        peak: the gravest severity so far.
        repeats: how often the same rule found the same entity again while it was active.
    """

    id: str
    message_id: str
    detection_id: str
    rule_id: str
    rule_version: str
    entity_id: str
    entity_type: str
    severity: str
    peak: str
    category: str
    headline: dict[str, str]
    description: dict[str, str]
    raised_at_us: int
    changed_at_us: int
    state: Literal["active", "cleared"] = "active"
    cleared_at_us: int | None = None
    acknowledged: bool = False
    acknowledged_by: str | None = None
    acknowledged_at_us: int | None = None
    note: str | None = None
    repeats: int = 0
    values: dict[str, Any] = {}
    location: dict[str, Any] | None = None
    department: str | None = None
    deadline_s: float | None = None
    incident_id: str | None = None
    actions: tuple[Action, ...] = ()
    version: int = 1


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody has to do for an incident."""

    id: str
    title: str
    created_at_us: int
    state: TaskState = "open"
    department: str | None = None
    assignee: str | None = None
    deadline_us: int | None = None
    done_at_us: int | None = None
    result: str | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident (事件): what people deal with, from opening to result.

    Args:
        kind: the category of its warnings, or what a person chose.
        overdue: the deadline has passed and it is not closed.
        escalations: how often that was pressed.
    """

    id: str
    title: dict[str, str]
    kind: str
    severity: str
    opened_at_us: int
    opened_by: str
    changed_at_us: int
    state: IncidentState = "open"
    department: str | None = None
    deadline_us: int | None = None
    overdue: bool = False
    escalations: int = 0
    dispatched_at_us: int | None = None
    closed_at_us: int | None = None
    closed_by: str | None = None
    result: str | None = None
    entity_id: str | None = None
    location: dict[str, Any] | None = None
    warning_ids: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    version: int = 1

    @property
    def time_to_dispatch_s(self) -> float | None:
        """Seconds from opening to dispatch; None before."""
        return None if self.dispatched_at_us is None else (self.dispatched_at_us - self.opened_at_us) / 1e6

    @property
    def time_to_close_s(self) -> float | None:
        """Seconds from opening to closing; None before."""
        return None if self.closed_at_us is None else (self.closed_at_us - self.opened_at_us) / 1e6


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an incident's timeline; never altered, never removed.

    Args:
        id: ``<incident>-<number>``.
        kind: ``opened``, ``warning``, ``severity``, ``dispatched``, ``task``, ``note``, ``command``, ``action``,
            ``overdue``, ``closed``, ``reopened``.
    """

    id: str
    incident_id: str
    number: int
    at_us: int
    kind: str
    actor_kind: str
    actor_id: str
    actor_name: str
    text: dict[str, str] | None = None
    details: dict[str, Any] = {}


class WarningFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which warnings; None means any. ``q`` looks into headline, rule and entity."""

    state: str | None = None
    acknowledged: bool | None = None
    severities: tuple[str, ...] = ()
    entity_id: str | None = None
    rule_id: str | None = None
    incident_id: str | None = None
    from_us: int | None = None
    to_us: int | None = None
    q: str | None = None


class IncidentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which incidents; None means any. ``q`` looks into title, kind and id."""

    state: str | None = None
    severities: tuple[str, ...] = ()
    department: str | None = None
    overdue: bool | None = None
    from_us: int | None = None
    to_us: int | None = None
    q: str | None = None


class WarningPage(msgspec.Struct, frozen=True):
    """Warnings, newest first; ``next`` is the cursor of the next page, ``total`` counts all that match."""

    items: tuple[Warning, ...]
    total: int
    next: str | None = None


class IncidentPage(msgspec.Struct, frozen=True):
    """Incidents, newest first."""

    items: tuple[Incident, ...]
    total: int
    next: str | None = None
