"""A device from Debian's own tools to what the city knows: believed with its secret, refused without, accounted for."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto_pub is not installed"),
]

PARTS = ("received", "stored", "rejected", "dropped")


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory, running_gulou) -> Iterator:
    """A server for all tests of this module; each has a device of its own."""
    running = running_gulou(tmp_path_factory.mktemp("city") / "data").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def admin(city) -> Iterator:
    with closing(city.admin()) as client:
        yield client


class Gauge:
    """A registered device, and its voice: mosquitto_pub."""

    def __init__(self, name: str, secret: str, port: int) -> None:
        self.name = name
        self.entity = f"urn:ngsi-ld:WaterLevelObserved:{name}"
        self.topic = f"gulou/{name}/readings"
        self._secret = secret
        self._port = port

    def publish(self, message: str, **other: str) -> int:
        """Publish at QoS 1; returns the exit code."""
        as_user = {"user": self.name, "secret": self._secret, **other}
        return subprocess.run(
            [
                *("mosquitto_pub", "-h", "127.0.0.1", "-p", str(self._port), "-q", "1", "-V", "mqttv311"),
                *("-u", as_user["user"], "-P", as_user["secret"], "-t", self.topic, "-m", message),
            ],
            capture_output=True,
            check=False,
            timeout=20,
        ).returncode


@pytest.fixture
def gauge(city, admin, request) -> Gauge:
    name = f"gauge-{abs(hash(request.node.name)) % 10**9}"
    binding = {"entity_id": f"urn:ngsi-ld:WaterLevelObserved:{name}", "entity_type": "WaterLevelObserved"}
    admin.post("/devices", json={"id": name, "name": name, "adapter": "mqtt", "bindings": [binding]}).raise_for_status()
    secret = admin.post(f"/devices/{name}/credentials", json={}).json()["secret"]
    return Gauge(name, secret, city.mqtt_port)


@pytest.fixture
def added(admin):
    """Say how much was added to the account of MQTT since the test began."""
    before = account(admin)
    return lambda: {part: count - before[part] for part, count in account(admin).items()}


@pytest.fixture
def accounted(added, wait_for):
    """Wait until so much was added: accounts follow the log, so an acknowledgement may be ahead of them."""

    def wait(**expected: int) -> None:
        whole = dict.fromkeys(PARTS, 0) | expected
        wait_for(lambda: added()["received"] == whole["received"], message="received")
        assert added() == whole

    return wait


def account(admin) -> dict[str, int]:
    found = [one for one in admin.get("/accounting").json()["accounts"] if one["source"] == "mqtt"]
    return {part: sum(one[part] for one in found) for part in PARTS}


def rejects(admin, gauge: Gauge) -> list[dict]:
    return admin.get("/rejected", params={"q": gauge.name, "limit": 100}).json()["items"]


def test_a_reading_appears_among_the_entities_and_in_history(admin, gauge, wait_for) -> None:
    assert gauge.publish('{"waterLevel": 1.23, "observedAt": "2026-01-01T08:00:00+08:00"}') == 0

    entity = wait_for(lambda: admin.get(f"/entities/{gauge.entity}").json().get("waterLevel"))
    rows = admin.get(f"/entities/{gauge.entity}/history", params={"property": "waterLevel", "last": "100000h"})
    device = admin.get(f"/devices/{gauge.name}").json()
    assert (entity["value"], entity["observedAt"]) == (1.23, "2026-01-01T00:00:00Z")
    assert "1.23" in rows.text
    assert device["last_seen_at"] is not None


def test_a_reading_is_seen_by_the_command_line_at_once(city, gauge, gulou, lines) -> None:
    assert gauge.publish('{"waterLevel": 2.5}') == 0

    wanted = ("WaterLevelObserved", "--id", gauge.entity, "--property", "waterLevel")
    asked = gulou("query", *wanted, "--json", "--data", city.data)
    assert [one["value"] for one in lines(asked.stdout)] == [2.5]


WRONG_VOICES = [{"secret": "wrong"}, {"user": "nobody"}, {"user": "admin"}]


@pytest.mark.parametrize("wrong", WRONG_VOICES, ids=["secret", "device", "person"])
def test_a_stranger_is_refused_and_nothing_is_stored(admin, gauge, added, wrong: dict) -> None:
    assert gauge.publish('{"waterLevel": 9}', **wrong) != 0

    assert admin.get(f"/entities/{gauge.entity}").status_code == 404
    assert added() == {"received": 0, "stored": 0, "rejected": 0, "dropped": 0}


def test_a_device_cannot_speak_for_another(admin, gauge, added) -> None:
    gauge.topic = "gulou/another/readings"

    gauge.publish('{"waterLevel": 9}')

    assert added()["stored"] == 0


def test_garbage_is_acknowledged_and_listed_as_rejected_with_its_bytes(admin, gauge, accounted, wait_for) -> None:
    garbage = "\x02not json {{{ 水"
    assert gauge.publish(garbage) == 0

    accounted(received=1, rejected=1)
    (rejected,) = wait_for(lambda: rejects(admin, gauge), message="the rejected reading")
    whole = admin.get(f"/rejected/{rejected['id']}").json()
    assert (rejected["code"], rejected["device_id"], rejected["address"]) == (
        "payload.malformed",
        gauge.name,
        gauge.topic,
    )
    assert base64.b64decode(whole["raw_base64"]) == garbage.encode()
    assert rejected["message"]


WRONG = [
    ('{"waterLevel": 99999}', "reading.out_of_range"),
    ('{"waterLevel": "high"}', "reading.not_a_number"),
    ('{"waterLevle": 1}', "reading.property_unknown"),
    ('{"waterLevel": 1, "observedAt": "2099-01-01T00:00:00Z"}', "clock.future"),
    ('{"waterLevel": 1, "observedAt": "2026-01-01T00:00:00"}', "time.zone_missing"),
]


def test_each_kind_of_bad_reading_has_its_reason_and_good_ones_go_on(admin, gauge, accounted, wait_for) -> None:
    sent = [gauge.publish(message) for message, _ in WRONG]
    sent.append(gauge.publish('{"waterLevel": 1.5}'))

    assert sent == [0] * (len(WRONG) + 1)
    accounted(received=6, stored=1, rejected=5)
    found = wait_for(lambda: len(one := rejects(admin, gauge)) == len(WRONG) and one, message="rejected readings")
    assert sorted(one["code"] for one in found) == sorted(code for _, code in WRONG)


def test_the_page_s_sums_are_those_of_the_metrics(city, admin, gauge, accounted) -> None:
    gauge.publish('{"waterLevel": 1.5}')
    gauge.publish("garbage")
    accounted(received=2, stored=1, rejected=1)  # nothing changes between the two views

    metrics = admin.get(f"{city.url}/metrics").text.splitlines()
    shown = account(admin)
    assert shown["stored"] > 0
    assert shown["received"] == shown["stored"] + shown["rejected"] + shown["dropped"]
    for part, count in shown.items():
        assert f'gulou_readings_{part}_total{{source="mqtt"}} {count}.0' in metrics


def test_rejected_readings_are_read_again_after_the_mapping_is_mended(city, admin, gulou, lines, tmp_path) -> None:
    at = ("--data", city.data)
    gulou("new", "pack", "harbour", *at)
    mapping = city.data / "packs" / "harbour" / "sources" / "levels.mapping.yaml"
    good = mapping.read_text(encoding="utf-8")
    mapping.write_text(good.replace("waterLevel, unit: m", "waterLevle, unit: m"), encoding="utf-8")
    gulou("pack", "enable", "harbour", *at)
    file = tmp_path / "levels.csv"
    file.write_text("station,time,level\n" + "".join(f"q1,2026-01-01T0{n}:00:00,{n}.5\n" for n in range(5)))
    (broken,) = lines(gulou("load", file, "--as", "harbour-levels", "--json", *at).stdout)
    assert broken == {"received": 5, "stored": 0, "rejected": 5, "dropped": 0}

    mapping.write_text(good, encoding="utf-8")
    gulou("pack", "enable", "harbour", *at)
    again = admin.post("/rejected/replay", json={"source": "load:harbour-levels"}).json()
    twice = admin.post("/rejected/replay", json={"source": "load:harbour-levels"}).json()
    found = admin.get("/rejected", params={"source": "load:harbour-levels"}).json()["items"]
    states = {one["replayed"] for one in found}

    assert (again["replayed"], again["stored"], again["rejected"]) == (5, 5, 0)
    assert (twice["replayed"], twice["stored"]) == (0, 0)
    assert states == {True}
    asked = gulou("query", "WaterLevelObserved", "--id", "*q1", "--property", "waterLevel", "--json", *at)
    assert sorted(one["value"] for one in lines(asked.stdout)) == [0.5, 1.5, 2.5, 3.5, 4.5]
