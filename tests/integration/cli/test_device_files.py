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
