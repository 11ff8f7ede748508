"""Commands to devices."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from gulou.access import Principal
from gulou.api.asking import At, needs
from gulou.api.paging import Spans
from gulou.api.schemas.connectivity import CommandNew, CommandPage, CommandView
from gulou.api.views import command_view
from gulou.connectivity.commands import CommandQuery, CommandRequest, ExpectedEffect

router = APIRouter(tags=["commands"])

Reader = Annotated[Principal, needs("device.read")]
Commander = Annotated[Principal, needs("device.command")]
State = Literal["requested", "sent", "acknowledged", "effect_seen", "failed", "timed_out", "expired", "cancelled"]


@router.post("/devices/{device_id}/commands", status_code=201)
def request_command(at: At, asker: Commander, device_id: str, entry: CommandNew) -> CommandView:
    """Ask a device to do something; durable before it is sent."""
    effect = ExpectedEffect(**entry.effect.model_dump()) if entry.effect is not None else None
    given = entry.model_dump(exclude={"effect"})
    request = CommandRequest(**given, device_id=device_id, effect=effect, requested_by=asker.id)
    return command_view(at.commands.request(request, asker))


@router.get("/commands")
def list_commands(
    at: At,
    asker: Reader,
    spans: Spans,
    device_id: Annotated[str | None, Query(max_length=128)] = None,
    state: Annotated[State | None, Query()] = None,
    active: Annotated[bool | None, Query(description="only those that wait for something, or only ended ones")] = None,
    cause: Annotated[str | None, Query(max_length=600, description="a detection's or an incident's id")] = None,
) -> CommandPage:
    """List commands, newest first."""
    query = CommandQuery(
        device_id=device_id,
        state=state,
        active=active,
        cause=cause,
        departments=asker.departments("device.read"),
        limit=spans.limit,
        cursor=spans.cursor,
    )
    page = at.commands.list_commands(query)
    return CommandPage(items=[command_view(command) for command in page.items], total=page.total, next=page.next)


@router.post("/commands/{command_id:path}/cancel")
def cancel_command(at: At, asker: Commander, command_id: str) -> CommandView:
    """Give a command up that has not been sent yet."""
    return command_view(at.commands.cancel(command_id, asker))


@router.get("/commands/{command_id:path}")
def get_command(at: At, asker: Reader, command_id: str) -> CommandView:
    """Get one command."""
    command = at.commands.get_command(command_id)
    device = at.devices.find_device(command.device_id)
    asker.require("device.read", device.department if device is not None else None)
    return command_view(command)
