"""The adapters in the real house: registry, credentials, commands, intake and ledger on disk."""

from __future__ import annotations

import pytest

from gulou.access import Audit, DeviceCredentials, Principal
from gulou.connectivity.bus import InProcessBus
from gulou.connectivity.commands import CommandRequest, CommandService
from gulou.connectivity.devices import Binding, Device, DeviceRegistry
from gulou.connectivity.intake import IntakeService, Ledger, SegmentLog
from gulou.kernel.clock import SystemClock
from gulou.records import Database
from gulou.sensing.adapters.mqtt import MqttAdapter, MqttSettings
from gulou.sensing.adapters.mqtt.tests.mqtt_peer import MqttPeer
from gulou.sensing.sdk import AdapterContext
from gulou.sensing.sdk.contract import eventually
from gulou.vocabulary import Vocabulary

pytestmark = pytest.mark.integration
LEAD = Principal.system("test")


@pytest.fixture
def house(tmp_path):
    clock, bus = SystemClock(), InProcessBus()
    database = Database.at(tmp_path / "records.db")
    database.create_tables()
    audit, credentials = Audit(database, clock), DeviceCredentials(database, clock)
    devices = DeviceRegistry(database, clock, bus, audit, credentials)
    commands = CommandService(database, clock, bus, audit, devices)
    ledger = Ledger(database, clock)
    log = SegmentLog(tmp_path / "log")
    intake = IntakeService(log, Vocabulary.load(), clock, ledger, devices=devices)
    intake.start()
    context = AdapterContext(intake, devices, credentials, commands=commands, clock=clock)
    adapter = MqttAdapter(MqttSettings(port=0), context)
    commands.register_sender("mqtt", adapter)
    adapter.start()
    binding = Binding("urn:ngsi-ld:WaterLevelObserved:drain-1", "WaterLevelObserved", "level", "waterLevel")
    devices.create(Device(id="drain-1", name="Drain 1", adapter="mqtt", bindings=(binding,)), LEAD)
    secret = credentials.issue("drain-1")
    yield adapter, devices, commands, ledger, intake, secret
    adapter.stop()
    commands.stop()
    devices.stop()
    intake.stop()
    log.close()
    bus.close()
    database.close()


def test_a_reading_is_stored_and_what_is_wrong_is_rejected_in_the_ledger(house):
    adapter, devices, _, ledger, intake, secret = house
    peer = MqttPeer(adapter.addresses["mqtt"], "drain-1", secret)
    peer.publish("gulou/drain-1/readings", b'{"level": 2.5}')
    peer.publish("gulou/drain-1/readings", b'{"level": 99999}')
    peer.publish("gulou/drain-1/readings", b"garbage")
    assert all(peer.wait_acknowledged(10) for _ in range(3))
    intake.settle()
    account = ledger.account("mqtt")
    assert (account.received, account.stored, account.rejected, account.dropped) == (3, 1, 2, 0)
    assert eventually(lambda: devices.get_device("drain-1").online)
    peer.close()
    assert eventually(lambda: devices.get_device("drain-1").online is False)


def test_a_command_goes_down_and_its_answer_comes_up(house):
    adapter, _, commands, _, _, secret = house
    asked = commands.request(CommandRequest(device_id="drain-1", name="switch", parameters={"on": True}), LEAD)
    assert asked.state == "requested"
    peer = MqttPeer(adapter.addresses["mqtt"], "drain-1", secret)
    assert peer.next_command(10) == asked.id
    peer.answer(asked.id, ok=True)
    assert eventually(lambda: commands.get_command(asked.id).state == "acknowledged")
    peer.close()


def test_a_wrong_secret_is_refused(house):
    adapter, *_ = house
    with pytest.raises(ConnectionError):
        MqttPeer(adapter.addresses["mqtt"], "drain-1", "wrong")
