"""Sky, air and noise: the weather of the day, pollution that the wind carries, rain that washes it out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gulou.sensing.simulation.model import City
from gulou.sensing.simulation.plane import stream
from gulou.sensing.simulation.rhythm import daylight, local_hour, traffic_demand

Floats = NDArray[np.float64]

# Factories east and south-west of the city: (x, y) in metres, strength in µg/m³ of PM2.5 downwind.
_SOURCES = np.array([[8_200.0, 1_400.0], [-7_600.0, -5_200.0]])
_STRENGTH = np.array([70.0, 55.0])


class Wandering:
    """Values that drift around zero with a time constant; unit variance."""

    def __init__(self, rng: np.random.Generator, count: int, time_constant_s: float) -> None:
        self._rng = rng
        self._time_constant_s = time_constant_s
        self.values: Floats = rng.normal(0, 1, count)

    def step(self, dt_s: float) -> None:
        keep = math.exp(-dt_s / self._time_constant_s)
        self.values = keep * self.values + math.sqrt(1 - keep * keep) * self._rng.normal(0, 1, len(self.values))


class Sky:
    """Weather at the stations; rain differs a little from place to place."""

    def __init__(self, city: City) -> None:
        seed = city.settings.seed
        count = len(city.group("weather").devices)
        rng = stream(seed, "sky")
        self._offset: Floats = rng.normal(0, 0.5, count)
        self._rain_share: Floats = rng.uniform(0.75, 1.1, count)
        self._wander = Wandering(stream(seed, "sky-wander"), 3, 5_400.0)
        self._jitter = Wandering(stream(seed, "sky-jitter"), count, 30.0)
        self.wind_m_s = 2.5
        self.wind_from_deg = 90.0

    def step(self, dt_s: float, now_us: int, rain_mm_h: float) -> None:
        """Let time pass; a storm brings wind, cool and wet air."""
        self._wander.step(dt_s)
        self._jitter.step(dt_s)
        hour, wander, storm = local_hour(now_us), self._wander.values, min(rain_mm_h / 65.0, 1.5)
        self._temperature = 24 + 5 * math.cos((hour - 14.5) / 24 * 2 * math.pi) + 1.5 * wander[0] - 3.5 * storm
        self.wind_m_s = max(0.3, 2.4 + 0.9 * wander[1] + 6.0 * storm)
        self.wind_from_deg = (95 + 60 * wander[2]) % 360
        self._humidity = 0.62 - 0.016 * (self._temperature - 24) + 0.3 * storm
        self._rain = rain_mm_h

    def temperature_cel(self) -> Floats:
        felt: Floats = self._temperature + self._offset + 0.1 * self._jitter.values
        return felt

    def humidity(self) -> Floats:
        """Return relative humidity, 0 to 1."""
        share: Floats = np.clip(self._humidity - 0.01 * self._offset, 0.1, 1.0)
        return share

    def wind_speed_m_s(self) -> Floats:
        return np.maximum(self.wind_m_s * (1 + 0.15 * self._jitter.values), 0.0)

    def wind_direction_deg(self) -> Floats:
        """Return where the wind comes from, degrees clockwise from north."""
        return (self.wind_from_deg + 9 * self._jitter.values) % 360

    def pressure_hpa(self) -> Floats:
        pressure: Floats = 1_009.0 + 2.0 * self._wander.values[1] - 4 * min(self._rain / 65.0, 1.5) + 0.3 * self._offset
        return pressure

    def precipitation_mm_h(self) -> Floats:
        """Return the rain's intensity, millimetres per hour."""
        return np.maximum(self._rain * self._rain_share, 0.0)


class Air:
    """Pollution: a background, traffic near by, and two plumes that turn with the wind."""

    def __init__(self, city: City) -> None:
        group = city.group("air")
        seed = city.settings.seed
        self._offset = group.positions[:, None, :] - _SOURCES[None, :, :]
        self._distance = np.linalg.norm(self._offset, axis=2)
        self._near_roads: Floats = 0.6 + 0.6 * np.exp(-np.linalg.norm(group.positions, axis=1) / 4_000)
        self._wander = Wandering(stream(seed, "air-wander"), 1, 14_400.0)
        self._jitter = Wandering(stream(seed, "air-jitter"), len(group.devices), 240.0)
        self._washed = 0.0

    def step(self, dt_s: float, now_us: int, rain_mm_h: float, sky: Sky) -> None:
        """Let time pass; rain washes the air within minutes, it fills up again within an hour."""
        self._wander.step(dt_s)
        self._jitter.step(dt_s)
        goal = min(rain_mm_h / 40.0, 1.0)
        self._washed += (goal - self._washed) * (1 - math.exp(-dt_s / (180.0 if goal > self._washed else 1_800.0)))
        towards = math.radians(sky.wind_from_deg + 180)
        wind = np.array([math.sin(towards), math.cos(towards)])
        along = (self._offset @ wind) / np.maximum(self._distance, 1.0)
        spread = np.exp(-((np.arccos(np.clip(along, -1, 1)) / 0.45) ** 2)) * np.exp(-self._distance / 9_000)
        self._plume = spread @ _STRENGTH / (0.6 + 0.25 * sky.wind_m_s)
        self._traffic = traffic_demand(now_us) * self._near_roads
        self._sun = daylight(now_us)

    def pm25(self) -> Floats:
        """Return PM2.5 in µg/m³."""
        background = 26 + 6 * self._wander.values[0]
        clean = 1 - 0.65 * self._washed
        level: Floats = np.maximum(
            (background + 14 * self._traffic + self._plume + 2.5 * self._jitter.values) * clean, 2.0
        )
        return level

    def channels(self) -> dict[str, Floats]:
        """Return every pollutant: µg/m³, CO in mg/m³."""
        pm25, clean, jitter = self.pm25(), 1 - 0.4 * self._washed, self._jitter.values
        return {
            "pm25": pm25,
            "pm10": pm25 * 1.45 + 8 * clean + 1.5 * jitter + 2,
            "no2": np.maximum(12 + 38 * self._traffic * clean + 2 * jitter, 1.0),
            "so2": np.maximum(6 + 0.12 * self._plume * clean + 0.6 * jitter, 0.5),
            "co": np.maximum(0.45 + 0.55 * self._traffic * clean + 0.03 * jitter, 0.1),
            "o3": np.maximum(28 + 85 * self._sun * clean - 10 * self._traffic + 3 * jitter, 2.0),
        }


class Noise:
    """Sound at the monitors: traffic by day, rain on top."""

    def __init__(self, city: City) -> None:
        count = len(city.group("noise").devices)
        self._place: Floats = stream(city.settings.seed, "noise").uniform(-6, 6, count)
        self._jitter = Wandering(stream(city.settings.seed, "noise-jitter"), count, 15.0)

    def step(self, dt_s: float, now_us: int, rain_mm_h: float) -> None:
        """Let time pass."""
        self._jitter.step(dt_s)
        self._level = 46 + 17 * traffic_demand(now_us) ** 0.5 + 6 * min(rain_mm_h / 65.0, 1.0)

    def equivalent_db(self) -> Floats:
        level: Floats = self._level + self._place + 1.4 * self._jitter.values
        return level

    def maximum_db(self) -> Floats:
        return self.equivalent_db() + 7 + np.abs(2 * self._jitter.values)
