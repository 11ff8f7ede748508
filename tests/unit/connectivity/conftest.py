"""What the tests of this layer share: a small vocabulary, a city's readings, and a running intake."""

import threading
from pathlib import Path

import pytest

from gulou.connectivity.intake import (
    IntakeService,
    IntakeSettings,
    Ledger,
    LogBatch,
    MemoryLog,
    Payload,
    Reading,
    SqlRejectStore,
    Submission,
)
from gulou.kernel.clock import SECOND_US, VirtualClock
from gulou.kernel.errors import Invalid
from gulou.records import Database

NOW_US = 1_780_000_000 * SECOND_US


class SmallVocabulary:
    """Knows ``waterLevel`` in m (0 to 30, also cm), ``name`` (text) and ``location``."""

    def check(self, entity_type, property_name, value, unit_code=None):
        if entity_type != "WaterLevelObserved":
            raise Invalid("reading.type_unknown", type=entity_type)
        if property_name in ("name", "location"):
            return value
        if property_name != "waterLevel":
            raise Invalid("reading.property_unknown", property=property_name)
        if not isinstance(value, (int, float)):
            raise Invalid("reading.not_a_number", value=str(value))
        factors = {None: 1.0, "m": 1.0, "cm": 0.01}
        if unit_code not in factors:
            raise Invalid("reading.unit_unknown", unit=unit_code)
        metres = value if unit_code is None else value * factors[unit_code]
        if not 0 <= metres <= 30:
            raise Invalid("reading.out_of_range", value=metres)
        return metres


class Collector:
    """A consumer in memory: what it saw, and how durable it claims to be."""

    def __init__(self, name="collector", position=0):
        self.name = name
        self.batches = []
        self.durable = position

    def position(self):
        return self.durable

    def apply(self, batch: LogBatch):
        self.batches.append(batch)

    def checkpoint(self):
        self.durable = max(self.durable, *[batch.sequence for batch in self.batches], 0)

    def readings(self):
        return [reading for batch in self.batches for reading in batch.readings]


class Broken(Collector):
    def apply(self, batch):
        raise Invalid("collector.broken")


class Blocked(Collector):
    def __init__(self, name="blocked"):
        super().__init__(name)
        self.gate = threading.Event()

    def apply(self, batch):
        self.gate.wait(20)
        super().apply(batch)


def reading(second=0, value=1.0, entity="drain-1", **changes):
    return Reading(
        f"urn:ngsi-ld:WaterLevelObserved:{entity}",
        changes.pop("entity_type", "WaterLevelObserved"),
        changes.pop("property", "waterLevel"),
        value,
        NOW_US + round(second * SECOND_US) - 3600 * SECOND_US,
        **changes,
    )


def submission(*readings, source="test", raw=b"raw", flaws=(), device_id=None, **changes):
    payload = Payload(raw, "topic/1", tuple(readings), tuple(flaws), device_id)
    return Submission(source=source, adapter="test/1", payloads=(payload,), **changes)


class Kit:
    """Builds an intake over one log and one database, again and again, as a restart would."""

    def __init__(self, path: Path):
        self.path = path
        self.clock = VirtualClock(NOW_US)
        self.database = Database.at(path / "records.db")
        self.database.create_tables()
        self.log = MemoryLog()
        self.devices = None
        self.settings = IntakeSettings(space_check_s=0)
        self.running = []
        self.ledger = self.rejects = None

    def start(self, *consumers, waits=True, **options):
        self.ledger = Ledger(self.database, self.clock)
        self.rejects = SqlRejectStore(self.database, self.clock)
        options = {"settings": self.settings, "devices": self.devices} | options
        service = IntakeService(
            self.log, SmallVocabulary(), self.clock, self.ledger, consumers=(self.rejects, *consumers), **options
        )
        service.start(waits=waits)
        service.begin_replay()
        self.running.append(service)
        return service

    def close(self):
        for service in self.running:
            service.stop(10)
        self.database.close()


def _made(path):
    kit = Kit(path)
    kit.now_us = NOW_US
    kit.vocabulary, kit.reading, kit.submission = SmallVocabulary, reading, submission
    kit.Collector, kit.Broken, kit.Blocked = Collector, Broken, Blocked
    return kit


@pytest.fixture
def make_kit():
    return _made


@pytest.fixture
def kit(tmp_path):
    kit = _made(tmp_path)
    yield kit
    kit.close()
