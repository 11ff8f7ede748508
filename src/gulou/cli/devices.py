"""``gulou devices``: register, list, bring in by file, give credentials, command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from gulou.cli import show
from gulou.cli.client import connected
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.kernel.errors import Invalid

app = typer.Typer(no_args_is_help=True, help="Devices: register, list, bring in by file, give credentials, command.")
COLUMNS = ["id", "name", "kind", "adapter", "department", "online", "last_seen_at"]


@app.command("list")
def list_devices(
    q: Annotated[str | None, typer.Option("--search", "-q", help="Text in id or name.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind.")] = None,
    adapter: Annotated[str | None, typer.Option(help="Only this adapter.")] = None,
    online: Annotated[bool | None, typer.Option("--online/--offline", help="Only those.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000)] = 100,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """List devices."""
    wanted = {"q": q, "kind": kind, "adapter": adapter, "online": online}
    with connected(Place.chosen(data), show.language()) as client:
        shown = show.rows(client.pages("/devices", wanted, limit), COLUMNS, as_json=as_json, empty="No devices match.")
        if shown == limit:
            given = {name: value for name, value in wanted.items() if value is not None}
            total = client.call("GET", "/devices", params={**given, "limit": 1})["total"]
            if total > shown:
                show.errors.print(f"{shown:,} of {total:,}; --limit N or --search")


@app.command("show")
def show_device(device: str, as_json: Json = False, data: Data = None) -> None:
    """Show one device with its bindings."""
    with connected(Place.chosen(data), show.language()) as client:
        _one(client.call("GET", _path(device)), as_json)


@app.command("add")
def add_device(
    device: Annotated[str, typer.Argument(help="Id: letters, digits, . _ : -")],
    entity: Annotated[list[str], typer.Option(help="TYPE:LOCAL-ID that it measures; repeat for several.")],
    name: Annotated[str | None, typer.Option(help="Name; default: the id.")] = None,
    adapter: Annotated[str, typer.Option(help="Protocol: mqtt, http, …")] = "mqtt",
    department: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    at: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LON LAT", help="Where it is, in degrees (WGS 84).")
    ] = None,
    secret: Annotated[bool, typer.Option("--secret/--no-secret", help="Issue a secret, shown once.")] = True,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Register a device and issue its secret.

    Example: gulou devices add gauge-1 --entity WaterLevelObserved:drain-1 --at 117.28 31.82
    """
    bindings = []
    for one in entity:
        kind, _, local = one.partition(":")
        if not local:
            raise Invalid("cli.entity_malformed", value=one)
        bindings.append({"entity_id": f"urn:ngsi-ld:{kind}:{local}", "entity_type": kind})
    place = dict(zip(("longitude", "latitude"), at, strict=True)) if at else {}
    body = {
        **place,
        "id": device,
        "name": name or device,
        "adapter": adapter,
        "department": department,
        "bindings": bindings,
    }
    with connected(Place.chosen(data), show.language()) as client:
        made = client.call("POST", "/devices", json=body)
        if secret:
            made["secret"] = client.call("POST", _path(device, "/credentials"), json={})["secret"]
        _one(made, as_json)


@app.command("secret")
def issue_secret(device: str, as_json: Json = False, data: Data = None) -> None:
    """Issue a new secret, shown once; the old one ends."""
    with connected(Place.chosen(data), show.language()) as client:
        _one(client.call("POST", _path(device, "/credentials"), json={}), as_json)


@app.command("import")
def import_devices(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="CSV or NDJSON.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Register or alter many devices; each line is answered for itself. Ends with 1 when one failed."""
    content = file.read_bytes()
    kind = "text/csv" if file.suffix == ".csv" else "application/x-ndjson"
    with connected(Place.chosen(data), show.language()) as client:
        answer = client.call(
            "POST",
            "/devices/bulk",
            content=content,
            headers={"Content-Type": kind},
            params={"dry_run": dry_run},
            timeout=600,
        )
    if as_json:
        show.emit(answer)
    else:
        counts = ("total", "created", "updated", "unchanged", "failed")
        show.people.print(", ".join(f"{answer[name]} {name}" for name in counts) + (" (dry run)" if dry_run else ""))
        for line in answer["lines"]:
            if line.get("secret"):
                show.people.print(f"{line['id']} {line['secret']}")
            if line["result"] == "failed":
                show.errors.print(f"{file.name}:{line['line']}: {line['message']}", markup=False, soft_wrap=True)
    if answer["failed"]:
        raise typer.Exit(1)


@app.command("export")
def export_devices(as_json: Json = False, data: Data = None) -> None:
    """Write all devices to standard output: CSV that import takes again, without secrets; with --json all fields."""
    with connected(Place.chosen(data), show.language()) as client:
        if as_json:
            show.rows(client.pages("/devices", {}), [], as_json=True, empty="")
            return
        for part in client.download("/devices/export.csv"):
            sys.stdout.write(part)


@app.command("remove")
def remove_device(device: str, data: Data = None) -> None:
    """Remove a device and its credentials; its readings stay."""
    with connected(Place.chosen(data), show.language()) as client:
        client.call("DELETE", _path(device))
    show.people.print(f"Removed {device}.")


@app.command("command")
def command_device(
    device: str,
    name: Annotated[str, typer.Argument(help="Command, e.g. switch.")],
    parameters: Annotated[str, typer.Argument(help='JSON object, e.g. \'{"state": "on"}\'.')] = "{}",
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Send a command to a device."""
    try:
        decoded = msgspec.json.decode(parameters, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise Invalid("cli.parameters_malformed", value=parameters) from None
    with connected(Place.chosen(data), show.language()) as client:
        _one(client.call("POST", _path(device, "/commands"), json={"name": name, "parameters": decoded}), as_json)


def _path(device: str, part: str = "") -> str:
    return f"/devices/{quote(device, safe='')}{part}"


def _one(item: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show.emit(item)
        return
    show.rows(
        [{"field": key, "value": show.cell(value)} for key, value in item.items() if value not in (None, {}, [])],
        ["field", "value"],
        as_json=False,
        empty="",
    )
