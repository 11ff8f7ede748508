"""``gulou log``: what the durable log holds, in a copy or beside a running server."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from gulou.cli import show
from gulou.cli.domain import SettingsReader
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.connectivity.intake import (
    Damage,
    LogInspector,
    LogKeys,
    LogSettings,
    SeenHead,
    SeenReader,
    SeenRecord,
    SeenSegment,
    reading_at,
)
from gulou.kernel.clock import to_rfc3339

app = typer.Typer(no_args_is_help=True, help="Look into the durable log; changes nothing.")

Directory = Annotated[
    Path | None, typer.Argument(metavar="[DIR]", help="A log directory, such as a copy; else that of --data.")
]
KeyFile = Annotated[
    Path | None, typer.Option("--key-file", help="Opens an encrypted log; else the file that city.toml names.")
]

EXAMPLES = """
Examples:

  gulou log show --limit 5

  gulou log show /backup/log --from 120000 --to 120010 --source mqtt --json

  gulou log verify /backup/log
"""


@app.command("show", epilog=EXAMPLES)
def show_log(
    directory: Directory = None,
    first: Annotated[int, typer.Option("--from", min=1, help="First sequence.")] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="Last sequence.")] = None,
    source: Annotated[str | None, typer.Option(help="Only records of this source.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many records; 0: only the files.")] = 20,
    rows: Annotated[int, typer.Option(min=0, help="Readings and rejects shown of a record, for people.")] = 3,
    key_file: KeyFile = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Show the log's files, its records, and any damage with file and offset."""
    inspector = _inspector(directory, data, key_file)
    shown = damaged = 0
    for told in inspector.state():
        _print_told(told, as_json=as_json)
    for seen in inspector.walk(first, last, records=limit > 0):
        if isinstance(seen, SeenRecord):
            if source is not None and seen.batch.source != source:
                continue
            _print_record(seen, inspector, rows, as_json=as_json)
            shown += 1
            if shown >= limit > 0:
                break
        else:
            damaged += isinstance(seen, Damage)
            _print_told(seen, as_json=as_json)
    if damaged:
        raise typer.Exit(1)


@app.command("verify")
def verify(
    directory: Directory = None,
    key_file: KeyFile = None,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Read everything and check it: checksums, sequences, records, series. Exit code 1 where something is wrong."""
    inspector = _inspector(directory, data, key_file)
    sums: Counter[str] = Counter()
    damage: list[Damage] = []
    first = last = None
    for seen in inspector.walk():
        if isinstance(seen, SeenRecord):
            first = seen.batch.sequence if first is None else first
            last = seen.batch.sequence
            sums.update(records=1, readings=seen.batch.count, rejected=len(seen.batch.rejected))
        elif isinstance(seen, SeenSegment):
            sums.update(segments=1, frames=seen.frames, used_bytes=seen.used)
        elif isinstance(seen, Damage):
            damage.append(seen)
    facts = {name: sums[name] for name in ("segments", "frames", "used_bytes", "records", "readings", "rejected")}
    answer: dict[str, Any] = {"sound": not damage, "first_sequence": first, "last_sequence": last, **facts}
    if as_json:
        show.emit({**answer, "series": len(inspector.series), "damage": damage})
    else:
        show.people.print("  ".join(f"{name} {show.cell(value)}" for name, value in answer.items()))
        for one in damage:
            _print_told(one, as_json=False)
    if damage:
        raise typer.Exit(1)


def _inspector(directory: Path | None, data: Path | None, key_file: Path | None) -> LogInspector:
    place = Place.chosen(data)
    if key_file is None and directory is None:
        key_file = SettingsReader(place.settings, os.environ).read("log", LogSettings).encryption_key_file
    return LogInspector(directory or place.log, LogKeys.read(key_file))


def _print_told(seen: SeenHead | SeenReader | SeenSegment | Damage, *, as_json: bool) -> None:
    if as_json:
        show.emit(seen)
        return
    match seen:
        case SeenHead():
            line = f"durable up to {seen.last_sequence}, in {seen.segment:020d}.seg at {seen.end}"
        case SeenReader():
            line = f"reader {seen.name} has {seen.sequence}, said at {to_rfc3339(seen.told_at_us)}"
        case SeenSegment():
            line = (
                f"{seen.file}: {seen.first_sequence}-{seen.last_sequence}, {seen.frames} frames, "
                f"{seen.used:,} of {seen.size:,} bytes{', encrypted' if seen.sealed else ''}"
            )
        case Damage():
            goes_on = "" if seen.resumes is None else f", goes on with {seen.resumes}"
            line = f"DAMAGE ({seen.problem}) in {seen.file} at {seen.offset}: record {seen.sequence}{goes_on}"
    show.people.print(line, markup=False, soft_wrap=True, style="bold red" if isinstance(seen, Damage) else "dim")


def _print_record(seen: SeenRecord, inspector: LogInspector, rows: int, *, as_json: bool) -> None:
    batch = seen.batch
    if as_json:
        show.emit(_plain(seen, inspector))
        return
    show.people.print(
        f"{batch.sequence} {to_rfc3339(batch.received_at_us)} {batch.source or '–'}: {batch.count} readings, "
        f"{len(batch.rejected)} rejected"
        + (f", {batch.origin} to {batch.position}" if batch.origin else "")
        + (f", dropped {show.cell(batch.dropped)}" if batch.dropped else ""),
        markup=False,
        soft_wrap=True,
    )
    for number, item in enumerate(_readings(seen, inspector)):
        if number >= rows:
            show.people.print(f"    … {batch.count - rows} more", style="dim")
            break
        show.people.print(
            f"    {item['entity_id']} {item['property']} = {show.cell(item['value'])} at {item['observed_at']}",
            markup=False,
            soft_wrap=True,
        )
    for rejected in batch.rejected[:rows]:
        show.people.print(
            f"    rejected {rejected.code} {rejected.address} {rejected.where}", markup=False, soft_wrap=True
        )


def _plain(seen: SeenRecord, inspector: LogInspector) -> dict[str, Any]:
    batch = seen.batch
    return {
        "kind": "record",
        "sequence": batch.sequence,
        "file": seen.file,
        "offset": seen.offset,
        "received_at": to_rfc3339(batch.received_at_us),
        "source": batch.source,
        "origin": batch.origin,
        "position": batch.position,
        "replay_of": batch.replay_of,
        "dropped": batch.dropped,
        "readings": list(_readings(seen, inspector)),
        "rejected": [
            {
                "code": one.code,
                "params": one.params,
                "device_id": one.device_id,
                "address": one.address,
                "where": one.where,
                "raw": one.raw.decode("utf-8", "replace"),
            }
            for one in batch.rejected
        ],
    }


def _readings(seen: SeenRecord, inspector: LogInspector) -> Iterator[dict[str, Any]]:
    """Yield a record's readings, columns resolved; a number that the catalogue lacks is shown as such."""
    for reading in seen.batch.readings:
        yield {**msgspec.structs.asdict(reading), "observed_at": to_rfc3339(reading.observed_at_us)}
    columns = seen.batch.columns
    for row in range(0 if columns is None else len(columns)):
        number = int(columns.series[row])  # type: ignore[union-attr]
        if 0 <= number < len(inspector.series):
            reading = reading_at(columns, row, inspector.series)  # type: ignore[arg-type]
            fields = msgspec.structs.asdict(reading)
        else:
            fields = {"entity_id": f"series {number}", "property": "?", "value": float(columns.value[row])}  # type: ignore[union-attr]
        yield {**fields, "series": number, "observed_at": to_rfc3339(int(columns.observed_at_us[row]))}  # type: ignore[union-attr]
