"""A newcomer adds a pack and a protocol, without touching any folder but their own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing

import httpx
import pytest

pytestmark = pytest.mark.integration


def send_level(city, device: dict, level: float) -> None:
    answer = httpx.post(
        f"{city.url}/ingest/v1/readings",
        json={"waterLevel": level},
        auth=(device["id"], device["secret"]),
        trust_env=False,
    )
    assert answer.json()["stored"] == 1


def test_a_new_pack_is_tested_enabled_and_judges_without_a_restart(at, lines, city, wait_for) -> None:
    (device,) = lines(at("devices", "add", "dock-1", "--entity", "WaterLevelObserved:dock-1", "--json").stdout)
    at("new", "pack", "harbour")
    rule = city.data / "packs" / "harbour" / "rules" / "level.yaml"
    rule.write_text(rule.read_text(encoding="utf-8").replace("hold: 30s", "hold: 0s"), encoding="utf-8")

    (played,) = lines(at("pack", "test", "harbour", "--json").stdout)
    at("pack", "enable", "harbour")
    send_level(city, device, 1.75)

    assert played == {"story": "first-story", "passed": True, "failures": []}
    with closing(city.admin()) as admin:
        found = wait_for(
            lambda: [w for w in admin.get("/warnings").json()["items"] if w["rule_id"] == "harbour/high-level"]
        )
    assert (found[0]["severity"], found[0]["entity_id"]) == ("yellow", "urn:ngsi-ld:WaterLevelObserved:dock-1")


def test_a_broken_edit_is_refused_with_file_and_line_and_the_running_version_stays(at, lines, city, wait_for) -> None:
    (device,) = lines(at("devices", "add", "pier-1", "--entity", "WaterLevelObserved:pier-1", "--json").stdout)
    at("new", "pack", "pier")
    rule = city.data / "packs" / "pier" / "rules" / "level.yaml"
    rule.write_text(rule.read_text(encoding="utf-8").replace("hold: 30s", "hold: 0s"), encoding="utf-8")
    at("pack", "enable", "pier")
    rule.write_text(rule.read_text(encoding="utf-8").replace("value: waterLevel", "value: watrLevel"), encoding="utf-8")

    checked = at("pack", "check", city.data / "packs" / "pier", check=False)
    enabled = at("pack", "enable", "pier", check=False)
    send_level(city, device, 2.25)

    assert (checked.returncode, enabled.returncode) == (1, 1)
    assert "rules/level.yaml:7:12: " in checked.stderr
    assert "rules/level.yaml:7:12: " in enabled.stderr
    state = {one["name"]: (one["state"], one["running"]) for one in lines(at("pack", "list", "--json").stdout)}
    assert state["pier"] == ("broken", "0.1.0")
    with closing(city.admin()) as admin:
        wait_for(lambda: [w for w in admin.get("/warnings").json()["items"] if w["rule_id"] == "pier/high-level"])


def test_a_failing_story_ends_with_1_and_names_its_line(at, city) -> None:
    at("new", "pack", "quay")
    story = city.data / "packs" / "quay" / "cases" / "first-story" / "story.yaml"
    story.write_text(story.read_text(encoding="utf-8").replace("severity: orange", "severity: red"), encoding="utf-8")

    answer = at("pack", "test", "quay", check=False)

    assert answer.returncode == 1
    assert "cases/first-story/story.yaml:12: expected warning" in answer.stdout


def test_a_new_pack_overwrites_nothing(at) -> None:
    at("new", "pack", "mole")

    again = at("new", "pack", "mole", check=False)

    assert again.returncode == 1
    assert "(pack.exists)" in again.stderr


def test_a_pack_from_elsewhere_is_added_or_refused_whole(at, city, gulou, lines, tmp_path) -> None:
    gulou("new", "pack", "sound", "--into", tmp_path)
    gulou("new", "pack", "wreck", "--into", tmp_path)
    (tmp_path / "wreck" / "run.py").write_text("print()", encoding="utf-8")

    good = at("pack", "add", tmp_path / "sound")
    bad = at("pack", "add", tmp_path / "wreck", check=False)

    assert (good.returncode, bad.returncode) == (0, 1)
    assert "run.py" in bad.stderr
    assert not (city.data / "packs" / "wreck").exists()
    state = {one["name"]: one["state"] for one in lines(at("pack", "list", "--json").stdout)}
    assert state["sound"] == "enabled"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def running(running_gulou, tmp_path):
    """A server that the test starts and stops; none is left behind."""
    made = running_gulou(tmp_path / "data")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


def test_a_new_adapter_passes_its_own_tests_and_the_server_finds_it(gulou, running, tmp_path) -> None:
    data = tmp_path / "data"
    gulou("new", "adapter", "gauge-tcp", "--data", data)
    folder = data / "adapters" / "gauge_tcp"
    (data / "city.toml").write_text(f"[adapter-gauge-tcp]\nport = {free_port()}\n", encoding="utf-8")

    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout

    running.start()
    with closing(running.admin()) as admin:
        adapters = {one["name"]: one["state"] for one in admin.get("/system").json()["adapters"]}
    running.stop()
    assert adapters["gauge-tcp"] == "up"
    assert {"mqtt", "http"} <= set(adapters)


def test_a_new_adapter_overwrites_nothing(gulou, tmp_path) -> None:
    gulou("new", "adapter", "gauge-tcp", "--into", tmp_path)

    again = gulou("new", "adapter", "gauge-tcp", "--into", tmp_path, check=False)

    assert again.returncode == 1
    assert "(adapter.folder_exists)" in again.stderr
