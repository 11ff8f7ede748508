"""Views that several areas send."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gulou.access import Permission
from gulou.api.schemas.access import PermissionView
from gulou.api.schemas.connectivity import AccountView, CommandView, DeviceView
from gulou.api.shaping import to_view
from gulou.connectivity.commands.model import Command
from gulou.connectivity.devices.model import Device

if TYPE_CHECKING:
    from gulou.connectivity.intake import Account


def permission_views(permissions: Iterable[Permission]) -> list[PermissionView]:
    """Show permissions."""
    return [to_view(PermissionView, permission) for permission in permissions]


def command_view(command: Command) -> CommandView:
    """Show a command."""
    return to_view(CommandView, command)


def device_view(device: Device) -> DeviceView:
    """Show a device."""
    return to_view(DeviceView, device)


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
