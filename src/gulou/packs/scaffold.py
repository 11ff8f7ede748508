"""Writes a new pack that can be checked, tested and enabled as it is."""

from __future__ import annotations

import re
from importlib.resources import as_file, files
from pathlib import Path

from gulou.kernel.errors import Conflict, Invalid

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")


def scaffold_pack(name: str, into: Path) -> Path:
    """Write the pack ``name`` as a folder of ``into``; return that folder.

    Raises:
        Invalid: ``pack.bad_name``.
        Conflict: ``pack.exists``; nothing is overwritten.
    """
    if not _NAME.fullmatch(name):
        raise Invalid("pack.bad_name", name=name)
    target = into / name
    if target.exists():
        raise Conflict("pack.exists", path=str(target))
    with as_file(files("gulou.packs") / "template") as template:
        for source in sorted(path for path in template.rglob("*") if path.is_file()):
            written = target / source.relative_to(template)
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(source.read_text(encoding="utf-8").replace("@name@", name), encoding="utf-8")
    return target
