"""Builds the simulated city of a seed and a size: how many of what, where, and how each device speaks."""

from __future__ import annotations

import math

import numpy as np
import shapely

from gulou.sensing.simulation import names, places
from gulou.sensing.simulation.families import FAMILIES
from gulou.sensing.simulation.layout import Layout, draw_layout
from gulou.sensing.simulation.model import City, Family, FamilyGroup, Gateway, Link, SimulatedDevice
from gulou.sensing.simulation.names import Name
from gulou.sensing.simulation.places import Place
from gulou.sensing.simulation.plane import Points, stream, to_lonlat
from gulou.sensing.simulation.settings import SimulationSettings

STAGE_SIZE = 8
"""The first devices of an urgent family keep their interval in a city of any size: the storm plays there."""
_HTTP_MAX = 2_000
_HTTP_ACTUATORS_MAX = 4
_OWN_LINKS_MAX = 40
_INTERVAL_MAX_S = 21_600


def build_city(settings: SimulationSettings) -> City:
    """Build the city; the same settings give the same city, to the last digit."""
    layout = draw_layout(settings.seed)
    gateways = _gateways(settings)
    counts = _shares(settings.devices - len(gateways))
    intervals = _Intervals(counts, settings.max_readings_per_s)
    links = _Links(gateways)
    groups: dict[str, FamilyGroup] = {}
    for family in FAMILIES:
        found = _find_places(layout, family, counts[family.name], settings.seed)
        groups[family.name] = _group(layout, family, found, intervals, links, settings.seed)
    return City(settings, layout, gateways, _with_references(groups))


def _gateways(settings: SimulationSettings) -> tuple[Gateway, ...]:
    count = max(4, min(16, settings.devices // 200))
    angle = 2 * math.pi * (np.arange(count) + 0.5) / count
    lonlat = to_lonlat(np.column_stack([4_200 * np.cos(angle), 3_600 * np.sin(angle)]))
    label = Name("物联网关", "IoT gateway ")
    return tuple(
        Gateway(f"gateway-{n}", Name(f"{label.zh}{n}号", f"{label.en}{n}"), float(lon), float(lat))
        for n, (lon, lat) in enumerate(lonlat, 1)
    )


def _shares(total: int) -> dict[str, int]:
    """Divide the devices among the families: first the minimum of each, then by weight, largest remainder first."""
    spare = total - sum(family.minimum for family in FAMILIES)
    weights = sum(family.weight for family in FAMILIES)
    exact = {family.name: spare * family.weight / weights for family in FAMILIES}
    counts = {family.name: family.minimum + int(exact[family.name]) for family in FAMILIES}
    rest = total - sum(counts.values())
    for name in sorted(exact, key=lambda name: int(exact[name]) - exact[name])[:rest]:
        counts[name] += 1
    return counts


class _Intervals:
    """Stretches the devices' intervals so that the city's mean rate stays below its ceiling."""

    def __init__(self, counts: dict[str, int], ceiling_per_s: float) -> None:
        stage = plain = 0.0
        for family in FAMILIES:
            rate = len(family.channels) / family.interval_s
            on_stage = min(STAGE_SIZE, counts[family.name]) if family.urgent else 0
            stage += on_stage * rate
            plain += (counts[family.name] - on_stage) * rate
        room = max(ceiling_per_s - stage, ceiling_per_s * 0.1)
        self._factor = max(1.0, plain / room)

    def of(self, family: Family, index: int) -> int:
        if family.urgent and index < STAGE_SIZE:
            return family.interval_s
        return min(_INTERVAL_MAX_S, math.ceil(family.interval_s * self._factor))


class _Links:
    """Decides how each device speaks: most through the gateway of their side of the city, some on their own."""

    def __init__(self, gateways: tuple[Gateway, ...]) -> None:
        self._gateways = gateways
        self._http = self._http_actuators = self._own = 0

    def of(self, family: Family, index: int, x: float, y: float) -> tuple[Link, str | None]:
        if self._by_http(family, index):
            return "http", None
        on_stage = family.name == "pump" and index < 2
        if on_stage or (family.name in {"air", "weather"} and index % 4 == 0 and self._own < _OWN_LINKS_MAX):
            self._own += 1
            return "own", None
        side = int((math.atan2(y, x) % (2 * math.pi)) / (2 * math.pi) * len(self._gateways))
        return "gateway", self._gateways[min(side, len(self._gateways) - 1)].id

    def _by_http(self, family: Family, index: int) -> bool:
        if int((index + 1) * family.http_share) <= int(index * family.http_share) or self._http >= _HTTP_MAX:
            return False
        if family.actuator and self._http_actuators >= _HTTP_ACTUATORS_MAX:
            return False
        self._http += 1
        self._http_actuators += family.actuator
        return True


def _find_places(layout: Layout, family: Family, count: int, seed: int) -> list[Place]:
    rng = stream(seed, f"places-{family.name}")
    stage = _stage(layout, family, count)
    rest = count - len(stage)
    match family.place:
        case "main-road":
            return stage + places.along_roads(layout.main_roads, rest, rng)
        case "road":
            return stage + places.along_roads(layout.roads, rest, rng)
        case "park":
            return places.in_parks(layout.parks, count, rng)
        case "building":
            return places.at_buildings(layout.buildings, count, rng)
        case "river":
            return places.along_waters(layout, count, rng)
        case _:
            return places.anywhere(layout, count, rng)


def _stage(layout: Layout, family: Family, count: int) -> list[Place]:
    """Return the fixed places of the storm's story: the two underpasses."""
    distance = {"drain": 0.0, "road-water": 18.0, "pump": -22.0, "traffic": 90.0, "camera": 45.0}.get(family.name)
    if distance is None or count < 2:
        return []
    return [places.near(place, layout, distance) for place in places.underpasses(layout)]


def _group(
    layout: Layout, family: Family, found: list[Place], intervals: _Intervals, links: _Links, seed: int
) -> FamilyGroup:
    points = places.to_points(found)
    lonlat = to_lonlat(points).tolist()
    districts = _districts_of(layout, points)
    chance = stream(seed, f"phase-{family.name}").random(len(found))
    devices = []
    for index, place in enumerate(found):
        interval_s = intervals.of(family, index)
        link, gateway_id = links.of(family, index, place.x, place.y)
        district = layout.districts[districts[index]]
        devices.append(
            SimulatedDevice(
                id=f"{family.name}-{index + 1}",
                family=family,
                index=index,
                name=_name(family, index, place.name or district.name or names.CITY),
                longitude=lonlat[index][0],
                latitude=lonlat[index][1],
                district_id=district.id,
                link=link,
                gateway_id=gateway_id,
                interval_s=interval_s,
                phase_s=int(chance[index] * interval_s),
            )
        )
    return FamilyGroup(family, tuple(devices), points, place_ids=tuple(place.shape_id for place in found))


def _name(family: Family, index: int, place: Name) -> Name:
    if family.name == "parking" and index < len(names.PARKING_PLACES):
        return names.PARKING_PLACES[index]
    if family.name == "vehicle":
        return Name(f"{index + 1}路公交车", f"Bus {index + 1}")
    return Name(f"{place.zh}{family.label.zh}{index + 1}号", f"{family.label.en} {index + 1}, {place.en}")


def _districts_of(layout: Layout, points: Points) -> list[int]:
    """Return the index of the district of each point; a point outside all belongs to the nearest."""
    marks = shapely.points(points)
    distances = np.array([shapely.distance(district.geometry, marks) for district in layout.districts])
    nearest: list[int] = distances.argmin(axis=0).tolist()
    return nearest


def _with_references(groups: dict[str, FamilyGroup]) -> dict[str, FamilyGroup]:
    """Tie pumps to drains, road gauges to drains, gates to river gauges."""
    drains, rivers = len(groups["drain"].devices), len(groups["river"].devices)

    def refer(name: str, targets: tuple[int, ...]) -> None:
        group = groups[name]
        groups[name] = FamilyGroup(group.family, group.devices, group.positions, targets, group.place_ids)

    refer("pump", tuple(i if i < drains else -1 for i in range(len(groups["pump"].devices))))
    refer("road-water", tuple(i if i < 2 else -1 for i in range(len(groups["road-water"].devices))))
    # The creek's gauge is the second one; its gate is the first.
    refer("gate", tuple((i + 1) % rivers for i in range(len(groups["gate"].devices))))
    return groups
