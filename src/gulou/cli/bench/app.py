"""The command line of the benchmarks."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer
from rich.table import Table

from gulou.cli import show
from gulou.cli.bench.history import history
from gulou.cli.bench.log import log
from gulou.cli.bench.loop import measure_loop
from gulou.cli.bench.model import LoopPlan, LoopReport
from gulou.cli.options import Json

bench_app = typer.Typer(no_args_is_help=True, help="Measure how quick this machine is with Gulou.")


@bench_app.callback()
def bench() -> None:
    """Measure how quick this machine is with Gulou."""


bench_app.command("log")(log)
bench_app.command("history")(history)


@bench_app.command("loop")
def loop(
    rate: Annotated[
        float | None, typer.Option(min=1, help="Readings per second; without it the rate is searched.")
    ] = None,
    runs: Annotated[int | None, typer.Option(min=1, max=20, help="Measurements; medians are reported (3).")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, max=600, help="Length of a measurement (15).")] = None,
    gateways: Annotated[int, typer.Option(min=1, max=256, help="MQTT connections.")] = 8,
    rules: Annotated[int, typer.Option(min=1, max=1000, help="Rules that judge every reading.")] = 5,
    quick: Annotated[bool, typer.Option("--quick", help="Half a minute instead of some minutes; less exact.")] = False,
    as_json: Json = False,
) -> None:
    """Measure from a reading sent to a command received, over MQTT QoS 1, durable before acknowledged.

    Starts a platform of its own in a temporary directory. Example: gulou bench loop --quick --json
    """
    plan = LoopPlan(gateways=gateways, rules=rules, rate_per_s=rate)
    plan = plan.made_quick() if quick else plan
    given = {"runs": runs, "run_s": seconds}
    plan = msgspec.structs.replace(plan, **{name: value for name, value in given.items() if value is not None})
    report = measure_loop(plan, lambda line: show.errors.print(line, markup=False, style="dim", soft_wrap=True))
    if as_json:
        show.emit(report)
    else:
        _print(report)
    if not report.sustained or report.median.lost:
        raise typer.Exit(1)


def _print(report: LoopReport) -> None:
    median = report.median
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "p50", "p99", "p99.9"):
        table.add_column(column, justify="left" if not column else "right")
    for label, spread in (("reading to command, ms", median.loop_ms), ("reading to ack, ms", median.ack_ms)):
        table.add_row(label, *(show.cell(value) for value in (spread.p50, spread.p99, spread.p999)))
    show.people.print(
        f"[bold]{median.rate_per_s:,.0f} readings/s[/], lost {median.lost}"
        + ("" if report.sustained else " [red](not sustained)[/]")
    )
    show.people.print(table)
    machine = report.machine
    show.people.print(
        f"{machine['processor']}, {machine['cores']} cores, load before {machine['load_before']}", style="dim"
    )
