"""From the bus to the mailboxes of live clients."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from gulou.api.live_index import LiveIndex
from gulou.api.mailbox import EntityNews, Mailbox
from gulou.api.schemas.live import LiveDevice
from gulou.api.schemas.shape import View
from gulou.api.views import accounting_of, command_view, incident_view, warning_view
from gulou.connectivity.commands.events import CommandChanged
from gulou.connectivity.devices.events import DeviceChanged, DeviceConnected, DeviceDisconnected
from gulou.hub.context import EntitiesChanged
from gulou.kernel import to_rfc3339
from gulou.operations.incidents.events import IncidentChanged, WarningChanged

if TYPE_CHECKING:
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
        self._entities: Subscription | None = None
        self._index = LiveIndex()
        self._guard = threading.Lock()

    def open(self) -> None:
        """Begin to listen; live views never hold the bus up, so their queues lose the oldest when full."""
        self._services.context.watch(())
        listen = partial(self._services.bus.subscribe, bound=_BOUND, lossless=False)
        self._subscriptions = [
            listen(WarningChanged, self._on_warning, name="live-warnings"),
            listen(IncidentChanged, self._on_incident, name="live-incidents"),
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
        with self._guard:
            entities, self._entities = self._entities, None
        if entities is not None:
            entities.cancel()

    def hear_entities(self) -> None:
        """Follow what clients want of entities; to be called when one has said what it wants, and when one has left.

        The context tells only what somebody watches; while nobody looks, nobody listens.
        """
        with self._guard:
            self._index = index = LiveIndex(self._mailboxes())
            self._services.context.watch(index.interests)
            if index and self._entities is None:
                self._entities = self._services.bus.subscribe(
                    EntitiesChanged, self._on_entities, name="live-entities", bound=_BOUND, lossless=False
                )
            elif not index and self._entities is not None:
                self._entities.cancel()
                self._entities = None

    def accounting(self) -> dict[str, Any]:
        """Return the ledger as it stands."""
        return accounting_of(self._services.ledger.accounts(), to_rfc3339(self._services.clock.now_us()))

    def entity_item(self, news: EntityNews) -> dict[str, Any]:
        """Return the newest values of what has changed of an entity."""
        context = self._services.context
        if news.deleted or not context.has_entity(news.id):
            return {"id": news.id, "type": news.type, "values": {}, "deleted": True}
        item: dict[str, Any] = {"id": news.id, "type": news.type, "values": {}, "deleted": False}
        observed_us = 0
        for name in news.properties:
            attribute = context.find_attribute(news.id, name)
            if attribute is None:
                continue
            observed_us = max(observed_us, attribute.observed_at_us or 0)
            if name == "location":
                item["location"] = attribute.value
            else:
                item["values"][name] = attribute.value
        item["observedAt"] = to_rfc3339(observed_us) if observed_us else None
        return item

    def _on_entities(self, message: EntitiesChanged) -> None:
        index, position_of = self._index, self._services.context.position_of
        for change in message.changes:
            news = EntityNews(change.entity_id, change.entity_type, change.properties, change.deleted)
            for mailbox in index.concerned(news.id, news.type, position_of(news.id)):
                mailbox.put_entity(news)

    def _on_warning(self, message: WarningChanged) -> None:
        warning = message.warning
        frame: dict[str, Any] | None = None
        for mailbox in self._mailboxes():
            if mailbox.wanted.warnings and mailbox.principal.may(
                "warning.read", warning.department, warning.entity_type
            ):
                frame = frame or _frame("warning", message.at_us, warning_view(warning))
                mailbox.put(frame)

    def _on_incident(self, message: IncidentChanged) -> None:
        incident = message.incident
        frame: dict[str, Any] | None = None
        for mailbox in self._mailboxes():
            wanted = mailbox.wanted.incidents
            is_wanted = wanted is True or (wanted is not False and incident.id in wanted)
            if is_wanted and mailbox.principal.may("incident.read", incident.department):
                frame = frame or _frame("incident", message.at_us, incident_view(incident))
                mailbox.put(frame)

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
        item = LiveDevice(id=message.device_id, change="disconnected", reason=message.reason, will=message.will)
        self._offer_device(message.device_id, item)

    def _on_device(self, message: DeviceChanged) -> None:
        if message.change == "credentials":  # nothing that anybody can see of a device
            return
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
