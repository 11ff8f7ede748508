"""Warnings (预警)."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from gulou.api.asking import Asker
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

router = APIRouter(tags=["warnings"])


@router.get("/warnings")
def list_warnings(
    asker: Asker,
    pages: Pages,
    state: Annotated[Literal["active", "cleared"] | None, Query()] = None,
    acknowledged: bool | None = None,
    severity: Annotated[list[Severity] | None, Query()] = None,
    entity_id: Annotated[str | None, Query(max_length=256)] = None,
    from_: Annotated[Instant | None, Query(alias="from")] = None,
    to: Instant | None = None,
) -> WarningPage:
    """List warnings, newest first."""
    raise NotImplementedError


@router.post("/warnings/{warning_id:path}/acknowledge")
def acknowledge_warning(asker: Asker, warning_id: str, entry: NoteEntry) -> WarningView:
    """Say that a person has seen it."""
    raise NotImplementedError


@router.post("/warnings/{warning_id:path}/clear")
def clear_warning(asker: Asker, warning_id: str, entry: NoteEntry) -> WarningView:
    """Clear it by hand."""
    raise NotImplementedError


@router.post("/warnings/{warning_id:path}/open-incident", status_code=201)
def open_incident_from_warning(asker: Asker, warning_id: str, entry: IncidentFromWarning) -> IncidentView:
    """Open an incident from it, or attach it to the one that is open for the same place and kind."""
    raise NotImplementedError


@router.post("/warnings/{warning_id:path}/actions/{n}/approve")
def approve_action(asker: Asker, warning_id: str, n: int, entry: NoteEntry) -> WarningView:
    """Say yes to a proposed command; it is requested at once."""
    raise NotImplementedError


@router.post("/warnings/{warning_id:path}/actions/{n}/decline")
def decline_action(asker: Asker, warning_id: str, n: int, entry: NoteEntry) -> WarningView:
    """Say no to a proposed command."""
    raise NotImplementedError


@router.get("/warnings/{warning_id:path}")
def get_warning(asker: Asker, warning_id: str) -> WarningView:
    """Get one warning."""
    raise NotImplementedError
