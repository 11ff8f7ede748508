"""The city alive: steps its physics, says which devices speak now and what they say, takes commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gulou.kernel.clock import SECOND_US
from gulou.sensing.simulation.activity import Bins, Crowds, Lamps, Meters, Parking
from gulou.sensing.simulation.model import City, SimulatedDevice
from gulou.sensing.simulation.rhythm import traffic_demand
from gulou.sensing.simulation.storm import StormScript
from gulou.sensing.simulation.surroundings import Air, Noise, Sky
from gulou.sensing.simulation.traffic import Traffic, Vehicles
from gulou.sensing.simulation.water import Water

Channels = dict[str, Any]
_Columns = Mapping[str, NDArray[Any] | list[Any]]

TICK_S = 1


@dataclass(frozen=True)
class Utterance:
    """What a device says at one moment: its channels, by name."""

    device: SimulatedDevice
    observed_at_us: int
    channels: Channels


@dataclass(frozen=True)
class Outcome:
    """How a device answers a command."""

    ok: bool
    detail: str


class World:
    """The simulated city in motion. Not thread-safe; one owner steps it and passes commands on.

    Args:
        start_us: the devices' clock at the start, µs since the Unix epoch, UTC.
    """

    def __init__(self, city: City, start_us: int) -> None:
        self.city = city
        self.start_us = start_us
        self.now_us = start_us
        self.storm = StormScript.from_settings(city.settings)
        self.water = Water(city)
        self.traffic, self.vehicles = Traffic(city), Vehicles(city)
        self.sky, self.air, self.noise = Sky(city), Air(city), Noise(city)
        self.parking, self.crowds, self.meters = Parking(city), Crowds(city), Meters(city)
        self.bins, self.lamps = Bins(city), Lamps(city)
        self._by_id = {device.id: device for device in city.devices}
        self._intervals = {n: np.array([d.interval_s for d in g.devices]) for n, g in city.groups.items()}
        self._phases = {n: np.array([d.phase_s for d in g.devices]) for n, g in city.groups.items()}
        self._hurried: set[str] = set()
        self._columns = self._column_sources()
        self._advance(0.0)

    @property
    def elapsed_s(self) -> float:
        """Seconds of the devices' clock since the start."""
        return (self.now_us - self.start_us) / SECOND_US

    @property
    def rain_mm_h(self) -> float:
        """The rain over the city now."""
        return self.storm.intensity_mm_h(self.elapsed_s)

    def step(self) -> list[Utterance]:
        """Move on by one tick of the devices' clock and return what the devices say then."""
        self.now_us += TICK_S * SECOND_US
        self._advance(float(TICK_S))
        second = round(self.elapsed_s)
        said: list[Utterance] = []
        for name, group in self.city.groups.items():
            due = np.nonzero((second - self._phases[name]) % self._intervals[name] == 0)[0].tolist()
            if self._hurried:
                due = self._with_hurried(name, due)
            if due:
                rows = self._rows(name, due)
                said += [Utterance(group.devices[i], self.now_us, row) for i, row in zip(due, rows, strict=True)]
        self._hurried.clear()
        return said

    def call_storm(self) -> None:
        """Let heavy rain begin now."""
        self.storm.call(self.elapsed_s)

    def command(self, device_id: str, name: str, parameters: Mapping[str, Any]) -> Outcome:
        """Carry out a command; its effect shows in the physics, and the device reports its state at the next tick."""
        device = self._by_id.get(device_id)
        if device is None or not device.family.actuator:
            return Outcome(False, "no such actuator")
        act = {"pump": self._command_pump, "gate": self._command_gate, "streetlight": self._command_lamp}
        try:
            outcome = act[device.family.name](device.index, name, parameters)
        except (TypeError, ValueError) as error:
            return Outcome(False, f"parameters not understood: {error}")
        if outcome.ok:
            self._hurried.add(device_id)
        return outcome

    def _advance(self, dt_s: float) -> None:
        now, rain = self.now_us, self.rain_mm_h
        self.water.step(dt_s, rain)
        self.sky.step(dt_s, now, rain)
        self.air.step(dt_s, now, rain, self.sky)
        self.noise.step(dt_s, now, rain)
        self.traffic.step(dt_s, now, rain, self.water.road_m)
        self.vehicles.step(dt_s, float(self.traffic.speed_kmh.mean()))
        self.parking.step(dt_s, now)
        self.crowds.step(dt_s, now, rain)
        self.meters.step(dt_s, now)
        self.bins.step(dt_s)
        self.lamps.step(now)

    def _with_hurried(self, name: str, due: list[int]) -> list[int]:
        hurried = {self._by_id[i].index for i in self._hurried if self._by_id[i].family.name == name}
        return sorted({*due, *hurried})

    def _rows(self, name: str, indexes: list[int]) -> list[Channels]:
        columns = self._columns[name](indexes)
        lists = [column if isinstance(column, list) else column[indexes].tolist() for column in columns.values()]
        keys = tuple(columns)
        return [dict(zip(keys, values, strict=True)) for values in zip(*lists, strict=True)]

    def _column_sources(self) -> dict[str, Callable[[list[int]], _Columns]]:
        water, sky = self.water, self.sky
        return {
            "drain": lambda _: {"waterLevel": np.round(water.drain_reading_m(), 3)},
            "road-water": lambda _: {"waterLevel": np.round(water.road_m, 3)},
            "river": lambda _: {"waterLevel": np.round(water.river_reading_m(), 3)},
            "pump": lambda _: {
                "powerState": _on_off(water.pump_on),
                "status": np.full(len(water.pump_on), "ok"),
                "activePower": np.round(water.pump_power_kw(), 1),
                "flowRate": np.round(water.pump_flow_m3_h(), 0),
            },
            "gate": lambda _: {
                "gateState": water.gate_states(),
                "openingLevel": np.round(water.gate_opening, 2),
            },
            "weather": lambda _: {
                "temperature": np.round(sky.temperature_cel(), 1),
                "relativeHumidity": np.round(sky.humidity(), 2),
                "windSpeed": np.round(sky.wind_speed_m_s(), 1),
                "windDirection": np.round(sky.wind_direction_deg(), 0) % 360,
                "atmosphericPressure": np.round(sky.pressure_hpa(), 1),
                "precipitation": np.round(sky.precipitation_mm_h() * self._intervals["weather"] / 3_600, 2),
                "precipitationIntensity": np.round(sky.precipitation_mm_h(), 1),
            },
            "air": lambda _: {key: np.round(value, 2) for key, value in self.air.channels().items()},
            "noise": lambda _: {
                "LAeq": np.round(self.noise.equivalent_db(), 1),
                "LAmax": np.round(self.noise.maximum_db(), 1),
            },
            "traffic": lambda _: {
                "intensity": np.round(self.traffic.flow_per_h() * self._intervals["traffic"] / 3_600, 0),
                "flowRate": np.round(self.traffic.flow_per_h(), 0),
                "averageVehicleSpeed": np.round(self.traffic.speed_kmh, 1),
                "occupancy": np.round(self.traffic.occupancy(), 3),
            },
            "parking": lambda _: {
                "availableSpotNumber": self.parking.available(),
                "occupiedSpotNumber": self.parking.occupied(),
            },
            "streetlight": lambda _: {
                "powerState": self.lamps.states(),
                "illuminanceLevel": np.round(self.lamps.level, 2),
                "activePower": np.round(self.lamps.power_w(), 1),
            },
            "bin": lambda indexes: {
                "fillingLevel": np.round(self.bins.level, 3),
                "temperature": [round(float(sky.temperature_cel()[0]) + 1.5, 1)] * len(indexes),
            },
            "meter": lambda _: {
                "activePower": np.round(self.meters.power_kw, 3),
                "activeEnergyImport": np.round(self.meters.energy_kwh, 3),
            },
            "water-meter": lambda _: {
                "flowRate": np.round(self.meters.flow_l_min, 2),
                "waterConsumption": np.round(self.meters.volume_m3, 4),
            },
            "camera": lambda indexes: {
                "status": ["online"] * len(indexes),
                "vehicleCount": [round(traffic_demand(self.now_us) * (6 + index % 9)) for index in indexes],
            },
            "crowd": lambda _: {"peopleCount": self.crowds.people()},
            "vehicle": self._vehicle_columns,
        }

    def _vehicle_columns(self, indexes: list[int]) -> _Columns:
        points, headings = self.vehicles.locate(indexes)
        return {"location": points, "speed": np.round(self.vehicles.speed_kmh, 1), "heading": headings}

    def _command_pump(self, index: int, name: str, parameters: Mapping[str, Any]) -> Outcome:
        wanted = _switch_position(name, parameters)
        if wanted is None:
            return _unknown(name)
        self.water.switch_pump(index, on=wanted)
        return Outcome(True, "running" if wanted else "stopped")

    def _command_gate(self, index: int, name: str, parameters: Mapping[str, Any]) -> Outcome:
        match name:
            case "open":
                opening = 1.0
            case "close":
                opening = 0.0
            case "set_opening":
                opening = _share(parameters.get("openingLevel", parameters.get("opening")))
            case _:
                return _unknown(name)
        self.water.set_gate(index, opening)
        return Outcome(True, f"moving to {opening:.2f}")

    def _command_lamp(self, index: int, name: str, parameters: Mapping[str, Any]) -> Outcome:
        if name == "automatic":
            self.lamps.command(index, None)
            return Outcome(True, "by the clock")
        if name == "set_level":
            self.lamps.command(index, _share(parameters.get("illuminanceLevel", parameters.get("level"))))
            return Outcome(True, "dimmed")
        wanted = _switch_position(name, parameters)
        if wanted is None:
            return _unknown(name)
        self.lamps.command(index, 1.0 if wanted else 0.0)
        return Outcome(True, "on" if wanted else "off")


def _unknown(name: str) -> Outcome:
    return Outcome(False, f"unknown command {name[:40]}")


def _share(value: Any) -> float:
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ValueError("a number from 0 to 1 is expected")
    return number


def _on_off(running: NDArray[np.bool_]) -> NDArray[Any]:
    return np.where(running, "on", "off")


def _switch_position(name: str, parameters: Mapping[str, Any]) -> bool | None:
    """Read ``switch {"powerState": "on"}``, ``turn_on``, ``turn_off``; None when it is something else."""
    if name in {"turn_on", "start"}:
        return True
    if name in {"turn_off", "stop"}:
        return False
    if name != "switch":
        return None
    value = next((parameters[key] for key in ("powerState", "state", "status", "on") if key in parameters), None)
    if isinstance(value, bool):
        return value
    if value in {"on", "off"}:
        return bool(value == "on")
    raise ValueError('"powerState" must be "on" or "off"')
