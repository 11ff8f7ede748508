"""Settings of warnings and incidents."""

from __future__ import annotations

from gulou.kernel.settings import Settings, setting


class IncidentSettings(Settings):
    """How warnings become incidents, and how deadlines press."""

    sender_code: str = setting(
        "00000000000000",
        description="District (6), agency (3), inner unit (3) and extension (2) of warning messages, GB/T 35965.1.",
        pattern=r"^[0-9A-Za-z]{14}$",
    )
    attach_metres: float = setting(
        500.0, unit="m", description="A warning of the same category this near joins an open incident.", ge=0
    )
    attach_hours: float = setting(
        24.0, unit="h", description="Only an incident that was opened within so long is joined.", gt=0
    )
    escalate_minutes: float = setting(
        30.0,
        unit="min",
        description="After the deadline an incident is escalated again each time this has passed.",
        gt=0,
    )
    most_escalations: int = setting(3, description="How often an overdue incident is escalated.", ge=1, le=10)
    remember_days: float = setting(
        90.0,
        unit="d",
        description="Detections and steps of commands are recognised when they come again within so long.",
        ge=1,
    )
    recover_minutes: float = setting(
        10.0,
        unit="min",
        description="An approved command that was not requested before a crash is requested up to here.",
        gt=0,
    )
