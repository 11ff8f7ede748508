"""Schemas of warnings and incidents."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gulou.api.schemas.shape import Entry, Geometry, Identifier, Instant, Name, Note, Page, Texts, View

Severity = Literal["blue", "yellow", "orange", "red"]


class ActionView(View):
    """A command that a warning proposes and a person decides on."""

    n: int
    device_id: str
    name: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    approval: str = "person"
    state: str = Field(description="proposed, approved, declined, withdrawn, or requested (needed nobody's yes)")
    effect: dict[str, Any] | None = None
    decided_by: str | None = None
    decided_at: Instant | None = None
    note: str | None = None
    command_id: str | None = None
    command_state: str | None = Field(default=None, description="of the command, once there is one")


class WarningView(View):
    """A warning (预警)."""

    id: str
    message_id: str = Field(default="", description="for the exchange with other systems")
    detection_id: str = ""
    rule_id: str
    entity_id: str
    entity_type: str
    severity: Severity
    peak: Severity = Field(default="blue", description="the gravest so far")
    category: str
    state: Literal["active", "cleared"]
    acknowledged: bool
    acknowledged_by: str | None = None
    acknowledged_at: Instant | None = None
    note: str | None = None
    headline: Texts
    description: Texts
    raised_at: Instant
    changed_at: Instant
    cleared_at: Instant | None = None
    repeats: int = 0
    values: dict[str, Any] = Field(default_factory=dict)
    location: Geometry | None = None
    department: str | None = None
    incident_id: str | None = None
    actions: list[ActionView] = Field(default_factory=list)
    version: int = 1


class WarningPage(Page[WarningView]):
    """Warnings, newest first."""


class NoteEntry(Entry):
    """A remark that goes with a decision."""

    note: Note | None = None


class IncidentFromWarning(Entry):
    """How to open an incident from a warning; what is left out comes from the warning."""

    department: Identifier | None = None
    deadline: Instant | None = None
    note: Note | None = None


class TaskView(View):
    """A task of an incident."""

    id: str
    title: str
    state: str = Field(description="open, in_progress, done or cancelled")
    department: str | None = None
    assignee: str | None = None
    deadline_at: Instant | None = None
    created_at: Instant
    done_at: Instant | None = None
    result: str | None = None


class IncidentView(View):
    """An incident (事件)."""

    id: str
    title: Texts
    kind: str
    severity: Severity
    state: Literal["open", "dispatched", "closed"]
    department: str | None = None
    deadline_at: Instant | None = None
    overdue: bool = False
    escalations: int = 0
    dispatched_at: Instant | None = None
    opened_at: Instant
    opened_by: str
    changed_at: Instant
    closed_at: Instant | None = None
    closed_by: str | None = None
    result: str | None = None
    entity_id: str | None = None
    warning_ids: list[str] = Field(default_factory=list)
    location: Geometry | None = None
    tasks: list[TaskView] = Field(default_factory=list)
    version: int = 1


class IncidentPage(Page[IncidentView]):
    """Incidents, newest first."""


class IncidentNew(Entry):
    """An incident to open by hand."""

    title: Name
    kind: Identifier = "other"
    severity: Severity = "yellow"
    department: Identifier | None = None
    deadline: Instant | None = None
    entity_id: Identifier | None = None
    location: Geometry | None = None
    note: Note | None = None


class DispatchEntry(Entry):
    """Who is to deal with the incident, and by when."""

    department: Identifier
    deadline: Instant | None = None
    note: Note | None = None
    version: int | None = None


class TaskNew(Entry):
    """A task to add."""

    title: Name
    department: Identifier | None = None
    assignee: Identifier | None = None
    deadline: Instant | None = None


class TaskChange(Entry):
    """Fields of a task to change."""

    state: Literal["open", "in_progress", "done", "cancelled"] | None = None
    title: Name | None = None
    assignee: Identifier | None = None
    deadline: Instant | None = None
    result: Note | None = None


class NoteNew(Entry):
    """A note for the timeline."""

    text: str = Field(min_length=1, max_length=4000)


class CloseEntry(Entry):
    """How the incident ended."""

    result: str = Field(min_length=1, max_length=4000)
    version: int | None = None
    cancel_tasks: bool = Field(default=False, description="cancel what is not done; else open tasks are a conflict")


class ReopenEntry(Entry):
    """Why a closed incident opens again."""

    reason: str = Field(min_length=1, max_length=4000)
    version: int | None = None


class TimelineEntryView(View):
    """One line of an incident's timeline; never altered, never removed."""

    id: str
    at: Instant
    kind: str
    actor_kind: str
    actor_id: str
    actor_name: str
    text: Texts | None = None
    details: dict[str, Any] = Field(default_factory=dict)


class TimelinePage(Page[TimelineEntryView]):
    """An incident's timeline, oldest first."""
