"""What an operator may set about devices, and why one would."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class DeviceSettings(BaseModel):
    """The device registry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_devices: int = Field(
        default=500_000, ge=1, description="Devices that may be registered; all are kept in memory."
    )
    silence_check_s: float = Field(default=5.0, ge=0, description="How often silent devices are looked for, seconds.")
    flush_s: float = Field(
        default=60.0, ge=0, description="How often the times of the last words are written down, seconds."
    )
    max_bulk_lines: int = Field(default=500_000, ge=1, description="Lines that one bulk file may have.")
