"""Commands to devices."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from gulou.api.asking import Asker
from gulou.api.paging import Spans
from gulou.api.schemas.connectivity import CommandNew, CommandPage, CommandView

router = APIRouter(tags=["commands"])

State = Literal["requested", "sent", "acknowledged", "effect_seen", "failed", "timed_out", "expired", "cancelled"]


@router.post("/devices/{device_id}/commands", status_code=201)
def request_command(asker: Asker, device_id: str, entry: CommandNew) -> CommandView:
    """Ask a device to do something; durable before it is sent."""
    raise NotImplementedError


@router.get("/commands")
def list_commands(
    asker: Asker,
    spans: Spans,
    device_id: Annotated[str | None, Query(max_length=128)] = None,
    state: Annotated[State | None, Query()] = None,
    cause: Annotated[str | None, Query(max_length=500, description="a detection's or an incident's id")] = None,
) -> CommandPage:
    """List commands, newest first."""
    raise NotImplementedError


@router.post("/commands/{command_id:path}/cancel")
def cancel_command(asker: Asker, command_id: str) -> CommandView:
    """Give a command up that has not ended yet."""
    raise NotImplementedError


@router.get("/commands/{command_id:path}")
def get_command(asker: Asker, command_id: str) -> CommandView:
    """Get one command."""
    raise NotImplementedError
