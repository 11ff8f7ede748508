"""The commands against a running server: what they say to people, to programs, and by their exit codes."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime

import httpx
import pytest

pytestmark = pytest.mark.integration

GAUGE = "urn:ngsi-ld:WaterLevelObserved:c-gauge"


def complaint(answer) -> str:
    """The one line on standard error of a command that was refused."""
    (line,) = [line for line in answer.stderr.splitlines() if line.strip()]
    return line


def test_doctor_finds_the_server_and_a_sound_data_directory(at, lines, city) -> None:
    findings = {one["check"]: one for one in lines(at("doctor", "--json", check=False).stdout)}

    assert findings["server"]["state"] == "ok"
    assert city.url in findings["server"]["detail"]
    assert findings["data"]["state"] == "ok"
    assert {"python", "libraries", "clock", "disk", "console"} <= set(findings)
    assert [one["mend"] for one in findings.values() if one["state"] == "fail" and not one["mend"]] == []


def test_doctor_cuts_nothing_when_nobody_looks(at, city) -> None:
    assert f"{city.data}," in at("doctor", check=False).stdout


def test_a_device_is_added_with_a_secret_that_works_at_once(at, lines, city) -> None:
    (made,) = lines(at("devices", "add", "c-gauge", "--entity", "WaterLevelObserved:c-gauge", "--json").stdout)

    answer = httpx.post(
        f"{city.url}/ingest/v1/readings", json={"waterLevel": 1.25}, auth=("c-gauge", made["secret"]), trust_env=False
    )

    assert made["bindings"][0]["entity_id"] == GAUGE
    assert answer.json()["stored"] == 1
    (now,) = lines(at("query", "WaterLevelObserved", "--id", "*c-gauge", "--now", "--json").stdout)
    assert (now["id"], now["waterLevel"]) == (GAUGE, 1.25)


def test_a_new_secret_ends_the_old_one(at, lines, city) -> None:
    (made,) = lines(at("devices", "add", "c-turn", "--entity", "WaterLevelObserved:c-turn", "--json").stdout)
    (fresh,) = lines(at("devices", "secret", "c-turn", "--json").stdout)

    def sends(secret: str) -> int:
        return httpx.post(
            f"{city.url}/ingest/v1/readings", json={"waterLevel": 1.5}, auth=("c-turn", secret), trust_env=False
        ).status_code

    assert (sends(made["secret"]), sends(fresh["secret"])) == (401, 200)


def test_the_same_device_twice_is_refused(at) -> None:
    at("devices", "add", "c-twice", "--entity", "Pump:c-1", "--no-secret")

    again = at("devices", "add", "c-twice", "--entity", "Pump:c-1", check=False)

    assert again.returncode == 1
    assert "c-twice" in complaint(again)
    assert again.stdout == ""


def test_an_entity_without_type_is_refused_with_an_example(at) -> None:
    answer = at("devices", "add", "c-bad", "--entity", "drain", check=False)

    assert answer.returncode == 1
    assert "WaterLevelObserved:drain-1" in complaint(answer)


def test_many_devices_come_by_file_and_each_line_is_answered(at, lines, tmp_path) -> None:
    file = tmp_path / "many.csv"
    rows = [f"m-{number},mqtt,{GAUGE}-{number},WaterLevelObserved\n" for number in range(600)]
    file.write_text("id,adapter,entity_id,entity_type\n" + "".join(rows) + "bad id,mqtt,x,y\n", encoding="utf-8")

    tried = at("devices", "import", file, "--dry-run", "--json", check=False)
    assert lines(at("devices", "list", "-q", "m-5", "--json").stdout) == []
    done = at("devices", "import", file, "--json", check=False)

    assert [(one["created"], one["failed"]) for one in (*lines(tried.stdout), *lines(done.stdout))] == [(600, 1)] * 2
    assert (tried.returncode, done.returncode) == (1, 1)
    assert lines(done.stdout)[0]["lines"][0]["line"] == 602
    found = lines(at("devices", "list", "-q", "m-", "--limit", "1000", "--json").stdout)
    assert len({one["id"] for one in found}) == 600


def test_an_import_tells_people_file_line_and_mend(at, tmp_path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("id,name\nc-half,Half\n", encoding="utf-8")

    answer = at("devices", "import", file, check=False)

    assert (answer.returncode, answer.stdout.strip()) == (1, "1 total, 0 created, 0 updated, 0 unchanged, 1 failed")
    assert complaint(answer).startswith("one.csv:2: ")


def test_what_is_exported_can_be_imported_again(at, tmp_path) -> None:
    at("devices", "add", "c-back", "--entity", "WaterLevelObserved:c-back", "--name", "Back, and forth", "--no-secret")
    file = tmp_path / "out.csv"
    file.write_text(at("devices", "export").stdout, encoding="utf-8")

    answer = at("devices", "import", file, "--json", check=False)

    report = json.loads(answer.stdout)
    assert (report["failed"], report["created"], report["updated"]) == (0, 0, 0)
    assert report["unchanged"] >= 1


def test_a_command_is_taken_and_can_be_followed(at, lines, city) -> None:
    at("devices", "add", "c-pump", "--entity", "Pump:c-pump")

    (sent,) = lines(at("devices", "command", "c-pump", "switch", '{"powerState": "on"}', "--json").stdout)

    with closing(city.admin()) as admin:
        seen = admin.get(f"/commands/{sent['id']}").json()
    assert (seen["device_id"], seen["name"], seen["parameters"]) == ("c-pump", "switch", {"powerState": "on"})


@pytest.mark.parametrize("parameters", ["on", "[1]", "{", '"x"'])
def test_parameters_that_are_no_object_are_refused(at, parameters: str) -> None:
    answer = at("devices", "command", "c-pump", "switch", parameters, check=False)

    assert answer.returncode == 1
    assert "cli.parameters_malformed" in complaint(answer)


def test_a_command_to_nobody_is_refused(at) -> None:
    answer = at("devices", "command", "nobody", "switch", check=False)

    assert answer.returncode == 1
    assert "nobody" in complaint(answer)


def test_a_removed_device_is_gone(at, lines) -> None:
    at("devices", "add", "c-gone", "--entity", "Pump:c-gone")

    at("devices", "remove", "c-gone")

    assert lines(at("devices", "list", "-q", "c-gone", "--json").stdout) == []


def test_a_user_can_sign_in_with_the_printed_password(at, lines, city) -> None:
    (made,) = lines(at("user", "add", "vera", "--role", "viewer", "--json").stdout)

    body = {"name": "vera", "password": made["password"]}
    answer = httpx.post(f"{city.url}/api/v1/session", json=body, trust_env=False)

    assert answer.status_code == 201
    assert answer.json()["principal"]["must_change_password"] is True
    assert "vera" in {one["name"] for one in lines(at("user", "list", "--json").stdout)}


def test_a_disabled_user_cannot(at, lines, city) -> None:
    (made,) = lines(at("user", "add", "olga", "--role", "viewer", "--json").stdout)

    at("user", "disable", "olga")

    body = {"name": "olga", "password": made["password"]}
    assert httpx.post(f"{city.url}/api/v1/session", json=body, trust_env=False).status_code == 401


def test_a_reset_password_replaces_the_old_one(at, lines, city) -> None:
    (made,) = lines(at("user", "add", "rosa", "--role", "viewer", "--json").stdout)

    fresh = at("user", "password", "rosa").stdout.strip().rsplit(" ", 1)[1]

    statuses = [
        httpx.post(f"{city.url}/api/v1/session", json={"name": "rosa", "password": one}, trust_env=False).status_code
        for one in (made["password"], fresh)
    ]
    assert statuses == [401, 201]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("add", "king", "--role", "king"), "access.role_unknown"),
        (("password", "nobody"), "cli.user_unknown"),
        (("disable", "nobody"), "cli.user_unknown"),
        (("token", "t", "--permission", "intake.wrote"), "access.action_unknown"),
    ],
)
def test_a_wrong_name_is_refused_with_the_code(at, arguments: tuple[str, ...], code: str) -> None:
    answer = at("user", *arguments, check=False)

    assert answer.returncode == 1
    assert code in complaint(answer)


def test_a_token_may_do_what_it_is_for_and_nothing_else(at, lines, city) -> None:
    (made,) = lines(at("user", "token", "feed", "--permission", "intake.write", "--json").stdout)
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    point = {
        "entity": GAUGE,
        "type": "WaterLevelObserved",
        "property": "waterLevel",
        "value": 0.75,
        "observedAt": "2026-01-01T00:00:00Z",
    }

    sent = httpx.post(f"{city.url}/ingest/v1/readings", json=point, headers=bearer, trust_env=False)
    peeked = httpx.get(f"{city.url}/api/v1/users", headers=bearer, trust_env=False)

    assert (sent.status_code, sent.json()["stored"], peeked.status_code) == (200, 1, 403)


def test_packs_are_listed_checked_and_tested(at, lines) -> None:
    listed = {one["name"]: one["state"] for one in lines(at("pack", "list", "--json").stdout)}
    (checked,) = lines(at("pack", "check", "flood", "--json").stdout)
    played = lines(at("pack", "test", "traffic", "--json").stdout)

    assert listed == {"air": "enabled", "flood": "enabled", "traffic": "enabled"}
    assert (checked["pack"], checked["problems"]) == ("flood", 0)
    assert played
    assert {one["passed"] for one in played} == {True}


TRIED = """rules:
  - id: high
    kind: threshold
    select: {type: WaterLevelObserved, id: "urn:ngsi-ld:WaterLevelObserved:c-tried"}
    value: waterLevel
    levels: {orange: 2}
    category: flood
    headline: {en: "{name} at {value:.1f} m", zh: "{name}水位{value:.1f}米"}
"""


def test_rules_are_listed_tried_and_explained(at, lines, city, wait_for, tmp_path) -> None:
    (drain,) = lines(at("rules", "list", "-q", "drain-level", "--json").stdout)
    assert (drain["id"], drain["state"]) == ("flood/drain-level", "active")
    assert {one["kind"] for one in lines(at("rules", "list", "--kind", "rate", "--json").stdout)} == {"rate"}
    assert "kind: threshold" in at("rules", "show", "flood/drain-level").stdout
    assert "flood" in complaint(at("rules", "show", "flood", check=False))

    (made,) = lines(at("user", "token", "tried", "--permission", "intake.write", "--json").stdout)
    entity = "urn:ngsi-ld:WaterLevelObserved:c-tried"
    points = [
        {"entity": entity, "type": "WaterLevelObserved", "property": "waterLevel", "value": value, "observedAt": at_}
        for value, at_ in ((1.0, "2026-02-01T08:00:00Z"), (2.5, "2026-02-01T09:00:00Z"), (0.5, "2026-02-01T10:00:00Z"))
    ]
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    httpx.post(f"{city.url}/ingest/v1/readings", json=points, headers=bearer, trust_env=False).raise_for_status()
    file = tmp_path / "high.yaml"
    file.write_text(TRIED, encoding="utf-8")
    span = ("--from", "2026-02-01", "--to", "2026-02-02", "--json")
    tried = wait_for(lambda: lines(at("rules", "try", file, *span).stdout), message="what the rule would have raised")
    assert [(one["at"][:19], one["state"]) for one in tried] == [
        ("2026-02-01T09:00:00", "raised"),
        ("2026-02-01T10:00:00", "cleared"),
    ]
    file.write_text(TRIED.replace("orange: 2", "orange: 9"), encoding="utf-8")
    told = at("rules", "try", file, *span[:-1])
    assert "It would not have fired." in told.stdout
    assert "3 readings" in told.stderr
    assert "--last" in complaint(at("rules", "try", file, "--last", "7d", "--from", "2026-02-01", check=False))


def test_a_warning_is_explained_by_its_id(at, lines, city, wait_for) -> None:
    """The flood pack's rule on drains holds for two seconds, so a rising level is sent for some."""
    (made,) = lines(at("user", "token", "rising", "--permission", "intake.write", "--json").stdout)
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    entity = "urn:ngsi-ld:WaterLevelObserved:c-rising"
    with closing(city.admin()) as admin:
        site = {"type": "Property", "value": "drain"}
        drain = {"id": entity, "type": "WaterLevelObserved", "siteCategory": site}
        admin.post("/entities", json=drain).raise_for_status()

        def warned() -> object:
            reading = {"property": "waterLevel", "value": 2.2, "observedAt": datetime.now(UTC).isoformat()}
            point = {"entity": entity, "type": "WaterLevelObserved", **reading}
            sent = httpx.post(f"{city.url}/ingest/v1/readings", json=[point], headers=bearer, trust_env=False)
            assert sent.json()["stored"] == 1
            found = admin.get("/warnings", params={"limit": 200}).json()["items"]
            return [one["id"] for one in found if one["entity_id"] == entity and one["rule_id"] == "flood/drain-level"]

        (warning,) = wait_for(warned, timeout_s=60, message="a warning")
    states = lines(at("rules", "explain", warning, "--json").stdout)
    assert states[0]["change"] == "raised"
    assert states[0]["rule"] == "flood/drain-level"
    assert states[0]["inputs"]["waterLevel"]["value"] == 2.2
    assert "waterLevel=2.2" in at("rules", "explain", warning).stdout


def test_a_pack_goes_out_of_service_and_comes_back(at, lines) -> None:
    at("pack", "disable", "traffic")
    off = {one["name"]: one["state"] for one in lines(at("pack", "list", "--json").stdout)}
    at("pack", "enable", "traffic")
    on = {one["name"]: one["state"] for one in lines(at("pack", "list", "--json").stdout)}

    assert (off["traffic"], on["traffic"]) == ("disabled", "enabled")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("query", "WaterLevel"), "vocabulary.type_unknown"),
        (("query", "WaterLevelObserved", "--zone", "Mars/Base"), "time.zone_unknown"),
        (("query", "WaterLevelObserved", "--from", "yesterday"), "time.unreadable"),
        (("load", "/nowhere.csv", "--as", "prsa-air"), "load.file_missing"),
        (("pack", "check", "nowhere"), "pack.unknown"),
        (("pack", "enable", "nowhere"), "pack.unknown"),
    ],
)
def test_a_mistake_ends_in_one_line_with_its_code(at, arguments: tuple[str, ...], code: str) -> None:
    answer = at(*arguments, check=False)

    assert (answer.returncode, answer.stdout) == (1, "")
    assert f"({code})" in complaint(answer)


@pytest.mark.parametrize("arguments", [("bogus",), ("devices", "add"), ("query",), ("query", "X", "--limit", "none")])
def test_wrong_usage_ends_with_2(gulou, arguments: tuple[str, ...]) -> None:
    answer = gulou(*arguments, check=False)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Usage:" in answer.stderr


@pytest.mark.parametrize(
    "command",
    ["run", "demo", "load", "replay", "query", "devices", "pack", "new", "user", "doctor", "bench", "simulate"],
)
def test_each_command_has_help(gulou, command: str) -> None:
    answer = gulou(command, "--help")

    assert f"gulou {command}" in answer.stdout
    assert len(answer.stdout.splitlines()) > 5


def test_replay_sends_history_as_if_it_were_now(at, lines, tmp_path) -> None:
    file = tmp_path / "speeds.csv"
    head = "status,avgMeasuredTime,avgSpeed,extID,medianMeasuredTime,TIMESTAMP,vehicleCount,_id,REPORT_ID\n"
    rows = [f"OK,70,{50 + n},668,74,2014-08-01T07:{n * 5:02d}:00,5,1,replayed\n" for n in range(6)]
    file.write_text(head + "".join(rows), encoding="utf-8")

    (sums,) = lines(at("replay", file, "--as", "aarhus-traffic", "--speed", "1500", "--json").stdout)

    assert (sums["received"], sums["stored"], sums["skipped"]) == (24, 24, 0)
    (now,) = lines(at("query", "TrafficFlowObserved", "--id", "*replayed", "--now", "--json").stdout)
    assert now["averageVehicleSpeed"] == 55
    old = at("query", "TrafficFlowObserved", "--id", "*replayed", "--to", "2020-01-01", "--json").stdout
    assert old == ""
