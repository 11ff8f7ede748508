"""``gulou query``: what was, and what is now."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import typer

from gulou.cli import show
from gulou.cli.client import Client, connected
from gulou.cli.options import Data, Json, read_moment, read_zone
from gulou.cli.place import Place
from gulou.kernel.documents import nearest
from gulou.kernel.errors import NotFound

EXAMPLES = """
Examples:

  gulou query AirQualityObserved --id '*Aotizhongxin' --property pm25 --aggregate mean --every 1d
      --zone Asia/Shanghai --from 2013-03-01 --to 2013-03-08 --json

  gulou query WaterLevelObserved --now

  gulou query WaterLevelObserved --property waterLevel --from 2026-07-01T08:00 --limit 20
"""


def query(
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="Entity type, e.g. AirQualityObserved.")],
    id_: Annotated[str | None, typer.Option("--id", help="Entity id, with * and ? as wildcards.")] = None,
    property_: Annotated[str | None, typer.Option("--property", help="Property, e.g. pm25.")] = None,
    aggregate: Annotated[
        str | None, typer.Option(help="mean, min, max, sum, count, first, last, stddev, median, p95 or p99.")
    ] = None,
    every: Annotated[str | None, typer.Option(help="Width of a bucket: 15m, 1h, 1d, 1w, 1mo.")] = None,
    zone: Annotated[str, typer.Option(help="IANA time zone of dates given and shown.")] = "UTC",
    from_: Annotated[str | None, typer.Option("--from", help="First moment (inclusive).")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last moment (exclusive).")] = None,
    by: Annotated[str | None, typer.Option(help="'id': one line for each entity and bucket.")] = None,
    now: Annotated[bool, typer.Option("--now", help="Current values instead of history.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=5_000_000, help="At most so many lines.")] = 100_000,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Query readings, aggregates of them, or current values."""
    zoned = read_zone(zone)
    params: dict[str, Any] = {
        "type": type_,
        "id": id_,
        "property": property_,
        "aggregate": aggregate,
        "every": every,
        "zone": zone,
        "from": read_moment(from_, zoned) if from_ else None,
        "to": read_moment(to, zoned) if to else None,
        "by": by,
        "limit": limit,
    }
    with connected(Place.chosen(data), show.language()) as client:
        if now:
            wanted = {"type": type_, "id": id_, "format": "keyValues"}
            found = list(client.pages("/entities", wanted, most=limit))
            if not found:
                _check_names(client, type_, None)
            _now(found, as_json)
            return
        lines = client.stream("/history", {key: value for key, value in params.items() if value is not None})
        first = next(lines, None)
        if first is None:
            _check_names(client, type_, property_)
        lines = chain([first or ""], lines)
        if as_json:
            for line in lines:
                if line:
                    print(line)  # as the server wrote it: one JSON object a line
            return
        items = (msgspec.json.decode(line) for line in lines if line)
        columns = ["time", "value", "count"] if aggregate else ["observed_at", "entity_id", "property", "value"]
        show.rows(items, [*columns, "id"] if by else columns, as_json=False, empty="No readings match.")


def _check_names(client: Client, type_: str, property_: str | None) -> None:
    """Say what is wrong when a name that nobody declared found nothing: a typing error is no absence of data."""
    names = [one["name"] for one in client.call("GET", f"/vocabulary/{quote(type_, safe='')}")["properties"]]
    if property_ is not None and property_ not in names:
        near = nearest(property_, names) or ", ".join(names)
        raise NotFound("cli.property_unknown", type=type_, property=property_, nearest=near)


def _now(items: list[dict[str, Any]], as_json: bool) -> None:
    hidden = {"id", "type", "@context", "location", "name"}
    shown = (
        items
        if as_json
        else [
            {"id": item["id"], "values": ", ".join(f"{k}={show.cell(v)}" for k, v in item.items() if k not in hidden)}
            for item in items
        ]
    )
    show.rows(shown, ["id", "values"], as_json=as_json, empty="No entities match.")
