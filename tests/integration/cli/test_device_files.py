"""Devices out to a file and in again."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.integration


def test_what_is_exported_can_be_imported_again(at, tmp_path):
    at("devices", "add", "kept-1", "--entity", "WaterLevelObserved:kept-1", "--no-secret")
    file = tmp_path / "devices.csv"
    file.write_text(at("devices", "export").stdout, encoding="utf-8")
    at("devices", "remove", "kept-1")
    at("devices", "import", file)
    shown = json.loads(at("devices", "show", "kept-1", "--json").stdout)
    assert shown["bindings"][0]["entity_id"] == "urn:ngsi-ld:WaterLevelObserved:kept-1"


def test_what_is_listed_as_json_can_be_imported_again(at, tmp_path):
    at("devices", "add", "kept-2", "--entity", "WaterLevelObserved:kept-2", "--no-secret")
    file = tmp_path / "devices.ndjson"
    file.write_text(at("devices", "export", "--json").stdout, encoding="utf-8")
    answer = json.loads(at("devices", "import", file, "--json").stdout)
    assert (answer["failed"], answer["unchanged"]) == (0, answer["total"])


def test_a_list_that_was_cut_says_so(at):
    for number in range(2):
        at("devices", "add", f"many-{number}", "--entity", f"WaterLevelObserved:many-{number}", "--no-secret")
    cut = at("devices", "list", "--search", "many-", "--limit", "1", "--json")
    whole = at("devices", "list", "--search", "many-", "--limit", "2")
    assert (len(cut.stdout.splitlines()), cut.stderr) == (1, "1 of 2; --limit N or --search\n")
    assert whole.stderr == ""


def test_a_mistyped_adapter_is_refused(at):
    refused = at(
        "devices", "add", "x-1", "--entity", "WaterLevelObserved:x-1", "--adapter", "mqt", "--no-secret", check=False
    )
    assert refused.returncode != 0
    assert "mqtt" in refused.stderr
