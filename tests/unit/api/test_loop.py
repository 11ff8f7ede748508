import pytest

DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"


@pytest.fixture
def warned(drains, level):
    drains.take(level(1.5))
    return drains


def the_warning(city):
    page = city.client.get("/api/v1/warnings", params={"state": "active"}).json()
    assert page["total"] == 1
    return page["items"][0]


def test_high_water_becomes_a_warning_with_a_proposed_command(warned):
    warning = the_warning(warned)
    assert (warning["severity"], warning["entity_id"], warning["department"]) == ("yellow", DRAIN, "water")
    assert warning["headline"] == {"en": "Water at 1.5 m", "zh": "水位1.5米"}
    action = warning["actions"][0]
    assert (action["n"], action["device_id"], action["state"]) == (0, "pump-1", "proposed")
    assert warned.client.get(f"/api/v1/warnings/{warning['id']}").json() == warning


def test_the_map_shows_the_gravest_warning_of_an_entity(warned, level):
    spot = {"location": {"type": "GeoProperty", "value": {"type": "Point", "coordinates": [116.4, 39.9]}}}
    warned.client.patch(f"/api/v1/entities/{DRAIN}/attrs", json=spot)
    assert warned.client.get("/api/v1/map/features").json()["state"] == ["yellow"]
    warned.clock.advance(1)
    warned.take(level(2.5, "2026-07-01T08:00:01Z"))
    assert warned.client.get("/api/v1/map/features").json()["state"] == ["red"]


def test_a_person_says_yes_and_the_command_is_requested_once(warned):
    path = f"/api/v1/warnings/{the_warning(warned)['id']}/actions/0"
    action = warned.client.post(f"{path}/approve", json={"note": "go"}).json()["actions"][0]
    assert (action["state"], action["note"], action["decided_at"]) == ("approved", "go", "2026-07-01T08:00:00Z")
    again = warned.client.post(f"{path}/decline", json={})
    assert (again.status_code, again.json()["code"]) == (409, "warning.action_decided")
    command = warned.client.get(f"/api/v1/commands/{action['command_id']}").json()
    assert (command["device_id"], command["parameters"]) == ("pump-1", {"status": "on"})
    assert warned.client.get("/api/v1/commands").json()["total"] == 1


def test_from_warning_to_closed_incident(warned):
    client, warning = warned.client, the_warning(warned)
    seen = client.post(f"/api/v1/warnings/{warning['id']}/acknowledge", json={"note": "seen"}).json()
    assert (seen["acknowledged"], seen["note"]) == (True, "seen")
    body = {"deadline": "2026-07-01T18:00:00+08:00"}
    incident = client.post(f"/api/v1/warnings/{warning['id']}/open-incident", json=body).json()
    path = f"/api/v1/incidents/{incident['id']}"
    assert (incident["department"], incident["deadline_at"]) == ("water", "2026-07-01T10:00:00Z")
    assert client.get(f"/api/v1/warnings/{warning['id']}").json()["incident_id"] == incident["id"]
    sent = client.post(f"{path}/dispatch", json={"department": "traffic", "version": incident["version"]}).json()
    assert (sent["state"], sent["department"]) == ("dispatched", "traffic")
    stale = client.post(f"{path}/dispatch", json={"department": "water", "version": incident["version"]})
    assert stale.status_code == 409
    task = client.post(f"{path}/tasks", json={"title": "Close the underpass"}).json()["tasks"][0]
    assert client.post(f"{path}/close", json={"result": "dry"}).json()["code"] == "incident.tasks_open"
    done = client.patch(f"{path}/tasks/{task['id']}", json={"state": "done", "result": "closed"}).json()
    assert done["tasks"][0]["done_at"] == "2026-07-01T08:00:00Z"
    assert client.post(f"{path}/notes", json={"text": "水退"}).status_code == 201
    assert client.post(f"{path}/close", json={"result": "dry"}).json()["state"] == "closed"
    assert client.post(f"{path}/reopen", json={"reason": "rain again"}).json()["state"] == "dispatched"
    lines = client.get(f"{path}/timeline").json()["items"]
    assert [line["kind"] for line in lines] == [
        "opened", "dispatched", "task", "task", "note", "closed", "reopened",
    ]  # fmt: skip
    assert lines[0]["details"]["deadline"] == "2026-07-01T10:00:00Z"
    first = client.get(f"{path}/timeline", params={"limit": 3}).json()
    rest = client.get(f"{path}/timeline", params={"limit": 9, "cursor": first["next"]}).json()
    assert first["items"] + rest["items"] == lines
    found = client.get("/api/v1/incidents", params={"state": "dispatched", "severity": ["yellow", "red"]}).json()
    assert [item["id"] for item in found["items"]] == [incident["id"]]


def test_an_incident_is_opened_by_hand_in_the_callers_language(drains):
    body = {"title": "路面积水", "severity": "orange", "location": {"type": "Point", "coordinates": [116.4, 39.9]}}
    made = drains.client.post("/api/v1/incidents", json=body, headers={"Accept-Language": "zh"})
    assert (made.status_code, made.json()["title"]) == (201, {"zh": "路面积水"})
    past = drains.client.post("/api/v1/incidents", json={"title": "x", "deadline": "2026-07-01T07:00:00Z"})
    assert past.json()["code"] == "incident.deadline_past"


def test_duties_are_told_apart(warned):
    warning = the_warning(warned)["id"]
    warned.sign_in_as("viewer")
    for path in ("acknowledge", "clear", "open-incident", "actions/0/approve"):
        assert warned.client.post(f"/api/v1/warnings/{warning}/{path}", json={}).status_code == 403
    warned.sign_in_as("steward", department="traffic")
    assert warned.client.get("/api/v1/warnings").json()["items"] == []
    assert warned.client.get(f"/api/v1/warnings/{warning}").status_code == 404
    warned.sign_in_as("duty-officer")
    assert warned.client.post(f"/api/v1/warnings/{warning}/clear", json={}).json()["state"] == "cleared"
    assert warned.client.get("/api/v1/warnings", params={"state": "active"}).json()["items"] == []


def test_rules_are_shown_tried_and_explained(warned):
    rule = warned.client.get("/api/v1/rules", params={"pack": "drains"}).json()["items"][0]
    assert (rule["id"], rule["kind"], rule["state"], rule["active"]) == ("drains/level", "threshold", "active", 1)
    assert "waterLevel" in warned.client.get("/api/v1/rules/drains/level").json()["source"]
    span = {"from": "2026-07-01T00:00:00Z", "to": "2026-07-02T00:00:00Z"}
    trial = warned.client.post("/api/v1/rules/try", json={"id": "drains/level", **span}).json()
    assert [(firing["state"], firing["severity"]) for firing in trial["firings"]] == [("raised", "yellow")]
    assert trial["readings"] == 1
    explained = warned.client.get(f"/api/v1/rules/detections/{the_warning(warned)['detection_id']}").json()
    assert len(explained["states"]) == 1
    both = warned.client.post("/api/v1/rules/try", json={"id": "x", "yaml": "y", **span})
    assert both.json()["code"] == "request.one_of"
    broken = warned.client.post("/api/v1/rules/try", json={"yaml": "rules:\n  - id: 7\n", **span}).json()
    assert broken["code"] == "document.broken"
    assert broken["errors"][0]["where"].startswith("rules/trial.yaml:")


@pytest.mark.parametrize("pack", ["flood", "air", "traffic"])
def test_the_rules_of_the_packs_that_come_along_are_shown(city, pack):
    city.sign_in()
    assert city.client.post(f"/api/v1/packs/{pack}/enable").status_code == 200
    page = city.client.get("/api/v1/rules", params={"pack": pack}).json()
    assert page["total"] == len(page["items"]) > 0
    for rule in page["items"]:
        assert city.client.get(f"/api/v1/rules/{rule['id']}").json()["source"]


def test_packs_are_listed_checked_and_switched(drains):
    packs = {pack["name"]: pack for pack in drains.client.get("/api/v1/packs").json()["items"]}
    assert packs["drains"]["state"] == "enabled"
    assert packs["drains"]["contents"]["rules"] == 1
    assert {"flood", "air", "traffic"} <= set(packs)
    assert drains.client.post("/api/v1/packs/drains/disable").json()["state"] == "disabled"
    assert drains.client.get("/api/v1/rules").json()["total"] == 0
    assert drains.client.get("/api/v1/packs/none").status_code == 404
    files = {"pack.yaml": "pack: new\nversion: 1.0.0\ntitle: {en: N, zh: 新}\n", "rules/a.yaml": "rules:\n  - id: a\n"}
    checked = drains.client.post("/api/v1/packs/check", json={"name": "new", "files": files}).json()
    assert checked["ok"] is False
    assert checked["problems"][0]["file"].endswith("a.yaml")
    assert checked["problems"][0]["line"] >= 1
    escaping = {"name": "../../evil", "files": {"../../../x": "y"}}
    assert drains.client.post("/api/v1/packs/check", json=escaping).json()["ok"] is False


def test_a_rule_that_was_put_aside_is_released_by_a_person(drains):
    judge = drains.services.rules._engine.judges["drains/level"]
    drains.services.rules._engine._quarantine(judge, "TypeError: defect")
    aside = drains.client.get("/api/v1/rules/drains/level").json()
    assert (aside["state"], aside["reason"]) == ("quarantined", "TypeError: defect")
    assert drains.client.post("/api/v1/rules/drains/level/release").json()["state"] == "active"
    again = drains.client.post("/api/v1/rules/drains/level/release")
    assert (again.status_code, again.json()["code"]) == (409, "rules.not_quarantined")
    entry = drains.client.get("/api/v1/audit", params={"action": "rule.released"}).json()["items"][0]
    assert (entry["object_id"], entry["details"]["reason"]) == ("drains/level", "TypeError: defect")
