"""What is always true of an entity: its place in the network, its limits, its make."""

from __future__ import annotations

from typing import Any

from gulou.kernel.ids import entity_id
from gulou.sensing.simulation.activity import parking_capacity
from gulou.sensing.simulation.model import City, FamilyGroup
from gulou.sensing.simulation.traffic import FREE_SPEED_KMH
from gulou.sensing.simulation.water import (
    CREEK_NORMAL_M,
    DRAIN_NORMAL_M,
    PUMP_FLOW_M3_H,
    PUMP_POWER_KW,
    PUMP_STOP_M,
    RIVER_NORMAL_M,
)

_RIVER_WARNING_M = 8.0
_WASTE_KINDS = ("residual", "recyclable", "kitchen", "hazardous")
_CREEK_GAUGE = 1


def static_values(city: City, group: FamilyGroup, index: int) -> dict[str, Any]:
    """Return the static properties of one entity by name; a text that begins with ``urn:`` is a relationship."""
    values = _road_of(city, group, index)
    match group.family.name:
        case "drain":
            values |= {"siteCategory": "drain", "normalLevel": DRAIN_NORMAL_M}
        case "road-water":
            values |= {"siteCategory": "road", "normalLevel": 0.0}
        case "river":
            values |= _river(city, group, index)
        case "pump":
            values |= {"ratedFlow": PUMP_FLOW_M3_H, "ratedPower": PUMP_POWER_KW, "stopLevel": PUMP_STOP_M}
            values |= _target("drains", "drain", group.refers[index])
            values["dischargesInto"] = entity_id("River", city.layout.river.id)
        case "gate":
            values |= _target("controls", "river", group.refers[index])
            values["refRiver"] = _river_of(city, group.refers[index])
        case "traffic":
            category = next(r.category for r in city.layout.main_roads if r.id == group.place_ids[index])
            values["freeFlowSpeed"] = FREE_SPEED_KMH[category]
        case "parking":
            values["totalSpotNumber"] = int(parking_capacity(city)[index])
        case "bin":
            values |= {"storedWasteKind": _WASTE_KINDS[index % 4], "capacity": 240}
        case "meter" | "water-meter":
            values["consumerKind"] = "home" if index % 4 else "business"
        case "camera":
            values["cameraType"] = "dome" if index % 3 == 0 else "fixed"
        case "vehicle":
            values |= {"vehicleType": "bus", "serviceStatus": "onRoute", "fleetVehicleId": f"LJ-{index + 1:04d}"}
    return values


def _road_of(city: City, group: FamilyGroup, index: int) -> dict[str, Any]:
    """Return ``refRoad`` where the type has it and the road is an entity (the main roads are)."""
    road_id = group.place_ids[index]
    has_road = group.family.name in {"drain", "road-water", "traffic", "streetlight", "camera", "vehicle"}
    is_main = any(road.id == road_id for road in city.layout.main_roads)
    return {"refRoad": entity_id("Road", road_id)} if has_road and is_main else {}


def _river(city: City, group: FamilyGroup, index: int) -> dict[str, Any]:
    on_creek = index == _CREEK_GAUGE
    normal = CREEK_NORMAL_M if on_creek else RIVER_NORMAL_M
    return {
        "siteCategory": "river",
        "normalLevel": normal,
        "warningLevel": 3.2 if on_creek else _RIVER_WARNING_M,
        "refRiver": _river_of(city, index),
    }


def _river_of(city: City, gauge: int) -> str:
    return entity_id("River", (city.layout.creek if gauge == _CREEK_GAUGE else city.layout.river).id)


def _target(name: str, family: str, index: int) -> dict[str, Any]:
    return {name: entity_id("WaterLevelObserved", f"{family}-{index + 1}")} if index >= 0 else {}
