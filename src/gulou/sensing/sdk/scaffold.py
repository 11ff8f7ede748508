"""Makes the folder of a new adapter, for ``gulou new adapter``: it passes the contract before a line is changed."""

from __future__ import annotations

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from gulou.kernel.errors import Conflict, Invalid

_NAME = re.compile(r"[a-z][a-z0-9-]{1,39}")
_SUFFIX = ".tmpl"


def scaffold_adapter(name: str, target_dir: Path) -> list[Path]:
    """Write a new adapter's folder ``target_dir/<name>`` (dashes become underscores); returns the files, sorted.

    The adapter speaks a small line protocol over TCP; replace its ``codec.py`` first.

    Raises:
        Invalid: ``adapter.name_malformed``.
        Conflict: ``adapter.folder_exists``.
    """
    if _NAME.fullmatch(name) is None or name.endswith("-"):
        raise Invalid("adapter.name_malformed", name=name)
    folder = target_dir / name.replace("-", "_")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("adapter.folder_exists", folder=str(folder))
    words = {"@name@": name, "@Class@": "".join(part.capitalize() for part in name.split("-"))}
    return sorted(_write(resources.files("gulou.sensing.sdk") / "template", folder, words))


def _write(source: Traversable, target: Path, words: dict[str, str]) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for entry in source.iterdir():
        if entry.is_dir():
            made += _write(entry, target / entry.name, words)
        elif entry.name.endswith(_SUFFIX):
            text = entry.read_text("utf-8")
            for mark, word in words.items():
                text = text.replace(mark, word)
            path = target / entry.name.removesuffix(_SUFFIX)
            path.write_text(text, "utf-8")
            made.append(path)
    return made
