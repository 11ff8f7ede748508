"""``gulou history``: what is done with the history while no server runs."""

from __future__ import annotations

import typer

from gulou.cli import show
from gulou.cli.options import Data, Json
from gulou.cli.place import Place
from gulou.hub.history import convert_history

app = typer.Typer(no_args_is_help=True, help="Look after the history on disk.")


@app.callback()
def entry() -> None:
    """Keep the commands named."""


@app.command()
def convert(as_json: Json = False, data: Data = None) -> None:
    """Convert a history that an earlier version wrote. What is converted already stays as it is.

    The server must be stopped. As much disk is needed again until it is done; broken off, it begins anew.

    Example: gulou history convert --data /var/lib/gulou
    """
    place = Place.chosen(data)
    place.hold()
    try:
        rows = convert_history(place.history, _progress)
    finally:
        place.release()
    show.rows([{"path": str(place.history), "readings": rows}], ["path", "readings"], as_json=as_json, empty="")


def _progress(done: int, files: int) -> None:
    if done == files or done % 20 == 0:
        show.errors.print(f"{done} / {files}")
