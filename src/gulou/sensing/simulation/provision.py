"""What the registry, the context and the map need to know before the simulated devices speak."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gulou.kernel.errors import Invalid
from gulou.kernel.ids import entity_id
from gulou.sensing.simulation import names
from gulou.sensing.simulation.basemap import base_map, to_geojson_geometry
from gulou.sensing.simulation.layout import Shape
from gulou.sensing.simulation.model import City, FamilyGroup, SimulatedDevice
from gulou.sensing.simulation.names import Name
from gulou.sensing.simulation.plane import stream
from gulou.sensing.simulation.settings import SimulationSettings
from gulou.sensing.simulation.statics import static_values

DEVICES_FILE = "devices.ndjson"
ENTITIES_FILE = "entities.ndjson"
BASE_MAP_FILE = "base.geojson"
CREDENTIALS_FILE = "credentials.json"
SETTINGS_FILE = "simulation.json"

Record = dict[str, Any]


@dataclass(frozen=True)
class Provisioned:
    """Where the files of a city are."""

    directory: Path

    @property
    def devices(self) -> Path:
        """NDJSON in the registry's form for bulk provisioning, gateways first."""
        return self.directory / DEVICES_FILE

    @property
    def entities(self) -> Path:
        """NDJSON, one NGSI-LD entity (normalized) a line."""
        return self.directory / ENTITIES_FILE

    @property
    def base_map(self) -> Path:
        """GeoJSON for the map."""
        return self.directory / BASE_MAP_FILE

    @property
    def credentials(self) -> Path:
        """JSON object, device id → secret, of the devices that connect themselves; mode 0600."""
        return self.directory / CREDENTIALS_FILE

    @property
    def settings(self) -> Path:
        """The settings from which the same city is built again."""
        return self.directory / SETTINGS_FILE


def provision(city: City, directory: Path) -> Provisioned:
    """Write every file of a city; secrets that exist already are kept, so that a second start needs no new ones."""
    made = Provisioned(directory)
    directory.mkdir(parents=True, exist_ok=True)
    _write_lines(made.devices, device_records(city))
    _write_lines(made.entities, entities(city))
    _write(made.base_map, json.dumps(base_map(city.layout), ensure_ascii=False, separators=(",", ":")))
    _write(made.settings, city.settings.model_dump_json(indent=2))
    known = read_credentials(made.credentials) if made.credentials.exists() else {}
    fresh = new_credentials(city)
    _write(made.credentials, json.dumps({i: known.get(i, secret) for i, secret in fresh.items()}), mode=0o600)
    return made


def read_settings(directory: Path) -> SimulationSettings:
    """Read the settings of a provisioned city. Raises Invalid ``simulation.unreadable``."""
    path = directory / SETTINGS_FILE
    try:
        return SimulationSettings.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Invalid("simulation.unreadable", path=str(path), detail=str(error).splitlines()[0]) from None


def read_credentials(path: Path) -> dict[str, str]:
    """Read device ids and secrets. Raises Invalid ``simulation.unreadable``."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        # The content is secret: only say that it could not be read.
        raise Invalid("simulation.unreadable", path=str(path), detail=type(error).__name__) from None
    if not isinstance(found, dict) or not all(isinstance(secret, str) for secret in found.values()):
        raise Invalid("simulation.unreadable", path=str(path), detail="not an object of texts")
    return found


def new_credentials(city: City) -> dict[str, str]:
    """Make a fresh random secret for every device that connects by itself; never from the seed."""
    own = [device.id for device in city.devices if device.link != "gateway"]
    return {device_id: secrets.token_urlsafe(24) for device_id in [*(g.id for g in city.gateways), *own]}


def device_records(city: City) -> Iterator[Record]:
    """Yield what the registry is told: gateways first, since the others refer to them."""
    for gateway in city.gateways:
        yield {
            "id": gateway.id,
            "name": gateway.name.zh,
            "adapter": "mqtt",
            "kind": "gateway",
            "department": "urban-management",
            "longitude": gateway.longitude,
            "latitude": gateway.latitude,
            "labels": {"city": names.CITY.en, "name_en": gateway.name.en},
        }
    for device in city.devices:
        yield _device_record(device)


def _device_record(device: SimulatedDevice) -> Record:
    record: Record = {
        "id": device.id,
        "name": device.name.zh,
        "adapter": "http" if device.link == "http" else "mqtt",
        "kind": device.family.kind,
        "department": device.family.department,
        "longitude": device.longitude,
        "latitude": device.latitude,
        "silence_s": max(120, 4 * device.interval_s),
        "bindings": [{"entity_id": device.entity_id, "entity_type": device.family.entity_type}],
        "labels": {"city": names.CITY.en, "name_en": device.name.en},
    }
    if device.gateway_id is not None:
        record["gateway_id"] = device.gateway_id
    return record


def entities(city: City) -> Iterator[Record]:
    """Yield the city's entities in NGSI-LD normalized form: districts, main roads and rivers, then what is sensed."""
    yield from _places(city)
    for group in city.groups.values():
        for device in group.devices:
            yield _entity(city, group, device)


def _places(city: City) -> Iterator[Record]:
    rng = stream(city.settings.seed, "population")
    for shape in city.layout.districts:
        area_km2 = round(shape.geometry.area / 1e6, 1)
        population = int(round(area_km2 * rng.uniform(2_500, 6_500), -2))
        yield _place("District", shape, area=_number(area_km2), population=_number(population))
    classes = {"expressway": "trunk", "ring": "primary", "arterial": "primary", "embankment": "secondary"}
    for shape in city.layout.main_roads:
        length_km = round(shape.geometry.length / 1_000, 2)
        road_class = {"type": "Property", "value": classes[shape.category]}
        yield _place("Road", shape, roadClass=road_class, length=_number(length_km))
    yield _place("River", city.layout.river, flowsInto=None)
    yield _place("River", city.layout.creek, flowsInto=_relation("River", city.layout.river.id))


def _place(type_: str, shape: Shape, **attributes: Record | None) -> Record:
    geometry = shape.geometry.simplify(8.0)
    return {
        "id": entity_id(type_, shape.id),
        "type": type_,
        "name": _language(shape.name or names.CITY),
        "location": {"type": "GeoProperty", "value": to_geojson_geometry(geometry)},
    } | {name: value for name, value in attributes.items() if value is not None}


def _entity(city: City, group: FamilyGroup, device: SimulatedDevice) -> Record:
    family = group.family
    entity: Record = {
        "id": device.entity_id,
        "type": family.entity_type,
        "name": _language(device.name),
        "location": {
            "type": "GeoProperty",
            "value": {"type": "Point", "coordinates": [device.longitude, device.latitude]},
        },
        "department": {"type": "Property", "value": family.department},
        "refDistrict": _relation("District", device.district_id),
    }
    for name, value in static_values(city, group, device.index).items():
        entity[name] = _relation_to(value) if str(value).startswith("urn:") else {"type": "Property", "value": value}
    return entity


def _language(name: Name) -> Record:
    return {"type": "LanguageProperty", "languageMap": {"en": name.en, "zh": name.zh}}


def _number(value: float) -> Record:
    return {"type": "Property", "value": value}


def _relation(type_: str, local: str) -> Record:
    return _relation_to(entity_id(type_, local))


def _relation_to(urn: str) -> Record:
    return {"type": "Relationship", "object": urn}


def _write_lines(path: Path, records: Iterable[Record]) -> None:
    text = "".join(f"{json.dumps(record, ensure_ascii=False, separators=(',', ':'))}\n" for record in records)
    _write(path, text)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    """Write whole or not at all; the file never has wider permissions than ``mode``."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    part.replace(path)
