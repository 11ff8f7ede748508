"""The simulated city as data: families of devices, the devices, and the city that holds them. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from gulou.sensing.simulation.layout import Layout
from gulou.sensing.simulation.names import Name
from gulou.sensing.simulation.plane import Points
from gulou.sensing.simulation.settings import SimulationSettings

Link = Literal["gateway", "own", "http"]
"""How a device speaks: through a gateway's MQTT connection, over its own one, or by HTTP."""


@dataclass(frozen=True)
class Family:
    """Devices of one make.

    Args:
        name: first part of the devices' ids, ``drain`` → ``drain-7``.
        weight: share of the city's devices (ratio to the other families' weights).
        minimum: so many even in the smallest city.
        interval_s: seconds between two messages of a device.
        channels: what a message carries; each is a property of ``entity_type``.
        urgent: keeps its interval even when the city's rate has a ceiling.
        http_share: part of the family that speaks HTTP (0 to 1).
        actuator: takes commands.
    """

    name: str
    entity_type: str
    label: Name
    department: str
    weight: float
    minimum: int
    interval_s: int
    channels: tuple[str, ...]
    place: str
    urgent: bool = False
    http_share: float = 0.0
    actuator: bool = False
    kind: str = "sensor"


@dataclass(frozen=True)
class SimulatedDevice:
    """One device and the one entity that it is bound to; both have the same local id.

    Args:
        index: its place within its family, from 0.
        interval_s: seconds of its clock between two messages.
        phase_s: its first message, so that not all speak in the same second.
        gateway_id: for ``link="gateway"``.
    """

    id: str
    family: Family
    index: int
    name: Name
    longitude: float
    latitude: float
    district_id: str
    link: Link
    gateway_id: str | None
    interval_s: int
    phase_s: int

    @property
    def entity_id(self) -> str:
        """The NGSI-LD id of its entity."""
        return f"urn:ngsi-ld:{self.family.entity_type}:{self.id}"


@dataclass(frozen=True)
class Gateway:
    """A device that only carries the messages of others over one MQTT connection."""

    id: str
    name: Name
    longitude: float
    latitude: float


@dataclass(frozen=True)
class FamilyGroup:
    """All devices of one family, with their places on the plane.

    Args:
        positions: shape ``(n_devices, 2)``, metres on the plane.
        refers: for pumps the index of the drain that each empties, for gates of the river gauge that each serves, for
            road gauges of the drain beside; -1 where there is none.
        place_ids: the road or park at which each stands, as the layout names it; "" where there is none.
    """

    family: Family
    devices: tuple[SimulatedDevice, ...]
    positions: Points
    refers: tuple[int, ...] = ()
    place_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class City:
    """The simulated city of one seed and size."""

    settings: SimulationSettings
    layout: Layout
    gateways: tuple[Gateway, ...]
    groups: dict[str, FamilyGroup] = field(default_factory=dict)

    @property
    def devices(self) -> Iterator[SimulatedDevice]:
        """Every device that measures or acts, family by family; gateways are apart."""
        for group in self.groups.values():
            yield from group.devices

    def group(self, family: str) -> FamilyGroup:
        """Return the devices of one family."""
        return self.groups[family]
