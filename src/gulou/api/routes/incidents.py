"""Incidents (事件)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from gulou.access import Principal
from gulou.api.asking import At, Language, needs
from gulou.api.instants import to_instant_us, to_span_us
from gulou.api.paging import Pages, Spans
from gulou.api.schemas.operations import (
    CloseEntry,
    DispatchEntry,
    IncidentNew,
    IncidentPage,
    IncidentView,
    NoteNew,
    ReopenEntry,
    Severity,
    TaskChange,
    TaskNew,
    TimelinePage,
)
from gulou.api.schemas.shape import Instant
from gulou.api.views import incident_view, timeline_entry_view
from gulou.kernel import Invalid
from gulou.operations.incidents import IncidentFilter

router = APIRouter(tags=["incidents"])

Reader = Annotated[Principal, needs("incident.read")]
Writer = Annotated[Principal, needs("incident.write")]


@router.get("/incidents")
def list_incidents(
    at: At,
    asker: Reader,
    pages: Pages,
    state: Annotated[Literal["open", "dispatched", "closed"] | None, Query()] = None,
    severity: Annotated[list[Severity] | None, Query(max_length=4)] = None,
    department: Annotated[str | None, Query(max_length=128)] = None,
    overdue: bool | None = None,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Instant | None = None,
) -> IncidentPage:
    """List incidents, newest first."""
    from_us, to_us = to_span_us(from_, to)
    wanted = IncidentFilter(
        state=state,
        severities=tuple(severity or ()),
        department=department,
        overdue=overdue,
        from_us=from_us,
        to_us=to_us,
        q=pages.q,
    )
    page = at.incidents.list(wanted, asker, limit=pages.limit, cursor=pages.cursor)
    return IncidentPage(items=[incident_view(incident) for incident in page.items], total=page.total, next=page.next)


@router.post("/incidents", status_code=201)
def open_incident(at: At, asker: Writer, language: Language, entry: IncidentNew) -> IncidentView:
    """Open an incident by hand; with a department it is dispatched at once."""
    incident = at.incidents.open(
        {language: entry.title},
        asker,
        kind=entry.kind,
        severity=entry.severity,
        department=entry.department,
        deadline_us=to_instant_us(entry.deadline),
        entity_id=entry.entity_id,
        location=entry.location,
        note=entry.note,
    )
    return incident_view(incident)


@router.get("/incidents/{incident_id}")
def get_incident(at: At, asker: Reader, incident_id: str) -> IncidentView:
    """Get one incident with its tasks."""
    return incident_view(at.incidents.get(incident_id, asker))


@router.get("/incidents/{incident_id}/timeline")
def get_incident_timeline(at: At, asker: Reader, incident_id: str, spans: Spans) -> TimelinePage:
    """Get what happened, oldest first."""
    cursor = spans.cursor or "0"
    if not cursor.isdecimal() or len(cursor) > 9:
        raise Invalid("request.bad_cursor", cursor=cursor)
    entries = at.incidents.timeline(incident_id, asker, after=int(cursor), limit=spans.limit)
    following = str(entries[-1].number) if len(entries) == spans.limit else None
    return TimelinePage(items=[timeline_entry_view(entry) for entry in entries], next=following)


@router.post("/incidents/{incident_id}/dispatch")
def dispatch_incident(at: At, asker: Writer, incident_id: str, entry: DispatchEntry) -> IncidentView:
    """Give it to a department."""
    incident = at.incidents.dispatch(
        incident_id,
        entry.department,
        asker,
        deadline_us=to_instant_us(entry.deadline),
        note=entry.note,
        version=entry.version,
    )
    return incident_view(incident)


@router.post("/incidents/{incident_id}/tasks", status_code=201)
def add_task(at: At, asker: Writer, incident_id: str, entry: TaskNew) -> IncidentView:
    """Add a task."""
    incident = at.incidents.add_task(
        incident_id,
        entry.title,
        asker,
        department=entry.department,
        assignee=entry.assignee,
        deadline_us=to_instant_us(entry.deadline),
    )
    return incident_view(incident)


@router.patch("/incidents/{incident_id}/tasks/{task_id}")
def update_task(at: At, asker: Writer, incident_id: str, task_id: str, entry: TaskChange) -> IncidentView:
    """Change a task; what is left out or null stays."""
    incident = at.incidents.update_task(
        incident_id,
        task_id,
        asker,
        state=entry.state,
        title=entry.title,
        assignee=entry.assignee,
        deadline_us=to_instant_us(entry.deadline),
        result=entry.result,
    )
    return incident_view(incident)


@router.post("/incidents/{incident_id}/notes", status_code=201)
def add_note(at: At, asker: Writer, incident_id: str, entry: NoteNew) -> IncidentView:
    """Write a note into the timeline."""
    return incident_view(at.incidents.add_note(incident_id, entry.text, asker))


@router.post("/incidents/{incident_id}/close")
def close_incident(at: At, asker: Writer, incident_id: str, entry: CloseEntry) -> IncidentView:
    """Close it with a result."""
    incident = at.incidents.close(
        incident_id, entry.result, asker, version=entry.version, cancel_tasks=entry.cancel_tasks
    )
    return incident_view(incident)


@router.post("/incidents/{incident_id}/reopen")
def reopen_incident(at: At, asker: Writer, incident_id: str, entry: ReopenEntry) -> IncidentView:
    """Open it again."""
    return incident_view(at.incidents.reopen(incident_id, entry.reason, asker, version=entry.version))
