"""The engine's replica of the context follows the places of devices, and says nothing on the engine's bus."""

import numpy as np
import pytest

from gulou.access import Audit, DeviceCredentials, Principal
from gulou.cli.domain import placing_by
from gulou.cli.engine_desk import HearingBus
from gulou.cli.wire_engine import UnsavedStore
from gulou.connectivity.bus import InProcessBus, Message
from gulou.connectivity.devices import Binding, Device, DeviceRegistry
from gulou.connectivity.intake import Columns, LogBatch, SeriesCatalogue
from gulou.hub.context import ContextService, MemoryContextStore
from gulou.kernel import VirtualClock
from gulou.records import Database

ADMIN = Principal.system("test")
GAUGE, TYPE = "urn:ngsi-ld:WaterLevelObserved:g", "WaterLevelObserved"
S = 1_000_000


@pytest.fixture
def bus():
    bus = InProcessBus()
    yield bus
    bus.close()


@pytest.fixture
def devices(tmp_path, bus):
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    clock = VirtualClock(S)
    yield DeviceRegistry(database, clock, bus, Audit(database, clock), DeviceCredentials(database, clock))
    database.close()


def report(series, sequence):
    number = series.number_of(GAUGE, TYPE, "waterLevel", "d-1")
    columns = Columns(np.array([number], np.int32), np.array([sequence * S], np.int64), np.array([1.0 * sequence]))
    return LogBatch(sequence, sequence * S, "mqtt", (), columns=columns)


def test_a_device_that_gets_a_place_later_gives_it_to_its_entity(bus, devices):
    said = []
    series = SeriesCatalogue()
    replica = ContextService(UnsavedStore(MemoryContextStore()), VirtualClock(S), HearingBus(bus), series=series)
    replica.place_by(placing_by(devices))
    bus.subscribe(Message, lambda message: said.append(type(message).__name__), name="test")
    device = Device(id="d-1", name="d", adapter="mqtt", bindings=(Binding(GAUGE, TYPE),))
    devices.create(device, ADMIN)
    replica.apply(report(series, 1))
    assert replica.position_of(GAUGE) is None

    devices.change("d-1", {"longitude": 116.4, "latitude": 39.9}, ADMIN)
    bus.drain()
    replica.apply(report(series, 2))
    assert replica.position_of(GAUGE) == (116.4, 39.9)
    bus.drain()
    assert said == ["DeviceChanged", "DeviceChanged"]
