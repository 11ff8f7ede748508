"""From the bus to the mailboxes of live clients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gulou.api.schemas.live import LiveDevice
from gulou.api.schemas.shape import View
from gulou.api.views import accounting_of, command_view
from gulou.connectivity.commands.events import CommandChanged
from gulou.connectivity.devices.events import DeviceChanged, DeviceConnected, DeviceDisconnected
from gulou.kernel import to_rfc3339

if TYPE_CHECKING:
    from gulou.api.live import Mailbox
    from gulou.api.services import Services
    from gulou.connectivity.bus import Subscription

_BOUND = 50_000


class LiveSources:
    """Subscribes to what live clients may want; each message is shaped once, then offered to every client.

    Args:
        mailboxes: returns those of the clients connected now.
    """

    def __init__(self, services: Services, mailboxes: Callable[[], list[Mailbox]]) -> None:
        self._services = services
        self._mailboxes = mailboxes
        self._subscriptions: list[Subscription] = []

    def open(self) -> None:
        """Begin to listen; live views never hold the bus up, so their queues lose the oldest when full."""
        listen = partial(self._services.bus.subscribe, bound=_BOUND, lossless=False)
        self._subscriptions = [
            listen(CommandChanged, self._on_command, name="live-commands"),
            listen(DeviceConnected, self._on_connected, name="live-connected"),
            listen(DeviceDisconnected, self._on_disconnected, name="live-disconnected"),
            listen(DeviceChanged, self._on_device, name="live-devices"),
        ]

    def close(self) -> None:
        """Stop listening."""
        for subscription in self._subscriptions:
            subscription.cancel()
        self._subscriptions = []

    def accounting(self) -> dict[str, Any]:
        """Return the ledger as it stands."""
        return accounting_of(self._services.ledger.accounts(), to_rfc3339(self._services.clock.now_us()))

    def _on_command(self, message: CommandChanged) -> None:
        wanting = [mailbox for mailbox in self._mailboxes() if mailbox.wanted.commands]
        if not wanting:
            return
        department = self._department_of(message.command.device_id)
        frame = _frame("command", message.at_us, command_view(message.command))
        for mailbox in wanting:
            if mailbox.principal.may("device.read", department):
                mailbox.put(frame)

    def _on_connected(self, message: DeviceConnected) -> None:
        self._offer_device(message.device_id, LiveDevice(id=message.device_id, change="connected"))

    def _on_disconnected(self, message: DeviceDisconnected) -> None:
        item = LiveDevice(id=message.device_id, change="disconnected", reason=message.reason)
        self._offer_device(message.device_id, item)

    def _on_device(self, message: DeviceChanged) -> None:
        item = LiveDevice.model_validate({"id": message.device_id, "change": message.change})
        self._offer_device(message.device_id, item)

    def _offer_device(self, device_id: str, view: LiveDevice) -> None:
        wanting = [mailbox for mailbox in self._mailboxes() if mailbox.wanted.devices]
        if not wanting:
            return
        department, item = self._department_of(device_id), view.model_dump(mode="json")
        for mailbox in wanting:
            if mailbox.principal.may("device.read", department):
                mailbox.put_device(item)

    def _department_of(self, device_id: str) -> str | None:
        device = self._services.devices.find_device(device_id)
        return device.department if device is not None else None


def _frame(kind: str, at_us: int, view: View) -> dict[str, Any]:
    return {"kind": kind, "at": to_rfc3339(at_us), "item": view.model_dump(mode="json")}
