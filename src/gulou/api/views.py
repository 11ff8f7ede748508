"""Views that several areas send."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from gulou.access import Permission
from gulou.api.schemas.access import PermissionView
from gulou.api.schemas.connectivity import AccountView, CommandView, DeviceView
from gulou.api.schemas.operations import ActionView, IncidentView, TaskView, TimelineEntryView, WarningView
from gulou.api.shaping import to_view
from gulou.connectivity.commands.model import Command
from gulou.connectivity.devices.model import Device
from gulou.kernel import from_us, to_rfc3339

if TYPE_CHECKING:
    from gulou.connectivity.intake import Account
    from gulou.operations.incidents import Incident, TimelineEntry
    from gulou.operations.incidents import Warning as CityWarning


def permission_views(permissions: Iterable[Permission]) -> list[PermissionView]:
    """Show permissions."""
    return [to_view(PermissionView, permission) for permission in permissions]


def command_view(command: Command) -> CommandView:
    """Show a command."""
    return to_view(CommandView, command)


def device_view(device: Device) -> DeviceView:
    """Show a device."""
    return to_view(DeviceView, device)


def warning_view(warning: CityWarning) -> WarningView:
    """Show a warning with its proposed commands."""
    return to_view(WarningView, warning, actions=[to_view(ActionView, action) for action in warning.actions])


def incident_view(incident: Incident) -> IncidentView:
    """Show an incident with its tasks."""
    tasks = [to_view(TaskView, task, deadline_at=_moment(task.deadline_us)) for task in incident.tasks]
    return to_view(IncidentView, incident, tasks=tasks, deadline_at=_moment(incident.deadline_us))


def timeline_entry_view(entry: TimelineEntry) -> TimelineEntryView:
    """Show a line of a timeline."""
    details = {
        name.removesuffix("_us"): to_rfc3339(value) if name.endswith("_us") and isinstance(value, int) else value
        for name, value in entry.details.items()
    }
    return to_view(TimelineEntryView, entry, details=details)


def account_view(account: Account) -> AccountView:
    """Show a line of the ledger."""
    return to_view(AccountView, account)


def accounting_of(accounts: list[Account], at: str) -> dict[str, Any]:
    """Return the ledger as plain data, with the sum of the same moment; an unbalanced line is a defect."""
    lines = [account_view(account) for account in accounts]
    last = max((line.last_received_at for line in lines if line.last_received_at is not None), default=None)
    total = AccountView(
        source="total",
        received=sum(line.received for line in lines),
        stored=sum(line.stored for line in lines),
        rejected=sum(line.rejected for line in lines),
        dropped=sum(line.dropped for line in lines),
        last_received_at=last,
    )
    return {
        "at": at,
        "accounts": [line.model_dump(mode="json") for line in lines],
        "total": total.model_dump(mode="json"),
        "balanced": all(line.received == line.stored + line.rejected + line.dropped for line in lines),
    }


def _moment(instant_us: int | None) -> datetime | None:
    return from_us(instant_us) if instant_us is not None else None
