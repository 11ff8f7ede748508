"""``gulou bench ingest``: readings a second by HTTP, durable before the answer, beside InfluxDB in one run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal

import msgspec
import typer

from gulou.cli.bench import ingest_sender
from gulou.cli.bench.ingest_sender import SendOrder, SendResult
from gulou.cli.bench.model import LoopPlan, Spread
from gulou.cli.bench.platform import BenchPlatform
from gulou.cli.bench.report import Compare, Quick, Runs, Save, describe_machine, finish, make_report, say, workspace
from gulou.cli.options import Json
from gulou.kernel.errors import Fault

_FORMS = ("arrow", "line", "json", "ndjson")
_TICKS = os.sysconf("SC_CLK_TCK")
Form = Literal["all", "arrow", "line", "json", "ndjson"]


class IngestPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How HTTP ingest is measured.

    Args:
        rows: readings in a request.
        series: different series; each is sent once before any is sent again.
        connections: kept alive, one request under way in each.
        seconds: of each measurement.
    """

    forms: tuple[str, ...] = _FORMS
    rows: int = 10_000
    series: int = 100_000
    connections: int = 4
    seconds: float = 10.0
    peer: bool = True


def ingest(
    form: Annotated[Form, typer.Option("--format", help="Which format.")] = "all",
    rows: Annotated[int, typer.Option("--rows-per-request", min=1, max=50_000, help="Readings in a request.")] = 10_000,
    series: Annotated[int, typer.Option(min=1, max=1_000_000, help="Different series.")] = 100_000,
    connections: Annotated[int, typer.Option(min=1, max=64, help="Connections, kept alive.")] = 4,
    seconds: Annotated[float | None, typer.Option(min=1, max=600, help="Length of a measurement (10).")] = None,
    peer: Annotated[bool, typer.Option("--peer/--no-peer", help="Measure InfluxDB too, where it is installed.")] = True,
    runs: Runs = None,
    quick: Quick = False,
    save: Save = None,
    compare: Compare = None,
    as_json: Json = False,
) -> None:
    """Measure readings per second by HTTP in batches, acknowledged only when they are durable.

    Starts a platform of its own; sends with a program's token from a process of its own on the same machine. Every
    acknowledged reading is looked for in the accounts. Example: gulou bench ingest --format line --json
    """
    machine = describe_machine()
    plan = IngestPlan(
        forms=_FORMS if form == "all" else (form,),
        rows=min(rows, series),
        series=series,
        connections=connections,
        seconds=seconds or (3.0 if quick else 10.0),
        peer=peer,
    )
    notes: list[str] = []
    figures = measure(plan, runs or (1 if quick else 5), notes)
    lost = sum(run[name]["lost"] for run in figures for name in plan.forms)
    report = make_report("ingest", machine, plan, figures, notes=notes, extra={"lost": lost})
    finish(report, as_json=as_json, save=save, compare=compare)
    if lost:
        raise typer.Exit(1)


def measure(plan: IngestPlan, runs: int, notes: list[str]) -> list[dict[str, Any]]:
    """Measure every format ``runs`` times on one platform, InfluxDB beside it; adds to ``notes`` what could not be."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(workspace()))
        loop = LoopPlan(rules=1, series=1, probes=1, gateways=1)
        platform = stack.enter_context(BenchPlatform(loop, folder / "p"))
        sender = stack.enter_context(_Sender())
        influx = stack.enter_context(_influx(folder / "influx", notes)) if plan.peer else None
        target = _Target(platform, sender)
        measured: list[dict[str, Any]] = []
        for number in range(runs):
            figures: dict[str, Any] = {}
            for form in plan.forms:
                order = _order(plan, target.url, target.authorization, form)
                if number == 0:
                    target.introduce(order)
                figures[form] = target.measured(order)
                say(f"run {number + 1}: {form:7} {figures[form]['rate_per_s']:12,.0f}/s")
            if influx is not None:
                order = _order(plan, influx, None, "line")
                if number == 0:
                    sender.run(msgspec.structs.replace(order, seconds=0.0))
                figures["influxdb_line"] = _figures(sender.run(order))
                say(f"run {number + 1}: InfluxDB {figures['influxdb_line']['rate_per_s']:11,.0f}/s")
            measured.append(figures)
    return measured


def _order(plan: IngestPlan, url: str, authorization: str | None, form: str) -> SendOrder:
    return SendOrder(
        url=url,
        authorization=authorization,
        form=form,
        series=plan.series,
        rows=plan.rows,
        connections=plan.connections,
        seconds=plan.seconds,
    )


class _Target:
    """The platform under test, and what it has acknowledged so far."""

    def __init__(self, platform: BenchPlatform, sender: _Sender) -> None:
        self._platform = platform
        self._sender = sender
        running = platform.api.running
        self.url = f"{running.ingest_url or running.url}/ingest/v1/readings"
        self.authorization = f"Bearer {running.token}"
        self._processes = [pid for pid in (running.engine_pid, running.web_pid) if pid] or [running.pid]
        self._stored = platform.stored()

    def introduce(self, order: SendOrder) -> None:
        """Send every series once, so that it is known."""
        self._load(msgspec.structs.replace(order, seconds=0.0))

    def measured(self, order: SendOrder) -> dict[str, Any]:
        """Load it, and look for what it acknowledged in its accounts."""
        busy = _busy_s(self._processes)
        result, lost, busy_after = self._load(order)
        figures = _figures(result)
        figures["server_us_per_reading"] = round((busy_after - busy) * 1e6 / max(result.acknowledged, 1), 3)
        figures["lost"] = lost
        return figures

    def _load(self, order: SendOrder) -> tuple[SendResult, int, float]:
        result = self._sender.run(order)
        wanted = self._stored + result.acknowledged
        self._stored = self._platform.stored(wanted)
        return result, max(wanted - self._stored, 0), _busy_s(self._processes)


def _figures(result: SendResult) -> dict[str, Any]:
    if result.problem and not result.acknowledged:
        raise Fault("bench.server_failed", detail=result.problem)
    return {
        "rate_per_s": round(result.acknowledged / result.seconds),
        "request_ms": msgspec.to_builtins(Spread.of(result.request_ms)),
        "requests": result.requests,
        "refused": result.refused,
        "failed": result.failed,
        "body_bytes": result.body_bytes,
        "sender_us_per_reading": round(result.busy_s * 1e6 / max(result.acknowledged, 1), 3),
    }


def _busy_s(processes: list[int]) -> float:
    """Return the processor time of processes so far."""
    total = 0
    for pid in processes:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


class _Sender:
    """The generator's process; a context manager."""

    def __enter__(self) -> _Sender:
        command = [sys.executable, "-P", ingest_sender.__file__]  # as a file: it needs little of the package
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def run(self, order: SendOrder) -> SendResult:
        """Carry an order out; raises Fault ``bench.generator_failed``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Fault("bench.generator_failed") from None
        answer = self._process.stdout.readline()
        if not answer:
            raise Fault("bench.generator_failed")
        return msgspec.json.decode(answer, type=SendResult)


_INFLUX = """\
reporting-disabled = true
bind-address = "127.0.0.1:%(control)d"
[meta]
  dir = "%(folder)s/meta"
[data]
  dir = "%(folder)s/data"
  wal-dir = "%(folder)s/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:%(port)d"
  log-enabled = false
"""


@contextmanager
def _influx(folder: Path, notes: list[str]) -> Iterator[str | None]:
    """Start InfluxDB 1 in a folder of its own, if it is here; yield where it takes line protocol.

    Its write-ahead log is synced before each answer (``wal-fsync-delay`` is 0 by default).
    """
    program = shutil.which("influxd")
    if program is None:
        notes.append("InfluxDB is not installed here (Debian: influxdb)")
        yield None
        return
    folder.mkdir(parents=True)
    port, control = _free_port(), _free_port()
    config = folder / "influxdb.conf"
    config.write_text(_INFLUX % {"folder": folder, "port": port, "control": control}, encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-config", str(config)], stdout=log, stderr=log)
    try:
        base = f"http://127.0.0.1:{port}"
        if _prepared(base):
            notes.append(f"peer: {_version(program)}, WAL synced before each answer")
            yield f"{base}/write?db=bench&precision=ns"
        else:
            notes.append("InfluxDB did not start")
            yield None
    finally:
        process.terminate()
        process.wait(30)


def _version(program: str) -> str:
    told = subprocess.run([program, "version"], capture_output=True, text=True, check=False).stdout
    return " ".join(told.split()[:2]) or "InfluxDB"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _prepared(base: str) -> bool:
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline:
        try:
            request = urllib.request.Request(f"{base}/query?q=CREATE+DATABASE+bench", method="POST")  # noqa: S310
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False
