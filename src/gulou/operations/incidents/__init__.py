"""Warnings (预警) and incidents (事件): what rules find becomes what people deal with, up to the result."""

from gulou.operations.incidents.events import IncidentChanged, WarningChanged
from gulou.operations.incidents.found_sql import FoundDetections
from gulou.operations.incidents.incident_service import IncidentService
from gulou.operations.incidents.model import (
    Action,
    Incident,
    IncidentFilter,
    IncidentPage,
    Task,
    TimelineEntry,
    Warning,  # noqa: A004
    WarningFilter,
    WarningPage,
)
from gulou.operations.incidents.ports import AuditTrail, CommandDesk, DetectionRecord
from gulou.operations.incidents.settings import IncidentSettings
from gulou.operations.incidents.warning_service import WarningService

__all__ = [
    "Action",
    "AuditTrail",
    "CommandDesk",
    "DetectionRecord",
    "FoundDetections",
    "Incident",
    "IncidentChanged",
    "IncidentFilter",
    "IncidentPage",
    "IncidentService",
    "IncidentSettings",
    "Task",
    "TimelineEntry",
    "Warning",
    "WarningChanged",
    "WarningFilter",
    "WarningPage",
    "WarningService",
]
