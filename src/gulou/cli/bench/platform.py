"""The platform under test: ``gulou run`` in a directory of its own, with devices, entities and rules for the load."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from gulou.cli.bench.model import LoopPlan, Roster, RosterGateway
from gulou.cli.client import Client
from gulou.cli.place import Place
from gulou.kernel.errors import Fault

_START_WITHIN_S = 60.0
_STOP_WITHIN_S = 150.0
"""As the service manager gives it."""

_TYPE = "WaterLevelObserved"
_LIMIT_M = 2.0
_MANIFEST = """\
pack: bench
version: 0.1.0
title: {en: Benchmark, zh: 基准测试}
description: {en: Rules of the load generator., zh: 负载生成器的规则。}
gulou: "0.1"
licence: Apache-2.0
"""
_RULE = (
    "  - {id: series-%(number)d, kind: threshold, value: waterLevel, levels: {orange: %(limit)s}, hysteresis: 0.2,"
    ' category: flood, select: {type: WaterLevelObserved, id: "urn:ngsi-ld:WaterLevelObserved:%(name)s"},'
    ' headline: {en: "{name}: {value:.2f} m", zh: "{name}水位{value:.2f}米"}%(commands)s}\n'
)
_COMMANDS = (
    ", commands: [{target: {type: Pump, where: drains = this}, name: switch,"
    ' parameters: {powerState: "on"}, approval: none}]'
)
_RULES_A_FILE = 2_000
_LINES_A_CALL = 10_000
_PREPARE_WITHIN_S = 900.0
_SETTLE_WITHIN_S = 60.0


class BenchPlatform:
    """Starts the platform, prepares it, and stops it; a context manager.

    Args:
        directory: an empty directory, for its data.
    """

    def __init__(self, plan: LoopPlan, directory: Path) -> None:
        self._plan = plan
        self._place = Place(directory)
        self._log = directory.with_name(directory.name + ".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None

    def __enter__(self) -> BenchPlatform:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def api(self) -> Client:
        """The platform's API, as its own command line uses it."""
        if self._client is None:
            raise Fault("bench.server_failed", detail="not started")
        return self._client

    def _start(self) -> None:
        self._place.root.mkdir(parents=True, exist_ok=True)
        self._write_pack()
        code = "import sys; from gulou.cli import main; sys.exit(main())"
        options = ["run", "--port", "0", "--mqtt-port", "0", "--json", "--data", str(self._place.root)]
        with self._log.open("wb") as log:
            command = [sys.executable, "-c", code, *options]
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        running = self._place.running()
        if not line or running is None:
            raise Fault("bench.server_failed", detail=self._log.read_text(errors="replace")[-400:].strip())
        self._mqtt_port = int(json.loads(line)["mqtt_port"])
        self._client = Client(running, "en")

    def _stop(self) -> None:
        if self._client is not None:
            self._client.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _write_pack(self) -> None:
        pack = self._place.packs / "bench"
        (pack / "rules").mkdir(parents=True, exist_ok=True)
        (pack / "pack.yaml").write_text(_MANIFEST, encoding="utf-8")
        for number, lines in enumerate(_rules(self._plan)):
            (pack / "rules" / f"part-{number:03d}.yaml").write_text("rules:\n" + lines, encoding="utf-8")

    def prepare(self) -> Roster:
        """Register devices and entities, issue secrets, enable the rules; return what the generator needs."""
        names = _names(self._plan)
        roster = [msgspec.structs.replace(one, secret=secrets.token_urlsafe(32)) for one in names]
        lines = [json.dumps(device) + "\n" for device in _devices(roster)]
        for begin in range(0, len(lines), _LINES_A_CALL):
            answer = self._call(
                "POST",
                "/devices/bulk",
                content="".join(lines[begin : begin + _LINES_A_CALL]).encode(),
                headers={"Content-Type": "application/x-ndjson"},
            )
            if answer["failed"]:
                raise Fault("bench.server_failed", detail=json.dumps(answer["lines"][:2]))
        for entity in _entities(roster):
            self._call("POST", "/entities", json=entity)
        self._call("POST", "/packs/bench/enable")
        return Roster("127.0.0.1", self._mqtt_port, roster, self._plan.single)

    def _call(self, method: str, path: str, **options: Any) -> Any:
        return self.api.call(method, path, timeout=_PREPARE_WITHIN_S, **options)

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self._place.root

    def accounts(self) -> dict[str, int]:
        """Return what the ledger says of all sources together."""
        total: dict[str, int] = self._call("GET", "/accounting")["total"]
        return total

    def memory_mib(self) -> dict[str, float]:
        """Return what each process has of memory of its own, MiB: pages that are no file's; Linux only."""
        running = self._place.running()
        found = {}
        for name, pid in (("engine", running and running.engine_pid), ("web", running and running.web_pid)):
            status = Path(f"/proc/{pid}/status")
            if pid is not None and status.exists():
                line = next(one for one in status.read_text().splitlines() if one.startswith("RssAnon"))
                found[name] = round(int(line.split()[1]) / 1024, 1)
        return found

    def stored(self, at_least: int = 0) -> int:
        """Return how many readings the ledger has as stored; it may be some moments behind the log."""
        deadline = time.monotonic() + _SETTLE_WITHIN_S
        while True:
            stored = int(self._call("GET", "/accounting")["total"]["stored"])
            if stored >= at_least or time.monotonic() > deadline:
                return stored
            time.sleep(0.5)


def _rules(plan: LoopPlan) -> Iterator[str]:
    """Yield the rules, one a series, some thousand a file; those of the probes command."""
    names = [*(f"probe-{n}" for n in range(plan.probes)), *(f"sensor-{n}" for n in range(plan.series - plan.probes))]
    lines = [
        _RULE
        % {
            "number": number,
            "limit": _LIMIT_M + (0 if number < plan.probes else 10),
            "name": names[number % len(names)],
            "commands": _COMMANDS if number < plan.probes else "",
        }
        for number in range(max(plan.rules, plan.probes))
    ]
    for begin in range(0, len(lines), _RULES_A_FILE):
        yield "".join(lines[begin : begin + _RULES_A_FILE])


def _names(plan: LoopPlan) -> list[RosterGateway]:
    """Divide sensors and probes among the gateways."""
    made = []
    for number in range(plan.gateways):
        sensors = [f"sensor-{n}" for n in range(number, plan.series - plan.probes, plan.gateways)]
        probes = [(f"probe-{n}", f"pump-{n}") for n in range(number, plan.probes, plan.gateways)]
        made.append(RosterGateway(f"gateway-{number}", "", sensors, probes))
    return made


def _devices(roster: list[RosterGateway]) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = [
        {"id": g.id, "name": g.id, "adapter": "mqtt", "kind": "gateway", "secret": g.secret} for g in roster
    ]
    for gateway in roster:
        levels = [*gateway.sensors, *(probe for probe, _ in gateway.probes)]
        records += [_device(name, _TYPE, gateway.id) for name in levels]
        records += [_device(pump, "Pump", gateway.id) for _, pump in gateway.probes]
    return records


def _device(name: str, entity_type: str, gateway_id: str) -> dict[str, Any]:
    binding = {"entity_id": f"urn:ngsi-ld:{entity_type}:{name}", "entity_type": entity_type}
    return {"id": name, "name": name, "adapter": "mqtt", "gateway_id": gateway_id, "bindings": [binding]}


def _entities(roster: list[RosterGateway]) -> list[dict[str, Any]]:
    """Return the pumps, each tied to its probe; the sensors' entities come with their readings."""
    return [
        {
            "id": f"urn:ngsi-ld:Pump:{pump}",
            "type": "Pump",
            "drains": {"type": "Relationship", "object": f"urn:ngsi-ld:{_TYPE}:{probe}"},
        }
        for gateway in roster
        for probe, pump in gateway.probes
    ]
