"""Rain into drains, drains onto roads, pumps and gates against it.

All rates are of the real world; ``time_scale`` makes them that much faster. At the default scale of 30 the first drain
climbs from 0.3 m to 2.5 m within about 45 s of heavy rain, stays high for many minutes when nobody acts, and falls
below 1.5 m within about 25 s once its pump runs, even while it rains on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.sensing.simulation.model import City
from gulou.sensing.simulation.plane import stream
from gulou.sensing.simulation.surroundings import Wandering

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DRAIN_NORMAL_M = 0.30
RIVER_NORMAL_M = 6.0
CREEK_NORMAL_M = 2.0
PUMP_FLOW_M3_H = 5_200.0
PUMP_POWER_KW = 165.0
PUMP_STOP_M = 0.35
KERB_M = 2.2
_PEAK_MM_H = 65.0
# Metres of level per second of the world, at a rain of _PEAK_MM_H.
_STAGE_INFLOW = (0.0020, 0.0016)
_STAGE_CEILING_M = (2.95, 1.80)
_SEEPAGE = 0.00005
_PUMPING = 0.0042
_PLAIN_TIME_CONSTANT_S = 700.0


class Water:
    """Levels of drains, road gauges and rivers; what pumps and gates do to them."""

    def __init__(self, city: City) -> None:
        rng = stream(city.settings.seed, "water")
        self._scale = city.settings.time_scale
        count = len(city.group("drain").devices)
        self.drain_m: Floats = np.full(count, DRAIN_NORMAL_M)
        self._plain_rise: Floats = rng.uniform(0.25, 0.6, count)
        self._stage = min(2, count)
        self._inflow: Floats = np.array(_STAGE_INFLOW[: self._stage])
        self._ceiling: Floats = np.array(_STAGE_CEILING_M[: self._stage])
        self._pump_drain = np.array(city.group("pump").refers, dtype=np.int64)
        self.pump_on: Bools = np.zeros(len(self._pump_drain), dtype=bool)
        self._road_drain = np.array(city.group("road-water").refers, dtype=np.int64)
        self.road_m: Floats = np.zeros(len(self._road_drain))
        self._puddle: Floats = rng.uniform(0.005, 0.035, len(self._road_drain))
        waters = len(city.group("river").devices)
        self._river_normal: Floats = RIVER_NORMAL_M + np.linspace(0.6, -0.6, waters)
        self._river_normal[1] = CREEK_NORMAL_M
        self._river_rise: Floats = rng.uniform(0.5, 0.9, waters)
        self.river_m: Floats = self._river_normal.copy()
        self._gate_river = np.array(city.group("gate").refers, dtype=np.int64)
        self.gate_opening: Floats = np.full(len(self._gate_river), 0.3)
        self._gate_target: Floats = self.gate_opening.copy()
        self._ripple = Wandering(stream(city.settings.seed, "water-ripple"), count + waters, 4.0)

    def step(self, dt_s: float, rain_mm_h: float) -> None:
        """Let ``dt_s`` seconds of the devices' clock pass under a rain."""
        world_s = dt_s * self._scale
        rain = rain_mm_h / _PEAK_MM_H
        self._step_drains(world_s, rain)
        self._step_roads(dt_s, rain)
        self._step_rivers(world_s, rain)
        self._ripple.step(dt_s)
        self.gate_opening += np.clip(self._gate_target - self.gate_opening, -0.05 * dt_s, 0.05 * dt_s)
        if rain_mm_h < 1.0:
            # Float switch: a pump never runs dry.
            self.pump_on &= self._level_at_pumps() > PUMP_STOP_M

    def _step_drains(self, world_s: float, rain: float) -> None:
        stage = self.drain_m[: self._stage]
        # Near its ceiling a drain spills onto the road instead of rising.
        room = np.clip((self._ceiling - stage) / 0.35, 0.0, 1.0)
        stage += self._inflow * rain * room * world_s
        # Slowly back to normal: down through a half blocked outfall, up after pumping from what trickles in.
        stage += np.clip(DRAIN_NORMAL_M - stage, -_SEEPAGE * world_s, _SEEPAGE * world_s)
        plain = self.drain_m[self._stage :]
        goal = DRAIN_NORMAL_M + self._plain_rise[self._stage :] * min(rain, 2.0)
        plain += (goal - plain) * (1 - np.exp(-world_s / _PLAIN_TIME_CONSTANT_S))
        running = self._pump_drain[self.pump_on & (self._pump_drain >= 0)]
        np.subtract.at(self.drain_m, running, _PUMPING * world_s)
        np.maximum(self.drain_m, 0.2, out=self.drain_m)

    def _step_roads(self, dt_s: float, rain: float) -> None:
        tied = self._road_drain >= 0
        goal = self._puddle * min(rain, 2.0)
        goal[tied] += np.maximum(self.drain_m[self._road_drain[tied]] - KERB_M, 0.0) * 0.65
        self.road_m += (goal - self.road_m) * (1 - np.exp(-dt_s / 4.0))

    def _step_rivers(self, world_s: float, rain: float) -> None:
        goal = self._river_normal + self._river_rise * min(rain, 2.0)
        # An open gate lets its water go: fully open takes most of the rise away, shut adds to it.
        np.add.at(goal, self._gate_river, (0.3 - self.gate_opening) * 0.5)
        self.river_m += (goal - self.river_m) * (1 - np.exp(-world_s / 2_400.0))

    def _level_at_pumps(self) -> Floats:
        return np.where(self._pump_drain >= 0, self.drain_m[self._pump_drain], 0.0)

    def drain_reading_m(self) -> Floats:
        """Return the drains' levels as their sensors see them, with a ripple of a few millimetres."""
        return self.drain_m + 0.004 * self._ripple.values[: len(self.drain_m)]

    def river_reading_m(self) -> Floats:
        """Return the river gauges' levels with the waves that they see."""
        return self.river_m + 0.012 * self._ripple.values[len(self.drain_m) :]

    def switch_pump(self, index: int, *, on: bool) -> None:
        """Start or stop a pump; it acts from the next step on."""
        self.pump_on[index] = on

    def set_gate(self, index: int, opening: float) -> None:
        """Move a gate towards an opening from 0 (shut) to 1; it travels 5 % a second."""
        self._gate_target[index] = opening

    def gate_states(self) -> NDArray[np.str_]:
        """Return ``open``, ``partlyOpen``, ``closed`` or ``moving`` for each gate."""
        moving = np.abs(self._gate_target - self.gate_opening) > 0.001
        opening = self.gate_opening
        return np.select([moving, opening < 0.005, opening > 0.995], ["moving", "closed", "open"], "partlyOpen")

    def pump_flow_m3_h(self) -> Floats:
        """Return what each pump moves, cubic metres per hour."""
        return np.where(self.pump_on, PUMP_FLOW_M3_H, 0.0)

    def pump_power_kw(self) -> Floats:
        """Return what each pump draws: more lift, less power head to spare; about 160 kW."""
        return np.where(self.pump_on, PUMP_POWER_KW - 8.0 * self._level_at_pumps(), 0.0)
