"""Incidents: opened by a rule or a person, dispatched, worked on, closed with a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace
from sqlalchemy import Connection

from gulou.access import AuditDraft, Principal
from gulou.connectivity.bus import Bus
from gulou.kernel import SECOND_US, Clock, Conflict, Invalid, NotFound, new_id
from gulou.kernel.geometry import distance_m
from gulou.operations.incidents import store_sql as store
from gulou.operations.incidents.events import IncidentChanged
from gulou.operations.incidents.incident_batch import IncidentBatch
from gulou.operations.incidents.model import (
    SEVERITIES,
    Incident,
    IncidentFilter,
    IncidentPage,
    Task,
    TimelineEntry,
    Warning,  # noqa: A004
    graver,
)
from gulou.operations.incidents.ports import AuditTrail
from gulou.operations.incidents.settings import IncidentSettings
from gulou.records import Database

_MOST_TASKS = 200
_MOST_WARNINGS = 1_000
_LONGEST_TEXT = 4_000
_TIDY_EVERY_US = 3_600 * SECOND_US
_METRES_PER_DEGREE = 111_000.0
_TASK_STATES = ("open", "in_progress", "done", "cancelled")
_SYSTEM = Principal.system("incidents")


class IncidentService:
    """The life of incidents. Every change needs ``incident.write`` in the incident's department.

    Changes are made in one transaction with their line in the timeline and their audit record, and told on the bus
    (``IncidentChanged``) afterwards. Methods that take ``version`` refuse when somebody changed the incident meanwhile.
    """

    def __init__(
        self, database: Database, clock: Clock, bus: Bus, audit: AuditTrail, settings: IncidentSettings | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._bus = bus
        self._audit = audit
        self._settings = settings or IncidentSettings()
        self._tidied_us = 0
        self._batches: dict[int, IncidentBatch] = {}  # by transaction

    # ---- people

    def open(
        self,
        title: str | dict[str, str],
        principal: Principal,
        *,
        kind: str = "other",
        severity: str = "yellow",
        department: str | None = None,
        deadline_us: int | None = None,
        entity_id: str | None = None,
        location: dict[str, Any] | None = None,
        note: str | None = None,
    ) -> Incident:
        """Open an incident by hand; with a department it is dispatched at once.

        Raises:
            Invalid: ``incident.severity_unknown``, ``incident.deadline_past``, ``incident.text_length``.
            Denied: ``access.denied``.
        """
        principal.require("incident.write", department)
        texts = {"en": title} if isinstance(title, str) else dict(title)
        for text in texts.values():
            _check_text(text)
        if severity not in SEVERITIES:
            raise Invalid("incident.severity_unknown", severity=severity)
        self._check_deadline(deadline_us)
        now_us = self._clock.now_us()
        incident = Incident(
            id=new_id("inc", self._clock),
            title=texts,
            kind=kind,
            severity=severity,
            opened_at_us=now_us,
            opened_by=principal.id,
            changed_at_us=now_us,
            state="dispatched" if department else "open",
            dispatched_at_us=now_us if department else None,
            department=department,
            deadline_us=deadline_us,
            entity_id=entity_id,
            location=location,
        )
        with store.writing(self._database) as connection:
            message = self.insert(connection, incident, principal, {"note": note} if note else {})
        self._bus.publish(message)
        return incident

    def dispatch(
        self,
        incident_id: str,
        department: str,
        principal: Principal,
        *,
        deadline_us: int | None = None,
        note: str | None = None,
        version: int | None = None,
    ) -> Incident:
        """Give it to a department; again to give it to another. A deadline given anew takes the old one's place."""
        self._check_deadline(deadline_us)
        _check_text(department, 128)

        def change(incident: Incident, now_us: int) -> tuple[Incident, str, dict[str, Any]]:
            _still_open(incident)
            after = replace(
                incident,
                state="dispatched",
                department=department,
                dispatched_at_us=incident.dispatched_at_us or now_us,
                deadline_us=deadline_us or incident.deadline_us,
            )
            if deadline_us is not None:
                after = replace(after, overdue=False, escalations=0)
            details = {
                "department": department,
                "from": incident.department,
                "deadline_us": after.deadline_us,
                "note": note,
            }
            return after, "dispatched", details

        return self._change(incident_id, principal, change, version)

    def add_task(
        self,
        incident_id: str,
        title: str,
        principal: Principal,
        *,
        department: str | None = None,
        assignee: str | None = None,
        deadline_us: int | None = None,
    ) -> Incident:
        """Add a task."""
        _check_text(title, 256)
        self._check_deadline(deadline_us)

        def change(incident: Incident, now_us: int) -> tuple[Incident, str, dict[str, Any]]:
            _still_open(incident)
            if len(incident.tasks) >= _MOST_TASKS:
                raise Conflict("incident.too_many_tasks", incident_id=incident_id, limit=_MOST_TASKS)
            task = Task(
                id=f"t{len(incident.tasks) + 1}",
                title=title,
                created_at_us=now_us,
                department=department or incident.department,
                assignee=assignee,
                deadline_us=deadline_us,
            )
            details = {"task": task.id, "title": title, "state": "open", "assignee": assignee}
            return replace(incident, tasks=(*incident.tasks, task)), "task", details

        return self._change(incident_id, principal, change)

    def update_task(
        self,
        incident_id: str,
        task_id: str,
        principal: Principal,
        *,
        state: str | None = None,
        title: str | None = None,
        assignee: str | None = None,
        deadline_us: int | None = None,
        result: str | None = None,
    ) -> Incident:
        """Change a task; what is None stays. Who may write in the task's department may change it too.

        Raises:
            NotFound: ``incident.task_unknown``.
        """
        if state is not None and state not in _TASK_STATES:
            raise Invalid("incident.task_state_unknown", state=state)
        for text in (title, result):
            _check_text(text or "x")
        given = {"state": state, "title": title, "assignee": assignee, "deadline_us": deadline_us, "result": result}
        fields = {key: value for key, value in given.items() if value is not None}

        def change(incident: Incident, now_us: int) -> tuple[Incident, str, dict[str, Any]]:
            _still_open(incident)
            before = next((task for task in incident.tasks if task.id == task_id), None)
            if before is None:
                raise NotFound("incident.task_unknown", incident_id=incident_id, task_id=task_id)
            after = replace(before, **fields)
            ended = after.state in ("done", "cancelled")
            after = replace(after, done_at_us=(before.done_at_us or now_us) if ended else None)
            tasks = tuple(after if task.id == task_id else task for task in incident.tasks)
            return replace(incident, tasks=tasks), "task", {"task": task_id, "title": after.title, **fields}

        return self._change(incident_id, principal, change, task_id=task_id)

    def add_note(self, incident_id: str, text: str, principal: Principal) -> Incident:
        """Write into the timeline; also when it is closed."""
        _check_text(text)
        return self._change(incident_id, principal, lambda incident, now_us: (incident, "note", {"text": text}))

    def close(
        self,
        incident_id: str,
        result: str,
        principal: Principal,
        *,
        version: int | None = None,
        cancel_tasks: bool = False,
    ) -> Incident:
        """Close it with a result.

        Raises:
            Conflict: ``incident.tasks_open`` unless ``cancel_tasks``, ``incident.closed``.
        """
        _check_text(result)

        def change(incident: Incident, now_us: int) -> tuple[Incident, str, dict[str, Any]]:
            _still_open(incident)
            standing = [task.id for task in incident.tasks if task.state in ("open", "in_progress")]
            if standing and not cancel_tasks:
                raise Conflict("incident.tasks_open", incident_id=incident_id, tasks=", ".join(standing))
            tasks = tuple(
                replace(task, state="cancelled", done_at_us=now_us) if task.id in standing else task
                for task in incident.tasks
            )
            after = replace(
                incident, state="closed", closed_at_us=now_us, closed_by=principal.id, result=result, tasks=tasks
            )
            return after, "closed", {"result": result, "seconds": after.time_to_close_s, "overdue": incident.overdue}

        return self._change(incident_id, principal, change, version)

    def reopen(self, incident_id: str, reason: str, principal: Principal, *, version: int | None = None) -> Incident:
        """Open a closed incident again; the deadline has to be set anew by a dispatch."""
        _check_text(reason)

        def change(incident: Incident, now_us: int) -> tuple[Incident, str, dict[str, Any]]:
            if incident.state != "closed":
                raise Conflict("incident.not_closed", incident_id=incident_id)
            after = replace(
                incident,
                state="dispatched" if incident.department else "open",
                closed_at_us=None,
                closed_by=None,
                result=None,
                deadline_us=None,
                overdue=False,
                escalations=0,
            )
            return after, "reopened", {"reason": reason, "result": incident.result}

        return self._change(incident_id, principal, change, version)

    # ---- looking

    def get(self, incident_id: str, principal: Principal) -> Incident:
        """Return one incident; NotFound also where the asker may not see it."""
        with store.reading(self._database) as connection:
            incident = store.get_incident(connection, incident_id)
        _visible(incident, principal)
        return incident

    def list(
        self, wanted: IncidentFilter, principal: Principal, *, limit: int = 50, cursor: str | None = None
    ) -> IncidentPage:
        """Return incidents of the departments that the asker may see, newest first."""
        principal.require("incident.read")
        departments = principal.departments("incident.read")
        with store.reading(self._database) as connection:
            items, total, following = store.list_incidents(connection, wanted, departments, limit, cursor)
        return IncidentPage(tuple(items), total, following)

    def timeline(
        self, incident_id: str, principal: Principal, *, after: int = 0, limit: int = 1_000
    ) -> tuple[TimelineEntry, ...]:
        """Return what happened, oldest first, after the line numbered ``after``."""
        with store.reading(self._database) as connection:
            _visible(store.get_incident(connection, incident_id), principal)
            return tuple(store.list_timeline(connection, incident_id, after, min(max(limit, 1), store.MOST_PER_PAGE)))

    # ---- time

    def tick(self, now_us: int) -> None:
        """Press what is overdue: once at the deadline, then every ``escalate_minutes``, ``most_escalations`` times."""
        if now_us - self._tidied_us >= _TIDY_EVERY_US:
            self._tidied_us = now_us
            with store.writing(self._database) as connection:
                store.forget_before(connection, now_us - round(self._settings.remember_days * 86_400 * SECOND_US))
        with store.reading(self._database) as connection:
            due_us = store.next_pressing_us(connection)
        if due_us is None or due_us > now_us:
            return
        with store.writing(self._database) as connection:
            messages = [self._press(connection, one, now_us) for one in store.find_pressing(connection, now_us)]
        for message in messages:
            self._bus.publish(message)

    def _press(self, connection: Connection, incident: Incident, now_us: int) -> IncidentChanged:
        worse = SEVERITIES[min(SEVERITIES.index(incident.severity) + 1, len(SEVERITIES) - 1)]
        times = incident.escalations + 1
        severity = incident.severity if times == 1 else worse
        after = replace(incident, overdue=True, escalations=times, severity=severity)
        details = {
            "times": times,
            "deadline_us": incident.deadline_us,
            "severity": severity,
            "department": incident.department,
        }
        return self.save(connection, after, _SYSTEM, "overdue", details, now_us)

    def _press_at(self, incident: Incident) -> int | None:
        if incident.state == "closed" or incident.deadline_us is None:
            return None
        if incident.escalations >= self._settings.most_escalations:
            return None
        pause_us = round(self._settings.escalate_minutes * 60 * SECOND_US)
        return incident.deadline_us + incident.escalations * pause_us

    # ---- what warnings do, inside their transaction

    @contextmanager
    def gathering(self, connection: Connection) -> Iterator[IncidentBatch]:
        """Write incidents, timelines and audit records together, at the end of a block of one transaction."""
        standing = self._batches.get(id(connection))
        if standing is not None:
            yield standing
            return
        batch = self._batches[id(connection)] = IncidentBatch(connection)
        try:
            yield batch
            batch.flush(self._audit)
        finally:
            del self._batches[id(connection)]

    def take_warning(
        self,
        connection: Connection,
        warning: Warning,
        principal: Principal,
        *,
        department: str | None = None,
        deadline_us: int | None = None,
        note: str | None = None,
    ) -> IncidentChanged:
        """Attach a warning to the open incident of the same place and kind, or open one for it.

        Returns:
            The message to publish once the transaction is through.
        """
        for incident_id in self._near(connection, warning):
            incident = self._held(connection, incident_id)
            if len(incident.warning_ids) < _MOST_WARNINGS and principal.may("incident.write", incident.department):
                after = replace(
                    incident,
                    warning_ids=(*incident.warning_ids, warning.id),
                    severity=graver(incident.severity, warning.severity),
                )
                details = {"warning": warning.id, "change": "attached", "severity": warning.severity, "note": note}
                return self.save(
                    connection, after, principal, "warning", details, self._clock.now_us(), warning.headline
                )
        return self._open_for(connection, warning, principal, department or warning.department, deadline_us, note)

    def _open_for(
        self,
        connection: Connection,
        warning: Warning,
        principal: Principal,
        department: str | None,
        deadline_us: int | None,
        note: str | None,
    ) -> IncidentChanged:
        principal.require("incident.write", department)
        now_us = self._clock.now_us()
        if deadline_us is None and warning.deadline_s is not None:
            deadline_us = now_us + round(warning.deadline_s * SECOND_US)
        incident = Incident(
            id=new_id("inc", self._clock),
            title=warning.headline,
            kind=warning.category,
            severity=warning.severity,
            opened_at_us=now_us,
            opened_by=principal.id,
            changed_at_us=now_us,
            state="dispatched" if department else "open",
            dispatched_at_us=now_us if department else None,
            department=department,
            deadline_us=deadline_us,
            entity_id=warning.entity_id,
            location=warning.location,
            warning_ids=(warning.id,),
        )
        details = {"warning": warning.id, "rule": warning.rule_id, **({"note": note} if note else {})}
        return self.insert(connection, incident, principal, details)

    def _near(self, connection: Connection, warning: Warning) -> Sequence[str]:
        now_us = self._clock.now_us()
        since_us = now_us - round(self._settings.attach_hours * 3_600 * SECOND_US)
        longitude, latitude = store.point_of(warning.location)
        box = None
        reach_m = self._settings.attach_metres
        if longitude is not None and latitude is not None:
            north_deg = reach_m / _METRES_PER_DEGREE * 1.01
            east_deg = north_deg / max(math.cos(math.radians(latitude)), 0.01)
            box = (longitude - east_deg, latitude - north_deg, longitude + east_deg, latitude + north_deg)
        found = store.find_open_near(connection, warning.category, since_us, warning.entity_id, box)
        return [
            one.id
            for one in found
            if one.entity_id == warning.entity_id or _distance(one, longitude, latitude) <= reach_m
        ]

    def _held(self, connection: Connection, incident_id: str) -> Incident:
        with self.gathering(connection) as batch:
            return batch.get(incident_id)

    def note_warning(
        self, connection: Connection, incident_id: str, warning: Warning, change: str, principal: Principal
    ) -> IncidentChanged:
        """Tell an incident that one of its warnings changed; a graver warning makes the incident graver."""
        incident = self._held(connection, incident_id)
        if incident.state != "closed":
            incident = replace(incident, severity=graver(incident.severity, warning.severity))
        details = {"warning": warning.id, "change": change, "severity": warning.severity}
        return self.save(connection, incident, principal, "warning", details, self._clock.now_us(), warning.headline)

    def note_event(
        self, connection: Connection, incident_id: str, kind: str, details: dict[str, Any], principal: Principal
    ) -> IncidentChanged:
        """Write a line about a command or a decision."""
        incident = self._held(connection, incident_id)
        return self.save(connection, incident, principal, kind, details, self._clock.now_us())

    # ---- writing

    def insert(
        self, connection: Connection, incident: Incident, principal: Principal, details: dict[str, Any]
    ) -> IncidentChanged:
        """Write a new incident with its first line."""
        told = {"severity": incident.severity, "department": incident.department, "deadline_us": incident.deadline_us}
        with self.gathering(connection) as batch:
            batch.insert(incident, self._press_at(incident))
            entry = _entry(batch, incident, principal, "opened", {**told, **details}, incident.opened_at_us)
        return IncidentChanged(at_us=incident.opened_at_us, incident=incident, entry=entry)

    def save(
        self,
        connection: Connection,
        incident: Incident,
        principal: Principal,
        kind: str,
        details: dict[str, Any],
        now_us: int,
        text: dict[str, str] | None = None,
    ) -> IncidentChanged:
        """Write the next version of an incident with its line in the timeline and its audit record."""
        after = replace(incident, version=incident.version + 1, changed_at_us=now_us)
        with self.gathering(connection) as batch:
            batch.put(after, self._press_at(after))
            entry = _entry(batch, after, principal, kind, details, now_us, text)
        return IncidentChanged(at_us=now_us, incident=after, entry=entry)

    def _change(
        self,
        incident_id: str,
        principal: Principal,
        change: Callable[[Incident, int], tuple[Incident, str, dict[str, Any]]],
        version: int | None = None,
        task_id: str | None = None,
    ) -> Incident:
        now_us = self._clock.now_us()
        with store.writing(self._database) as connection:
            incident = store.get_incident(connection, incident_id, lock=True)
            _visible(incident, principal)
            task = next((one for one in incident.tasks if one.id == task_id), None)
            if task is None or not principal.may("incident.write", task.department):
                principal.require("incident.write", incident.department)
            if version is not None and version != incident.version:
                raise Conflict("incident.changed_meanwhile", id=incident_id)
            after, kind, details = change(incident, now_us)
            message = self.save(connection, after, principal, kind, details, now_us)
        self._bus.publish(message)
        return message.incident

    def _check_deadline(self, deadline_us: int | None) -> None:
        if deadline_us is not None and deadline_us <= self._clock.now_us():
            raise Invalid("incident.deadline_past")


def _entry(
    batch: IncidentBatch,
    incident: Incident,
    principal: Principal,
    kind: str,
    details: dict[str, Any],
    now_us: int,
    text: dict[str, str] | None = None,
) -> TimelineEntry:
    told = {key: value for key, value in details.items() if value is not None}
    values = {
        "at_us": now_us,
        "kind": kind,
        "actor_kind": principal.kind,
        "actor_id": principal.id[:256],
        "actor_name": principal.name[:256],
        "text": text,
        "details": told,
    }
    return batch.add(incident.id, values, AuditDraft(principal, f"incident.{kind}", "incident", incident.id, told))


def _visible(incident: Incident, principal: Principal) -> None:
    """Who may not see it is not told that it is there; whoever has one of its tasks may see it."""
    own = {incident.department, *(task.department for task in incident.tasks)}
    if not any(principal.may("incident.read", department) for department in own):
        raise NotFound("incident.unknown", incident_id=incident.id)


def _still_open(incident: Incident) -> None:
    if incident.state == "closed":
        raise Conflict("incident.closed", incident_id=incident.id)


def _check_text(text: str, longest: int = _LONGEST_TEXT) -> None:
    if not 0 < len(text.strip()) <= longest or len(text) > longest:
        raise Invalid("incident.text_length", limit=longest)


def _distance(there: store.Place, longitude: float | None, latitude: float | None) -> float:
    if longitude is None or latitude is None or there.longitude is None or there.latitude is None:
        return math.inf
    return distance_m(longitude, latitude, there.longitude, there.latitude)
