"""Incidents (事件)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from gulou.api.asking import Asker
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

router = APIRouter(tags=["incidents"])


@router.get("/incidents")
def list_incidents(
    asker: Asker,
    pages: Pages,
    state: Annotated[Literal["open", "dispatched", "closed"] | None, Query()] = None,
    severity: Annotated[list[Severity] | None, Query()] = None,
    department: Annotated[str | None, Query(max_length=128)] = None,
    overdue: bool | None = None,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Instant | None = None,
) -> IncidentPage:
    """List incidents, newest first."""
    raise NotImplementedError


@router.post("/incidents", status_code=201)
def open_incident(asker: Asker, entry: IncidentNew) -> IncidentView:
    """Open an incident by hand."""
    raise NotImplementedError


@router.get("/incidents/{incident_id}")
def get_incident(asker: Asker, incident_id: str) -> IncidentView:
    """Get one incident with its tasks."""
    raise NotImplementedError


@router.get("/incidents/{incident_id}/timeline")
def get_incident_timeline(asker: Asker, incident_id: str, spans: Spans) -> TimelinePage:
    """Get what happened, oldest first."""
    raise NotImplementedError


@router.post("/incidents/{incident_id}/dispatch")
def dispatch_incident(asker: Asker, incident_id: str, entry: DispatchEntry) -> IncidentView:
    """Give it to a department."""
    raise NotImplementedError


@router.post("/incidents/{incident_id}/tasks", status_code=201)
def add_task(asker: Asker, incident_id: str, entry: TaskNew) -> IncidentView:
    """Add a task."""
    raise NotImplementedError


@router.patch("/incidents/{incident_id}/tasks/{task_id}")
def update_task(asker: Asker, incident_id: str, task_id: str, entry: TaskChange) -> IncidentView:
    """Change a task."""
    raise NotImplementedError


@router.post("/incidents/{incident_id}/notes", status_code=201)
def add_note(asker: Asker, incident_id: str, entry: NoteNew) -> IncidentView:
    """Write a note into the timeline."""
    raise NotImplementedError


@router.post("/incidents/{incident_id}/close")
def close_incident(asker: Asker, incident_id: str, entry: CloseEntry) -> IncidentView:
    """Close it with a result."""
    raise NotImplementedError


@router.post("/incidents/{incident_id}/reopen")
def reopen_incident(asker: Asker, incident_id: str, entry: ReopenEntry) -> IncidentView:
    """Open it again."""
    raise NotImplementedError
