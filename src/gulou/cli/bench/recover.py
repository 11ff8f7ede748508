"""``gulou bench recover``: kill -9 at random moments under load; what was acknowledged is there, and nothing twice."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from gulou.cli.bench.recover_load import LoadOrder, LoadResult
from gulou.cli.bench.report import Compare, Quick, Save, describe_machine, finish, make_report, say, workspace
from gulou.cli.client import Client, RemoteProblem
from gulou.cli.options import Json
from gulou.cli.place import Place, Running
from gulou.connectivity.devices import Binding, Device
from gulou.connectivity.devices.store_sql import insert_rows
from gulou.connectivity.intake import (
    Columns,
    ColumnSubmission,
    IntakeService,
    LogBatch,
    Payload,
    SegmentLog,
    SeriesCatalogue,
)
from gulou.kernel.clock import SystemClock, to_us
from gulou.kernel.errors import Fault, GulouError
from gulou.records import Database, migrate
from gulou.vocabulary import Vocabulary

_TYPE, _PROPERTY = "WaterLevelObserved", "waterLevel"
_UP_WITHIN_S = 90.0
_LOOK_S = 0.01
_SETTLE_WITHIN_S = 120.0
_MOST_ROWS = 5_000_000
_DEVICES_AT_ONCE = 20_000
_PACK = """\
pack: bench
version: 0.1.0
title: {en: Benchmark, zh: 基准测试}
description: {en: Rules of the load generator., zh: 负载生成器的规则。}
gulou: "0.1"
licence: Apache-2.0
"""
_RULE = """\
rules:
  - id: high
    kind: threshold
    select: {type: WaterLevelObserved}
    value: waterLevel
    levels: {orange: 2.0}
    hysteresis: 0.5
    category: flood
    headline: {en: "{name}: {value:.2f} m", zh: "{name}水位{value:.2f}米"}
"""


class RecoverPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How recovery is tried.

    Args:
        kills: times that the engine is ended by SIGKILL, each ``shortest_s`` to ``longest_s`` after it serves.
        series: numbered series, each of a registered device and with a newest reading, for the time that a start of the
            whole platform takes; 0: not measured.
        starts: starts after a SIGKILL with that many series; medians are reported.
    """

    kills: int = 100
    shortest_s: float = 0.2
    longest_s: float = 3.0
    sensors: int = 200
    probes: int = 20
    http_devices: int = 2
    pause_s: float = 0.05
    series: int = 1_000_000
    starts: int = 5
    seed: int = 1


class Target:
    """``gulou run`` on fixed ports, killed and awaited; a context manager.

    Args:
        folder: an empty directory, for its data and its log of errors.
    """

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder / "data")
        self._errors = folder / "errors.log"
        self._ports = [_free_port(), _free_port()]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Target:
        self.place.root.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def mqtt_port(self) -> int:
        """Where devices connect, over every restart."""
        return self._ports[1]

    @property
    def running(self) -> Running:
        """The server as its own command line finds it; raises Fault ``bench.server_failed``."""
        running = self.place.running()
        if running is None:
            raise Fault("bench.server_failed", detail=self._errors.read_text(errors="replace")[-400:].strip())
        return running

    def start(self) -> tuple[float, float]:
        """Start it; return after how many seconds devices were served, and everything was."""
        code = "import sys; from gulou.cli import main; sys.exit(main())"
        http, mqtt = map(str, self._ports)
        options = ["run", "--port", http, "--mqtt-port", mqtt, "--json", "--data", str(self.place.root)]
        begin = time.perf_counter()
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *options],
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, "GULOU_HISTORY_QUERY_MAX_ROWS": str(_MOST_ROWS)},
            )
        assert self._process.stdout is not None
        self._await_devices()
        devices_s = time.perf_counter() - begin
        if not self._process.stdout.readline():
            raise Fault("bench.server_failed", detail=self._errors.read_text(errors="replace")[-400:].strip())
        return devices_s, time.perf_counter() - begin

    def kill(self) -> float:
        """End what takes readings by SIGKILL; return after how many seconds devices could connect again."""
        running = self.running
        begin = time.perf_counter()
        if running.engine_pid is None:
            os.kill(running.pid, signal.SIGKILL)
            self._reap()
            self.start()
            return time.perf_counter() - begin
        os.kill(running.engine_pid, signal.SIGKILL)
        self._await_other_engine(running.engine_pid)
        self._await_devices()
        return time.perf_counter() - begin

    def kill_all(self) -> None:
        """End every process by SIGKILL, as when the machine does."""
        running = self.running
        for pid in (running.pid, running.engine_pid, running.web_pid):
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
        self._reap()
        deadline = time.monotonic() + _UP_WITHIN_S
        while self._serves_devices() and time.monotonic() < deadline:  # a large process takes a moment to die
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """Stop it in order; by force when that takes too long."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None

    def _await_other_engine(self, before: int) -> None:
        deadline = time.monotonic() + _UP_WITHIN_S
        while time.monotonic() < deadline:
            running = self.place.running()
            if running is not None and running.engine_pid not in (None, before):
                return
            time.sleep(_LOOK_S)
        raise Fault("bench.server_failed", detail=self._errors.read_text(errors="replace")[-400:].strip())

    def _serves_devices(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.mqtt_port), 1).close()
        except OSError:
            return False
        return True

    def _await_devices(self) -> None:
        deadline = time.monotonic() + _UP_WITHIN_S
        while time.monotonic() < deadline and (self._process is None or self._process.poll() is None):
            if self._serves_devices():
                return
            time.sleep(_LOOK_S)
        raise Fault("bench.server_failed", detail=self._errors.read_text(errors="replace")[-400:].strip())


def recover(
    kills: Annotated[int | None, typer.Option(min=1, max=10_000, help="Times that the engine is killed (100).")] = None,
    series: Annotated[
        int | None,
        typer.Option(min=0, max=10_000_000, help="Series, each of a device of its own, at a start (1,000,000)."),
    ] = None,
    quick: Quick = False,
    directory: Annotated[Path | None, typer.Option("--directory", help="Try it on the disk of this directory.")] = None,
    save: Save = None,
    compare: Compare = None,
    as_json: Json = False,
) -> None:
    """Kill the engine at random moments under load over MQTT and HTTP, and see that nothing acknowledged is lost.

    Also measures how long a start takes after a SIGKILL with a million series. Exit code 1 where a reading or a
    detection is lost, wrong or there twice.
    """
    machine = describe_machine()
    plan = RecoverPlan(kills=3, series=20_000, starts=1, longest_s=1.0) if quick else RecoverPlan()
    plan = msgspec.structs.replace(
        plan, kills=plan.kills if kills is None else kills, series=plan.series if series is None else series
    )
    with workspace(directory) as folder:
        run = _kill_under_load(plan, Path(folder) / "load")
        if plan.series:
            run |= _start_times(plan, Path(folder) / "series")
    finish(make_report("recover", machine, plan, [run]), as_json=as_json, save=save, compare=compare)
    if any(run["wrong"].values()):
        raise typer.Exit(1)


def _kill_under_load(plan: RecoverPlan, folder: Path) -> dict[str, Any]:
    chance = random.Random(plan.seed)  # noqa: S311
    with Target(folder) as target:
        _write_pack(target.place)
        target.start()
        order = _prepare(plan, target)
        away_s: list[float] = []
        with _Generator(order) as generator:
            for number in range(plan.kills):
                time.sleep(chance.uniform(plan.shortest_s, plan.longest_s))
                away_s.append(target.kill())
                say(f"kill {number + 1} of {plan.kills}: devices connected again after {away_s[-1]:.2f} s")
            time.sleep(plan.longest_s)
            result = generator.end()
        return {"kills": plan.kills, "away_s": _spread(away_s), **_judge(order, result, target)}


def _judge(order: LoadOrder, result: LoadResult, target: Target) -> dict[str, Any]:
    """Hold what was acknowledged against what the platform says it has."""
    wanted = {(_entity(one.sensor), one.at_us): one.value for one in result.acknowledged}
    crossings = Counter(
        _entity(one.sensor) for one in result.acknowledged if one.sensor in set(order.probes) and one.value > 2
    )
    client = Client(target.running, "en")
    try:
        rows = _settled_rows(client, len(wanted))
        warnings = Counter(one["entity_id"] for one in client.pages("/warnings", {"rule_id": None}))
        stored = client.call("GET", "/accounting")["total"]["stored"]
    finally:
        client.close()
    found = dict(rows)
    return {
        "acknowledged": len(wanted),
        "stored": len(rows),
        "detections": sum(crossings.values()),
        "wrong": {
            "lost": sum(key not in found for key in wanted),
            "changed": sum(found.get(key, value) != value for key, value in wanted.items()),
            "twice": len(rows) - len(found),
            "never_acknowledged_to_the_end": result.unanswered,
            "counted_otherwise": abs(int(stored) - len(rows)),
            "detections_lost": sum((crossings - warnings).values()),
            "detections_twice": sum((warnings - crossings).values()),
        },
    }


def _settled_rows(client: Client, at_least: int) -> list[tuple[tuple[str, int], float]]:
    """Return every reading of the history, once it grows no more."""
    deadline = time.monotonic() + _SETTLE_WITHIN_S
    before = -1
    while True:
        params = {"type": _TYPE, "property": _PROPERTY, "limit": _MOST_ROWS}
        rows = [
            ((row["entity_id"], _us(row["observed_at"])), float(row["value"]))
            for row in map(json.loads, filter(None, client.stream("/history", params)))
        ]
        if (len(rows) == before >= at_least) or time.monotonic() > deadline:
            return rows
        before = len(rows)
        time.sleep(1)


def _us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


def _entity(sensor: str) -> str:
    return f"urn:ngsi-ld:{_TYPE}:{sensor}"


def _write_pack(place: Place) -> None:
    rules = place.packs / "bench" / "rules"
    rules.mkdir(parents=True, exist_ok=True)
    (rules.parent / "pack.yaml").write_text(_PACK, encoding="utf-8")
    (rules / "high.yaml").write_text(_RULE, encoding="utf-8")


def _prepare(plan: RecoverPlan, target: Target) -> LoadOrder:
    """Register the devices, enable the rule, issue secrets."""
    sensors = [f"sensor-{n}" for n in range(plan.sensors)]
    probes = [f"probe-{n}" for n in range(plan.probes)]
    batches = [f"logger-{n}" for n in range(plan.http_devices)]
    devices = [{"id": "gateway", "name": "gateway", "adapter": "mqtt", "kind": "gateway"}]
    devices += [_device(name, "mqtt", gateway_id="gateway") for name in (*sensors, *probes)]
    devices += [_device(name, "http") for name in batches]
    body = "".join(json.dumps(device) + "\n" for device in devices).encode()
    client = Client(target.running, "en")
    try:
        answer = client.call("POST", "/devices/bulk", content=body, headers={"Content-Type": "application/x-ndjson"})
        if answer["failed"]:
            raise Fault("bench.server_failed", detail=json.dumps(answer["lines"][:2]))
        client.call("POST", "/packs/bench/enable")
        secrets = {
            name: client.call("POST", f"/devices/{name}/credentials", json={})["secret"]
            for name in ("gateway", *batches)
        }
    finally:
        client.close()
    return LoadOrder(
        "127.0.0.1",
        target.mqtt_port,
        target.running.url,
        "gateway",
        secrets["gateway"],
        sensors,
        probes,
        {name: secrets[name] for name in batches},
        plan.pause_s,
    )


def _device(name: str, adapter: str, **more: str) -> dict[str, Any]:
    binding = {"entity_id": _entity(name), "entity_type": _TYPE}
    return {"id": name, "name": name, "adapter": adapter, "bindings": [binding], **more}


class _Generator:
    """The senders' process; a context manager."""

    def __init__(self, order: LoadOrder) -> None:
        self._order = order

    def __enter__(self) -> _Generator:
        command = [sys.executable, "-c", "from gulou.cli.bench.recover_load import main; main()"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._say(msgspec.json.encode(self._order))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def end(self) -> LoadResult:
        """Let it end what it has begun; raises Fault ``bench.generator_failed``."""
        self._say(b"")
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Fault("bench.generator_failed")
        return msgspec.json.decode(line, type=LoadResult)

    def _say(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Fault("bench.generator_failed") from None


class _Nobody:
    """Accounts that keep nothing: the platform counts when it reads the log."""

    name, takes_columns = "ledger", True

    def position(self) -> int:
        return 0

    def apply(self, batch: LogBatch) -> None:
        """Leave it to the platform."""

    def checkpoint(self) -> None:
        """Nothing to keep."""

    def position_of(self, origin: str, /) -> int:
        return 0


def _start_times(plan: RecoverPlan, folder: Path) -> dict[str, Any]:
    """Kill all processes, or the engine, and start again, with every series known.

    Returns:
        Seconds from the command until devices are served, until everything is (``start_s``), and from a SIGKILL of the
        engine alone until devices are served again.
    """
    devices_s: list[float] = []
    took_s: list[float] = []
    engine_s: list[float] = []
    with Target(folder) as target:
        _register(plan.series, target.place)
        _fill(plan.series, target.place.log)
        say(f"the first start reads {plan.series:,} readings: {target.start()[1]:.1f} s")
        _await_readers(target)
        for number in range(plan.starts):
            target.kill_all()
            for times, found in zip((devices_s, took_s), target.start(), strict=True):
                times.append(found)
            _await_readers(target)
            engine_s.append(target.kill())
            say(
                f"start {number + 1} with {plan.series:,} series: devices served after {devices_s[-1]:.2f} s, "
                f"everything after {took_s[-1]:.2f} s; engine alone {engine_s[-1]:.2f} s"
            )
            _await_readers(target)
    return {
        "devices_start_s": _spread(devices_s),
        "start_s": _spread(took_s),
        "engine_start_s": _spread(engine_s),
    }


def _register(count: int, place: Place) -> None:
    """Register a device for every series, as the registry itself writes them."""
    database = Database.at(place.records)
    migrate(database)
    now_us = SystemClock().now_us()
    gateways = [Device(id=f"gateway-{n}", name=f"gateway-{n}", adapter="mqtt", kind="gateway") for n in range(8)]
    rows = ((f"sensor-{n}", _entity(str(n)), gateways[n % 8].id) for n in range(count))
    made = (
        Device(
            id=name,
            name=name,
            adapter="mqtt",
            bindings=(Binding(entity_id, _TYPE),),
            gateway_id=gateway_id,
            created_at_us=now_us,
        )
        for name, entity_id, gateway_id in rows
    )
    with database.transaction() as connection:
        insert_rows(connection, gateways)
    while some := list(islice(made, _DEVICES_AT_ONCE)):
        with database.transaction() as connection:
            insert_rows(connection, some)
    database.close()


def _fill(count: int, log_folder: Path, rows: int = 10_000) -> None:
    """Give every series a number and a reading."""
    log, series, clock = SegmentLog(log_folder), SeriesCatalogue(log_folder / "series"), SystemClock()
    intake = IntakeService(log, Vocabulary.load(), clock, _Nobody(), series=series)
    intake.start()
    for first in range(0, count, rows):
        last = min(first + rows, count)
        numbers = series.numbers_of((_entity(str(n)), _TYPE, _PROPERTY, f"sensor-{n}") for n in range(first, last))
        columns = Columns(
            np.array(numbers, np.int32), np.full(len(numbers), clock.now_us()), np.full(len(numbers), 0.5)
        )
        intake.submit_columns(ColumnSubmission("bench", "bench/1", columns, lambda _: Payload(b"", ""))).result()
    intake.stop()
    log.close()
    series.close()


def _await_readers(target: Target) -> None:
    """Wait until the platform has taken in what the log holds, and has made that durable."""
    deadline = time.monotonic() + _SETTLE_WITHIN_S
    while time.monotonic() < deadline and not _has_stored(target):
        time.sleep(1)
    time.sleep(6)  # a checkpoint is due every five seconds


def _has_stored(target: Target) -> bool:
    """Tell whether the accounts know the readings; not before both processes are there."""
    try:
        client = Client(target.running, "en")
    except GulouError:
        return False
    try:
        return bool(client.call("GET", "/accounting")["total"]["stored"])
    except (GulouError, RemoteProblem):
        return False
    finally:
        client.close()


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {"median": round(ordered[len(ordered) // 2], 3), "max": round(ordered[-1], 3)}


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])
