"""The simulated city against the platform's own doors: every reading is taken, none is rejected."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from gulou.access import Audit, DeviceCredentials, Principal
from gulou.connectivity.bus import InProcessBus
from gulou.connectivity.commands.model import Command
from gulou.connectivity.devices import DeviceRegistry
from gulou.connectivity.intake import IntakeService, Ledger, MemoryLog, RejectQuery, SqlRejectStore
from gulou.kernel.clock import SECOND_US, SystemClock
from gulou.records import Database
from gulou.sensing.adapters.http.adapter import HttpAdapter
from gulou.sensing.adapters.http.settings import HttpSettings
from gulou.sensing.adapters.mqtt.adapter import MqttAdapter
from gulou.sensing.adapters.mqtt.settings import MqttSettings
from gulou.sensing.sdk import AdapterContext
from gulou.sensing.simulation import (
    MqttAddress,
    SimulationSettings,
    Simulator,
    Target,
    build_city,
    provision,
    read_credentials,
)
from gulou.vocabulary import Vocabulary

pytestmark = pytest.mark.integration


class Commands:
    """The command service's side of the adapters, in memory."""

    def __init__(self, clock):
        self.clock = clock
        self.acknowledged = {}
        self.made = {}

    def make(self, device_id, name, parameters):
        now_us = self.clock.now_us()
        command = Command(
            id=f"cmd-{device_id}",
            device_id=device_id,
            name=name,
            parameters=parameters,
            state="requested",
            requested_by="test",
            requested_at_us=now_us,
            expires_at_us=now_us + 60 * SECOND_US,
        )
        self.made[command.id] = command
        return command

    def get_command(self, command_id):
        return self.made[command_id]

    def acknowledge(self, command_id, ok, detail, at_us):
        self.acknowledged[command_id] = (ok, detail)

    def device_available(self, device_id):
        pass


class Platform:
    """Registry, intake, both adapters; no hub."""

    def __init__(self, path, city):
        self.clock = SystemClock()
        self.database = Database.at(path / "records.db")
        self.database.create_tables()
        self.bus = InProcessBus()
        credentials = DeviceCredentials(self.database, self.clock)
        audit = Audit(self.database, self.clock)
        self.registry = DeviceRegistry(self.database, self.clock, self.bus, audit, credentials)
        made = provision(city, path / "city")
        report = self.registry.bulk(made.devices.read_bytes(), "ndjson", Principal.system("test"))
        assert report.failed == 0
        self.secrets = read_credentials(made.credentials)
        credentials.set_many(self.secrets)
        self.ledger, self.rejects = Ledger(self.database, self.clock), SqlRejectStore(self.database, self.clock)
        self.intake = IntakeService(
            MemoryLog(),
            Vocabulary.load(),
            self.clock,
            self.ledger,
            devices=self.registry,
            consumers=(self.rejects,),
        )
        self.commands = Commands(self.clock)
        context = AdapterContext(self.intake, self.registry, credentials, commands=self.commands)
        self.mqtt = MqttAdapter(MqttSettings(port=0), context)
        self.http = HttpAdapter(HttpSettings(), context)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._web = uvicorn.Server(uvicorn.Config(self._mounted, interface="asgi3", log_level="error", lifespan="off"))
        self._thread = threading.Thread(target=self._web.run, kwargs={"sockets": [self._socket]})

    async def _mounted(self, scope, receive, send):
        inner = dict(scope, path=scope["path"].removeprefix("/ingest/v1"))
        await self.http.application(inner, receive, send)

    def __enter__(self):
        self.intake.start()
        self.mqtt.start()
        self.http.start()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.mqtt.stop()
        self.http.stop()
        self._web.should_exit = True
        self._thread.join(15)
        self._socket.close()
        self.intake.stop()
        self.registry.stop()
        self.bus.close()
        self.database.close()

    def account(self, source):
        return next((a for a in self.ledger.accounts() if a.source == source), None)


async def until(condition, seconds=40):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def running(simulator):
    stop = asyncio.Event()
    task = asyncio.create_task(simulator.run(stop))
    yield
    stop.set()
    await asyncio.wait_for(task, 30)


async def test_every_reading_is_taken_and_devices_obey(tmp_path):
    # Ten times as fast, so that within some seconds every kind of device has spoken.
    city = build_city(SimulationSettings(devices=100, storm="now", speed=10))
    families = {device.family.name for device in city.devices}
    with Platform(tmp_path, city) as platform:
        target = Target(MqttAddress("127.0.0.1", platform.mqtt.addresses["mqtt"][1]), platform.url)
        simulator = Simulator(city, target, platform.secrets, platform.clock)
        switch = platform.commands.make("pump-1", "switch", {"powerState": "on"})
        child = platform.commands.make("pump-3", "switch", {"powerState": "on"})
        polled = platform.commands.make("gate-3", "open", {})
        async with running(simulator):
            for adapter, command in ((platform.mqtt, switch), (platform.mqtt, child), (platform.http, polled)):
                await until(lambda adapter=adapter, command=command: adapter.send(command))
            await until(lambda: len(platform.commands.acknowledged) == 3)
            await until(lambda: simulator.counts.sent_readings > 2_500 and simulator.world.elapsed_s > 75)
            counts = simulator.counts
        platform.intake.settle()
        rejected = platform.rejects.list_rejected(RejectQuery()).items
        mqtt, http = platform.account("mqtt"), platform.account("http")
        spoke = {
            device.id.rpartition("-")[0] for device in city.devices if platform.registry.find_device(device.id).online
        }

    assert [(one.device_id, one.code, one.params) for one in rejected] == []
    assert (mqtt.rejected, http.rejected) == (0, 0)
    assert mqtt.stored + http.stored >= counts.sent_readings
    assert counts.lost_readings == counts.refused_readings == 0
    assert set(platform.commands.acknowledged.values()) == {(True, "running"), (True, "moving to 1.00")}
    assert spoke >= families - {"camera"}
