"""What every benchmark answers: machine, settings, runs, medians and their spread, the ratio to a saved answer."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.table import Table

import gulou
from gulou.cli import show
from gulou.kernel.errors import Invalid

Figures = Mapping[str, Any]
"""Nested figures; what is no number (texts, lists, truth values) is left out of medians."""

Runs = Annotated[int | None, typer.Option("--runs", min=1, max=50, help="Measurements; medians are reported.")]
Quick = Annotated[bool, typer.Option("--quick", help="Within a minute, setting up included; less exact.")]
Save = Annotated[Path | None, typer.Option("--save", help="Keep the answer in this file, for --compare.")]
Compare = Annotated[Path | None, typer.Option("--compare", help="Say the ratio to an answer that was kept by --save.")]


def workspace(directory: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """Return a directory for a measurement; where it cannot be deleted in the end, the answer is not lost for that."""
    return tempfile.TemporaryDirectory(prefix="gulou-bench-", dir=directory, ignore_cleanup_errors=True)


class Comparison(msgspec.Struct, frozen=True):
    """Ratios of medians, now to then, by their dotted path.

    Args:
        same_settings: false where the two cannot be held against each other.
    """

    file: str
    same_settings: bool
    ratios: dict[str, float]


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer of ``gulou bench NAME``.

    Args:
        median: the median of each figure over the runs, nested as in the runs.
        spread: lowest and highest of each figure, by its dotted path.
        notes: what a reader must know beside the figures, such as a peer that could not run here.
    """

    name: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    runs: list[dict[str, Any]]
    median: dict[str, Any]
    spread: dict[str, tuple[float, float]]
    notes: list[str] = []
    comparison: Comparison | None = None


def make_report(
    name: str,
    machine: Figures,
    settings: object,
    runs: Sequence[Figures],
    *,
    notes: Sequence[str] = (),
    extra: Figures | None = None,
) -> Report:
    """Put an answer together.

    Args:
        machine: as ``describe_machine`` gave it BEFORE the load.
        settings: a struct or a mapping.
        extra: figures of the whole (such as what was lost in all runs together); they join the medians.
    """
    plain = [msgspec.to_builtins(dict(run)) for run in runs]
    values = _gather(plain)
    median = _nest({path: _rounded(statistics.median(found)) for path, found in values.items()})
    median.update(msgspec.to_builtins(dict(extra or {})))
    return Report(
        name=name,
        machine=dict(machine),
        settings=msgspec.to_builtins(settings),
        runs=plain,
        median=median,
        spread={path: (_rounded(min(found)), _rounded(max(found))) for path, found in values.items()},
        notes=list(notes),
    )


def finish(report: Report, *, as_json: bool, save: Path | None = None, compare: Path | None = None) -> None:
    """Compare, keep, print.

    Raises:
        Invalid: ``bench.saved_unreadable``: the file to compare with is no such answer.
    """
    if compare is not None:
        report = msgspec.structs.replace(report, comparison=_compare(report, compare))
    if save is not None:
        save.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    if as_json:
        show.emit(report)
    else:
        _print(report)


def describe_machine() -> dict[str, Any]:
    """Say on what it is measured, and what else runs."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model n")]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count() or 0,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "gulou": gulou.__version__,
        "load_before": round(os.getloadavg()[0], 2),
    }


def say(line: str) -> None:
    """Tell a person at the terminal how far it is; never on standard output."""
    show.errors.print(line, markup=False, style="dim", soft_wrap=True)


def _flat(figures: Figures, before: str = "") -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield path, float(value)


def _gather(runs: Sequence[Figures]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {}
    for run in runs:
        for path, value in _flat(run):
            values.setdefault(path, []).append(value)
    return values


def _nest(values: dict[str, float]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in values.items():
        *folders, name = path.split(".")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return nested


def _rounded(value: float) -> float:
    return float(f"{value:.6g}") if abs(value) < 1_000_000 else float(round(value))


def _compare(report: Report, file: Path) -> Comparison:
    try:
        saved = msgspec.json.decode(file.read_bytes(), type=Report)
    except (OSError, msgspec.MsgspecError) as error:
        raise Invalid("bench.saved_unreadable", file=str(file), detail=str(error)) from None
    if saved.name != report.name:
        raise Invalid("bench.saved_unreadable", file=str(file), detail=f"{saved.name} instead of {report.name}")
    then = dict(_flat(saved.median))
    ratios = {path: _rounded(now / then[path]) for path, now in _flat(report.median) if then.get(path)}
    return Comparison(str(file), saved.settings == report.settings, ratios)


def _print(report: Report) -> None:
    ratios = report.comparison.ratios if report.comparison else {}
    table = Table(
        box=None, header_style="bold", pad_edge=False, title=f"gulou bench {report.name}", title_justify="left"
    )
    for column in ("", "median", "lowest", "highest", *(("to the saved",) if ratios else ())):
        table.add_column(column, justify="left" if not column else "right")
    for path, value in _flat(report.median):
        low, high = report.spread.get(path, (value, value))
        cells = [path, *(f"{one:,.6g}" for one in (value, low, high))]
        if ratios:
            cells.append(f"×{ratios[path]:.3g}" if path in ratios else "–")
        table.add_row(*cells)
    show.people.print(table)
    machine = report.machine
    shown = f"{machine['processor']}, {machine['cores']} cores, load before {machine['load_before']}"
    show.people.print(f"{shown}; {len(report.runs)} runs", style="dim")
    if report.comparison is not None and not report.comparison.same_settings:
        show.people.print("The saved answer was measured with other settings.", style="yellow")
    for note in report.notes:
        show.people.print(note, style="dim")
