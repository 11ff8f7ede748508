import json

import pytest

PUMP = "urn:ngsi-ld:Pump:p1"


def device(device_id="pump-1", **more):
    return {
        "id": device_id,
        "name": "Pump 1",
        "adapter": "mqtt",
        "kind": "actuator",
        "department": "water",
        "bindings": [{"entity_id": PUMP, "entity_type": "Pump"}],
        **more,
    }


@pytest.fixture
def signed_in(city):
    city.sign_in()
    return city


def test_a_device_from_begin_to_end(signed_in):
    client = signed_in.client
    made = client.post("/api/v1/devices", json=device())
    assert made.status_code == 201, made.text
    assert (made.json()["online"], made.json()["version"], made.json()["created_at"]) == (
        None,
        1,
        "2026-07-01T08:00:00Z",
    )
    again = client.post("/api/v1/devices", json=device())
    assert (again.status_code, again.json()["code"]) == (409, "device.exists")
    renamed = client.patch("/api/v1/devices/pump-1", json={"name": "泵", "labels": {"a": "b"}}).json()
    assert (renamed["name"], renamed["version"], renamed["labels"]) == ("泵", 2, {"a": "b"})
    assert renamed["bindings"][0]["entity_id"] == PUMP
    stale = client.put("/api/v1/devices/pump-1", json={"name": "x", "adapter": "mqtt", "version": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "device.changed")
    replaced = client.put("/api/v1/devices/pump-1", json={"name": "x", "adapter": "http", "version": 2}).json()
    assert (replaced["bindings"], replaced["adapter"], replaced["department"]) == ([], "http", None)
    assert client.delete("/api/v1/devices/pump-1").status_code == 204
    assert client.get("/api/v1/devices/pump-1").json()["code"] == "device.unknown"


def test_a_made_up_secret_is_shown_once_and_works(signed_in):
    signed_in.client.post("/api/v1/devices", json=device())
    path = "/api/v1/devices/pump-1/credentials"
    secret = signed_in.client.post(path, json={}).json()["secret"]
    assert signed_in.services.credentials.verify("pump-1", secret)
    chosen = signed_in.client.post(path, json={"secret": "chosen by hand"}).json()
    assert chosen == {"device_id": "pump-1", "secret": None}
    assert signed_in.services.credentials.verify("pump-1", "chosen by hand")
    assert signed_in.client.delete(path).status_code == 204
    assert not signed_in.services.credentials.verify("pump-1", "chosen by hand")
    assert secret not in signed_in.client.get("/api/v1/audit").text


def test_lists_are_searched_narrowed_and_paged(signed_in):
    for number in range(5):
        signed_in.client.post("/api/v1/devices", json=device(f"pump-{number}", gateway_id=None))
    signed_in.client.post("/api/v1/devices", json=device("gauge-1", kind="sensor", department="traffic", bindings=[]))
    get = signed_in.client.get
    first = get("/api/v1/devices", params={"limit": 4, "kind": "actuator"}).json()
    second = get("/api/v1/devices", params={"limit": 4, "kind": "actuator", "cursor": first["next"]}).json()
    assert [item["id"] for item in first["items"] + second["items"]] == [f"pump-{n}" for n in range(5)]
    assert (first["total"], second["next"]) == (5, None)
    assert [item["id"] for item in get("/api/v1/devices", params={"q": "GAUGE"}).json()["items"]] == ["gauge-1"]
    assert get("/api/v1/devices", params={"online": "never"}).json()["total"] == 6
    assert get("/api/v1/devices", params={"online": "true"}).json()["total"] == 0
    descending = get("/api/v1/devices", params={"sort": "-id", "limit": 1}).json()
    assert descending["items"][0]["id"] == "pump-4"
    assert get("/api/v1/devices", params={"entity_id": PUMP}).json()["total"] == 5
    assert get("/api/v1/devices", params={"entity_id": PUMP[:-1]}).json()["total"] == 0
    summary = get("/api/v1/devices/summary").json()
    assert (summary["total"], summary["never"]) == (6, 6)
    assert {kind["kind"]: kind["total"] for kind in summary["by_kind"]} == {"actuator": 5, "sensor": 1}


def test_a_bulk_file_is_answered_line_by_line(signed_in):
    lines = [device("pump-1"), device("bad id"), device("pump-2"), {"id": "pump-3"}]
    body = "\n".join(json.dumps(line) for line in lines)
    headers = {"Content-Type": "application/x-ndjson"}
    dry = signed_in.client.post("/api/v1/devices/bulk", content=body, headers=headers, params={"dry_run": True}).json()
    assert (dry["dry_run"], signed_in.client.get("/api/v1/devices").json()["total"]) == (True, 0)
    done = signed_in.client.post("/api/v1/devices/bulk", content=body, headers=headers, params={"secrets": True}).json()
    assert {**done, "lines": []} == {**dry, "dry_run": False, "lines": []}
    assert done["created"] + done["failed"] == done["total"] == 4
    failed = [line for line in done["lines"] if line["result"] == "failed"]
    assert failed[0]["line"] == 2
    assert failed[0]["message"] != failed[0]["code"]
    secrets = {line["id"]: line["secret"] for line in done["lines"] if line["secret"]}
    assert signed_in.services.credentials.verify("pump-2", secrets["pump-2"])


def test_what_is_exported_can_be_imported(signed_in):
    signed_in.client.post("/api/v1/devices", json=device())
    exported = signed_in.client.get("/api/v1/devices/export.csv")
    assert exported.headers["content-type"].startswith("text/csv")
    headers = {"Content-Type": "text/csv; charset=utf-8"}
    back = signed_in.client.post("/api/v1/devices/bulk", content=exported.content, headers=headers).json()
    assert (back["total"], back["unchanged"]) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("application/json", b"{}", "request.content_type"),
        ("", b"{}", "request.content_type"),
        ("text/csv", b"", "request.empty"),
        ("text/csv", b"name,colour\n", "device.bulk_column_unknown"),
    ],
)
def test_a_bulk_file_that_can_not_be_read_is_refused_whole(signed_in, kind, body, code):
    answer = signed_in.client.post("/api/v1/devices/bulk", content=body, headers={"Content-Type": kind})
    assert answer.json()["code"] == code


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "a b"},
        {"id": "x" * 129},
        {"longitude": 181},
        {"silence_s": 0},
        {"bindings": [{}]},
        {"colour": "red"},
        {"name": ""},
    ],
)
def test_wrong_fields_are_named(signed_in, wrong):
    answer = signed_in.client.post("/api/v1/devices", json=device(**wrong))
    assert answer.status_code == 422
    assert next(iter(wrong)) in answer.json()["errors"][0]["where"]


def test_departments_keep_to_their_own(city):
    city.sign_in()
    city.client.post("/api/v1/devices", json=device("water-1"))
    city.client.post("/api/v1/devices", json=device("traffic-1", department="traffic"))
    city.client.post("/api/v1/devices", json=device("common-1", department=None))
    city.sign_in_as("steward", department="water")
    assert [item["id"] for item in city.client.get("/api/v1/devices").json()["items"]] == ["common-1", "water-1"]
    assert city.client.get("/api/v1/devices/traffic-1").status_code == 403
    assert city.client.patch("/api/v1/devices/traffic-1", json={"name": "x"}).status_code == 403
    assert city.client.patch("/api/v1/devices/water-1", json={"department": "traffic"}).status_code == 403
    assert city.client.post("/api/v1/devices", json=device("new-1", department="traffic")).status_code == 403
    assert city.client.post("/api/v1/devices/traffic-1/credentials", json={}).status_code == 403
    assert city.client.post("/api/v1/devices/water-1/commands", json={"name": "switch"}).status_code == 403
    exported = city.client.get("/api/v1/devices/export.csv").text.splitlines()[1:]
    assert [line.split(",")[0] for line in exported] == ["common-1", "water-1"]


def test_a_command_is_requested_once_and_can_be_taken_back(signed_in):
    signed_in.client.post("/api/v1/devices", json=device())
    body = {
        "id": "mine/1",
        "name": "switch",
        "parameters": {"state": "on"},
        "effect": {"entity_id": PUMP, "property": "status", "value": "on"},
    }
    path = "/api/v1/devices/pump-1/commands"
    one, two = (signed_in.client.post(path, json=body).json() for _ in range(2))
    assert one == two
    assert (one["state"], one["requested_at"], one["effect"]["value"]) == ("requested", "2026-07-01T08:00:00Z", "on")
    assert signed_in.client.get("/api/v1/commands", params={"device_id": "pump-1"}).json()["total"] == 1
    assert signed_in.client.get("/api/v1/commands/mine/1").json() == one
    assert signed_in.client.post("/api/v1/commands/mine/1/cancel").json()["state"] == "cancelled"
    late = signed_in.client.post("/api/v1/commands/mine/1/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "command.not_waiting")
    assert signed_in.client.get("/api/v1/commands", params={"active": True}).json()["items"] == []
    assert signed_in.client.post("/api/v1/devices/none/commands", json={"name": "x"}).status_code == 404
