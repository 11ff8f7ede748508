"""Warnings that one transaction reads and writes together: looked up at once, written at once."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from gulou.hub.rules import Detection
from gulou.operations.incidents import store_sql as store
from gulou.operations.incidents.model import Warning  # noqa: A004


class WarningBatch:
    """What a list of detections needs of the store, and what becomes of it; written by ``flush``.

    Args:
        connection: an open transaction; what is read is locked until its end.
    """

    def __init__(self, connection: Connection, detections: Iterable[Detection] = ()) -> None:
        self.connection = connection
        found = list(detections)
        self._seen = store.seen_detections(connection, [one.key() for one in found])
        self._standing: dict[tuple[str, str], Warning] = {}
        self._loaded: dict[str, Warning] = {}
        self._stored: dict[str, int] = {}  # id → version in the store
        self._changed: dict[str, Warning] = {}
        self._keys: dict[str, tuple[str, int]] = {}
        new = [(one.rule_id, one.entity_id) for one in found if one.key() not in self._seen]
        for warning in store.find_standing(connection, new):
            self._standing[warning.rule_id, warning.entity_id] = warning
            self._stored[warning.id] = warning.version

    @classmethod
    def of_commands(cls, connection: Connection, command_ids: list[str]) -> tuple[WarningBatch, dict[str, str]]:
        """Return a batch of the warnings that commands belong to, and warning id by command id."""
        batch = cls(connection)
        by_command = {}
        for command_id, warning in store.find_by_commands(connection, command_ids):
            by_command[command_id] = warning.id
            batch._stored[warning.id] = warning.version
            batch._loaded[warning.id] = warning
        return batch, by_command

    def incidents(self) -> set[str]:
        """Return the incidents of the warnings that were read."""
        read = (*self._standing.values(), *self._loaded.values())
        return {one.incident_id for one in read if one.incident_id is not None}

    def has_seen(self, detection: Detection) -> bool:
        """Say whether a detection was taken before."""
        return detection.key() in self._seen

    def note(self, detection: Detection, warning: Warning | None) -> None:
        """Remember that it is taken now."""
        key = detection.key()
        self._seen.add(key)
        self._keys[key] = ("" if warning is None else warning.id, detection.at_us)

    def standing(self, detection: Detection) -> Warning | None:
        """Return the active warning of its rule on its entity."""
        return self._standing.get((detection.rule_id, detection.entity_id))

    def loaded(self, warning_id: str) -> Warning:
        """Return a warning of a batch ``of_commands`` as it stands."""
        return self._changed.get(warning_id) or self._loaded[warning_id]

    def of_detection(self, detection_id: str) -> Warning | None:
        """Return the newest warning that stands, or stood, for an occurrence."""
        self.flush()
        return store.find_by_detection(self.connection, detection_id)

    def put(self, warning: Warning) -> None:
        """Take over a new warning, or the next version of one."""
        self._changed[warning.id] = warning
        key = warning.rule_id, warning.entity_id
        if warning.state == "active":
            self._standing[key] = warning
        elif (there := self._standing.get(key)) is not None and there.id == warning.id:
            del self._standing[key]

    def flush(self) -> None:
        """Write what has changed. Raises Conflict ``incident.changed_meanwhile``."""
        changed, self._changed = self._changed, {}
        keys, self._keys = self._keys, {}
        new = [one for one in changed.values() if one.id not in self._stored]
        later = [(one, self._stored[one.id]) for one in changed.values() if one.id in self._stored]
        store.save_warnings(self.connection, new, later)
        store.note_detections(self.connection, keys)
        self._stored.update({one.id: one.version for one in changed.values()})
