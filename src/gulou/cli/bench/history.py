"""``gulou bench history``: appending with compaction behind, bytes a row, and three questions of a city."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray

from gulou.cli.bench.history_peers import Peer, measure_peers
from gulou.cli.bench.report import Compare, Quick, Save, describe_machine, finish, make_report, say, workspace
from gulou.cli.options import Json
from gulou.connectivity.intake import Columns, LogBatch, SeriesCatalogue
from gulou.hub.history import AggregateQuery, HistoryQuery, HistoryService, HistorySettings
from gulou.kernel.clock import SECOND_US, SystemClock
from gulou.kernel.errors import Fault, Unavailable

_MONTH_US = 1_780_272_000 * SECOND_US  # 2026-06-01T00:00:00Z
_STEPS = 8_640  # every 5 minutes for 30 days
_STEP_US = 300 * SECOND_US
_TYPE, _PROPERTY = "AirQualityObserved", "pm25"
_BYTES_A_ROW = 30  # on the way: files that wait to be merged, what they become, roll-ups


class HistoryPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the history is measured.

    Args:
        rows: asked over: so many series that each has a reading every 5 minutes for 30 days.
        jitter: of their times: ``s``, whole seconds, one up or down; ``ms``, milliseconds, up to a second up or down.
        seconds: of appending alone, 100,000 series.
        rate_per_s: at which is appended then; 0 as fast as it goes.
        batch: rows of a log record.
        repeats: of each question.
    """

    rows: int = 100_000_000
    jitter: str = "s"
    seconds: float = 60.0
    rate_per_s: float = 1_000_000
    batch: int = 2_000
    repeats: int = 5


def history(
    rows: Annotated[
        int | None, typer.Option(min=100_000, help="Readings to ask over (100 million; 10 million with --quick).")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0, max=86_400, help="Length of appending alone (60).")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Readings a second to append at; 0 as many as go.")] = 1_000_000,
    jitter: Annotated[str, typer.Option(help="Of the times: s (whole seconds) or ms.")] = "s",
    peers: Annotated[
        bool, typer.Option("--peers", help="The same rows in PostgreSQL and InfluxDB, where they are installed.")
    ] = False,
    quick: Quick = False,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Measure on the disk of this directory.")
    ] = None,
    save: Save = None,
    compare: Compare = None,
    as_json: Json = False,
) -> None:
    """Measure rows appended per second with merging behind, bytes a row, and questions over many rows.

    ``append`` feeds 100,000 series for a while; ``load`` feeds the rows that are asked for then, a month of a city;
    the questions are a month of one series, the newest of all series, and the city's hourly mean of one day.
    """
    machine = describe_machine()
    plan = HistoryPlan(
        rows=rows or (10_000_000 if quick else 100_000_000),
        seconds=(10.0 if quick else 60.0) if seconds is None else seconds,
        rate_per_s=rate,
        jitter=jitter,
    )
    notes: list[str] = []
    with workspace(directory) as folder:
        free = shutil.disk_usage(folder).free
        if free < plan.rows * _BYTES_A_ROW:
            raise Unavailable("bench.no_room", needed=plan.rows * _BYTES_A_ROW >> 20, free=free >> 20)
        figures: dict[str, Any] = {}
        if plan.seconds:
            figures["append"] = _append(plan, Path(folder) / "append")
            say(f"append: {figures['append']}")
            shutil.rmtree(Path(folder) / "append")
        figures |= _ask(plan, Path(folder) / "ask")
        if peers:
            shutil.rmtree(Path(folder) / "ask")
            found, told = measure_peers(
                Path(folder), Peer(plan.rows // _STEPS, _STEPS, _month_step(plan), _MONTH_US, _STEP_US, plan.repeats)
            )
            figures |= found
            notes += told
    finish(make_report("history", machine, plan, [figures], notes=notes), as_json=as_json, save=save, compare=compare)


def _append(plan: HistoryPlan, folder: Path) -> dict[str, Any]:
    """Feed the city of now, as the log does, and watch that what is behind stays bounded."""
    count = 100_000
    service, _ = _open(folder, count)
    generator = np.random.default_rng(1)
    steps = max(1, round(SECOND_US * count / (plan.rate_per_s or 1_000_000)))
    began = time.perf_counter()
    cpu_before = time.process_time()
    now_us = SystemClock().now_us()
    fed = sequence = 0
    worst = {"files": 0, "waiting_files": 0, "tail_rows": 0}
    look = began
    for step in range(10**9):
        at_us = now_us + step * steps
        for columns in _rows_of_step(generator, count, plan.batch, at_us, 1000, step):
            sequence += 1
            service.apply(LogBatch(sequence, at_us + steps, "bench", (), columns=columns))
            fed += len(columns)
        now = time.perf_counter()
        if now - look > 0.5:
            look, status = now, service.status()
            worst = {name: max(most, status[name]) for name, most in worst.items()}
        if now - began >= plan.seconds:
            break
        ahead_s = fed / plan.rate_per_s - (now - began) if plan.rate_per_s else 0.0
        if ahead_s > 0:
            time.sleep(ahead_s)
    took = time.perf_counter() - began
    status = service.status()
    cpu = time.process_time() - cpu_before
    service.flush()
    flushed = time.perf_counter() - began
    figures = {
        "rows": fed,
        "rows_per_s": fed / took,
        "durable_rows_per_s": fed / flushed,
        "cores": cpu / took,
        "merged_rows": status["merged_rows"],
        "merges_behind": status["merges_behind"],
        "flushes_held": status["flushes_held"],
        "most": worst,
        "at_the_end": {name: status[name] for name in worst},
        "bytes_per_row": service.status()["bytes"] / service.status()["rows"],
    }
    service.close()
    return figures


def _ask(plan: HistoryPlan, folder: Path) -> dict[str, Any]:
    """Load a month, let it be merged, ask."""
    count = max(1, plan.rows // _STEPS)
    service, catalogue = _open(folder, count)
    total = count * _STEPS
    make = _month_step(plan)
    began = time.perf_counter()
    sequence = 0
    for step in range(_STEPS):
        for columns in make(step):
            sequence += 1
            at_us = _MONTH_US + (step + 1) * _STEP_US
            service.apply(LogBatch(sequence, at_us, "bench", (), columns=columns))
        if step % 864 == 863:
            say(f"load: {step * count:,} rows, {time.perf_counter() - began:.0f} s, {_short(service)}")
    service.flush()
    loaded = time.perf_counter() - began
    before = service.status()
    service.close()
    service, _ = _open(folder, count, catalogue, background=False)
    service.compact()
    merged = time.perf_counter() - began
    status = service.status()
    service.close()
    opened = time.perf_counter()
    service, _ = _open(folder, count, catalogue, background=False)
    figures: dict[str, Any] = {
        "load": {"rows": total, "rows_per_s": total / loaded, "rows_per_s_merged": total / merged,
                 "bytes_per_row_before": before["bytes"] / total, "files": status["files"]},
        "bytes_per_row": status["bytes"] / total,
        "rollup_bytes_per_row": sum(one["bytes"] for one in status["rollups"].values()) / total,
        "open_s": time.perf_counter() - opened,
    }  # fmt: skip
    _agree(status["rows"], total)
    picks = iter(np.random.default_rng(5).integers(0, count, 10 * plan.repeats).tolist())
    month = (_MONTH_US, _MONTH_US + _STEPS * _STEP_US)
    day = _MONTH_US + 12 * 86_400 * SECOND_US

    def one_series() -> int:
        name = _entity(next(picks))
        return len(service.query(HistoryQuery(id_glob=name, property=_PROPERTY, from_us=month[0], to_us=month[1])))

    def one_series_hourly() -> int:
        query = AggregateQuery(id_glob=_entity(next(picks)), property=_PROPERTY, from_us=month[0], to_us=month[1])
        return len(service.aggregate(query))

    def city_day() -> int:
        query = AggregateQuery(type=_TYPE, property=_PROPERTY, from_us=day, to_us=day + 86_400 * SECOND_US)
        return len(service.aggregate(query))

    figures["query_ms"] = {
        "month_of_one_series": timed(one_series, plan.repeats, _STEPS),
        "month_of_one_series_hourly": timed(one_series_hourly, plan.repeats, 720),
        "latest_of_all": timed(lambda: service.latest(_TYPE, _PROPERTY).num_rows, plan.repeats, count),
        "city_day_hourly": timed(city_day, plan.repeats, 24),
    }
    service.close()
    say(f"{figures}")
    return figures


def timed(ask: Callable[[], int], repeats: int, expected: int) -> float:
    """Return the median time in ms; every answer must have ``expected`` lines."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        lines = ask()
        times.append((time.perf_counter() - began) * 1000)
        _agree(lines, expected)
    return statistics.median(times)


def _agree(found: int, expected: int) -> None:
    if found != expected:
        raise Fault("bench.wrong_answer", found=found, expected=expected)


def _open(
    folder: Path, count: int, catalogue: SeriesCatalogue | None = None, *, background: bool = True
) -> tuple[HistoryService, SeriesCatalogue]:
    if catalogue is None:
        catalogue = SeriesCatalogue()
        for number in range(count):
            catalogue.number_of(_entity(number), _TYPE, _PROPERTY, f"station-{number:06d}")
    settings = HistorySettings(background=background, quiet_s=300.0 if background else 1e-6)
    service = HistoryService(folder, SystemClock(), settings, catalogue)
    service.start()
    return service, catalogue


def _entity(number: int) -> str:
    return f"urn:ngsi-ld:{_TYPE}:station-{number:06d}"


def _month_step(plan: HistoryPlan) -> Callable[[int], Iterator[Columns]]:
    """Return what gives the rows of each step: each series at its own second of the step, give or take the jitter."""
    count = max(1, plan.rows // _STEPS)
    generator = np.random.default_rng(2)
    jitter_us = SECOND_US if plan.jitter == "s" else 1000

    def make(step: int) -> Iterator[Columns]:
        return _rows_of_step(generator, count, plan.batch, _MONTH_US + step * _STEP_US, jitter_us, step, spread_s=290)

    return make


def _rows_of_step(
    generator: np.random.Generator, count: int, batch: int, at_us: int, jitter_us: int, step: int, spread_s: int = 0
) -> Iterator[Columns]:
    """Yield one reading of every series: a day's curve, its own level, a little noise, 1 to 3 decimals."""
    series: NDArray[np.int32] = np.arange(count, dtype=np.int32)
    most = SECOND_US // jitter_us
    at = np.full(count, at_us + 2 * SECOND_US, np.int64)
    if not spread_s:  # ten times a second
        at += generator.integers(0, 90, count) * 1000
    else:
        at += series.astype(np.int64) * spread_s // count * SECOND_US
        at += generator.integers(-most, most + 1, count) * jitter_us
    noise = generator.normal(0.0, 0.5, count)
    decimals = np.array([10.0, 100.0, 1000.0])[series % 3]
    value = 35.0 + series % 50 + 10.0 * np.sin(2 * np.pi * (step % 288) / 288) + noise
    value = np.round(value * decimals) / decimals
    for start in range(0, count, batch):
        rows = slice(start, start + batch)
        yield Columns(series[rows], at[rows], value[rows])


def _short(service: HistoryService) -> str:
    status = service.status()
    return f"{status['files']} files, {status['waiting_files']} to be merged, {status['tail_rows']:,} rows in memory"
