"""Measures the closed loop: from a reading that crosses a limit to the command that its rule sends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from gulou.cli.bench.model import LoopPlan, Roster, StepOrder, StepResult
from gulou.cli.bench.platform import BenchPlatform
from gulou.cli.bench.report import Report, describe_machine, make_report, workspace
from gulou.kernel.errors import Fault

_LOWEST_RATE_PER_S = 50.0
_HIGHEST_RATE_PER_S = 2_000_000.0
_NARROWINGS = 2
_HEADROOM = 0.9
_MOST_SETTLING = 20
_LEAST_SETTLING = 15
_FEW_SERIES = 10_000
_SETTLING_S = 2.0
_SETTLED_MS = 100.0
_TRIES = 3

Progress = Callable[[str], None]
Step = Callable[[float, float], StepResult]
"""Takes rate (1/s) and duration (s)."""


class Generator:
    """The load generator's process; a context manager."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def __enter__(self) -> Generator:
        command = [sys.executable, "-m", "gulou.cli.bench"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self._ask(self._roster)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def step(self, order: StepOrder) -> StepResult:
        """Load the platform for a while; raises Fault ``bench.generator_failed``."""
        return msgspec.json.decode(self._ask(order), type=StepResult)

    def _ask(self, line: object) -> bytes:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(line) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Fault("bench.generator_failed") from None
        answer = self._process.stdout.readline()
        if not answer:
            raise Fault("bench.generator_failed")
        return answer


def measure_loop(plan: LoopPlan, progress: Progress) -> tuple[Report, bool]:
    """Start a platform, load it, and report; takes one to ten minutes.

    Returns:
        (the answer, whether the rate was sustained and nothing was lost).
    """
    machine = describe_machine()
    seen: list[StepResult] = []
    with (
        workspace() as folder,
        BenchPlatform(plan, Path(folder) / "p") as target,
    ):
        progress("preparing devices and rules")
        roster = target.prepare()
        before = target.stored()
        with Generator(roster) as generator:

            def step(rate_per_s: float, seconds: float) -> StepResult:
                result = generator.step(StepOrder(rate_per_s, seconds, plan.probes_per_s))
                seen.append(result)
                progress(describe(result, plan))
                return result

            step(plan.warm_up_per_s, plan.warm_up_s)
            settle(plan, step)
            settled = len(seen)
            rate_per_s = plan.rate_per_s or _HEADROOM * search_rate(plan, step)
            found = len(seen)
            runs, sustained = measure_runs(plan, step, rate_per_s)
        acked = sum(result.acked for result in seen)
        lost = max(0, acked - (target.stored(acked + before) - before)) + sum(run.unanswered for run in runs)
    searched = [f"{one.asked_per_s:,.0f}/s: {_verdict(one, plan)}" for one in seen[settled:found]]
    report = make_report(
        "loop",
        machine,
        plan,
        [msgspec.to_builtins(run) for run in runs],
        notes=["searched: " + "; ".join(searched)] if searched else [],
        extra={"lost": lost, "sustained": sustained},
    )
    return report, sustained and not lost


def settle(plan: LoopPlan, step: Step) -> None:
    """Let the platform finish what the first contact with so many series has begun.

    Until it answers quickly again, and with very many series until the rules' first checkpoint, which holds all of
    them, is surely behind it. What setting up has left to the system's buffers is on the disk then.
    """
    os.sync()
    least = _LEAST_SETTLING if plan.series > _FEW_SERIES else 1
    for taken in range(1, _MOST_SETTLING + 1):
        result = step(min(plan.warm_up_per_s, plan.rate_per_s or plan.warm_up_per_s), _SETTLING_S)
        if taken >= least and result.is_sustained(_SETTLED_MS):
            return


def search_rate(plan: LoopPlan, step: Step) -> float:
    """Find the highest rate that is sustained: double (or halve) until it turns, then narrow down.

    A rate that is not sustained is tried once more: what else runs on a machine shows in single periods.

    Raises:
        Fault: ``bench.not_sustained`` when not even the lowest rate is.
    """

    def holds(rate: float) -> bool:
        return any(step(rate, plan.step_s).is_sustained(plan.limit_ms) for _ in range(2))

    rate = plan.first_rate_per_s
    good = bad = 0.0
    while not (good and bad):
        if holds(rate):
            good, rate = rate, rate * 2
        else:
            bad, rate = rate, rate / 2
        if rate > _HIGHEST_RATE_PER_S:
            return good
        if rate < _LOWEST_RATE_PER_S:
            raise Fault("bench.not_sustained", rate=_LOWEST_RATE_PER_S)
    for _ in range(_NARROWINGS):
        middle = (good + bad) / 2
        if holds(middle):
            good = middle
        else:
            bad = middle
    return good


def measure_runs(plan: LoopPlan, step: Step, rate_per_s: float) -> tuple[list[StepResult], bool]:
    """Measure at a rate; when it turns out too high for longer periods, again a fifth lower, a few times."""
    runs: list[StepResult] = []
    for attempt in range(_TRIES):
        runs = [step(rate_per_s * 0.8**attempt, plan.run_s) for _ in range(plan.runs)]
        if all(run.is_sustained(plan.limit_ms) for run in runs):
            return runs, True
        if plan.rate_per_s is not None:
            break
    return runs, False


def _verdict(result: StepResult, plan: LoopPlan) -> str:
    return "sustained" if result.is_sustained(plan.limit_ms) else "not sustained"


def describe(result: StepResult, plan: LoopPlan) -> str:
    """Say in a line what came of a period."""
    return (
        f"{result.asked_per_s:9,.0f}/s asked, {result.rate_per_s:9,.0f}/s acknowledged, "
        f"loop p50 {result.loop_ms.p50} p99 {result.loop_ms.p99} ms, ack p99 {result.ack_ms.p99} ms, "
        f"unanswered {result.unanswered}: {_verdict(result, plan)}"
    )
