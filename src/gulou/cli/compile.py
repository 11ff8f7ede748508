"""Compiles every kernel for this machine and keeps the machine code: ``python -m gulou.cli.compile``.

Whoever installs Gulou runs it, so that no start has to; without it the first start takes half a minute longer.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import gulou
from gulou.kernel.compiled import COMPILED

_MARK = "from gulou.kernel.compiled import"


def kernel_modules() -> Iterator[str]:
    """Yield the names of all modules that have kernels."""
    root = Path(gulou.__file__).parent
    for path in sorted(root.rglob("*.py")):
        if path.name != "compile.py" and "tests" not in path.parts and _MARK in path.read_text(encoding="utf-8"):
            yield ".".join((gulou.__name__, *path.relative_to(root).with_suffix("").parts))


def main() -> None:
    """Import them, which compiles what is not yet kept."""
    if not COMPILED:
        return
    for name in kernel_modules():
        importlib.import_module(name)


if __name__ == "__main__":
    main()
