"""``gulou bench log``: how quickly readings become durable, beside SQLite on the same disk in the same run."""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer

from gulou.cli.bench.model import Spread
from gulou.cli.bench.report import Compare, Quick, Runs, Save, describe_machine, finish, make_report, say, workspace
from gulou.cli.options import Json
from gulou.connectivity.intake import (
    Columns,
    ColumnSubmission,
    IntakeService,
    LogBatch,
    LogSettings,
    Payload,
    Receipt,
    SegmentLog,
    SeriesCatalogue,
)
from gulou.kernel.clock import SystemClock
from gulou.vocabulary import Vocabulary

_BATCHES = (200, 2_000)
_TYPE, _PROPERTY = "WaterLevelObserved", "waterLevel"


class LogPlan(msgspec.Struct, frozen=True, kw_only=True):
    """How the log is measured.

    Args:
        seconds: of each single measurement.
        series: numbered series that the rows belong to.
        at_once: submissions on their way at the same time, through the door.
    """

    seconds: float = 3.0
    series: int = 100_000
    at_once: int = 16
    batches: tuple[int, ...] = _BATCHES


def log(
    runs: Runs = None,
    quick: Quick = False,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Measure on the disk of this directory.")
    ] = None,
    save: Save = None,
    compare: Compare = None,
    as_json: Json = False,
) -> None:
    """Measure commits and readings per second, and how long one takes, for batches of 200 and 2,000 readings.

    ``own`` is the log alone, one commit after the other; ``sqlite`` the same bytes as one blob in a WAL database with
    synchronous=FULL; ``door`` the whole way of columns: checks, duplicates, catalogue, log, receipt.
    """
    machine = describe_machine()
    plan = LogPlan(seconds=1.0 if quick else 3.0)
    measured = []
    for number in range(runs or (1 if quick else 5)):
        with workspace(directory) as folder:
            measured.append(_measure(plan, Path(folder)))
        say(f"run {number + 1}: {_line(measured[-1])}")
    finish(make_report("log", machine, plan, measured), as_json=as_json, save=save, compare=compare)


def _measure(plan: LogPlan, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for rows in plan.batches:
        record = np.random.default_rng(rows).bytes(20 * rows + 100)
        figures[f"own_{rows}"] = _own(plan, folder / f"own-{rows}", record, rows)
        figures[f"sqlite_{rows}"] = _sqlite(plan, folder / f"sqlite-{rows}.db", record, rows)
        figures[f"door_{rows}"] = _door(plan, folder / f"door-{rows}", rows)
    return figures


def _own(plan: LogPlan, folder: Path, record: bytes, rows: int) -> dict[str, Any]:
    made = SegmentLog(folder, LogSettings())

    def commit() -> None:
        made.forget_before(made.append([record]))

    try:
        return _timed(plan, commit, rows, beside=made.prepare)
    finally:
        made.close()


def _sqlite(plan: LogPlan, file: Path, record: bytes, rows: int) -> dict[str, Any]:
    database = sqlite3.connect(file, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE log (sequence INTEGER PRIMARY KEY, record BLOB NOT NULL)")
        return _timed(plan, lambda: database.execute("INSERT INTO log (record) VALUES (?)", (record,)), rows)
    finally:
        database.close()


def _timed(
    plan: LogPlan, commit: Callable[[], object], rows: int, beside: Callable[[], object] | None = None
) -> dict[str, Any]:
    """Commit for a while; ``beside`` is called once a second on another thread, as the product's timer does."""
    over = threading.Event()

    def keep_ready() -> None:
        while beside is not None and not over.wait(0.2):
            beside()

    helper = threading.Thread(target=keep_ready)
    helper.start()
    took_ms: list[float] = []
    begin = now = time.perf_counter()
    while now - begin < plan.seconds:
        commit()
        after = time.perf_counter()
        took_ms.append((after - now) * 1e3)
        now = after
    over.set()
    helper.join()
    return _figures(took_ms, rows, now - begin)


class _Trivial:
    """A consumer, and the accounts that the door asks for, which keep nothing: only the door is measured."""

    takes_columns = True

    def __init__(self) -> None:
        self.name = "ledger"
        self._applied = self._durable = 0

    def position(self) -> int:
        return self._durable

    def apply(self, batch: LogBatch) -> None:
        self._applied = batch.sequence

    def checkpoint(self) -> None:
        self._durable = self._applied

    def position_of(self, origin: str, /) -> int:
        return 0


def _door(plan: LogPlan, folder: Path, rows: int) -> dict[str, Any]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    clock, series = SystemClock(), SeriesCatalogue(folder / "series")
    for number in range(plan.series):
        series.number_of(f"urn:ngsi-ld:{_TYPE}:{number}", _TYPE, _PROPERTY)
    made = SegmentLog(folder, LogSettings())
    intake = IntakeService(made, Vocabulary.load(), clock, _Trivial(), series=series, directory=folder)
    intake.start()
    try:
        return _load(plan, intake, clock, rows)
    finally:
        intake.stop()
        made.close()
        series.close()
        sys.setswitchinterval(before)


def _load(plan: LogPlan, intake: IntakeService, clock: SystemClock, rows: int) -> dict[str, Any]:
    took_ms: list[float] = []
    free = threading.Semaphore(plan.at_once)
    value = np.random.default_rng(1).random(rows)

    def send(number: int) -> None:
        begin = time.perf_counter()
        series = ((np.arange(rows) + number * rows) % plan.series).astype(np.int32)
        columns = Columns(series, np.full(rows, clock.now_us() + number, np.int64), value)
        future = intake.submit_columns(ColumnSubmission("bench", "bench/1", columns, lambda _: Payload(b"", "")))

        def answered(done: object) -> None:
            took_ms.append((time.perf_counter() - begin) * 1e3)
            free.release()

        future.add_done_callback(answered)
        if number % plan.at_once == 0:
            samples.append(future)

    samples: list[Future[Receipt]] = []
    begin = tick = time.perf_counter()
    number = 0
    while (now := time.perf_counter()) - begin < plan.seconds:
        if now >= tick:
            intake.tick(clock.now_us())
            tick += 0.2
        free.acquire()
        send(number)
        number += 1
    for _ in range(plan.at_once):
        free.acquire()
    seconds = time.perf_counter() - begin
    rejected = sum(one.result().rejected for one in samples)
    return {**_figures(took_ms, rows, seconds), "rejected": rejected}


def _figures(took_ms: list[float], rows: int, seconds: float) -> dict[str, Any]:
    commits = len(took_ms)
    return {
        "commits_per_s": round(commits / seconds),
        "readings_per_s": round(commits * rows / seconds),
        "ms": msgspec.to_builtins(Spread.of(took_ms)),
    }


def _line(figures: dict[str, Any]) -> str:
    return "; ".join(
        f"{name} {one['commits_per_s']:,}/s = {one['readings_per_s']:,} readings/s, p50 {one['ms']['p50']} "
        f"p99 {one['ms']['p99']} ms"
        for name, one in figures.items()
    )
