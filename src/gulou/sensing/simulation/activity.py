"""What people do: they park, gather, use power and water, fill bins; and the lamps that go on at dusk."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gulou.sensing.simulation.model import City
from gulou.sensing.simulation.plane import stream
from gulou.sensing.simulation.rhythm import local_hour, presence
from gulou.sensing.simulation.surroundings import Wandering

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_PURPOSES = ("work", "leisure", "home")
_DUSK_H, _DAWN_H = 18.6, 5.6


def parking_capacity(city: City) -> Floats:
    """Return the spots of every car park."""
    rng = stream(city.settings.seed, "parking")
    return rng.choice([80, 120, 200, 300, 450, 600], len(city.group("parking").devices)).astype(np.float64)


class Parking:
    """Car parks of offices, shops and homes; cars come and go at a limited pace."""

    def __init__(self, city: City) -> None:
        count = len(city.group("parking").devices)
        self.capacity = parking_capacity(city)
        self._purpose = np.arange(count) % len(_PURPOSES)
        self._wander = Wandering(stream(city.settings.seed, "parking-wander"), count, 900.0)
        self._taken: Floats | None = None

    def step(self, dt_s: float, now_us: int) -> None:
        """Let time pass."""
        self._wander.step(dt_s)
        fullness = np.array([presence(now_us, purpose) for purpose in _PURPOSES])[self._purpose]
        goal = np.clip(fullness + 0.05 * self._wander.values, 0.0, 1.0) * self.capacity
        taken = goal if self._taken is None else self._taken
        self._taken = taken + np.clip(goal - taken, -0.002 * self.capacity * dt_s, 0.002 * self.capacity * dt_s)

    def occupied(self) -> NDArray[np.int64]:
        """Return taken spots."""
        taken = np.zeros_like(self.capacity) if self._taken is None else self._taken
        return np.round(taken).astype(np.int64)

    def available(self) -> NDArray[np.int64]:
        """Return free spots."""
        return self.capacity.astype(np.int64) - self.occupied()


class Crowds:
    """People counted in parks and squares; rain sends them home."""

    def __init__(self, city: City) -> None:
        count = len(city.group("crowd").devices)
        self._size: Floats = stream(city.settings.seed, "crowd").uniform(150, 900, count)
        self._jitter = Wandering(stream(city.settings.seed, "crowd-jitter"), count, 120.0)
        self._out = 1.0

    def step(self, dt_s: float, now_us: int, rain_mm_h: float) -> None:
        """Let time pass."""
        self._jitter.step(dt_s)
        goal = 1.0 / (1.0 + rain_mm_h / 8.0)
        self._out += (goal - self._out) * (1 - math.exp(-dt_s / 60.0))
        self._share = presence(now_us, "leisure") * self._out

    def people(self) -> NDArray[np.int64]:
        """Return how many are there."""
        return np.maximum(self._size * self._share * (1 + 0.1 * self._jitter.values), 0).astype(np.int64)


class Meters:
    """Electricity and water of homes and offices: a present rate, and a counter that only grows."""

    def __init__(self, city: City) -> None:
        seed = city.settings.seed
        homes, taps = len(city.group("meter").devices), len(city.group("water-meter").devices)
        rng = stream(seed, "meters")
        self._power_share: Floats = rng.gamma(2.0, 1.0, homes)
        self._flow_share: Floats = rng.gamma(2.0, 0.5, taps)
        self.energy_kwh: Floats = np.round(rng.uniform(800, 30_000, homes), 2)
        self.volume_m3: Floats = np.round(rng.uniform(50, 3_000, taps), 3)
        self._power_jitter = Wandering(stream(seed, "meters-power"), homes, 120.0)
        self._flow_jitter = Wandering(stream(seed, "meters-flow"), taps, 60.0)
        self.power_kw: Floats = np.zeros(homes)
        self.flow_l_min: Floats = np.zeros(taps)

    def step(self, dt_s: float, now_us: int) -> None:
        """Let time pass."""
        self._power_jitter.step(dt_s)
        self._flow_jitter.step(dt_s)
        hour = local_hour(now_us)
        use = 0.35 + 0.6 * math.exp(-(((hour - 20) / 2.6) ** 2)) + 0.3 * math.exp(-(((hour - 12) / 2.5) ** 2))
        wash = 0.15 + 0.8 * math.exp(-(((hour - 7.3) / 1.2) ** 2)) + 0.7 * math.exp(-(((hour - 20.5) / 1.8) ** 2))
        self.power_kw = np.maximum(self._power_share * use * (1 + 0.3 * self._power_jitter.values), 0.02)
        self.flow_l_min = np.maximum(8 * self._flow_share * wash * (0.4 + 0.6 * self._flow_jitter.values), 0.0)
        self.energy_kwh += self.power_kw * dt_s / 3_600
        self.volume_m3 += self.flow_l_min * dt_s / 60_000


class Bins:
    """Waste containers; emptied when nearly full."""

    def __init__(self, city: City) -> None:
        count = len(city.group("bin").devices)
        rng = stream(city.settings.seed, "bins")
        self.level: Floats = rng.uniform(0.05, 0.8, count)
        self._pace_per_s: Floats = rng.uniform(0.3, 1.2, count) / 86_400

    def step(self, dt_s: float) -> None:
        """Let time pass; a container above 95 % is emptied."""
        self.level += self._pace_per_s * dt_s
        self.level = np.where(self.level > 0.95, 0.03, self.level)


class Lamps:
    """Streetlights: on from dusk to dawn by themselves, until somebody commands otherwise."""

    def __init__(self, city: City) -> None:
        count = len(city.group("streetlight").devices)
        self._commanded: Floats = np.full(count, np.nan)
        self._watts: Floats = stream(city.settings.seed, "lamps").choice([80.0, 120.0, 150.0], count)
        self.level: Floats = np.zeros(count)

    def step(self, now_us: int) -> None:
        """Follow the clock and the commands."""
        hour = local_hour(now_us)
        by_clock = 1.0 if hour >= _DUSK_H or hour < _DAWN_H else 0.0
        self.level = np.where(np.isnan(self._commanded), by_clock, self._commanded)

    def command(self, index: int, level: float | None) -> None:
        """Hold a lamp at a level from 0 to 1; None gives it back to the clock."""
        self._commanded[index] = math.nan if level is None else level

    def states(self) -> NDArray[np.str_]:
        """Return ``on``, ``off`` or ``low`` (dimmed)."""
        return np.select([self.level <= 0, self.level < 0.99], ["off", "low"], "on")

    def power_w(self) -> Floats:
        return self.level * self._watts
