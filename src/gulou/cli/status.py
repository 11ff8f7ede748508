"""``gulou status``: which processes of this installation run, what they hold, and whether they are ready."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from gulou.cli import show
from gulou.cli.doctor import parts_of
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.kernel.errors import NotFound

_COLUMNS = ["part", "pid", "memory_mb", "state"]


def status(as_json: Json = False, data: Data = None) -> None:
    """Say which processes run and whether they are ready. Ends with 3 while one is not.

    Example: gulou status --json
    """
    place = Place.chosen(data)
    running = place.running()
    if running is None:
        raise NotFound("server.not_running", path=str(place.root))
    unready = {finding.check: finding.detail for finding in parts_of(running) if finding.state == "fail"}
    ids = {"engine": running.engine_pid, "web": running.web_pid} if running.ingest_url else {}
    lines: list[dict[str, Any]] = [
        {"part": name, "pid": pid, "memory_mb": _memory_mb(pid), "state": unready.get(name, "running")}
        for name, pid in {**ids, "supervisor" if ids else "server": running.pid}.items()
    ]
    show.rows(lines, _COLUMNS, as_json=as_json, empty="")
    for name in ("ready", "timers"):
        if name in unready and not as_json:
            show.errors.print(unready[name])
    if unready:
        raise typer.Exit(3)


def _memory_mb(pid: int | None) -> int | None:
    """Return a process's resident memory in MiB; None where it is gone or the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
