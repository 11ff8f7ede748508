"""What becomes of commands that a warning or an incident caused."""

from __future__ import annotations

import threading
from collections import OrderedDict

from msgspec.structs import replace
from sqlalchemy import Connection

from gulou.access import Principal
from gulou.connectivity.bus import Bus, Message
from gulou.connectivity.commands import CommandChanged
from gulou.kernel import Clock, NotFound
from gulou.operations.incidents import store_sql as store
from gulou.operations.incidents.events import WarningChanged
from gulou.operations.incidents.incident_service import IncidentService
from gulou.operations.incidents.model import Warning  # noqa: A004
from gulou.records import Database

_MOST_EARLY = 1_000
_COMMANDS = Principal.system("commands")


class CommandNews:
    """Follows commands into the actions of their warning and the timeline of its incident.

    Args:
        guard: shared with whoever hears detections: news of a command may come before its detection, and is kept then.
    """

    def __init__(
        self, database: Database, clock: Clock, bus: Bus, incidents: IncidentService, guard: threading.RLock
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._incidents = incidents
        self._guard = guard
        self._early: OrderedDict[str, list[CommandChanged]] = OrderedDict()

    def hear(self, message: CommandChanged) -> None:
        """Follow a command that a warning or an incident caused."""
        messages: list[Message] = []
        with self._guard:
            with store.writing(self._database) as connection:
                found = self._follow(connection, message, messages)
            if not found:
                self._keep_early(message)
        for one in messages:
            self._bus.publish(one)

    def _follow(self, connection: Connection, message: CommandChanged, messages: list[Message]) -> bool:
        command = message.command
        if command.cause is None:
            return True
        if command.cause.startswith("inc-"):
            self._tell_incident(connection, command.cause, message, messages)
            return True
        warning = store.find_by_command(connection, command.id)
        if warning is None:
            return False
        actions = tuple(
            replace(one, command_state=command.state) if one.command_id == command.id else one
            for one in warning.actions
        )
        if actions == warning.actions:
            return True  # told already
        warning = replace(warning, actions=actions, changed_at_us=self._clock.now_us(), version=warning.version + 1)
        store.save_warning(connection, warning)
        messages.append(WarningChanged(at_us=warning.changed_at_us, warning=warning, change="action"))
        if warning.incident_id is not None:
            self._tell_incident(connection, warning.incident_id, message, messages)
        return True

    def _tell_incident(
        self, connection: Connection, incident_id: str, message: CommandChanged, messages: list[Message]
    ) -> None:
        command = message.command
        if not store.note_command(connection, f"{command.id}|{command.state}|{command.attempts}", message.at_us):
            return
        details = {
            "command": command.id,
            "device": command.device_id,
            "name": command.name,
            "parameters": command.parameters,
            "state": command.state,
            "reason": command.reason,
            "requested_by": command.requested_by,
        }
        try:
            messages.append(self._incidents.note_event(connection, incident_id, "command", details, _COMMANDS))
        except NotFound:
            return  # a cause that only looks like an incident

    def _keep_early(self, message: CommandChanged) -> None:
        """Keep news of a command whose detection has not been heard yet; the two come on different threads."""
        self._early.setdefault(message.command.id, []).append(message)
        while len(self._early) > _MOST_EARLY:
            self._early.popitem(last=False)

    def take_early(self, warning: Warning) -> None:
        with self._guard:
            early = [one for action in warning.actions for one in self._early.pop(action.command_id or "", ())]
        for message in early:
            self.hear(message)
