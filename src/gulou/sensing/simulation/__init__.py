"""A simulated city: deterministic from a seed, of any size, its devices on real sockets.

The main types are ``SimulationSettings``, ``build_city`` (what stands where), ``World`` (what happens there),
``provision`` (files for the registry, the context and the map) and ``Simulator`` (devices that speak and obey).
"""

from gulou.sensing.simulation.basemap import base_map
from gulou.sensing.simulation.city import build_city
from gulou.sensing.simulation.link_mqtt import MqttAddress
from gulou.sensing.simulation.model import City, Family, Gateway, SimulatedDevice
from gulou.sensing.simulation.provision import (
    Provisioned,
    device_records,
    entities,
    new_credentials,
    provision,
    read_credentials,
    read_settings,
)
from gulou.sensing.simulation.settings import SimulationSettings
from gulou.sensing.simulation.simulator import Simulator, Target
from gulou.sensing.simulation.world import Outcome, Utterance, World

__all__ = [
    "City",
    "Family",
    "Gateway",
    "MqttAddress",
    "Outcome",
    "Provisioned",
    "SimulatedDevice",
    "SimulationSettings",
    "Simulator",
    "Target",
    "Utterance",
    "World",
    "base_map",
    "build_city",
    "device_records",
    "entities",
    "new_credentials",
    "provision",
    "read_credentials",
    "read_settings",
]
