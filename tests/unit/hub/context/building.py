"""Entities and readings for the context's tests."""

from gulou.access import Principal
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.intake import LogBatch, Reading
from gulou.hub.context import ContextService, ContextSettings, EntitiesChanged, MemoryContextStore
from gulou.kernel.clock import VirtualClock

T0 = 1_740_787_200_000_000  # 2025-03-01T00:00:00Z
SECOND_US = 1_000_000
ADMIN = Principal.system("test")


def urn(local, type_="WaterLevelObserved"):
    return f"urn:ngsi-ld:{type_}:{local}"


def reading(value, second=0, name="waterLevel", local="drain-1", type_="WaterLevelObserved", **more):
    return Reading(urn(local, type_), type_, name, value, T0 + second * SECOND_US, **more)


def batch(sequence, *readings):
    return LogBatch(sequence, T0 + sequence, "test", tuple(readings))


def point(lon, lat):
    return {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [lon, lat]}}


def entity(local, type_="WaterLevelObserved", **attributes):
    return {"id": urn(local, type_), "type": type_, **attributes}


class Box:
    """A context with a bus whose messages are kept."""

    def __init__(self, store=None, vocabulary=None, audit=None, series=None, **options):
        self.store = store or MemoryContextStore()
        self.told = []
        bus = MemoryBus()
        bus.subscribe(EntitiesChanged, lambda one: self.told.extend(one.changes), name="test", lossless=False)
        self.clock = VirtualClock(T0)
        self.bus = bus
        self.service = ContextService(
            self.store, self.clock, bus, vocabulary, audit, ContextSettings(background=False, **options), series
        )

    def __getattr__(self, name):
        return getattr(self.service, name)
