"""``gulou rules``: list, show, try on history, explain and release rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gulou.cli import show
from gulou.cli.client import connected
from gulou.cli.options import Data, Json, read_moment, read_zone
from gulou.cli.place import Place
from gulou.kernel.errors import Invalid, NotFound

app = typer.Typer(no_args_is_help=True, help="Rules: list, try on history, explain what they found, release.")
Named = Annotated[str, typer.Argument(metavar="RULE", help="A rule that is loaded, <pack>/<rule>.")]
_WARNING = "wrn-"


@app.command("list")
def list_rules(
    q: Annotated[str | None, typer.Option("--q", "-q", help="Words of its id, label or entity type.")] = None,
    pack: Annotated[str | None, typer.Option(help="Of this pack alone.")] = None,
    kind: Annotated[str | None, typer.Option(help="threshold, rate, window, absence, geofence, pattern, …")] = None,
    state: Annotated[str | None, typer.Option(help="active, disabled or quarantined.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 1_000,
    as_json: Json = False,
    data: Data = None,
) -> None:
    """List the rules that are loaded, by id.

    Example: gulou rules list --state quarantined
    """
    wanted = {"q": q, "pack": pack, "kind": kind, "state": state}
    with connected(Place.chosen(data), show.language()) as client:
        found = client.pages("/rules", wanted, most=limit)
        show.rows(
            found, ["id", "kind", "entity_type", "state", "active", "watched"], as_json=as_json, empty="No rules match."
        )


@app.command("show")
def show_rule(rule: Named, as_json: Json = False, data: Data = None) -> None:
    """Show how a rule fares, and its text.

    Example: gulou rules show flood/drain-level
    """
    with connected(Place.chosen(data), show.language()) as client:
        found = client.call("GET", _path(rule))
    if as_json:
        show.emit(found)
        return
    facts = {name: found[name] for name in ("id", "state", "reason", "version", "file", "active", "watched")}
    counts = {name: round(count) for name, count in found["counters"].items()}
    for name, value in {**facts, **counts}.items():
        if value is not None:
            show.people.print(f"{name:12} {show.cell(value)}", markup=False)
    show.people.print(f"\n{found['source']}", markup=False, end="")


@app.command("try")
def try_rule(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="<pack>/<rule>, or a file of rules with one in it.")],
    last: Annotated[str | None, typer.Option(help="How far back from now: 12h, 7d.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="First moment (inclusive); a day before --to.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Last moment (exclusive); now.")] = None,
    zone: Annotated[str, typer.Option(help="IANA time zone of dates given.")] = "UTC",
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Run a rule over history and say when it would have fired; nothing is raised in earnest.

    Example: gulou rules try packs/flood/rules/new.yaml --last 7d
    """
    if last is not None and from_ is not None:
        raise Invalid("request.one_of", names="--last, --from")
    zoned, file = read_zone(zone), Path(rule)
    end = datetime.fromisoformat(read_moment(to, zoned)) if to else datetime.now(UTC)
    begin = read_moment(from_, zoned) if from_ else (end - _length(last)).isoformat()
    what = {"yaml": file.read_text(encoding="utf-8", errors="replace")} if file.is_file() else {"id": rule}
    with connected(Place.chosen(data), show.language()) as client:
        found = client.call("POST", "/rules/try", json={**what, "from": begin, "to": end.isoformat()}, timeout=60.0)
    language = show.language()
    lines = [{**one, "headline": one["headline"].get(language, "")} for one in found["firings"]]
    show.rows(
        found["firings"] if as_json else lines,
        ["at", "state", "severity", "entity_id", "headline"],
        as_json=as_json,
        empty="It would not have fired.",
    )
    told = f"{found['readings']} readings of the past"
    show.errors.print(told + ("; ended early: too many readings or changes." if found["truncated"] else "."))


@app.command("explain")
def explain(
    what: Annotated[str, typer.Argument(metavar="WARNING", help="Id of a warning, or of what a rule found.")],
    as_json: Json = False,
    data: Data = None,
) -> None:
    """Say what a warning rests on: readings, levels and version of the rule, at each of its changes.

    Example: gulou rules explain wrn-20260701-… --json
    """
    with connected(Place.chosen(data), show.language()) as client:
        if what.startswith(_WARNING):
            what = client.call("GET", f"/warnings/{quote(what)}")["detection_id"]
        found = client.call("GET", f"/rules/detections/{quote(what)}")["states"]
    lines = [{**one, "inputs": _inputs(one), "levels": _levels(one)} for one in found]
    columns = ["at", "change", "rule", "version", "inputs", "levels"]
    show.rows(found if as_json else lines, columns, as_json=as_json, empty="Nothing is kept of it.")


@app.command("release")
def release(rule: Named, data: Data = None) -> None:
    """Let a rule that was put aside judge again; it begins anew, and what it had raised is cleared."""
    with connected(Place.chosen(data), show.language()) as client:
        client.call("POST", f"{_path(rule)}/release")
    show.people.print(f"{rule} judges again, from the beginning.", markup=False)


def _path(rule: str) -> str:
    if rule.count("/") != 1:
        raise NotFound("rules.unknown", rule=rule)
    return f"/rules/{quote(rule)}"


def _length(text: str | None) -> timedelta:
    from gulou.hub.rules.durations import read_duration_us

    return timedelta(days=1) if text is None else timedelta(microseconds=read_duration_us(text))


def _inputs(ground: dict[str, Any]) -> str:
    found = ground.get("inputs", {})
    return ", ".join(f"{name}={show.cell(one['value'])} ({one['observedAt']})" for name, one in found.items())


def _levels(ground: dict[str, Any]) -> str:
    levels = (one for one in ground.get("levels", ()) if one["on"])
    return ", ".join(f"{one['severity']}: {one.get('limit', one.get('when'))}" for one in levels)
