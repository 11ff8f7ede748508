"""``gulou bench rules``: the cost of a reading under 1 to 1,000,000 rules, pauses while they change, and a peer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gulou.cli.bench.report import Compare, Quick, Runs, Save, describe_machine, finish, make_report, say
from gulou.cli.bench.rules_cost import RulesOrder
from gulou.cli.bench.rules_peer import PeerPlan, measure_node_red, measure_own
from gulou.cli.options import Json
from gulou.kernel.errors import Fault

_PEER_VARIABLE = "GULOU_BENCH_NODE_RED"


class RulesPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How rules are measured.

    Args:
        counts: of rules, each measured in a process of its own.
        series: that send, whatever the number of rules.
        changed: rules that are changed while readings come, out of 100,000.
        peer: the workload of the comparison.
    """

    counts: tuple[int, ...] = (1, 1_000, 100_000, 1_000_000)
    series: int = 100_000
    batches: int = 500
    changed: int = 10_000
    peer: PeerPlan = PeerPlan()


def rules(
    runs: Runs = None,
    quick: Quick = False,
    peer: Annotated[
        Path | None,
        typer.Option(
            "--peer", envvar=_PEER_VARIABLE, help="Node-RED's program, to be measured beside; needs mosquitto."
        ),
    ] = None,
    only: Annotated[str | None, typer.Option("--only", help="One part: cost, pauses or peer.")] = None,
    save: Save = None,
    compare: Compare = None,
    as_json: Json = False,
) -> None:
    """Measure the cost of a reading by the number of rules, the pauses while rules change, and 300 rules on one stream.

    Costs are processor time of readings that change nothing; every one meets at least one rule (the first is about all
    entities, the others about one each). ``cost.factor`` is the dearest by the cheapest; ``cost.unwatched_ns`` is the
    cost of a reading that no rule is about.
    """
    machine = describe_machine()
    plan = RulesPlan()
    if quick:
        plan = msgspec.structs.replace(
            plan, counts=(1, 1_000, 100_000), batches=100, changed=2_000, peer=plan.peer.made_quick()
        )
    measured, notes = [], []
    for number in range(runs or (1 if quick else 3)):
        found: dict[str, Any] = {}
        if only in (None, "cost"):
            found["cost"] = _cost(plan)
        if only in (None, "pauses"):
            found["pauses"] = _ask(RulesOrder(rules=100_000, series=plan.series, changed=plan.changed))
        if only in (None, "peer"):
            found["filters"], said = _filters(plan.peer, peer)
            notes = said
        measured.append(found)
        say(f"run {number + 1}: {msgspec.json.encode(found).decode()}")
    finish(make_report("rules", machine, plan, measured, notes=notes), as_json=as_json, save=save, compare=compare)


def _cost(plan: RulesPlan) -> dict[str, Any]:
    unwatched = _ask(RulesOrder(rules=1, series=plan.series, batches=plan.batches))["reading_ns"]
    by_count = {}
    for count in plan.counts:
        by_count[f"rules_{count}"] = _ask(RulesOrder(rules=count, whole=True, series=plan.series, batches=plan.batches))
        say(f"{count:,} rules: {by_count[f'rules_{count}']['reading_ns']} ns a reading")
    costs = [one["reading_ns"] for one in by_count.values()]
    return {**by_count, "unwatched_ns": unwatched, "factor": round(max(costs) / min(costs), 3)}


def _ask(order: RulesOrder) -> dict[str, Any]:
    """Measure in a process of its own, so that each number of rules finds the same memory."""
    command = [sys.executable, "-m", "gulou.cli.bench.rules_cost"]
    done = subprocess.run(command, input=msgspec.json.encode(order) + b"\n", capture_output=True, check=False)
    if done.returncode:
        raise Fault("bench.server_failed", detail=done.stderr.decode(errors="replace")[-400:].strip())
    answer: dict[str, Any] = msgspec.json.decode(done.stdout.splitlines()[-1])
    return answer


def _filters(plan: PeerPlan, program: Path | None) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {"gulou": measure_own(plan)}
    theirs, note = measure_node_red(plan, program)
    if theirs is not None:
        found["node_red"] = theirs
        found["ratio"] = round(found["gulou"]["highest_per_s"] / max(theirs["highest_per_s"], 1), 2)
    return found, [note]
