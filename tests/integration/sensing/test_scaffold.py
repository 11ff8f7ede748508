"""A newcomer's adapter runs green before a line is changed, and is found without touching any other folder."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gulou.kernel.errors import Conflict, Invalid
from gulou.sensing.sdk import find_adapters
from gulou.sensing.sdk.scaffold import scaffold_adapter

pytestmark = pytest.mark.integration


def test_a_new_adapter_passes_the_contract_untouched(tmp_path):
    files = scaffold_adapter("drain-line", tmp_path)
    assert (tmp_path / "drain_line" / "manifest.yaml") in files
    folder = tmp_path / "drain_line"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(folder)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_a_new_adapter_is_found_beside_the_built_in_ones(tmp_path):
    scaffold_adapter("drain-line", tmp_path)
    found = {one.manifest.name: one for one in find_adapters([tmp_path])}
    assert {"drain-line", "http", "mqtt"} <= found.keys()
    assert found["drain-line"].settings(None, {}).port == 0


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    scaffold_adapter("drain-line", tmp_path)
    with pytest.raises(Conflict, match=r"adapter\.folder_exists"):
        scaffold_adapter("drain-line", tmp_path)


@pytest.mark.parametrize("name", ["", "x", "Drain", "drain line", "../drain", "drain-", "1drain"])
def test_a_name_must_be_one(tmp_path, name):
    with pytest.raises(Invalid, match=r"adapter\.name_malformed"):
        scaffold_adapter(name, tmp_path)
