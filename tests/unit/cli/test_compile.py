"""Every module with kernels is found, so that an installation compiles them all beforehand."""

import importlib
from pathlib import Path

import gulou
from gulou.cli.compile import kernel_modules


def test_all_modules_with_kernels_are_found():
    found = set(kernel_modules())
    assert "gulou.connectivity.intake.kernels" in found
    decorated = {
        ".".join(("gulou", *path.relative_to(Path(gulou.__file__).parent).with_suffix("").parts))
        for path in Path(gulou.__file__).parent.rglob("*.py")
        if "\n@compiled(" in path.read_text(encoding="utf-8") and path.name != "compiled.py"
    }
    assert decorated <= found
    for name in found:
        importlib.import_module(name)
