"""300 filter rules over one shared stream, at rising rate until loss: Gulou, and Node-RED behind mosquitto.

``python -m gulou.cli.bench.rules_peer`` is the load generator for the peer: one order as JSON, one answer.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from gulou.cli.bench import frames
from gulou.cli.bench.loop import Generator
from gulou.cli.bench.model import LoopPlan, StepOrder
from gulou.cli.bench.platform import BenchPlatform
from gulou.cli.bench.report import say, workspace
from gulou.kernel.errors import Fault

_TOPIC, _DONE = "bench/in", "bench/done"
_START_S = 60.0
_GRACE_S = 2.0
_TRIES = 3
"""A rate is given up after so many: the machine is not ours alone."""
_RATES = (
    500,
    1_000,
    1_500,
    2_000,
    3_000,
    4_000,
    6_000,
    8_000,
    12_000,
    16_000,
    24_000,
    32_000,
    48_000,
    64_000,
    96_000,
    128_000,
)


class PeerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison.

    Args:
        rules: filters ``value > limit`` on the one stream; one message in a hundred passes some of them.
        rates: messages a second, rising; the first that is not kept up with ends it.
        step_s: how long each lasts.
    """

    rules: int = 300
    rates: tuple[int, ...] = _RATES
    step_s: float = 5.0

    def made_quick(self) -> PeerPlan:
        """Return a plan of some seconds."""
        return msgspec.structs.replace(self, rates=(500, 2_000, 8_000), step_s=2.0)


class PeerOrder(msgspec.Struct, frozen=True):
    """One period of load for the peer."""

    port: int
    rate_per_s: int
    seconds: float


def measure_own(plan: PeerPlan) -> dict[str, Any]:
    """Rising rates through Gulou's own endpoint: each message is durable before it is acknowledged."""
    loop = LoopPlan(gateways=1, single=True, series=2, probes=1, rules=plan.rules, runs=1)
    with ExitStack() as opened:
        folder = Path(opened.enter_context(workspace()))
        platform = opened.enter_context(BenchPlatform(loop, folder / "city"))
        generator = opened.enter_context(Generator(platform.prepare()))
        generator.step(StepOrder(100, 2.0, 1.0))

        def step(rate: int) -> bool:
            result = generator.step(StepOrder(rate, plan.step_s, 1.0))
            return result.unanswered == 0 and result.rate_per_s >= 0.97 * rate and result.waiting <= 0.5 * rate

        return _climb(plan, "gulou", step)


def measure_node_red(plan: PeerPlan, program: Path | None) -> tuple[dict[str, Any] | None, str]:
    """The same through mosquitto and Node-RED; None and the reason where one of them is not here."""
    broker = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None or not program.exists() or broker is None:
        return None, "peer: not available (--peer names Node-RED's program; mosquitto must be installed)"
    with ExitStack() as opened:
        folder = Path(opened.enter_context(workspace()))
        port, web_port = _free_port(), _free_port()
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", "utf-8")
        _begin(opened, [broker, "-c", str(folder / "mosquitto.conf")], folder / "mosquitto.log")
        (folder / "flows.json").write_text(json.dumps(_flows(plan.rules, port)), "utf-8")
        (folder / "settings.js").write_text(
            "module.exports = {flowFile: 'flows.json', uiHost: '127.0.0.1', telemetry: {enabled: false}, "
            "credentialSecret: false, logging: {console: {level: 'warn'}}}\n",
            "utf-8",
        )
        command = [str(program), "--userDir", str(folder), "--port", str(web_port)]
        _begin(opened, command, folder / "node-red.log")
        _until_it_answers(port)
        found = _climb(plan, "node-red", lambda rate: _peer_step(PeerOrder(port, rate, plan.step_s)))
    return found, f"peer: Node-RED {_version(program)} behind mosquitto, QoS 1, nothing durable"


def _climb(plan: PeerPlan, name: str, step: Callable[[int], bool]) -> dict[str, Any]:
    highest, lost_at = 0, None
    for rate in plan.rates:
        if not any(step(rate) for _ in range(_TRIES)):
            lost_at = rate
            break
        highest = rate
        say(f"{name}: {rate:,} messages/s kept up with")
    return {"highest_per_s": highest, "lost_at_per_s": lost_at, "evaluations_per_s": highest * plan.rules}


def _flows(rules: int, port: int) -> list[dict[str, Any]]:
    """Make a flow: one input, filters beside each other, then a counter that answers the last message of a period."""
    names = [f"filter{number}" for number in range(rules)]
    count = (
        "let n = (msg.payload.first ? 0 : context.get('n') || 0) + 1; context.set('n', n); "
        "if (!msg.payload.last) { return null; } return {payload: {n: n}};"
    )
    tab = {"z": "tab", "x": 0, "y": 0}
    return [
        {"id": "tab", "type": "tab", "label": "bench"},
        {"id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": "node-red"},
        {
            **tab,
            "id": "in",
            "type": "mqtt in",
            "topic": _TOPIC,
            "qos": "1",
            "datatype": "json",
            "broker": "broker",
            "wires": [[*names, "count"]],
        },
        *(
            {
                **tab,
                "id": name,
                "type": "switch",
                "property": "payload.value",
                "propertyType": "msg",
                "rules": [{"t": "gt", "v": str(100 + number), "vt": "num"}],
                "checkall": "true",
                "outputs": 1,
                "wires": [["passed"]],
            }
            for number, name in enumerate(names)
        ),
        {**tab, "id": "passed", "type": "function", "func": "return null;", "outputs": 1, "wires": [[]]},
        {**tab, "id": "count", "type": "function", "func": count, "outputs": 1, "wires": [["out"]]},
        {**tab, "id": "out", "type": "mqtt out", "topic": _DONE, "qos": "1", "broker": "broker", "wires": []},
    ]


def _begin(opened: ExitStack, command: list[str], log: Path) -> None:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out)

    def end() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    opened.callback(end)


def _until_it_answers(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if _peer_step(PeerOrder(port, 20, 0.5)):
            return
        time.sleep(0.5)
    raise Fault("bench.server_failed", detail="Node-RED did not answer")


def _peer_step(order: PeerOrder) -> bool:
    command = [sys.executable, "-m", "gulou.cli.bench.rules_peer"]
    done = subprocess.run(command, input=msgspec.json.encode(order) + b"\n", capture_output=True, check=False)
    return done.returncode == 0 and bool(json.loads(done.stdout)["kept_up"])


def _version(program: Path) -> str:
    manifest = program.resolve().parent / "package.json"
    return str(json.loads(manifest.read_text("utf-8"))["version"]) if manifest.exists() else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Sender:
    """One connection that publishes at a rate, and waits for what the peer says at the end."""

    def __init__(self, order: PeerOrder) -> None:
        self._order = order
        self._socket = socket.create_connection(("127.0.0.1", order.port), 5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._socket.sendall(frames.connect(f"bench-{os.getpid()}", "bench", "bench"))
        self._socket.sendall(frames.subscribe(1, [_DONE]))
        self._answer: int | None = None

    def run(self) -> bool:
        order, sent, topic = self._order, 0, frames.topic_bytes(_TOPIC)
        wanted, begun = round(order.rate_per_s * order.seconds), time.monotonic()
        while sent < wanted:
            due = min(wanted, round((time.monotonic() - begun) * order.rate_per_s) + 1)
            out = bytearray()
            for number in range(sent, due):
                value = 100 + number % 300 if number % 100 == 0 else number % 100
                payload: dict[str, Any] = {"value": value}
                if number in (0, wanted - 1):
                    payload["last" if number else "first"] = True
                out += frames.publish(topic, number % 60_000 + 2, json.dumps(payload).encode())
            self._socket.sendall(out)
            sent = due
            self._read(0.001)
        on_time = time.monotonic() - begun < order.seconds * 1.03 + 0.2
        deadline = time.monotonic() + _GRACE_S
        while self._answer is None and time.monotonic() < deadline:
            self._read(0.05)
        return on_time and self._answer == wanted

    def _read(self, wait_s: float) -> None:
        self._socket.settimeout(wait_s)
        try:
            self._received += self._socket.recv(1 << 18)
        except TimeoutError:
            return
        place = self._received.find(b'{"n":')
        end = self._received.find(b"}", place)
        if place >= 0 and end > 0:
            self._answer = int(json.loads(self._received[place : end + 1])["n"])
        elif len(self._received) > 1 << 16:
            del self._received[: -(1 << 10)]


def main() -> None:
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=PeerOrder)
    print(json.dumps({"kept_up": _Sender(order).run()}))


if __name__ == "__main__":
    main()
