"""What an operator may set about the intake, and why one would."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class LogSettings(BaseModel):
    """The durable log on disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    segment_mb: float = Field(
        default=32, gt=0, le=1024, description="Size of one log file, MiB; written out in advance and used again."
    )
    keep_segments: int = Field(
        default=2,
        ge=0,
        le=1000,
        description="Full log files kept although all consumers have them; a start recognises duplicates by them.",
    )
    keep_hours: float = Field(
        default=0,
        ge=0,
        le=8_760,
        description="Hours for which full log files are kept although all consumers have them, for reading them again.",
    )
    keep_mb: float = Field(
        default=1_024,
        ge=0,
        description="Most that `keep_hours` may keep, MiB; what a consumer lacks is kept regardless.",
    )
    reader_silent_hours: float = Field(
        default=24,
        gt=0,
        description="Hours after which a reader in another process that says nothing is waited for no longer.",
    )
    encryption_key_file: Path | None = Field(
        default=None,
        description="File with the key by which the log is encrypted on disk: 64 hexadecimal digits; further lines are "
        "earlier keys, by which is only read. None: not encrypted.",
    )
    spare_segments: int = Field(default=8, ge=0, le=100, description="Used-up log files kept for using again.")


class IntakeSettings(BaseModel):
    """The one door for readings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_waiting: int = Field(
        default=1_000_000,
        ge=1,
        description="Readings that may wait, to be written or applied, before senders are told to wait.",
    )
    max_submission: int = Field(default=100_000, ge=1, description="Readings that one submission may carry.")
    max_value_bytes: int = Field(
        default=65_536, ge=64, le=16_777_216, description="Size of one text, geometry or structured value, bytes."
    )
    keep_raw_bytes: int = Field(
        default=65_536, ge=0, le=16_777_216, description="How much of a rejected payload is kept, bytes."
    )
    min_free_mb: float = Field(
        default=256, ge=0, description="Free disk space below which nothing more is taken, MiB; other stores need it."
    )
    space_check_s: float = Field(default=1.0, ge=0, description="How often free disk space is looked at, seconds.")
    future_s: float = Field(
        default=300, ge=0, description="How far a reading's time may lie ahead of the server's clock, seconds."
    )
    recent_readings: int = Field(
        default=1_000_000, ge=2, description="Readings remembered to recognise duplicates that come out of order."
    )
    max_series: int = Field(
        default=1_000_000,
        ge=2,
        description="Series without a number whose newest reading is remembered to recognise duplicates.",
    )
    checkpoint_s: float = Field(default=5.0, ge=0, description="How often consumers make their state durable, seconds.")
    commit_mb: float = Field(default=8, gt=0, le=256, description="Most that one write to the log carries, MiB.")


class LedgerSettings(BaseModel):
    """Accounts and rejects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_rejects: int = Field(default=100_000, ge=1, description="Rejected readings kept for looking at and replay.")
    keep_rejects_mb: float = Field(
        default=512, gt=0, description="Raw bytes of rejected payloads kept, MiB; the oldest go first."
    )
    keep_rejects_days: float = Field(default=30, gt=0, description="Days after which a rejected reading is forgotten.")
    keep_origins_days: float = Field(
        default=400, gt=0, description="Days for which a resumable sender's position is remembered after its last word."
    )
