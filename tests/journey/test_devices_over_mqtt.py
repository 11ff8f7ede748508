"""A device from Debian's own tools to what the city knows: believed with its secret, refused without, accounted for."""

from __future__ import annotations

import base64
import shutil
import subprocess
from contextlib import closing

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed"),
]

GAUGE = "urn:ngsi-ld:WaterLevelObserved:gauge-1"
TOPIC = "gulou/gauge-1/readings"


@pytest.fixture
def device(server, gulou, lines) -> dict:
    made = gulou("devices", "add", "gauge-1", "--entity", "WaterLevelObserved:gauge-1", "--data", server.data, "--json")
    return lines(made.stdout)[0]


@pytest.fixture
def publish(server, device):
    """Publish by mosquitto_pub; returns its exit code."""

    def send(message: str, secret: str | None = None, topic: str = TOPIC, user: str = "gauge-1") -> int:
        return subprocess.run(
            [
                *("mosquitto_pub", "-h", "127.0.0.1", "-p", str(server.mqtt_port), "-q", "1", "-V", "mqttv311"),
                *("-u", user, "-P", secret or device["secret"], "-t", topic, "-m", message),
            ],
            capture_output=True,
            check=False,
            timeout=20,
        ).returncode

    return send


def accounts(admin) -> dict[str, int]:
    total = admin.get("/accounting").json()["total"]
    return {part: total[part] for part in ("received", "stored", "rejected", "dropped")}


def test_a_reading_appears_among_the_entities_and_in_history(server, publish, wait_for) -> None:
    assert publish('{"waterLevel": 1.23, "observedAt": "2026-01-01T08:00:00+08:00"}') == 0

    with closing(server.admin()) as admin:
        entity = wait_for(lambda: admin.get(f"/entities/{GAUGE}").json().get("waterLevel"))
        rows = admin.get(f"/entities/{GAUGE}/history", params={"property": "waterLevel", "last": "100000h"})
        device = admin.get("/devices/gauge-1").json()
    assert (entity["value"], entity["observedAt"]) == (1.23, "2026-01-01T00:00:00Z")
    assert "1.23" in rows.text
    assert device["last_seen_at"] is not None


def test_a_reading_is_seen_by_the_command_line_at_once(server, publish, gulou, lines) -> None:
    assert publish('{"waterLevel": 2.5}') == 0

    asked = gulou(
        "query", "WaterLevelObserved", "--id", "*gauge-1", "--property", "waterLevel", "--json", "--data", server.data
    )

    assert [one["value"] for one in lines(asked.stdout)] == [2.5]


@pytest.mark.parametrize(
    "wrong", [{"secret": "wrong"}, {"user": "nobody"}, {"user": "admin"}], ids=["secret", "device", "person"]
)
def test_a_stranger_is_refused_and_nothing_is_stored(server, publish, wrong: dict) -> None:
    assert publish('{"waterLevel": 9}', **wrong) != 0

    with closing(server.admin()) as admin:
        assert admin.get(f"/entities/{GAUGE}").status_code == 404
        assert accounts(admin)["stored"] == 0


def test_garbage_is_acknowledged_and_listed_as_rejected_with_its_bytes(server, publish) -> None:
    garbage = "\x02not json {{{ 水"
    assert publish(garbage) == 0

    with closing(server.admin()) as admin:
        (rejected,) = admin.get("/rejected").json()["items"]
        whole = admin.get(f"/rejected/{rejected['id']}").json()
        after = accounts(admin)
    assert (rejected["code"], rejected["device_id"], rejected["address"]) == ("payload.malformed", "gauge-1", TOPIC)
    assert base64.b64decode(whole["raw_base64"]) == garbage.encode()
    assert rejected["message"]
    assert after == {"received": 1, "stored": 0, "rejected": 1, "dropped": 0}


WRONG = [
    ('{"waterLevel": 99999}', "reading.out_of_range"),
    ('{"waterLevel": "high"}', "reading.not_a_number"),
    ('{"waterLevle": 1}', "reading.property_unknown"),
    ('{"waterLevel": 1, "observedAt": "2099-01-01T00:00:00Z"}', "clock.future"),
    ('{"waterLevel": 1, "observedAt": "2026-01-01T00:00:00"}', "time.zone_missing"),
]


def test_each_kind_of_bad_reading_has_its_reason_and_good_ones_go_on(server, publish) -> None:
    sent = [publish(message) for message, _ in WRONG]
    sent.append(publish('{"waterLevel": 1.5}'))

    assert sent == [0] * (len(WRONG) + 1)
    with closing(server.admin()) as admin:
        rejected = admin.get("/rejected").json()["items"]
        after = accounts(admin)
    assert sorted(one["code"] for one in rejected) == sorted(code for _, code in WRONG)
    assert after == {"received": 6, "stored": 1, "rejected": 5, "dropped": 0}


def test_the_page_s_sums_are_those_of_the_metrics(server, publish) -> None:
    publish('{"waterLevel": 1.5}')
    publish("garbage")

    with closing(server.admin()) as admin:
        metrics = admin.get(f"{server.url}/metrics").text
        total = accounts(admin)

    assert total == {"received": 2, "stored": 1, "rejected": 1, "dropped": 0}
    for part, count in total.items():
        assert f'gulou_readings_{part}_total{{source="mqtt"}} {count}.0' in metrics.splitlines()


def test_rejected_readings_are_read_again_after_the_mapping_is_mended(server, gulou, lines, tmp_path) -> None:
    at = ("--data", server.data)
    gulou("new", "pack", "harbour", *at)
    mapping = server.data / "packs" / "harbour" / "sources" / "levels.mapping.yaml"
    good = mapping.read_text(encoding="utf-8")
    mapping.write_text(good.replace("waterLevel, unit: m", "waterLevle, unit: m"), encoding="utf-8")
    gulou("pack", "enable", "harbour", *at)
    file = tmp_path / "levels.csv"
    file.write_text("station,time,level\n" + "".join(f"q1,2026-01-01T0{n}:00:00,{n}.5\n" for n in range(5)))
    (broken,) = lines(gulou("load", file, "--as", "harbour-levels", "--json", *at).stdout)
    assert broken == {"received": 5, "stored": 0, "rejected": 5, "dropped": 0}

    mapping.write_text(good, encoding="utf-8")
    gulou("pack", "enable", "harbour", *at)
    with closing(server.admin()) as admin:
        again = admin.post("/rejected/replay", json={"source": "load:harbour-levels"}).json()
        twice = admin.post("/rejected/replay", json={"source": "load:harbour-levels"}).json()
        states = {one["replayed"] for one in admin.get("/rejected").json()["items"]}

    assert (again["replayed"], again["stored"], again["rejected"]) == (5, 5, 0)
    assert (twice["replayed"], twice["stored"]) == (0, 0)
    assert states == {True}
    asked = gulou("query", "WaterLevelObserved", "--id", "*q1", "--property", "waterLevel", "--json", *at)
    assert sorted(one["value"] for one in lines(asked.stdout)) == [0.5, 1.5, 2.5, 3.5, 4.5]
