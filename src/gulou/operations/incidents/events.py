"""What the incident service says on the bus; each carries the whole thing as it then stands."""

from __future__ import annotations

from gulou.connectivity.bus import Message
from gulou.operations.incidents.model import Incident, TimelineEntry, Warning  # noqa: A004


class WarningChanged(Message, frozen=True, kw_only=True):
    """A warning was raised or changed.

    Args:
        change: ``raised``, ``severity``, ``repeated``, ``cleared``, ``acknowledged``, ``action``, ``attached``.
    """

    warning: Warning
    change: str


class IncidentChanged(Message, frozen=True, kw_only=True):
    """An incident was opened or changed.

    Args:
        entry: the line of the timeline that tells what happened.
    """

    incident: Incident
    entry: TimelineEntry
