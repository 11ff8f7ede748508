"""What a command prints: for people a table or a sentence, for programs one JSON object a line and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

_PIPE_COLUMNS = 10_000
"""A pipe or a file has no width at which a value would have to be cut."""


def _console(*, stderr: bool = False) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, width=None if terminal else _PIPE_COLUMNS)


errors = _console(stderr=True)
people = _console()


def language() -> str:
    """Return ``zh`` or ``en``, from GULOU_LANG, else from the environment's locale."""
    chosen = os.environ.get("GULOU_LANG") or os.environ.get("LC_ALL") or os.environ.get("LANG") or "en"
    return "zh" if chosen.lower().startswith("zh") else "en"


def emit(item: Any) -> None:
    """Print one JSON object as one line on standard output."""
    sys.stdout.write(msgspec.json.encode(item).decode() + "\n")


def flush() -> None:
    """Push out what was emitted, so that a reader of a pipe sees it."""
    sys.stdout.flush()


def rows(items: Iterable[dict[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> int:
    """Print a list; returns how many there were."""
    count = 0
    if as_json:
        for item in items:
            emit(item)
            count += 1
        return count
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column)
    for item in items:
        table.add_row(*(cell(item.get(column)) for column in columns))
        count += 1
    if count:
        people.print(table)
    else:
        people.print(empty)
    return count


def cell(value: Any) -> str:
    """Write one value for a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict | list):
        return msgspec.json.encode(value).decode()
    return str(value)
