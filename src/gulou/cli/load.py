"""``gulou load`` and ``gulou replay``: files of records into the platform, at once or as if they happened now."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from gulou.cli import show
from gulou.cli.client import Client, RemoteProblem, connected
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.kernel.clock import SECOND_US, SystemClock, to_rfc3339
from gulou.kernel.errors import Invalid, NotFound

_PARTS = ("received", "stored", "rejected", "dropped")
_RETRY_FOR_S = 60.0
_LATEST_S = 0.2
Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="CSV, NDJSON, GeoJSON (each also .gz) or Parquet.")]
As = Annotated[str, typer.Option("--as", metavar="MAPPING", help="Mapping of an enabled pack, e.g. prsa-air.")]


def load(files: Files, mapping: As, as_json: Json = False, data: Data = None) -> None:
    """Load files of records by a mapping; safe to interrupt and to repeat: it goes on where it was.

    Ends with the sums of these files: received = stored + rejected + dropped, in readings. Rejected ones are kept with
    their reason (page Accounting).

    Example: gulou load air/PRSA_*.csv.gz --as prsa-air
    """
    for file in files:
        _check(file)
    totals = dict.fromkeys(_PARTS, 0)
    with connected(Place.chosen(data), show.language()) as client, _progress(as_json) as bar:
        for file in files:
            account = _load_one(client, file, mapping, bar, bar.add_task(file.name, total=file.stat().st_size))
            for part in _PARTS:
                totals[part] += account[part]
            if as_json and len(files) > 1:
                show.emit({"file": file.name, **account})
    if as_json:
        show.emit(totals)
        return
    show.people.print(" · ".join(f"{part} {totals[part]:,}" for part in _PARTS))
    if totals["rejected"]:
        show.people.print("Rejected readings and their reasons: page Accounting, or /api/v1/rejected.")


def _load_one(client: Client, file: Path, mapping: str, bar: Progress, task: TaskID) -> dict[str, int]:
    from gulou.sensing.loading import file_digest, read_chunks

    digest = file_digest(file)
    path = f"/loads/{mapping}/origins/{digest}"
    for chunk in read_chunks(file, after_row=_origin(client, path)["position"]):
        params = {
            "origin": digest,
            "position": chunk.last_row,
            "first_row": chunk.first_row,
            "file_name": file.name[-200:],
        }
        _patiently(
            client,
            "POST",
            f"/loads/{mapping}",
            params=params,
            content=chunk.rows,
            headers={"Content-Type": "application/x-ndjson"},
        )
        bar.update(task, completed=chunk.bytes_read)
    bar.update(task, completed=file.stat().st_size)
    account = _origin(client, path).get("account") or {}
    return {part: int(account.get(part, 0)) for part in _PARTS}


def _origin(client: Client, path: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = client.call("GET", path)
    except RemoteProblem as error:
        if error.status != 404:
            raise
        return {"position": 0}
    return found


def replay(
    files: Files,
    mapping: As,
    speed: Annotated[float, typer.Option(min=0.001, help="So many seconds of the file in one second.")] = 1.0,
    keep_times: Annotated[bool, typer.Option("--keep-times", help="Leave the readings' own times.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Send files as if they happened now: in the pace of their own times, --speed times as fast.

    Readings are stamped with the time at which they are sent, so that rules judge them as live; --keep-times leaves the
    times of the file. Rows must be in the order of their times; what the mapping cannot read is skipped and counted.

    Example: gulou replay traffic.csv.gz --as aarhus-traffic --speed 1000
    """
    from gulou.cli.wire import find_mapping
    from gulou.sensing.loading import read_chunks
    from gulou.sensing.sdk import ReadContext

    for file in files:
        _check(file)
    place = Place.chosen(data)
    reader = find_mapping(mapping, place)
    sums = {**dict.fromkeys(_PARTS, 0), "skipped": 0}
    pace = _Pace(speed)
    with connected(place, show.language()) as client, _progress(as_json) as bar:
        for file in files:
            task = bar.add_task(file.name, total=file.stat().st_size)
            for chunk in read_chunks(file):
                for row, line in enumerate(chunk.rows.split(b"\n"), chunk.first_row - 1):
                    record = msgspec.json.decode(line)
                    if not isinstance(record, dict):
                        sums["skipped"] += 1
                        continue
                    payload = reader.read_row(record, line, file.name, ReadContext(SystemClock().now_us(), row=row))
                    sums["skipped"] += len(payload.flaws)
                    for reading in payload.readings:
                        if pace.wait_for(reading.observed_at_us):
                            _send(client, pace.take(), sums)
                        at_us = reading.observed_at_us if keep_times else SystemClock().now_us()
                        pace.waiting.append(_point(reading, at_us))
                bar.update(task, completed=chunk.bytes_read)
            bar.update(task, completed=file.stat().st_size)
        _send(client, pace.take(), sums)
    if as_json:
        show.emit(sums)
    else:
        show.people.print(" · ".join(f"{part} {count:,}" for part, count in sums.items()))


class _Pace:
    """Holds readings back until their time has come."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first_us: int | None = None
        self._started = time.monotonic()
        self.waiting: list[dict[str, Any]] = []

    def wait_for(self, observed_at_us: int) -> bool:
        """Sleep until a reading is due; say whether what waits should be sent before it."""
        if self._first_us is None:
            self._first_us = observed_at_us
        due = self._started + (observed_at_us - self._first_us) / SECOND_US / self._speed
        ahead = due - time.monotonic()
        if ahead <= 0:
            return len(self.waiting) >= 1000
        if ahead > _LATEST_S and not self.waiting:
            time.sleep(ahead)
            return False
        time.sleep(min(ahead, _LATEST_S))
        return bool(self.waiting)

    def take(self) -> list[dict[str, Any]]:
        """Return what waits, and forget it."""
        taken, self.waiting = self.waiting, []
        return taken


def _send(client: Client, points: list[dict[str, Any]], sums: dict[str, int]) -> None:
    if not points:
        return
    answer = client.ingest(points)
    for part in ("received", "stored", "rejected"):
        sums[part] += int(answer[part])


def _point(reading: Any, at_us: int) -> dict[str, Any]:
    point = {
        "entity": reading.entity_id,
        "type": reading.entity_type,
        "property": reading.property,
        "value": reading.value,
        "observedAt": to_rfc3339(at_us),
    }
    if reading.unit_code is not None:
        point["unit"] = reading.unit_code
    return point


def _patiently(client: Client, method: str, path: str, **options: Any) -> Any:
    """Call again while the platform says "not now", for a minute."""
    deadline = time.monotonic() + _RETRY_FOR_S
    wait_s = 0.1
    while True:
        try:
            return client.call(method, path, timeout=120, **options)
        except RemoteProblem as error:
            if error.status != 503 or time.monotonic() > deadline:
                raise
        time.sleep(wait_s)
        wait_s = min(wait_s * 2, 5.0)


def _check(file: Path) -> None:
    if not file.exists():
        raise NotFound("load.file_missing", file=str(file), detail="no such file")
    if file.is_dir():
        raise Invalid("load.file_missing", file=str(file), detail="a directory")


@contextmanager
def _progress(as_json: bool) -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=show.errors, disable=as_json, transient=True) as bar:
        yield bar
