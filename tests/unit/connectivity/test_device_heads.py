"""What is read of the devices while an engine is still being imported is what it would have read itself."""

import pytest

from gulou.access import Audit, DeviceCredentials, Principal
from gulou.connectivity.bus import MemoryBus
from gulou.connectivity.device_heads import HeadsAhead
from gulou.connectivity.devices import Device, DeviceRegistry, SqlDevices
from gulou.kernel.clock import SECOND_US, VirtualClock
from gulou.records import Database, migrate

ADMIN = Principal.system("test")


@pytest.fixture
def records(tmp_path):
    """Yield the file, the revision and the database of a store with two devices."""
    database = Database.at(tmp_path / "records.db")
    revision = migrate(database)
    clock = VirtualClock(1_000_000 * SECOND_US)
    audit, credentials = Audit(database, clock), DeviceCredentials(database, clock)
    registry = DeviceRegistry(database, clock, MemoryBus(), audit, credentials)
    for device_id, gateway_id in (("cover-1", None), ("gauge-2", "cover-1")):
        registry.create(Device(id=device_id, name=device_id, adapter="mqtt", gateway_id=gateway_id), ADMIN)
    registry.seen("gauge-2", clock.now_us())
    registry.stop()
    yield tmp_path / "records.db", revision, database
    database.close()


def test_heads_read_ahead_are_those_of_the_table(records):
    path, revision, database = records
    heads = HeadsAhead(path)
    taken = heads.take(revision)
    assert taken is not None
    assert heads.take(revision) is None
    ahead, own = SqlDevices(database, lambda: taken).heads(), SqlDevices(database).heads()
    assert ahead.ids == own.ids == ["cover-1", "gauge-2"]
    assert ahead.gateways == own.gateways == ["", "cover-1"]
    assert ahead.online.tolist() == own.online.tolist() == [-1, 1]
    assert ahead.last_seen_us.tolist() == own.last_seen_us.tolist()


def test_heads_of_another_revision_are_not_taken(records):
    path, _, database = records
    assert HeadsAhead(path).take("9999") is None
    assert SqlDevices(database, lambda: HeadsAhead(path).take("9999")).heads().ids == ["cover-1", "gauge-2"]


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 100])
def test_a_store_that_is_not_there_or_not_sound_is_left_to_the_start(tmp_path, content):
    path = tmp_path / "records.db"
    if content is not None:
        path.write_bytes(content)
    assert HeadsAhead(path).take("0001") is None
    assert path.exists() == (content is not None)


def test_an_empty_store_has_no_heads(tmp_path):
    database = Database.at(tmp_path / "records.db")
    revision = migrate(database)
    taken = HeadsAhead(tmp_path / "records.db").take(revision)
    assert SqlDevices(database, lambda: taken).heads().ids == []
    database.close()
