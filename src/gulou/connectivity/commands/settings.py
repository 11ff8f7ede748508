"""What an operator may set about commands, and why one would."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class CommandSettings(BaseModel):
    """The command service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_active: int = Field(
        default=50_000, ge=1, description="Commands that may wait for something at a time; all are kept in memory."
    )
    max_parameters_bytes: int = Field(
        default=16_384, ge=2, description="Size of one command's parameters as JSON, bytes."
    )
    retry_waiting_s: float = Field(
        default=5.0,
        ge=0,
        description="How often a command is tried again that its online device did not take, seconds.",
    )
    remembered: int = Field(
        default=200_000,
        ge=1_000,
        description="Ids of the newest commands that are kept in memory, to know one that is asked for again.",
    )
    keep_days: float = Field(default=400, gt=0, description="Days for which ended commands are kept.")
