"""The tree is the import diagram: imports go down the layers only, and a planted upward import is caught."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"],
        cwd=root,
        env={"PYTHONPATH": str(root / "src"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy_of_source(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("web", "__pycache__"))
    return tmp_path


def test_imports_point_downwards() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("kernel/ids.py", "import gulou.connectivity.bus"),
        ("connectivity/intake/model.py", "from gulou.hub import context"),
        ("sensing/sdk/__init__.py", "import gulou.hub.history"),
        ("hub/rules/events.py", "import gulou.api"),
    ],
)
def test_a_planted_upward_import_is_caught(copy_of_source: Path, module: str, statement: str) -> None:
    path = copy_of_source / "src" / "gulou" / module
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{statement}\n", encoding="utf-8")
    result = lint_imports(copy_of_source)
    assert result.returncode != 0
    assert "BROKEN" in result.stdout


def test_a_package_outside_the_layers_is_caught(copy_of_source: Path) -> None:
    stray = copy_of_source / "src" / "gulou" / "stray"
    stray.mkdir()
    (stray / "__init__.py").write_text('"""Belongs to no layer."""\n', encoding="utf-8")
    assert lint_imports(copy_of_source).returncode != 0
