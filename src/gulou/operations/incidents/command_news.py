"""What becomes of commands that a warning or an incident caused."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from msgspec.structs import replace
from sqlalchemy import Connection

from gulou.access import Principal
from gulou.connectivity.bus import Bus, Message
from gulou.connectivity.commands import Command, CommandChanged
from gulou.kernel import Clock, NotFound
from gulou.operations.incidents import store_sql as store
from gulou.operations.incidents.events import WarningChanged
from gulou.operations.incidents.incident_batch import IncidentBatch
from gulou.operations.incidents.incident_service import IncidentService
from gulou.operations.incidents.model import Warning  # noqa: A004
from gulou.operations.incidents.warning_batch import WarningBatch
from gulou.records import Database

_MOST_EARLY = 100_000
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

    def hear_all(self, news: Sequence[CommandChanged]) -> None:
        """Follow commands that warnings or incidents caused, in one transaction."""
        messages: list[Message] = []
        with self._guard:
            with store.writing(self._database) as connection, self._incidents.gathering(connection) as gathered:
                early = self._follow(gathered, news, messages)
            for message in early:
                self._keep_early(message)
        for one in messages:
            self._bus.publish(one)

    def _follow(
        self, gathered: IncidentBatch, news: Sequence[CommandChanged], messages: list[Message]
    ) -> list[CommandChanged]:
        """Write what is new; return what belongs to no warning yet."""
        caused = [one for one in news if one.command.cause is not None]
        batch, by_command = WarningBatch.of_commands(
            gathered.connection, [one.command.id for one in caused if not (one.command.cause or "").startswith("inc-")]
        )
        early, changed = [], dict[str, Warning]()
        told = _Told(gathered.connection, caused)
        gathered.load(batch.incidents())
        for message in caused:
            command = message.command
            warning_id = by_command.get(command.id)
            if (command.cause or "").startswith("inc-"):
                self._tell_incident(told, command.cause or "", message, messages)
            elif warning_id is None:
                early.append(message)
            elif (warning := _with_state(batch.loaded(warning_id), command, self._clock.now_us())) is not None:
                changed[warning_id] = warning
                batch.put(warning)
                if warning.incident_id is not None:
                    self._tell_incident(told, warning.incident_id, message, messages)
        batch.flush()
        told.flush()
        messages.extend(
            WarningChanged(at_us=one.changed_at_us, warning=one, change="action") for one in changed.values()
        )
        return early

    def _tell_incident(self, told: _Told, incident_id: str, message: CommandChanged, messages: list[Message]) -> None:
        command = message.command
        if not told.is_new(message):
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
            messages.append(self._incidents.note_event(told.connection, incident_id, "command", details, _COMMANDS))
        except NotFound:
            return  # a cause that only looks like an incident

    def _keep_early(self, message: CommandChanged) -> None:
        """Keep news of a command whose detection has not been heard yet; the two come on different threads."""
        self._early.setdefault(message.command.id, []).append(message)
        while len(self._early) > _MOST_EARLY:
            self._early.popitem(last=False)

    def take_early(self, warnings: Iterable[Warning]) -> None:
        """Follow what was heard of these warnings' commands before the warnings themselves."""
        with self._guard:
            if not self._early:
                return
            ids = [action.command_id or "" for warning in warnings for action in warning.actions]
            early = [one for command_id in ids for one in self._early.pop(command_id, ())]
        if early:
            self.hear_all(early)


class _Told:
    """Which steps of commands timelines were told of, before and in this transaction."""

    def __init__(self, connection: Connection, news: Sequence[CommandChanged]) -> None:
        self.connection = connection
        self._before = store.told_commands(connection, map(_step, news))
        self._now: dict[str, int] = {}

    def is_new(self, message: CommandChanged) -> bool:
        """Say whether a step is told of for the first time; from now on it is not."""
        step = _step(message)
        if step in self._before or step in self._now:
            return False
        self._now[step] = message.at_us
        return True

    def flush(self) -> None:
        """Remember what was told of."""
        store.note_commands(self.connection, self._now)


def _step(message: CommandChanged) -> str:
    command = message.command
    return f"{command.id}|{command.state}|{command.attempts}"


def _with_state(warning: Warning, command: Command, now_us: int) -> Warning | None:
    """Return a warning whose action has its command's state; None where that has been told already."""
    actions = tuple(
        replace(one, command_state=command.state) if one.command_id == command.id else one for one in warning.actions
    )
    if actions == warning.actions:
        return None
    return replace(warning, actions=actions, changed_at_us=now_us, version=warning.version + 1)
