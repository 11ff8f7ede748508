"""Warnings (预警)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from gulou.access import Principal
from gulou.api.asking import At, needs
from gulou.api.instants import to_instant_us, to_span_us
from gulou.api.paging import Pages
from gulou.api.schemas.operations import (
    IncidentFromWarning,
    IncidentView,
    NoteEntry,
    Severity,
    WarningPage,
    WarningView,
)
from gulou.api.schemas.shape import Instant
from gulou.api.views import incident_view, warning_view
from gulou.operations.incidents import WarningFilter

router = APIRouter(tags=["warnings"])

Reader = Annotated[Principal, needs("warning.read")]
Acknowledger = Annotated[Principal, needs("warning.acknowledge")]
Opener = Annotated[Principal, needs("incident.write")]
Commander = Annotated[Principal, needs("device.command")]


@router.get("/warnings")
def list_warnings(
    at: At,
    asker: Reader,
    pages: Pages,
    state: Annotated[Literal["active", "cleared"] | None, Query()] = None,
    acknowledged: bool | None = None,
    severity: Annotated[list[Severity] | None, Query(max_length=4)] = None,
    entity_id: Annotated[str | None, Query(max_length=512)] = None,
    rule_id: Annotated[str | None, Query(max_length=256)] = None,
    incident_id: Annotated[str | None, Query(max_length=128)] = None,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Instant | None = None,
) -> WarningPage:
    """List warnings, newest first."""
    from_us, to_us = to_span_us(from_, to)
    wanted = WarningFilter(
        state=state,
        acknowledged=acknowledged,
        severities=tuple(severity or ()),
        entity_id=entity_id,
        rule_id=rule_id,
        incident_id=incident_id,
        from_us=from_us,
        to_us=to_us,
        q=pages.q,
    )
    page = at.warnings.list(wanted, asker, limit=pages.limit, cursor=pages.cursor)
    return WarningPage(items=[warning_view(warning) for warning in page.items], total=page.total, next=page.next)


@router.post("/warnings/{warning_id:path}/acknowledge")
def acknowledge_warning(at: At, asker: Acknowledger, warning_id: str, entry: NoteEntry) -> WarningView:
    """Say that a person has seen it."""
    return warning_view(at.warnings.acknowledge(warning_id, asker, entry.note))


@router.post("/warnings/{warning_id:path}/clear")
def clear_warning(at: At, asker: Acknowledger, warning_id: str, entry: NoteEntry) -> WarningView:
    """Clear it by hand."""
    return warning_view(at.warnings.clear(warning_id, asker, entry.note))


@router.post("/warnings/{warning_id:path}/open-incident", status_code=201)
def open_incident_from_warning(at: At, asker: Opener, warning_id: str, entry: IncidentFromWarning) -> IncidentView:
    """Open an incident from it, or attach it to the one that is open for the same place and kind."""
    incident = at.warnings.open_incident(
        warning_id,
        asker,
        department=entry.department,
        deadline_us=to_instant_us(entry.deadline),
        note=entry.note,
    )
    return incident_view(incident)


@router.post("/warnings/{warning_id:path}/actions/{n}/approve")
def approve_action(at: At, asker: Commander, warning_id: str, n: int, entry: NoteEntry) -> WarningView:
    """Say yes to a proposed command; it is requested at once."""
    return warning_view(at.warnings.approve(warning_id, n, asker, entry.note))


@router.post("/warnings/{warning_id:path}/actions/{n}/decline")
def decline_action(at: At, asker: Commander, warning_id: str, n: int, entry: NoteEntry) -> WarningView:
    """Say no to a proposed command."""
    return warning_view(at.warnings.decline(warning_id, n, asker, entry.note))


@router.get("/warnings/{warning_id:path}")
def get_warning(at: At, asker: Reader, warning_id: str) -> WarningView:
    """Get one warning."""
    return warning_view(at.warnings.get(warning_id, asker))
