"""A full disk: ingest says so, what was acknowledged stays, and when there is room again everything goes on."""

from __future__ import annotations

from contextlib import closing

import httpx
import pytest

pytestmark = pytest.mark.integration

GAUGE = "urn:ngsi-ld:WaterLevelObserved:gauge-1"
FULL = "[intake]\nmin_free_mb = 1000000000\n"


def send(running, secret: str, level: float) -> httpx.Response:
    return httpx.post(
        f"{running.url}/ingest/v1/readings", json={"waterLevel": level}, auth=("gauge-1", secret), trust_env=False
    )


@pytest.fixture
def running(running_gulou, tmp_path):
    """A server that the test starts and stops; none is left behind."""
    made = running_gulou(tmp_path / "data")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


def test_a_full_disk_is_said_and_nothing_acknowledged_is_lost(running, gulou, lines, tmp_path) -> None:
    data = tmp_path / "data"
    at = ("--data", data)
    running.start()
    made = gulou("devices", "add", "gauge-1", "--entity", "WaterLevelObserved:gauge-1", "--json", *at)
    secret = lines(made.stdout)[0]["secret"]
    assert send(running, secret, 1.5).status_code == 200
    running.stop()
    (data / "city.toml").write_text(FULL, encoding="utf-8")

    running.start()
    refused = send(running, secret, 2.5)
    with closing(running.admin()) as admin:
        system = admin.get("/system").json()
        ready = admin.get("/health/ready")
        level = admin.get(f"/entities/{GAUGE}").json()["waterLevel"]["value"]
        total = admin.get("/accounting").json()["total"]
    file = tmp_path / "hum.csv"
    file.write_text("TIMESTAMP,hum\n2014-08-01T01:00:00,64\n", encoding="utf-8")
    assert running.stop() == 0

    assert refused.status_code == 503
    assert refused.json()["code"] == "intake.disk_full"
    assert int(refused.headers["Retry-After"]) > 0
    assert system["disk_full"] is True
    assert ready.status_code == 503
    assert level == 1.5
    assert (total["received"], total["stored"], total["dropped"]) == (1, 1, 0)

    (data / "city.toml").write_text("", encoding="utf-8")
    running.start()
    assert send(running, secret, 2.5).status_code == 200
    asked = gulou("query", "WaterLevelObserved", "--id", GAUGE, "--property", "waterLevel", "--json", *at)
    (loaded,) = lines(gulou("load", file, "--as", "aarhus-weather", "--json", *at).stdout)
    running.stop()

    assert sorted(one["value"] for one in lines(asked.stdout)) == [1.5, 2.5]
    assert loaded["stored"] == 1
