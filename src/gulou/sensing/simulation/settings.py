"""What can be set on the simulated city."""

from __future__ import annotations

from typing import Literal

from gulou.kernel.settings import Settings, setting


class SimulationSettings(Settings):
    """The simulated city; the same settings give the same city and, with the same commands, the same readings."""

    seed: int = setting(20, ge=0, description="Seed of everything that looks random.")
    devices: int = setting(500, unit="devices", ge=100, le=100_000, description="Size of the city, gateways included.")
    max_readings_per_s: float = setting(
        200.0, unit="1/s", ge=1.0, description="Ceiling of the mean rate at speed 1; slower families are stretched."
    )
    speed: float = setting(
        1.0, unit="s/s", gt=0.0, le=100_000.0, description="Seconds of the city's time in one real second."
    )
    time_scale: float = setting(
        30.0,
        unit="s/s",
        gt=0.0,
        le=1_000.0,
        description="How much faster rain water rises, runs off and is pumped than in the world.",
    )
    storm: Literal["scheduled", "now", "never"] = setting(
        "scheduled", description="Storms as scheduled, the first one at once, or none."
    )
    storm_after_s: float = setting(
        40.0, unit="s", ge=0.0, description="First heavy rain after the start, on the devices' clock."
    )
    storm_lasts_s: float = setting(240.0, unit="s", gt=0.0, description="How long a storm rains.")
    storm_every_s: float = setting(
        2_400.0, unit="s", ge=0.0, description="From one storm's start to the next one's; 0: only one storm."
    )
    storm_peak_mm_h: float = setting(65.0, unit="mm/h", ge=0.0, le=200.0, description="Rain at the height of a storm.")
