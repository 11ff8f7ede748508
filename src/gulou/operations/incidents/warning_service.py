"""Warnings: what rules find, gathered, acknowledged, decided on, cleared."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection

from gulou.access import Principal
from gulou.connectivity.bus import Bus, Message
from gulou.connectivity.commands import CommandChanged, CommandRequest, ExpectedEffect
from gulou.connectivity.intake import load_position, save_position
from gulou.hub.rules import Detection
from gulou.kernel import SECOND_US, Clock, Conflict, GulouError, Unavailable, new_id
from gulou.operations.incidents import store_sql as store
from gulou.operations.incidents.command_news import CommandNews
from gulou.operations.incidents.events import WarningChanged
from gulou.operations.incidents.found_sql import FoundDetections
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
from gulou.operations.incidents.ports import AuditTrail, CommandDesk, DetectionRecord
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
_TAKEN_AT_ONCE = 500
_GATHER_S = 0.1
"""A transaction costs as much as ten detections: when many come, at most ten transactions a second."""

_READ_EVERY_US = 10 * SECOND_US
_LONGEST_GAP_US = 60 * SECOND_US
_DAY_US = 86_400 * SECOND_US
_CURSOR = "incidents.detections"
_RULES = Principal.system("rules")
_COMMANDS = Principal.system("commands")
_AS_ACTOR = "incidents"


class WarningService:
    """The life of warnings. Hears ``Detection`` and ``CommandChanged``, says ``WarningChanged``.

    One detection message changes things once, however often it comes, and none is missed: what comes by the bus comes
    soon, and every ten seconds the rules' own record is read on from where it was read to (``record``). Where messages
    may be missing, those that come are held back until the record shows the first of them, so that the order stays.
    Detections are taken in lists, each in one transaction. No more than 100,000 wait: beyond that the bus drops the
    longest waiting.

    Args:
        record: of everything that was found; as a default, the one in ``database``.
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
        record: DetectionRecord | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._audit = audit
        self._desk = commands
        self._record = record or FoundDetections(database)
        self._incidents = incidents
        self._settings = settings or IncidentSettings()
        self._message_ids = MessageIds(self._settings.sender_code)
        self._guard = threading.RLock()  # detections and commands come on different threads
        self._read_to = load_position(database, _CURSOR)
        self._reading = threading.Lock()
        self._read_again_us = 0
        self._gap: _Gap | None = None
        self._dropped = 0
        self._waiting: deque[Detection] = deque(maxlen=_MOST_WAITING)
        self._news = CommandNews(database, clock, bus, incidents, self._guard)
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

    def catch_up(self, *, missing: bool = False) -> int:
        """Take what was found while this service was away, and finish approvals that a crash cut short.

        Args:
            missing: what was found just now may neither be in the record yet nor come by the bus.

        Returns:
            How many detections were read.
        """
        if missing:
            with self._guard:
                self._begin_gap()
        read = self._read_record(self._clock.now_us(), ask=missing)
        self._finish_approvals()
        return read

    # ---- detections

    def hear(self, detection: Detection) -> None:
        """Take one detection message; see ``hear_all``."""
        self.hear_all([detection])

    def hear_all(self, detections: Sequence[Detection]) -> None:
        """Take detection messages, in order; one that was taken already changes nothing.

        While the record store cannot write, messages wait (bounded) and are taken in order as soon as it can.
        """
        with self._guard:
            dropped = self._detections_dropped()
            if dropped > self._dropped:
                self._dropped = dropped
                self._begin_gap()
            if self._gap is not None:
                self._gap.held.extend(detections)
                return
            self._waiting.extend(detections)
            self._take_waiting()

    def tick(self, now_us: int) -> None:
        """Take what had to wait for the record store, and read on in the rules' record."""
        with self._guard:
            self._take_waiting()
            gap = self._gap
        if gap is not None or now_us >= self._read_again_us:
            self._read_record(now_us, ask=gap is not None and len(gap.held) > 0)

    def _detections_dropped(self) -> int:
        # the first list may come before the subscription is at hand
        subscription = getattr(self, "_detections", None)
        return 0 if subscription is None else subscription.status().dropped

    # ---- what is in the record and was not heard

    def _begin_gap(self) -> None:
        until_us = self._clock.now_us() + _LONGEST_GAP_US
        if self._gap is None:
            self._gap = _Gap(until_us)
        self._gap.until_us = until_us

    def _read_record(self, now_us: int, *, ask: bool) -> int:
        """Take what the record has and was not taken; end a gap that it closes. Returns how many were read."""
        with self._reading:
            self._read_again_us = now_us + _READ_EVERY_US
            if ask:
                with suppress(Unavailable):  # it comes with a later checkpoint
                    self._record.keep()
            with self._guard:
                gap = self._gap
                first = gap.held[0] if gap is not None and gap.held else None
            try:
                is_closed = first is not None and self._record.number_of(first) is not None
                read, has_all = self._read_on(now_us)
            except Unavailable as error:
                _log.error("detections cannot be read: %s", error.code)
                return 0
            if gap is not None and ((is_closed and has_all) or now_us >= gap.until_us):
                self._end_gap(gap, is_closed=is_closed)
            return read

    def _end_gap(self, gap: _Gap, *, is_closed: bool) -> None:
        with self._guard:
            self._gap = None
            if gap.held and not is_closed:
                _log.error("the rules' record does not show what comes: %d detections are taken", len(gap.held))
            self._waiting.extend(gap.held)
            self._take_waiting()

    def _read_on(self, now_us: int) -> tuple[int, bool]:
        """Read to the end of the record; returns how many were read, and whether all were taken."""
        oldest_us = now_us - round(self._settings.remember_days * _DAY_US)  # older ones are not recognised any more
        if self._record.newest() < self._read_to:  # all was forgotten, and numbers begin anew
            self._read_to = 0
        read = 0
        while found := self._record.after(self._read_to, _TAKEN_AT_ONCE):
            with self._guard:
                if self._waiting:  # they come before
                    return read, False
                self._take_or_leave([one for _, one in found if one.at_us >= oldest_us], found[-1][0])
            read += len(found)
        return read, True

    def _take_waiting(self) -> None:
        while self._waiting:
            some = list(islice(self._waiting, _TAKEN_AT_ONCE))
            try:
                self._take_or_leave(some)
            except Unavailable as error:
                _log.error("detections wait: %s (%d waiting)", error.code, len(self._waiting))
                return
            for _ in some:
                self._waiting.popleft()

    def _take_or_leave(self, detections: list[Detection], read_to: int | None = None) -> None:
        """Take a list, or one by one what fails together: one that cannot be taken is left out, the others are not.

        Args:
            read_to: number of the last one, where they come from the record.

        Raises:
            Unavailable: nothing can be written for now.
        """
        try:
            self._take(detections, read_to)
        except Unavailable:
            raise
        except GulouError:
            for detection in detections:
                self._take_or_log(detection)
            self._take([], read_to)

    def _take_or_log(self, detection: Detection) -> None:
        try:
            self._take([detection])
        except Unavailable:
            raise
        except GulouError as error:
            _log.error("detection %s is left out: %s", detection.id, error.code)

    def _take(self, detections: list[Detection], read_to: int | None = None) -> None:
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
            if read_to is not None:
                save_position(connection, _CURSOR, read_to)
        if read_to is not None:
            self._read_to = read_to
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


class _Gap:
    """That detections may be missing between what was heard and what comes; what comes is held back meanwhile.

    Args:
        until_us: not longer than until then.
    """

    def __init__(self, until_us: int) -> None:
        self.until_us = until_us
        self.held: deque[Detection] = deque(maxlen=_MOST_WAITING)


def _dismissed(batch: WarningBatch, detection: Detection) -> bool:
    """Say whether a person cleared this occurrence, and it has not become graver since."""
    before = batch.of_detection(detection.id)
    return before is not None and SEVERITIES.index(detection.severity) <= SEVERITIES.index(before.peak)
