"""Traffic: rush hours fill roads, rain slows them, water on the road all but stops them; buses drive in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gulou.sensing.simulation.model import City
from gulou.sensing.simulation.plane import Points, stream, to_lonlat
from gulou.sensing.simulation.rhythm import traffic_demand

Floats = NDArray[np.float64]

_FLOOD_REACH_M = 700.0
_STOPPING_DEPTH_M = 0.12
ROAD_CAPACITY_PER_H = {"expressway": 5_400.0, "ring": 4_200.0, "arterial": 3_000.0, "embankment": 2_400.0}
FREE_SPEED_KMH = {"expressway": 80.0, "ring": 60.0, "arterial": 50.0, "embankment": 50.0}


class Traffic:
    """Flow at the detectors, vehicles per hour, and speed, km/h."""

    def __init__(self, city: City) -> None:
        rng = stream(city.settings.seed, "traffic")
        group = city.group("traffic")
        categories = {road.id: road.category for road in city.layout.roads}
        kinds = [categories[road_id] for road_id in group.place_ids]
        self._rng = stream(city.settings.seed, "traffic-noise")
        self._capacity: Floats = np.array([ROAD_CAPACITY_PER_H[kind] for kind in kinds])
        self.free_kmh: Floats = np.array([FREE_SPEED_KMH[kind] for kind in kinds])
        centre = np.exp(-np.linalg.norm(group.positions, axis=1) / 6_000)
        self._weight: Floats = 0.45 + 0.5 * centre + rng.uniform(-0.1, 0.1, len(kinds))
        self._noise: Floats = np.zeros(len(kinds))
        self._exposure = _exposure(group.positions, city)
        self.load: Floats = np.zeros(len(kinds))
        self.speed_kmh: Floats = self.free_kmh.copy()
        self._flow: Floats = np.zeros(len(kinds))

    def step(self, dt_s: float, now_us: int, rain_mm_h: float, road_m: Floats) -> None:
        """Let time pass; ``road_m`` is the water on the road at the road gauges."""
        keep = math.exp(-dt_s / 60.0)
        self._noise = keep * self._noise + math.sqrt(1 - keep * keep) * self._rng.normal(0, 0.09, len(self._noise))
        demand = traffic_demand(now_us) * self._weight * (1 + self._noise)
        depth = self._exposure @ road_m[: self._exposure.shape[1]]
        passable = 1.0 / (1.0 + (depth / _STOPPING_DEPTH_M) ** 2)
        room = passable * (1 - 0.15 * min(rain_mm_h / 65.0, 1.5))
        self.load = np.clip(demand / room, 0.02, 1.25)
        goal = self.free_kmh * room / (1 + 0.9 * self.load**4)
        self.speed_kmh += (goal - self.speed_kmh) * (1 - math.exp(-dt_s / 6.0))
        self._flow = np.minimum(demand, room) * self._capacity

    def flow_per_h(self) -> Floats:
        """Return vehicles per hour."""
        return self._flow

    def occupancy(self) -> Floats:
        """Return the share of time that a detector is covered, 0 to 1."""
        return np.clip(0.28 * self.load**1.6, 0.0, 1.0)


def _exposure(positions: Points, city: City) -> Floats:
    """Return how much each detector feels the water at the road gauges that can flood, shape ``(n, n_gauges)``."""
    gauges = city.group("road-water").positions[:2]
    distance = np.linalg.norm(positions[:, None, :] - gauges[None, :, :], axis=2)
    covered: Floats = np.exp(-((distance / _FLOOD_REACH_M) ** 2))
    return covered


class Vehicles:
    """Buses that run along the main roads, to and fro; round and round on the rings."""

    def __init__(self, city: City) -> None:
        rng = stream(city.settings.seed, "vehicles")
        group = city.group("vehicle")
        roads = {road.id: road.geometry for road in city.layout.main_roads}
        self._roads = [roads[road_id] for road_id in group.place_ids]
        self._length: Floats = np.array([road.length for road in self._roads])
        self._closed = np.array([road.is_ring for road in self._roads])
        self._travelled: Floats = rng.uniform(0, 1, len(self._roads)) * self._length
        self._direction: Floats = rng.choice([-1.0, 1.0], len(self._roads))
        self._rng = stream(city.settings.seed, "vehicles-noise")
        self.speed_kmh: Floats = rng.uniform(15, 40, len(self._roads))

    def step(self, dt_s: float, city_speed_kmh: float) -> None:
        """Drive on; the city's mean speed sets the pace, stops make it uneven."""
        keep = math.exp(-dt_s / 20.0)
        goal = city_speed_kmh * 0.75 * (1 + self._rng.normal(0, 0.35, len(self._roads)))
        self.speed_kmh = np.clip(keep * self.speed_kmh + (1 - keep) * goal, 0.0, 70.0)
        self._travelled += self._direction * self.speed_kmh / 3.6 * dt_s
        over = (self._travelled < 0) | (self._travelled > self._length)
        self._travelled = np.where(self._closed, self._travelled % self._length, self._travelled)
        self._direction = np.where(over & ~self._closed, -self._direction, self._direction)
        self._travelled = np.clip(self._travelled, 0, self._length)

    def locate(self, indexes: list[int]) -> tuple[list[dict[str, Any]], list[float]]:
        """Return GeoJSON points and headings (degrees clockwise from north) of some vehicles."""
        here, course = [], []
        for index in indexes:
            road, at = self._roads[index], float(self._travelled[index])
            before, after = road.interpolate(max(at - 5.0, 0.0)), road.interpolate(at + 5.0)
            here.append(road.interpolate(at).coords[0])
            course.append((after.x - before.x, after.y - before.y))
        plane = np.array(here).reshape(-1, 2)
        course_m = np.array(course).reshape(-1, 2) * self._direction[indexes][:, None]
        heading = np.degrees(np.arctan2(course_m[:, 0], course_m[:, 1])) % 360
        points = [{"type": "Point", "coordinates": place} for place in to_lonlat(plane).tolist()]
        return points, np.round(heading, 0).tolist()
