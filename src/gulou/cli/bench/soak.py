"""``gulou bench soak``: an hour of even load; whether memory, delays and accounts stay as they were."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gulou.cli.bench.loop import Generator, Progress, describe, settle
from gulou.cli.bench.model import LoopPlan, StepOrder, StepResult
from gulou.cli.bench.platform import BenchPlatform
from gulou.cli.bench.report import Compare, Quick, Report, Save, describe_machine, finish, make_report, say, workspace
from gulou.cli.options import Json

_PARTS = 6
"""The first part of the periods is held against the last; such a part is ten minutes of an hour."""
_QUIET_S = 1.0


class SoakPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How long, and with what.

    Args:
        load: as of ``gulou bench loop``; its rate is given.
        period_s: after each such period memory is read, and after a quiet second the accounts.
    """

    load: LoopPlan
    seconds: float = 3_600.0
    period_s: float = 60.0

    @property
    def periods(self) -> int:
        """How many periods there are; at least two, so that there is a first and a last."""
        return max(2, round(self.seconds / self.period_s))


def soak(
    rate: Annotated[float, typer.Option(min=1, help="Readings per second.")] = 100_000.0,
    minutes: Annotated[float, typer.Option(min=0.1, max=10_080, help="How long, settling aside.")] = 60.0,
    series: Annotated[int, typer.Option(min=1, max=1_000_000, help="Series.")] = 100_000,
    rules: Annotated[int, typer.Option(min=1, max=100_000, help="Rules, one a series.")] = 100_000,
    gateways: Annotated[int, typer.Option(min=1, max=256, help="MQTT connections.")] = 8,
    quick: Quick = False,
    save: Save = None,
    compare: Compare = None,
    as_json: Json = False,
) -> None:
    """Load a platform evenly for a long time; see whether memory stays flat, delays even, and the accounts exact.

    Exit code 1 where a reading is lost or an account does not hold. Drifts are told, not judged.
    """
    load = LoopPlan(rate_per_s=rate, series=series, rules=rules, gateways=gateways)
    plan = SoakPlan(load=load, seconds=60.0 * minutes, period_s=min(60.0, 10.0 * minutes))
    if quick:
        load = msgspec.structs.replace(load.made_quick(), rate_per_s=min(rate, 10_000.0))
        plan = SoakPlan(load=load, seconds=12.0, period_s=2.0)
    report, is_good = measure_soak(plan, say)
    finish(report, as_json=as_json, save=save, compare=compare)
    if not is_good:
        raise typer.Exit(1)


def measure_soak(plan: SoakPlan, progress: Progress) -> tuple[Report, bool]:
    """Start a platform, load it for long, and report.

    Returns:
        (the answer, whether nothing was lost and every account held).
    """
    machine = describe_machine()
    rate_per_s = plan.load.rate_per_s or 100_000.0
    acked, wrong, periods = 0, 0, []
    with (
        workspace() as folder,
        BenchPlatform(plan.load, Path(folder) / "p") as target,
    ):
        progress("preparing devices and rules")
        roster = target.prepare()
        before = target.accounts()
        with Generator(roster) as generator:

            def step(rate_per_s: float, seconds: float) -> StepResult:
                nonlocal acked
                result = generator.step(StepOrder(rate_per_s, seconds, plan.load.probes_per_s))
                acked += result.acked
                return result

            step(plan.load.warm_up_per_s, plan.load.warm_up_s)
            settle(plan.load, step)
            began = time.monotonic()
            for _ in range(plan.periods):
                result = step(rate_per_s, plan.period_s)
                memory = target.memory_mib()
                exact = _is_exact(target, before, acked)
                wrong += not exact
                periods.append({"at_s": time.monotonic() - began, **msgspec.to_builtins(result), "memory_mib": memory})
                progress(
                    f"{describe(result, plan.load)}; memory {memory} MiB; accounts {'exact' if exact else 'WRONG'}"
                )
        reconciled = _reconcile(target.data)
    unanswered = sum(one["unanswered"] for one in periods)
    extra = {"drift": drift_of(periods), "accounts_wrong": wrong, "reconciled": reconciled, "unanswered": unanswered}
    report = make_report("soak", machine, plan, periods, extra=extra)
    return report, not wrong and not unanswered and bool(reconciled.get("sound"))


def drift_of(periods: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Say how the last part of the periods differs from the first, and how far memory strayed from its median.

    Returns:
        Ratios of medians, last to first, of delays and memory; ``memory_spread``: lowest and highest to the median.
    """
    found: dict[str, Any] = {}
    for name in ("loop_ms", "ack_ms"):
        found[name] = {share: _ratio([period[name][share] for period in periods]) for share in ("p50", "p99")}
    for name in periods[0]["memory_mib"]:
        values = [period["memory_mib"][name] for period in periods]
        middle = statistics.median(values) or 1.0
        found[f"memory_{name}"] = _ratio(values)
        found[f"memory_{name}_spread"] = [min(values) / middle, max(values) / middle]
    return found


def _ratio(values: Sequence[float | None]) -> float | None:
    """Return the median of the last part to that of the first; None where there is nothing to compare."""
    size = max(1, len(values) // _PARTS)
    then, now = ([one for one in part if one is not None] for part in (values[:size], values[-size:]))
    return statistics.median(now) / statistics.median(then) if then and now and statistics.median(then) else None


def _is_exact(target: BenchPlatform, before: dict[str, int], acked: int) -> bool:
    """Hold the accounts against what was acknowledged, after a quiet second."""
    time.sleep(_QUIET_S)
    target.stored(before["stored"] + acked)
    now = target.accounts()
    sums = now["received"] == now["stored"] + now["rejected"] + now["dropped"]
    return sums and now["stored"] - before["stored"] == acked


def _reconcile(data: Path) -> dict[str, Any]:
    """Count history and log against the ledger, as an operator does; ``problem`` where that came to no answer."""
    code = "import sys; from gulou.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "accounts", "check", "--json", "--data", str(data)]
    answer = subprocess.run(command, capture_output=True, check=False, text=True)
    try:
        found: dict[str, Any] = json.loads(answer.stdout)
    except ValueError:
        return {"sound": False, "problem": answer.stderr[-2_000:]}
    return found
