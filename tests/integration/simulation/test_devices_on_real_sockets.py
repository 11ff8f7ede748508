"""Simulated devices against a real MQTT broker and a real HTTP server, on loopback."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import aiomqtt
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gulou.kernel.clock import SystemClock
from gulou.sensing.simulation import SimulationSettings, build_city
from gulou.sensing.simulation.link_mqtt import MqttAddress
from gulou.sensing.simulation.provision import new_credentials, provision
from gulou.sensing.simulation.simulator import Simulator, Target

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed"),
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """mosquitto with a password file."""

    def __init__(self, directory, secrets):
        self.port = free_port()
        passwords = directory / "passwords"
        passwords.write_text("".join(f"{name}:{secret}\n" for name, secret in secrets.items()))
        passwords.chmod(0o600)
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        self._config = directory / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
            f"user {os.environ.get('USER', 'root')}\nlog_type none\n"
        )
        self._process = None

    def start(self):
        self._process = subprocess.Popen(["mosquitto", "-c", str(self._config)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError("mosquitto did not start")

    def stop(self):
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def city():
    return build_city(SimulationSettings(devices=100, storm="now"))


@pytest.fixture
def credentials(city):
    return new_credentials(city)


@pytest.fixture
def broker(tmp_path, credentials):
    broker = Broker(tmp_path, credentials | {"observer": "observer"})
    broker.start()
    yield broker
    broker.stop()


class Platform:
    """The HTTP side of the platform: takes readings, hands out one command, takes the acknowledgement."""

    def __init__(self):
        self.posts, self.acks, self.polled = [], [], 0
        self.failures = 2
        routes = [
            Route("/ingest/v1/readings", self._readings, methods=["POST"]),
            Route("/ingest/v1/commands", self._commands),
            Route("/ingest/v1/commands/{command_id}/ack", self._ack, methods=["POST"]),
        ]
        self._server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off"))
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    async def _readings(self, request):
        if self.failures > 0:
            self.failures -= 1
            return Response(status_code=503, headers={"Retry-After": "1"})
        self.posts.append((request.headers["authorization"], json.loads(await request.body())))
        return JSONResponse({"received": 1})

    async def _commands(self, _request):
        self.polled += 1
        if self.polled > 1:
            await asyncio.sleep(0.2)
            return JSONResponse([])
        return JSONResponse([{"id": "cmd-1", "name": "open", "parameters": {}}])

    async def _ack(self, request):
        self.acks.append((request.path_params["command_id"], json.loads(await request.body())))
        return JSONResponse({})

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


@contextlib.asynccontextmanager
async def running(simulator):
    stop = asyncio.Event()
    task = asyncio.create_task(simulator.run(stop))
    yield
    stop.set()
    await asyncio.wait_for(task, 20)


async def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def observed(broker):
    """Collect (topic, object) of everything that devices publish; also gives the client."""
    seen = []

    async def listen(client):
        async for message in client.messages:
            seen.append((str(message.topic), json.loads(message.payload)))

    async with aiomqtt.Client("127.0.0.1", broker.port, username="observer", password="observer") as client:
        await client.subscribe("gulou/#", qos=1)
        task = asyncio.create_task(listen(client))
        yield seen, client
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_devices_speak_and_a_pump_obeys_over_mqtt(city, credentials, broker):
    simulator = Simulator(city, Target(MqttAddress("127.0.0.1", broker.port), None), credentials, SystemClock())
    order = {"id": "c-7", "name": "switch", "parameters": {"powerState": "on"}}

    async with observed(broker) as (seen, client), running(simulator):
        await until(lambda: any(topic == "gulou/pump-1/readings" for topic, _ in seen))
        await client.publish("gulou/pump-1/commands", json.dumps(order), qos=1)
        await client.publish("gulou/gate-1/commands", b'"no command"', qos=1)
        await until(lambda: ("gulou/pump-1/acks", {"id": "c-7", "ok": True, "detail": "running"}) in seen)
        await until(lambda: any(t == "gulou/pump-1/readings" and v["powerState"] == "on" for t, v in seen))

    assert any(topic == "gulou/drain-1/readings" and "waterLevel" in value for topic, value in seen)
    assert not any(topic == "gulou/gate-1/acks" for topic, _ in seen)
    assert simulator.counts.lost_readings == 0


async def test_devices_come_back_after_the_broker_was_away(city, credentials, broker):
    simulator = Simulator(city, Target(MqttAddress("127.0.0.1", broker.port), None), credentials, SystemClock())

    async with running(simulator):
        await until(lambda: simulator.counts.sent_readings > 0)
        broker.stop()
        sent = simulator.counts.sent_readings
        broker.start()
        await until(lambda: simulator.counts.sent_readings > sent + 50)

    assert simulator.counts.lost_readings == 0


async def test_devices_speak_and_obey_over_http(city, credentials, broker):
    with Platform() as platform:
        target = Target(MqttAddress("127.0.0.1", broker.port), platform.url)
        simulator = Simulator(city, target, credentials, SystemClock())
        async with running(simulator):
            await until(lambda: platform.acks and platform.posts)

    assert platform.acks == [("cmd-1", {"ok": True, "detail": "moving to 1.00"})]
    assert platform.failures == 0
    assert all(header.startswith("Basic ") for header, _ in platform.posts)
    assert all("observedAt" in body for _, body in platform.posts)


def test_the_process_stops_cleanly_on_sigterm(city, credentials, broker, tmp_path):
    made = provision(city, tmp_path / "city")
    made.credentials.write_text(json.dumps(credentials))
    command = [sys.executable, "-m", "gulou.sensing.simulation", "--quiet", "run", str(made.directory)]
    process = subprocess.Popen(
        [*command, "--mqtt", f"127.0.0.1:{broker.port}", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )

    asyncio.run(_first_reading(broker))
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=30)

    assert process.returncode == 0
    assert json.loads(output)["sent_readings"] > 0
    assert errors == b""


async def _first_reading(broker):
    async with observed(broker) as (seen, _):
        await until(lambda: seen)
