import base64

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gulou.connectivity.intake import Flaw, Reading
from gulou.kernel import from_rfc3339


def level(value, at="2026-07-01T07:59:00Z", local="drain-1"):
    return Reading(
        f"urn:ngsi-ld:WaterLevelObserved:{local}", "WaterLevelObserved", "waterLevel", value, from_rfc3339(at)
    )


@pytest.fixture
def fed(city):
    city.take(level(1.0), level(2.0, "2026-07-01T07:59:30Z"), level(1e9, "2026-07-01T07:59:40Z"), source="mqtt")
    city.take(flaws=(Flaw("payload.malformed", {"problem": "eof"}, "line 1"),), raw=b"\xff{nonsense")
    city.services.intake.drop("mqtt", 4, "queue_full")
    city.services.intake.settle()
    city.sign_in()
    return city


def test_every_line_adds_up(fed):
    accounting = fed.client.get("/api/v1/accounting").json()
    assert accounting["balanced"] is True
    lines = {line["source"]: line for line in [*accounting["accounts"], accounting["total"]]}
    numbers = {
        source: [line[name] for name in ("received", "stored", "rejected", "dropped")] for source, line in lines.items()
    }
    assert numbers == {"http": [1, 0, 1, 0], "mqtt": [7, 2, 1, 4], "total": [8, 2, 2, 4]}
    assert accounting["total"]["last_received_at"] == "2026-07-01T08:00:00Z"


def test_rejects_are_listed_with_their_reason_in_the_callers_language(fed):
    page = fed.client.get("/api/v1/rejected", headers={"Accept-Language": "zh"}).json()
    assert [item["code"] for item in page["items"]] == ["payload.malformed", "reading.out_of_range"]
    assert page["total"] == 2
    assert page["items"][0]["preview"] == "\ufffd{nonsense"
    assert "WaterLevelObserved" in page["items"][1]["message"] or "水" in page["items"][1]["message"]


def test_rejects_are_narrowed_and_paged(fed):
    by_source = fed.client.get("/api/v1/rejected", params={"source": "mqtt"}).json()
    assert [item["code"] for item in by_source["items"]] == ["reading.out_of_range"]
    by_text = fed.client.get("/api/v1/rejected", params={"q": "nonsense"}).json()
    assert [item["source"] for item in by_text["items"]] == ["http"]
    first = fed.client.get("/api/v1/rejected", params={"limit": 1}).json()
    second = fed.client.get("/api/v1/rejected", params={"limit": 1, "cursor": first["next"]}).json()
    assert [item["source"] for item in first["items"] + second["items"]] == ["http", "mqtt"]


def test_a_reject_is_shown_with_its_raw_bytes(fed):
    listed = fed.client.get("/api/v1/rejected", params={"source": "http"}).json()["items"][0]
    detail = fed.client.get(f"/api/v1/rejected/{listed['id']}").json()
    assert base64.b64decode(detail["raw_base64"]) == b"\xff{nonsense"
    assert (detail["raw_text"], detail["size"], detail["where"]) == (None, 10, "line 1")
    assert fed.client.get("/api/v1/rejected/none").status_code == 404


def families(client) -> dict:
    text = client.get("/metrics", headers={"Authorization": ""}).text
    return {family.name: family for family in text_string_to_metric_families(text)}


@pytest.fixture
def scraper(fed):
    with fed.client_from("127.0.0.1") as client:
        yield client


def test_the_metrics_are_the_ledger(fed, scraper):
    found = families(scraper)
    received = {sample.labels["source"]: sample.value for sample in found["gulou_readings_received"].samples}
    assert received == {"http": 1, "mqtt": 7}
    assert {sample.name for sample in found["gulou_readings_stored"].samples} == {"gulou_readings_stored_total"}
    assert found["gulou_intake_up"].samples[0].value == 1
    sums = {
        name: sum(sample.value for sample in found[f"gulou_readings_{name}"].samples)
        for name in ("received", "stored", "rejected", "dropped")
    }
    assert sums["received"] == sums["stored"] + sums["rejected"] + sums["dropped"]


def test_the_metrics_are_for_this_machine_or_for_a_token(fed):
    with fed.client_from() as far:
        assert far.get("/metrics").status_code == 401
        body = {"name": "scraper", "permissions": [{"action": "system.read"}]}
        secret = fed.client.post("/api/v1/tokens", json=body).json()["secret"]
        assert far.get("/metrics", headers={"Authorization": f"Bearer {secret}"}).status_code == 200
        wrong = fed.client.post("/api/v1/tokens", json={"name": "x", "permissions": [{"action": "device.read"}]}).json()
        assert far.get("/metrics", headers={"Authorization": f"Bearer {wrong['secret']}"}).status_code == 403


def test_a_proxy_on_this_machine_does_not_open_the_metrics(scraper):
    assert scraper.get("/metrics", headers={"X-Forwarded-For": "10.0.0.7"}).status_code == 401


def test_the_system_page_says_how_the_parts_are(fed):
    system = fed.client.get("/api/v1/system").json()
    assert system["disk"]["total_bytes"] >= system["disk"]["free_bytes"] > 0
    assert (system["disk_full"], system["intake"]["state"]) == (False, "running")
    assert {consumer["name"] for consumer in system["consumers"]} >= {"ledger", "rejects", "history"}
    assert system["started_at"] == "2026-07-01T08:00:00Z"
    assert "live-commands" in {subscriber["name"] for subscriber in system["bus"]}
