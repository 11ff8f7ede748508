"""``gulou new``: writes a new pack or a new adapter that works as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gulou.cli import show
from gulou.cli.options import Data
from gulou.cli.place import Place

app = typer.Typer(no_args_is_help=True, help="Write a new pack or adapter whose tests run as they are.")
Into = Annotated[
    Path | None,
    typer.Option(
        "--into", file_okay=False, help="Folder to write it in; default: the data directory, where it is found."
    ),
]


@app.command("pack")
def new_pack(
    name: Annotated[str, typer.Argument(help="a-z, 0-9 and -, beginning with a letter.")],
    into: Into = None,
    data: Data = None,
) -> None:
    """Write a new pack: a rule, a mapping, a story.

    Example: gulou new pack harbour && gulou pack test harbour && gulou pack enable harbour
    """
    from gulou.packs import scaffold_pack

    made = scaffold_pack(name, into or Place.chosen(data).packs)
    show.people.print(f"Wrote {made}", soft_wrap=True)
    show.people.print(f"Next: gulou pack test {name}, then gulou pack enable {name}")


@app.command("adapter")
def new_adapter(
    name: Annotated[str, typer.Argument(help="a-z, 0-9 and -, beginning with a letter.")],
    into: Into = None,
    data: Data = None,
) -> None:
    """Write a new adapter: codec, session, manifest, and tests that run the adapters' contract.

    Example: gulou new adapter gauge-tcp
    """
    from gulou.sensing.sdk.scaffold import scaffold_adapter

    files = scaffold_adapter(name, into or Place.chosen(data).adapters)
    folder = files[0].parent  # the first by name lies beside the manifest: README.md
    show.people.print(f"Wrote {folder}", soft_wrap=True)
    show.people.print(f"Next: pytest {folder}, then start Gulou again", soft_wrap=True)
