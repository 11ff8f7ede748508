"""A rule that fails is put aside; the duty officer sees it as a warning, and a steward lets it judge again."""

DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"


def test_a_rule_that_is_put_aside_is_a_warning_until_it_is_released(drains, level, monkeypatch):
    judge = drains.services.rules._engine.judges["drains/level"]
    monkeypatch.setattr(type(judge), "judge", lambda *_: 1 / 0)
    judge.calm = None  # so that it is asked each time
    for second in range(3):
        drains.clock.advance(1)
        drains.take(level(0.5, f"2026-07-01T08:00:0{second}Z"))
    monkeypatch.undo()
    drains.services.rules.close()  # a checkpoint

    (warning,) = drains.client.get("/api/v1/warnings", params={"state": "active"}).json()["items"]
    assert (warning["rule_id"], warning["entity_type"], warning["severity"]) == ("drains/level", "Rule", "yellow")
    assert "drains/level" in warning["headline"]["zh"]
    assert "ZeroDivisionError" in warning["description"]["en"]
    rule = drains.client.get("/api/v1/rules/drains/level").json()
    assert (rule["state"], rule["reason"]) == ("quarantined", "ZeroDivisionError: division by zero")

    drains.sign_in_as("duty-officer")
    assert len(drains.client.get("/api/v1/warnings", params={"state": "active"}).json()["items"]) == 1
    assert drains.client.post("/api/v1/rules/drains/level/release").status_code == 403
    drains.sign_in_as("steward")
    assert drains.client.post("/api/v1/rules/drains/level/release").json()["state"] == "active"
    assert drains.client.get("/api/v1/warnings", params={"state": "active"}).json()["items"] == []
    again = drains.client.post("/api/v1/rules/drains/level/release")
    assert (again.status_code, again.json()["code"]) == (409, "rules.not_quarantined")
