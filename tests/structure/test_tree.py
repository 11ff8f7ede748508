"""What every folder and file of the project has in common."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "gulou"
NAMELESS = {"utils", "util", "common", "helpers", "helper", "base", "manager", "core", "misc"}
PACKAGES = sorted(path.parent for path in SOURCE.rglob("__init__.py") if "migrations" not in path.parts)


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_nothing_has_a_name_without_a_meaning() -> None:
    found = [path for path in SOURCE.rglob("*") if path.stem in NAMELESS]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCE.parent)))
def test_a_package_says_what_it_is(package: Path) -> None:
    module = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    doc = ast.get_docstring(module) or ""
    assert len(doc) > 20, f"{package} needs a docstring that says what it does, for whom"


def test_broad_catches_stand_only_at_the_edges() -> None:
    """``except Exception`` at three places: bus consumer, HTTP handler, command line."""
    allowed = ("connectivity/bus/", "api/", "cli/", "sensing/adapters/http/application.py")
    found = [
        f"{path.relative_to(SOURCE)}:{number}"
        for path in SOURCE.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.match(r"\s*except (Exception|BaseException)\b", line)
        and not str(path.relative_to(SOURCE)).startswith(allowed)
        and "/template/" not in str(path)
    ]
    assert found == []


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    hosts = (
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "registry." + "npmjs",
        "deb." + "debian.org",
        "/work" + "/main",
        "/root" + "/",
    )
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {host}" for host in hosts if host in text]
    assert found == []


def test_time_is_read_from_the_clock_only() -> None:
    """Domain time comes from ``Clock``, so that a story can run on a virtual one; ages of files are no domain time."""
    allowed = ("kernel/clock.py", "cli/", "sensing/simulation/", "api/", "hub/history/s")
    found = [
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if re.search(r"\b(time\.time(_ns)?\(\)|datetime\.now\(|datetime\.utcnow\()", path.read_text(encoding="utf-8"))
        and not str(path.relative_to(SOURCE)).startswith(allowed)
        and "/tests/" not in str(path)
    ]
    assert found == []
