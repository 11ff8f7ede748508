"""The benchmark's load generator against a real broker, with a judge of three lines in the platform's place."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import time

import aiomqtt
import pytest

from gulou.cli.bench.generator import connect_all
from gulou.cli.bench.loop import Generator
from gulou.cli.bench.model import Roster, RosterGateway, StepOrder

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed"),
]


@pytest.fixture
def broker_port(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_type none\nmax_queued_messages 0\n")
    process = subprocess.Popen(["mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.05)
    yield port
    process.kill()
    process.wait(10)


@contextlib.asynccontextmanager
async def judge(port):
    """Command the pump of every probe that reports a high level; collect what was acknowledged."""
    acknowledged = []

    async def work(client):
        async for message in client.messages:
            device, leaf = str(message.topic).split("/")[1:]
            body = json.loads(message.payload)
            if leaf == "acks":
                acknowledged.append(body["id"])
            elif body["waterLevel"] > 2.0:
                order = {"id": f"c-{body['observedAt']}", "name": "switch", "parameters": {"powerState": "on"}}
                await client.publish(f"gulou/{device.replace('probe', 'pump')}/commands", json.dumps(order), qos=1)

    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe([("gulou/+/readings", 1), ("gulou/+/acks", 1)])
        task = asyncio.create_task(work(client))
        yield acknowledged
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def roster(port, secret="x", single=False):
    first = RosterGateway("gateway-0", secret, ["sensor-0", "sensor-2"], [("probe-0", "pump-0"), ("probe-2", "pump-2")])
    second = RosterGateway("gateway-1", secret, ["sensor-1"], [("probe-1", "pump-1")])
    silent = RosterGateway("gateway-2", secret, [], [])
    return Roster("127.0.0.1", port, [first, second, silent], single)


@pytest.mark.parametrize("single", [False, True])
async def test_it_counts_what_it_sends_and_measures_both_ways(broker_port, single):
    async with judge(broker_port) as acknowledged:
        load = await asyncio.to_thread(connect_all, roster(broker_port, single=single))
        result = await asyncio.to_thread(load.step, StepOrder(rate_per_s=400, seconds=1.0, probes_per_s=10))
        load.close()

    assert result.unanswered == 0
    assert result.sent == result.acked
    assert result.commands == result.probes == len(set(acknowledged)) > 3
    assert result.loop_ms.p50 > 0
    assert result.ack_ms.p999 >= result.ack_ms.p50 > 0


def test_without_a_judge_probes_go_unanswered(broker_port, monkeypatch):
    monkeypatch.setattr("gulou.cli.bench.generator._GRACE_S", 0.2)
    load = connect_all(roster(broker_port))

    result = load.step(StepOrder(rate_per_s=50, seconds=0.5, probes_per_s=20))
    load.close()

    assert result.commands == 0
    assert result.unanswered == result.probes == 3
    assert not result.is_sustained(1_000)


def test_as_a_process_it_answers_line_by_line(broker_port):
    with Generator(roster(broker_port)) as generator:
        results = [generator.step(StepOrder(100, 0.3, 0.0)) for _ in range(2)]

    assert all(result.sent == result.acked > 10 for result in results)
