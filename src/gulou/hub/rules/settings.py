"""Settings of the rules."""

from __future__ import annotations

from gulou.kernel.settings import Settings, setting


class RuleSettings(Settings):
    """How the rules keep what they know, and for how long."""

    checkpoint_seconds: float = setting(
        20.0, unit="s", description="Least time between two checkpoints while many states change.", ge=0
    )
    checkpoint_states: int = setting(
        2_000, description="Up to so many changed states are written at every checkpoint, without waiting.", ge=0
    )
    keep_detections_days: float = setting(
        400.0, unit="d", description="How long detections and their explanations are kept.", gt=0
    )
    command_age_seconds: float = setting(
        600.0,
        unit="s",
        description="A command without approval whose cause is older (after a long stop) is not sent any more.",
        gt=0,
    )
    pause_seconds: float = setting(
        60.0, unit="s", description="After a break of listening longer than this, silence is counted anew.", gt=0
    )
    budget_us: float = setting(
        1_000.0,
        unit="µs",
        description="Most that judging one reading may cost a rule, on average; one that costs more is put aside.",
        gt=0,
    )
    budget_readings: int = setting(
        1_000, description="Over how many judged readings the cost of a rule is averaged.", gt=0
    )
    trial_readings: int = setting(1_000_000, description="A trial on history stops after so many readings.", gt=0)
    trial_firings: int = setting(10_000, description="A trial on history stops after so many firings.", gt=0)
