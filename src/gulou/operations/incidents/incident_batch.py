"""Incidents that one transaction reads and writes together: read once, written at its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection

from gulou.access import AuditDraft
from gulou.kernel import Conflict, NotFound
from gulou.operations.incidents import statements
from gulou.operations.incidents.model import Incident, TimelineEntry
from gulou.operations.incidents.ports import AuditTrail
from gulou.operations.incidents.store_sql import LONGEST_TIMELINE, incident_of, point_of, text_of


class IncidentBatch:
    """What becomes of incidents within one open transaction; written by ``flush``.

    A new incident is written at once, so that queries find it; later versions, lines of timelines and audit records
    are written together.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._held: dict[str, _Held] = {}
        self._lines: list[dict[str, Any]] = []
        self._drafts: list[AuditDraft] = []

    def load(self, incident_ids: Iterable[str]) -> None:
        """Read incidents that will be asked for; those that are not known are left out."""
        wanted = [one for one in incident_ids if one not in self._held]
        for body, length, press_at_us in statements.INCIDENTS.rows(self.connection, wanted):
            incident = incident_of(body)
            self._held[incident.id] = _Held(incident, press_at_us, incident.version, length)

    def get(self, incident_id: str) -> Incident:
        """Return an incident as it stands, locked. Raises NotFound ``incident.unknown``."""
        if incident_id not in self._held:
            self.load([incident_id])
        held = self._held.get(incident_id)
        if held is None:
            raise NotFound("incident.unknown", incident_id=incident_id)
        return held.incident

    def insert(self, incident: Incident, press_at_us: int | None) -> None:
        """Write a new incident; its first line has to follow."""
        row = {"id": incident.id, **_columns_of(incident, press_at_us, timeline_length=1)}
        statements.NEW_INCIDENT.run(self.connection, row)
        self._held[incident.id] = _Held(incident, press_at_us, incident.version, 0, written_length=1)

    def put(self, incident: Incident, press_at_us: int | None) -> None:
        """Take over the next version of an incident.

        Raises:
            Conflict: ``incident.changed_meanwhile``.
        """
        if self.get(incident.id).version != incident.version - 1:
            raise Conflict("incident.changed_meanwhile", id=incident.id)
        held = self._held[incident.id]
        held.incident, held.press_at_us = incident, press_at_us

    def add(self, incident_id: str, values: dict[str, Any], draft: AuditDraft) -> TimelineEntry:
        """Append a line to a timeline, and its audit record; raises Conflict ``incident.timeline_full``."""
        held = self._held[incident_id]
        if held.length >= LONGEST_TIMELINE:
            raise Conflict("incident.timeline_full", incident_id=incident_id, limit=LONGEST_TIMELINE)
        held.length += 1
        entry = TimelineEntry(id=f"{incident_id}-{held.length}", incident_id=incident_id, number=held.length, **values)
        texts = {"text": text_of(entry.text), "details": text_of(entry.details)}
        self._lines.append({**values, "incident_id": incident_id, "number": entry.number, **texts})
        self._drafts.append(draft)
        return entry

    def flush(self, audit: AuditTrail) -> None:
        """Write what has changed. Raises Conflict ``incident.changed_meanwhile``."""
        changed = [one for one in self._held.values() if one.is_changed]
        rows = [
            {
                "which": one.incident.id,
                "before": one.written_version,
                **_columns_of(one.incident, one.press_at_us, timeline_length=one.length),
            }
            for one in changed
        ]
        if 0 <= statements.NEXT_INCIDENT.run_all(self.connection, rows) < len(rows):
            raise Conflict("incident.changed_meanwhile", id=changed[0].incident.id)
        statements.NEW_LINE.run_all(self.connection, self._lines)
        if self._drafts:
            audit.record_all(self._drafts, self.connection)
        for one in changed:
            one.written_version, one.written_length = one.incident.version, one.length
        self._lines, self._drafts = [], []


class _Held:
    def __init__(
        self, incident: Incident, press_at_us: int | None, version: int, length: int, written_length: int | None = None
    ) -> None:
        self.incident = incident
        self.press_at_us = press_at_us
        self.length = length
        self.written_version = version
        self.written_length = length if written_length is None else written_length

    @property
    def is_changed(self) -> bool:
        return (self.incident.version, self.length) != (self.written_version, self.written_length)


def _columns_of(incident: Incident, press_at_us: int | None, timeline_length: int) -> dict[str, Any]:
    longitude, latitude = point_of(incident.location)
    return {
        "kind": incident.kind,
        "state": incident.state,
        "severity": incident.severity,
        "department": incident.department,
        "entity_id": incident.entity_id,
        "longitude": longitude,
        "latitude": latitude,
        "overdue": incident.overdue,
        "press_at_us": press_at_us,
        "opened_at_us": incident.opened_at_us,
        "search": " ".join([*incident.title.values(), incident.kind, incident.id]).lower(),
        "version": incident.version,
        "timeline_length": timeline_length,
        "body": msgspec.json.encode(incident).decode(),
    }
