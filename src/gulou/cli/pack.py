"""``gulou pack``: list, check, test, enable and disable packs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from gulou.cli import show
from gulou.cli.client import connected
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.kernel.documents import Problem
from gulou.kernel.errors import Conflict, Invalid
from gulou.kernel.messages import render

app = typer.Typer(no_args_is_help=True, help="Packs: list, check, test, enable and disable.")
Named = Annotated[str, typer.Argument(help="Name of a pack, or the path of its folder.")]


@app.command("list")
def list_packs(as_json: Json = False, data: Data = None) -> None:
    """List packs with their state."""
    with connected(Place.chosen(data), show.language()) as client:
        items = client.call("GET", "/packs")["items"]
    show.rows(items, ["name", "version", "state", "contents"], as_json=as_json, empty="No packs.")


@app.command("check")
def check_pack(pack: Named, as_json: Json = False, data: Data = None) -> None:
    """Check a pack; name every problem with file, line and mend. Ends with 1 when there is one.

    Example: gulou pack check packs/flood
    """
    from gulou.cli.wire import pack_root, scratch_vocabulary
    from gulou.kernel.documents import problems_of
    from gulou.packs import load_pack

    root = pack_root(pack, Place.chosen(data))
    try:
        loaded = load_pack(root, scratch_vocabulary())
    except Invalid as error:
        report(problems_of(error), as_json)
        raise typer.Exit(1) from None
    contents = {
        "rules": len(loaded.rules.rules),
        "mappings": len(loaded.mappings),
        "types": len(loaded.types),
        "stories": len(loaded.stories),
    }
    if as_json:
        show.emit({"pack": loaded.manifest.name, "version": loaded.manifest.version, "problems": 0, **contents})
    else:
        parts = ", ".join(f"{count} {name}" for name, count in contents.items())
        show.people.print(f"{loaded.manifest.name} {loaded.manifest.version} is good: {parts}.")


@app.command("test")
def test_pack(pack: Named, as_json: Json = False, data: Data = None) -> None:
    """Play the pack's stories on a virtual clock through the real services. Ends with 1 when one fails.

    Example: gulou pack test flood
    """
    from gulou.cli.wire import build_stage, pack_root, scratch_vocabulary
    from gulou.packs import load_pack, play

    root = pack_root(pack, Place.chosen(data))
    loaded = load_pack(root, scratch_vocabulary())
    failed = 0
    for story in loaded.stories:
        failures = play(story, loaded, build_stage)
        failed += bool(failures)
        if as_json:
            show.emit({"story": story.name, "passed": not failures, "failures": failures})
            continue
        show.people.print(f"{'[red]failed[/]' if failures else '[green]passed[/]'}  {story.name}")
        for failure in failures:
            show.people.print(f"        {failure}", markup=False)
    if not as_json:
        show.people.print(f"{len(loaded.stories) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)


@app.command("enable")
def enable_pack(pack: Annotated[str, typer.Argument(help="Name of a pack.")], data: Data = None) -> None:
    """Put a pack into service, or its newest version in place of the running one; no restart."""
    with connected(Place.chosen(data), show.language()) as client:
        made = client.call("POST", f"/packs/{pack}/enable")
    show.people.print(f"{made['name']} {made['version']} is {made['state']}.")


@app.command("disable")
def disable_pack(pack: Annotated[str, typer.Argument(help="Name of a pack.")], data: Data = None) -> None:
    """Take a pack out of service; what it made stays."""
    with connected(Place.chosen(data), show.language()) as client:
        made = client.call("POST", f"/packs/{pack}/disable")
    show.people.print(f"{made['name']} is {made['state']}.")


@app.command("add")
def add_pack(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The pack's folder.")],
    data: Data = None,
) -> None:
    """Copy a pack into the data directory and enable it; a broken one is refused whole."""
    from gulou.cli.wire import scratch_vocabulary
    from gulou.packs import load_pack

    place = Place.chosen(data)
    source = folder.resolve()
    load_pack(source, scratch_vocabulary())
    target = place.packs / source.name
    if target.exists():
        raise Conflict("pack.exists", path=str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target)
    enable_pack(source.name, data)


def report(problems: list[Problem], as_json: bool) -> None:
    """Print problems, one a line, as compilers do: file:line:column: sentence."""
    for problem in problems:
        sentence = render(problem.code, problem.params, show.language())
        if as_json:
            shown: dict[str, Any] = {"file": problem.file, "line": problem.line, "column": problem.column}
            show.emit({**shown, "code": problem.code, "message": sentence})
        else:
            place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
            show.errors.print(f"{place}: {sentence}", markup=False, soft_wrap=True)
