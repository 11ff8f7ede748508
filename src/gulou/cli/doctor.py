"""``gulou doctor``: is this machine, and this data directory, fit to run on?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import socket
import sqlite3
import stat
import time
from collections.abc import Iterator
from importlib.resources import files
from typing import Annotated, Literal

import httpx
import msgspec
import typer

import gulou
from gulou.cli import show
from gulou.cli.options import Data, Json
from gulou.cli.place import Place, Running
from gulou.kernel.errors import GulouError
from gulou.kernel.messages import render

State = Literal["ok", "warn", "fail"]
_LIBRARIES = ("duckdb", "deltalake", "pyarrow", "sqlalchemy", "fastapi", "uvicorn", "shapely", "pyproj", "pint")
_FREE_MIB_WARN = 2_048
_FREE_MIB_FAIL = 256
_BUILT = 1_780_000_000  # a clock before this version's making (2026) is wrong


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at: how it is, and what to do where it is not well."""

    check: str
    state: State
    detail: str
    mend: str = ""


def doctor(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page.")] = 8765,
    mqtt_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the MQTT endpoint.")] = 1883,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Check ports, disk, clock, versions and the data directory. Ends with 1 when something fails."""
    findings = list(examine(Place.chosen(data), port, mqtt_port))
    if as_json:
        for finding in findings:
            show.emit(finding)
    else:
        marks = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}
        for finding in findings:
            show.people.print(f"{marks[finding.state]}  {finding.check:<10} {finding.detail}")
            if finding.mend:
                show.people.print(f"      [dim]→ {finding.mend}[/]")
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


def examine(place: Place, port: int, mqtt_port: int) -> Iterator[Finding]:
    """Yield a finding for each thing that matters."""
    yield _python()
    yield _libraries()
    yield _clock()
    yield _disk(place)
    yield from _directory(place)
    yield _console()
    running = place.running()
    if running is not None:
        yield Finding("server", "ok", f"process {running.pid} serves this data directory at {running.url}")
        yield from parts_of(running)
        return
    yield _port("page", port, "--port")
    yield _port("mqtt", mqtt_port, "--mqtt-port")


def parts_of(running: Running) -> Iterator[Finding]:
    """Say of each part of a running server whether it is there and ready."""
    mend = "It is started again by itself; the server's standard error says why it ended."
    for name, pid in (("engine", running.engine_pid), ("web", running.web_pid)):
        if running.ingest_url is not None and pid is None:
            yield Finding(name, "fail", "being started", mend)
    try:
        state = httpx.get(f"{running.url}/api/v1/health/ready", timeout=5.0, trust_env=False, verify=False)  # noqa: S501
        parts = state.json().get("parts", {})
    except (httpx.HTTPError, ValueError):
        yield Finding("web", "fail", f"{running.url} does not answer", mend)
        return
    shown = ", ".join(f"{name} {how}" for name, how in parts.items())
    is_ready = state.status_code == httpx.codes.OK
    yield Finding("ready", "ok" if is_ready else "fail", shown, "" if is_ready else mend)
    if "timers" in parts:
        yield Finding(
            "timers", "fail", parts["timers"], "Tried again each second; the server's standard error says why."
        )


def _python() -> Finding:
    detail = f"Python {platform.python_version()}, Gulou {gulou.__version__}, {platform.platform()}"
    return Finding("python", "ok", detail)


def _libraries() -> Finding:
    missing, found = [], []
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("libraries", "fail", f"missing: {', '.join(missing)}", "Run make setup.")
    return Finding("libraries", "ok", ", ".join([*found, f"SQLite {sqlite3.sqlite_version}"]))


def _clock() -> Finding:
    now = time.time()
    detail = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < _BUILT:
        mend = "Set the clock (timedatectl set-ntp true); readings would be stamped wrongly."
        return Finding("clock", "fail", f"{detail} lies before this version was made", mend)
    return Finding("clock", "ok", detail)


def _disk(place: Place) -> Finding:
    existing = place.root
    while not existing.exists():
        existing = existing.parent
    usage = shutil.disk_usage(existing)
    free_mib = usage.free // 2**20
    detail = f"{free_mib:,} MiB free of {usage.total // 2**20:,} where {place.root} lies"
    mend = "Free some space, or name a data directory on another disk with --data."
    if free_mib < _FREE_MIB_FAIL:
        return Finding("disk", "fail", detail, mend)
    return Finding(
        "disk", "warn" if free_mib < _FREE_MIB_WARN else "ok", detail, mend if free_mib < _FREE_MIB_WARN else ""
    )


def _directory(place: Place) -> Iterator[Finding]:
    if not place.root.exists():
        yield Finding("data", "ok", f"{place.root} does not exist yet; it is made at the first start")
        return
    if not os.access(place.root, os.W_OK):
        yield Finding("data", "fail", f"{place.root} is not writable", "Give this user the right to write there.")
        return
    try:
        place.check_records()
    except GulouError as error:
        yield Finding("records", "fail", render(error.code, error.params, show.language()))
        return
    size = sum(path.stat().st_size for path in place.root.rglob("*") if path.is_file()) // 2**20
    yield Finding("data", "ok", f"{place.root}, {size:,} MiB, records sound")
    yield from _privacy(place)


def _privacy(place: Place) -> Iterator[Finding]:
    """Say when every user of this machine can read hashes, tokens and readings; inside a closed directory none can."""
    mode = place.root.stat().st_mode
    listed = mode & stat.S_IROTH
    reached = mode & stat.S_IXOTH and place.records.exists() and place.records.stat().st_mode & stat.S_IROTH
    if listed or reached:
        what = place.root if listed else place.records
        mend = f"Run: chmod 700 {place.root}"
        yield Finding("privacy", "warn", f"{what} can be read by every user of this machine", mend)


def _console() -> Finding:
    if (files("gulou") / "web" / "index.html").is_file():
        return Finding("console", "ok", "built")
    return Finding("console", "fail", "not built", "Run make setup, or install the wheel.")


def _port(check: str, port: int, option: str) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return Finding(
                check, "fail", f"port {port} is in use", f"Stop that program, or choose another with {option}."
            )
    return Finding(check, "ok", f"port {port} is free")
