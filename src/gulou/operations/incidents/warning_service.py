"""Warnings: what rules find, gathered, acknowledged, decided on, cleared."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection

from gulou.access import Principal
from gulou.connectivity.bus import Bus, Message
from gulou.connectivity.commands import CommandChanged, CommandRequest, ExpectedEffect
from gulou.hub.rules import Detection, DetectionSource
from gulou.kernel import SECOND_US, Clock, Conflict, GulouError, Unavailable, new_id
from gulou.operations.incidents import store_sql as store
from gulou.operations.incidents.command_news import CommandNews
from gulou.operations.incidents.events import WarningChanged
from gulou.operations.incidents.incident_service import IncidentService
from gulou.operations.incidents.message_id import MessageIds
from gulou.operations.incidents.model import (
    SEVERITIES,
    Action,
    Incident,
    Warning,  # noqa: A004
    WarningFilter,
    WarningPage,
    graver,
)
from gulou.operations.incidents.ports import AuditTrail, CommandDesk
from gulou.operations.incidents.settings import IncidentSettings
from gulou.operations.incidents.warning_batch import WarningBatch
from gulou.operations.incidents.warning_changes import (
    action_of,
    check_active,
    check_visible,
    cleared_by_now,
    new_warning,
    with_action,
    with_commands,
)
from gulou.records import Database

_log = logging.getLogger(__name__)
_MOST_ACTIONS = 64
_MOST_WAITING = 100_000
_MISSED_AT_ONCE = 10_000
_TAKEN_AT_ONCE = 500
_GATHER_S = 0.1
"""A transaction costs as much as ten detections: when many come, at most ten transactions a second."""

_ASK_AGAIN_US = 10 * SECOND_US
_ASK_FOR_US = 300 * SECOND_US
_MARGIN_US = 60 * SECOND_US
_RULES = Principal.system("rules")
_COMMANDS = Principal.system("commands")
_AS_ACTOR = "incidents"


class WarningService:
    """The life of warnings. Hears ``Detection`` and ``CommandChanged``, says ``WarningChanged``.

    One detection message changes things once, however often it comes. After a start, ``catch_up`` takes what was found
    while nobody listened. Detections are taken in lists, each in one transaction. No more than 100,000 wait: beyond
    that the bus drops the longest waiting, counts them, and they are asked for again from the rules' own store.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        bus: Bus,
        audit: AuditTrail,
        commands: CommandDesk,
        incidents: IncidentService,
        settings: IncidentSettings | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._audit = audit
        self._desk = commands
        self._incidents = incidents
        self._settings = settings or IncidentSettings()
        self._message_ids = MessageIds(self._settings.sender_code)
        self._guard = threading.RLock()  # detections and commands come on different threads
        with store.reading(database) as connection:
            self._heard_until_us = store.newest_detection_us(connection)
        self._taken_until_us = self._heard_until_us
        self._waiting: deque[Detection] = deque(maxlen=_MOST_WAITING)
        self._news = CommandNews(database, clock, bus, incidents, self._guard)
        self._source: DetectionSource | None = None
        self._missed = _Missed()
        listen = partial(bus.subscribe, bound=_MOST_WAITING, batch=True, gather_s=_GATHER_S)
        self._detections = listen(Detection, self.hear_all, name="incidents.detections", lossless=False)
        self._subscriptions = [
            self._detections,
            listen(CommandChanged, self._news.hear_all, name="incidents.commands"),
        ]

    def close(self) -> None:
        """Stop hearing."""
        for one in self._subscriptions:
            one.cancel()

    def catch_up(self, source: DetectionSource) -> int:
        """Hear what was found while this service was away, and finish approvals that a crash cut short.

        Returns:
            How many detections were asked for.
        """
        self._source = source
        asked = self._ask(source, self._heard_until_us)
        self._finish_approvals()
        return asked

    def _ask(self, source: DetectionSource, since_us: int) -> int:
        asked = 0
        while True:
            missed = source.detections_since(since_us, _MISSED_AT_ONCE)
            self.hear_all(missed)
            asked += len(missed)
            if len(missed) < _MISSED_AT_ONCE or missed[-1].at_us == since_us:
                return asked
            since_us = missed[-1].at_us

    # ---- detections

    def hear(self, detection: Detection) -> None:
        """Take one detection message; see ``hear_all``."""
        self.hear_all([detection])

    def hear_all(self, detections: Sequence[Detection]) -> None:
        """Take detection messages, in order; one that was taken already changes nothing.

        While the record store cannot write, messages wait (bounded) and are taken in order as soon as it can.
        """
        with self._guard:
            self._missed.look(self._detections_dropped(), self._taken_until_us, self._clock.now_us())
            self._waiting.extend(detections)
            self._take_waiting()

    def tick(self, now_us: int) -> None:
        """Take what had to wait for the record store, and ask for what was dropped while too much waited."""
        with self._guard:
            self._take_waiting()
            since_us = self._missed.due(now_us)
        if since_us is not None and self._source is not None:
            self._ask(self._source, since_us - _MARGIN_US)

    def _detections_dropped(self) -> int:
        # the first list may come before the subscription is at hand
        subscription = getattr(self, "_detections", None)
        return 0 if subscription is None else subscription.status().dropped

    def _take_waiting(self) -> None:
        while self._waiting:
            some = list(islice(self._waiting, _TAKEN_AT_ONCE))
            try:
                self._take(some)
            except Unavailable as error:
                _log.error("detections wait: %s (%d waiting)", error.code, len(self._waiting))
                return
            except GulouError:
                self._take_each(some)
            for _ in some:
                self._waiting.popleft()

    def _take_each(self, detections: list[Detection]) -> None:
        """Take one by one what failed together: one that cannot be taken is left out, the others are not."""
        for detection in detections:
            try:
                self._take([detection])
            except GulouError as error:
                _log.error("detection %s is left out: %s", detection.id, error.code)

    def _take(self, detections: list[Detection]) -> None:
        messages: list[Message] = []
        warnings: dict[str, Warning] = {}
        with self._guard, store.writing(self._database) as connection, self._incidents.gathering(connection) as told:
            batch = WarningBatch(connection, detections)
            told.load(batch.incidents())
            for detection in detections:
                if batch.has_seen(detection):
                    continue
                standing = batch.standing(detection)
                if detection.state == "cleared":
                    warning = self._cleared(batch, standing, detection, messages)
                else:
                    warning = self._raised(batch, standing, detection, messages)
                batch.note(detection, warning)
                if warning is not None:
                    warnings[warning.id] = warning
            batch.flush()
        self._taken_until_us = max([self._taken_until_us, *(one.at_us for one in detections)])
        self._publish(messages)
        self._news.take_early(warnings.values())

    def _raised(
        self, batch: WarningBatch, standing: Warning | None, detection: Detection, messages: list[Message]
    ) -> Warning | None:
        connection, now_us = batch.connection, self._clock.now_us()
        if standing is None:
            if detection.state == "changed" and _dismissed(batch, detection):
                return None
            warning, change = self._new(connection, detection, now_us), "raised"
        else:
            is_repeat = detection.id != standing.detection_id
            warning = replace(
                standing,
                detection_id=detection.id,
                rule_version=detection.rule_version,
                severity=detection.severity,
                peak=graver(standing.peak, detection.severity),
                headline=detection.headline or standing.headline,
                description=detection.description or standing.description,
                values=detection.values,
                location=detection.location or standing.location,
                changed_at_us=now_us,
                repeats=standing.repeats + is_repeat,
                actions=with_commands(standing.actions, detection),
                version=standing.version + 1,
            )
            change = "repeated" if is_repeat else "severity"
        told = None
        if detection.opens_incident and warning.incident_id is None:
            told = self._incidents.take_warning(connection, warning, _RULES)
            warning = replace(warning, incident_id=told.incident.id, version=warning.version + 1)
        elif warning.incident_id is not None:
            told = self._incidents.note_warning(connection, warning.incident_id, warning, change, _RULES)
        batch.put(warning)
        messages.append(WarningChanged(at_us=now_us, warning=warning, change=change))
        if told is not None:
            messages.append(told)
        return warning

    def _new(self, connection: Connection, detection: Detection, now_us: int) -> Warning:
        message_id = self._message_ids.take(now_us, lambda sender: store.newest_message_id(connection, sender))
        return new_warning(detection, new_id("wrn", self._clock), message_id, now_us)

    def _cleared(
        self, batch: WarningBatch, standing: Warning | None, detection: Detection, messages: list[Message]
    ) -> Warning | None:
        if standing is None or standing.detection_id != detection.id:
            return None
        now_us = self._clock.now_us()
        warning = replace(
            cleared_by_now(standing, now_us),
            values=detection.values or standing.values,
            actions=with_commands(cleared_by_now(standing, now_us).actions, detection),
        )
        batch.put(warning)
        messages.append(WarningChanged(at_us=now_us, warning=warning, change="cleared"))
        if warning.incident_id is not None:
            told = self._incidents.note_warning(batch.connection, warning.incident_id, warning, "cleared", _RULES)
            messages.append(told)
        return warning

    # ---- people

    def acknowledge(self, warning_id: str, principal: Principal, note: str | None = None) -> Warning:
        """Say that a person has seen it; a second time changes nothing."""

        def change(warning: Warning, now_us: int) -> Warning:
            if warning.acknowledged:
                return warning
            return replace(
                warning,
                acknowledged=True,
                acknowledged_by=principal.id,
                acknowledged_at_us=now_us,
                note=note or warning.note,
            )

        return self._change(warning_id, principal, "warning.acknowledge", "acknowledged", change, {"note": note})

    def clear(self, warning_id: str, principal: Principal, note: str | None = None) -> Warning:
        """Clear it by hand; the rule raises it again only when it becomes graver, or finds it anew.

        Raises:
            Conflict: ``warning.cleared``.
        """

        def change(warning: Warning, now_us: int) -> Warning:
            check_active(warning)
            return replace(cleared_by_now(warning, now_us), version=warning.version, note=note or warning.note)

        return self._change(warning_id, principal, "warning.acknowledge", "cleared", change, {"note": note})

    def open_incident(
        self,
        warning_id: str,
        principal: Principal,
        *,
        department: str | None = None,
        deadline_us: int | None = None,
        note: str | None = None,
    ) -> Incident:
        """Open an incident from it, or attach it to the open one of the same place and kind.

        Raises:
            Conflict: ``warning.has_incident``.
        """
        with store.writing(self._database) as connection:
            warning = self._locked(connection, warning_id, principal)
            principal.require("incident.write", department or warning.department)
            if warning.incident_id is not None:
                raise Conflict("warning.has_incident", warning_id=warning_id, incident_id=warning.incident_id)
            told = self._incidents.take_warning(
                connection, warning, principal, department=department, deadline_us=deadline_us, note=note
            )
            now_us = self._clock.now_us()
            warning = replace(warning, incident_id=told.incident.id, changed_at_us=now_us, version=warning.version + 1)
            store.save_warning(connection, warning)
            self._audit.record(
                principal,
                "warning.attached",
                "warning",
                warning_id,
                {"incident": told.incident.id},
                connection=connection,
            )
        self._publish([WarningChanged(at_us=now_us, warning=warning, change="attached"), told])
        return told.incident

    def approve(self, warning_id: str, n: int, principal: Principal, note: str | None = None) -> Warning:
        """Say yes to a proposed command; it is requested at once, once. Needs ``device.command``.

        Raises:
            Conflict: ``warning.action_decided``, ``warning.cleared``.
            NotFound: ``warning.action_unknown``.
            GulouError: whatever the command service refuses with; the action is then proposed again.
        """
        warning = self._decide(warning_id, n, principal, "approved", note)
        try:
            self._request(warning, warning.actions[n], principal)
        except GulouError as error:
            self._undecide(warning_id, n, error)
            raise
        return self.get(warning_id, principal)

    def decline(self, warning_id: str, n: int, principal: Principal, note: str | None = None) -> Warning:
        """Say no to a proposed command."""
        return self._decide(warning_id, n, principal, "declined", note)

    def _decide(self, warning_id: str, n: int, principal: Principal, state: Any, note: str | None) -> Warning:
        def change(warning: Warning, now_us: int) -> Warning:
            action = action_of(warning, n)
            check_active(warning)
            if action.state != "proposed":
                raise Conflict("warning.action_decided", warning_id=warning_id, n=n, state=action.state)
            decided = replace(action, state=state, decided_by=principal.id, decided_at_us=now_us, note=note)
            return with_action(warning, decided)

        details = {"n": n, "decision": state, "note": note}
        return self._change(warning_id, principal, "device.command", "action", change, details)

    def _undecide(self, warning_id: str, n: int, error: GulouError) -> None:
        with store.writing(self._database) as connection:
            warning = store.get_warning(connection, warning_id, lock=True)
            action = replace(
                action_of(warning, n), state="proposed", decided_by=None, decided_at_us=None, note=error.code
            )
            warning = with_action(warning, action)
            warning = replace(warning, changed_at_us=self._clock.now_us(), version=warning.version + 1)
            store.save_warning(connection, warning)
        self._publish([WarningChanged(at_us=warning.changed_at_us, warning=warning, change="action")])

    def _request(self, warning: Warning, action: Action, principal: Principal) -> None:
        effect = action.effect
        expected = None
        if effect is not None:
            tolerance = float(effect.get("tolerance", 0.0))
            expected = ExpectedEffect(effect["entity_id"], effect["property"], effect["value"], tolerance)
        request = CommandRequest(
            device_id=action.device_id,
            name=action.name,
            parameters=dict(action.parameters),
            id=action.command_id,
            effect=expected,
            cause=warning.detection_id,
            requested_by=principal.id,
            effect_within_s=float(effect.get("within_s", 300.0)) if effect else 300.0,
        )
        self._desk.request(request, principal)

    def _finish_approvals(self) -> None:
        """Request what was approved just before a crash; the command's own id keeps it from being sent twice."""
        oldest_us = self._clock.now_us() - round(self._settings.recover_minutes * 60 * SECOND_US)
        with store.reading(self._database) as connection:
            standing = store.list_warnings(connection, WarningFilter(state="active"), (None, None), 1_000, None)[0]
        for warning in standing:
            for action in warning.actions:
                decided_us = action.decided_at_us or 0
                if action.state == "approved" and action.command_state is None and decided_us >= oldest_us:
                    try:
                        self._request(warning, action, Principal.system(_AS_ACTOR))
                    except GulouError as error:
                        self._undecide(warning.id, action.n, error)

    # ---- looking

    def get(self, warning_id: str, principal: Principal) -> Warning:
        """Return one warning; NotFound also where the asker may not see it."""
        with store.reading(self._database) as connection:
            warning = store.get_warning(connection, warning_id)
        check_visible(warning, principal)
        return warning

    def list(
        self, wanted: WarningFilter, principal: Principal, *, limit: int = 50, cursor: str | None = None
    ) -> WarningPage:
        """Return warnings of the departments and types that the asker may see, newest first."""
        principal.require("warning.read")
        scope = (principal.departments("warning.read"), principal.entity_types("warning.read"))
        with store.reading(self._database) as connection:
            items, total, following = store.list_warnings(connection, wanted, scope, limit, cursor)
        return WarningPage(tuple(items), total, following)

    # ---- writing

    def _locked(self, connection: Connection, warning_id: str, principal: Principal) -> Warning:
        warning = store.get_warning(connection, warning_id, lock=True)
        check_visible(warning, principal)
        return warning

    def _change(
        self,
        warning_id: str,
        principal: Principal,
        permission: str,
        what: str,
        change: Callable[[Warning, int], Warning],
        details: dict[str, Any],
    ) -> Warning:
        now_us = self._clock.now_us()
        messages: list[Message] = []
        with store.writing(self._database) as connection:
            before = self._locked(connection, warning_id, principal)
            principal.require(permission, before.department)
            after = change(before, now_us)
            if after == before:
                return before
            after = replace(after, changed_at_us=now_us, version=before.version + 1)
            store.save_warning(connection, after)
            told = {key: value for key, value in details.items() if value is not None}
            self._audit.record(principal, f"warning.{what}", "warning", warning_id, told, connection=connection)
            messages.append(WarningChanged(at_us=now_us, warning=after, change=what))
            if after.incident_id is not None:
                line = {"warning": warning_id, "change": what, **told}
                kind = "action" if what == "action" else "warning"
                messages.append(self._incidents.note_event(connection, after.incident_id, kind, line, principal))
        self._publish(messages)
        return after

    def _publish(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self._bus.publish(message)


class _Missed:
    """What was dropped before it was heard, and when it is to be asked for."""

    def __init__(self) -> None:
        self._dropped = 0
        self._since_us: int | None = None
        self._ask_us = self._until_us = 0

    def look(self, dropped: int, taken_until_us: int, now_us: int) -> None:
        """Note that so many were dropped so far, all of them later than ``taken_until_us``."""
        if dropped > self._dropped:
            self._dropped = dropped
            self._since_us = taken_until_us if self._since_us is None else min(self._since_us, taken_until_us)
            self._ask_us, self._until_us = now_us, now_us + _ASK_FOR_US

    def due(self, now_us: int) -> int | None:
        """Return from when on to ask again, if it is time; several times, since rules keep findings at checkpoints."""
        since_us = self._since_us
        if since_us is None or now_us < self._ask_us:
            return None
        self._ask_us = now_us + _ASK_AGAIN_US
        if now_us >= self._until_us:
            self._since_us = None
        return since_us


def _dismissed(batch: WarningBatch, detection: Detection) -> bool:
    """Say whether a person cleared this occurrence, and it has not become graver since."""
    before = batch.of_detection(detection.id)
    return before is not None and SEVERITIES.index(detection.severity) <= SEVERITIES.index(before.peak)
