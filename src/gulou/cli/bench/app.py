"""The command line of the benchmarks."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import msgspec
import typer

from gulou.cli.bench.history import history
from gulou.cli.bench.ingest import ingest
from gulou.cli.bench.log import log
from gulou.cli.bench.loop import measure_loop
from gulou.cli.bench.model import LoopPlan
from gulou.cli.bench.recover import recover
from gulou.cli.bench.report import Compare, Quick, Runs, Save, finish, say
from gulou.cli.bench.rules import rules
from gulou.cli.bench.soak import soak
from gulou.cli.options import Json

bench_app = typer.Typer(no_args_is_help=True, help="Measure how quick this machine is with Gulou.")


@bench_app.callback()
def bench() -> None:
    """Measure how quick this machine is with Gulou."""
    for number in (signal.SIGTERM, signal.SIGINT):  # also where the shell had it ignored: what was started is stopped
        signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


bench_app.command("ingest")(ingest)
bench_app.command("log")(log)
bench_app.command("recover")(recover)
bench_app.command("rules")(rules)
bench_app.command("history")(history)
bench_app.command("soak")(soak)


@bench_app.command("loop")
def loop(
    rate: Annotated[
        float | None, typer.Option(min=1, help="Readings per second; without it the highest sustained is searched.")
    ] = None,
    runs: Runs = None,
    seconds: Annotated[float | None, typer.Option(min=1, max=3600, help="Length of a measurement (10).")] = None,
    gateways: Annotated[int | None, typer.Option(min=1, max=256, help="MQTT connections (8).")] = None,
    connections: Annotated[int | None, typer.Option(min=1, max=10_000, help="The same, for many.")] = None,
    single: Annotated[bool, typer.Option("--single", help="Each reading in a packet of its own.")] = False,
    series: Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Series (100,000).")] = None,
    rules: Annotated[int | None, typer.Option(min=1, max=100_000, help="Rules, one a series (100,000).")] = None,
    limit_ms: Annotated[float | None, typer.Option(min=1, help="Highest p99 that counts as sustained (10).")] = None,
    quick: Quick = False,
    save: Save = None,
    compare: Compare = None,
    as_json: Json = False,
) -> None:
    """Measure from a reading sent to a command received, over MQTT QoS 1, durable before acknowledged.

    Starts a platform of its own in a temporary directory. Example: gulou bench loop --rate 100000 --json
    """
    plan = LoopPlan(single=single, rate_per_s=rate)
    plan = plan.made_quick() if quick else plan
    given = {
        "runs": runs,
        "run_s": seconds,
        "gateways": connections or gateways,
        "series": series,
        "rules": rules,
        "limit_ms": limit_ms,
    }
    plan = msgspec.structs.replace(plan, **{name: value for name, value in given.items() if value is not None})
    report, is_good = measure_loop(plan, say)
    finish(report, as_json=as_json, save=save, compare=compare)
    if not is_good:
        raise typer.Exit(1)
