"""Engine and web, each killed alone or both: the other goes on, what was acknowledged is there, all mends itself."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest

pytestmark = pytest.mark.integration

FIRST = "2026-01-01T{hour:02d}:{minute:02d}:{second:02d}Z"
GAUGE = "urn:ngsi-ld:WaterLevelObserved:gauge-1"


@pytest.fixture
def house(running_gulou, tmp_path):
    """A server whose processes a test may kill."""
    running = running_gulou(tmp_path / "data").start()
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def admin(house):
    with closing(house.admin()) as client:
        yield client


def announced(house) -> dict:
    return json.loads((house.data / "server.json").read_bytes())


def bearer(house) -> dict[str, str]:
    return {"Authorization": f"Bearer {announced(house)['token']}"}


def rows(numbers) -> list[dict]:
    return [
        {
            "entity": GAUGE,
            "type": "WaterLevelObserved",
            "property": "waterLevel",
            "value": number / 1000,
            "observedAt": FIRST.format(hour=number // 3600, minute=number // 60 % 60, second=number % 60),
        }
        for number in numbers
    ]


def send(url: str, headers: dict[str, str], numbers, timeout: float = 30) -> httpx.Response:
    return httpx.post(
        f"{url}/ingest/v1/readings", json=rows(numbers), headers=headers, trust_env=False, timeout=timeout
    )


def readiness(house) -> tuple[int, dict]:
    try:
        answer = httpx.get(f"{house.url}/api/v1/health/ready", trust_env=False, timeout=60)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json().get("parts", {})


def end(house, part: str) -> int:
    pid = house.pid_of(part)
    os.kill(pid, signal.SIGKILL)
    return pid


def is_back(house, part: str, before: int) -> bool:
    return house.pid_of(part) not in (None, before) and readiness(house)[0] == 200


def stored(gulou, lines, data) -> list[float]:
    asked = gulou("query", "WaterLevelObserved", "--id", GAUGE, "--property", "waterLevel", "--json", "--data", data)
    return sorted(row["value"] for row in lines(asked.stdout))


def level_now(admin) -> float | None:
    answer = admin.get(f"/entities/{GAUGE}")
    return answer.json()["waterLevel"]["value"] if answer.status_code == 200 else None


def test_two_processes_are_seen(house, gulou, lines) -> None:
    names = {part: Path(f"/proc/{house.pid_of(part)}/comm").read_text().strip() for part in ("engine", "web")}
    assert names == {"engine": "gulou-engine", "web": "gulou-web"}
    listed = lines(gulou("status", "--json", "--data", house.data).stdout)
    assert {line["part"]: line["state"] for line in listed} == dict.fromkeys(("engine", "web", "supervisor"), "running")
    assert all(line["memory_mb"] > 10 for line in listed)


def test_readings_by_either_port_are_one_account(house, admin, gulou, lines, wait_for) -> None:
    for url, numbers in ((house.url, range(5)), (house.said["ingest_url"], range(5, 10))):
        answer = send(url, bearer(house), numbers)
        assert (answer.status_code, answer.json()["stored"]) == (200, 5)
    assert admin.get("/accounting").json()["total"]["stored"] == 10
    wait_for(lambda: stored(gulou, lines, house.data) == [number / 1000 for number in range(10)])
    assert level_now(admin) == 0.009


def test_a_killed_engine_is_told_and_nothing_is_lost(house, admin, gulou, lines, wait_for) -> None:
    assert send(house.url, bearer(house), range(20)).status_code == 200
    wait_for(lambda: level_now(admin) == 0.019)

    before = end(house, "engine")
    wait_for(lambda: readiness(house) == (503, {"engine": "away", "intake": "paused"}), message="told")
    assert level_now(admin) == 0.019  # pages go on
    refused = admin.post("/devices", json={"id": "d-1", "name": "d", "adapter": "http", "bindings": []})
    assert refused.status_code == 201 or refused.json()["code"] == "engine.away"
    wait_for(lambda: is_back(house, "engine", before), timeout_s=90, message="started again")

    assert send(house.url, bearer(house), range(20, 30)).json()["stored"] == 10
    assert send(house.said["ingest_url"], bearer(house), range(30, 40)).json()["stored"] == 10
    assert admin.get("/accounting").json()["total"]["stored"] == 40
    wait_for(lambda: stored(gulou, lines, house.data) == [number / 1000 for number in range(40)])


def test_while_the_engine_is_away_a_sender_is_told_to_wait(house, wait_for) -> None:
    pid = house.pid_of("engine")
    headers = bearer(house)
    answers: list[int] = []
    os.kill(pid, signal.SIGKILL)
    while not (answers and answers[-1] == 200 and house.pid_of("engine") not in (None, pid)):
        answer = send(house.url, headers, [len(answers)], timeout=90)
        answers.append(answer.status_code)
        if answer.status_code != 200:
            assert answer.headers["retry-after"]
            assert answer.json()["code"] == "engine.away"
        assert len(answers) < 3_000
        time.sleep(0.05)
    assert set(answers) == {200, 503}


def test_a_killed_web_process_catches_up(house, admin, gulou, lines, wait_for) -> None:
    headers, ingest = bearer(house), house.said["ingest_url"]
    send(ingest, headers, range(10))
    before = end(house, "web")
    assert send(ingest, headers, range(10, 20)).json()["stored"] == 10  # taken while nobody serves pages
    wait_for(lambda: is_back(house, "web", before), timeout_s=90, message="started again")

    assert bearer(house) == headers  # a command that runs meanwhile can go on
    wait_for(lambda: stored(gulou, lines, house.data) == [number / 1000 for number in range(20)])
    assert level_now(admin) == 0.019
    assert admin.get("/accounting").json()["total"]["stored"] == 20


PACK = """\
pack: pumps
version: 0.1.0
title: {en: Pumps, zh: 水泵}
description: {en: A pump for a gauge., zh: 一泵一计。}
gulou: "0.1"
licence: Apache-2.0
"""
RULES = """\
rules:
  - id: high
    kind: threshold
    select: {type: WaterLevelObserved}
    value: waterLevel
    levels: {orange: 2}
    hysteresis: 0.2
    category: flood
    headline: {en: "{name}: {value:.2f} m", zh: "{name}水位{value:.2f}米"}
    commands:
      - target: {type: Pump, where: drains = this}
        name: switch
        parameters: {powerState: "on"}
        approval: none
"""


def test_rules_of_the_engine_know_what_was_written_through_the_page(house, admin, wait_for) -> None:
    pack = house.data / "packs" / "pumps"
    (pack / "rules").mkdir(parents=True)
    (pack / "pack.yaml").write_text(PACK, encoding="utf-8")
    (pack / "rules" / "high.yaml").write_text(RULES, encoding="utf-8")
    assert admin.post("/packs/pumps/enable").status_code == 200
    assert "pumps/high" in [rule["id"] for rule in admin.get("/rules", params={"limit": 500}).json()["items"]]
    drains = {"type": "Relationship", "object": GAUGE}
    assert admin.post("/entities", json={"id": PUMP, "type": "Pump", "drains": drains}).status_code == 201
    binding = {"entity_id": PUMP, "entity_type": "Pump"}
    device = {"id": "pump-1", "name": "pump", "adapter": "http", "kind": "actuator", "bindings": [binding]}
    assert admin.post("/devices", json=device).status_code == 201

    level(house, 5.0)
    wait_for(lambda: len(causes(admin)) == 1, timeout_s=60, message="a command")
    wait_for(lambda: warnings(admin) == ["orange"], timeout_s=60, message="a warning")
    level(house, 0.5)
    before = end(house, "engine")
    wait_for(lambda: is_back(house, "engine", before), timeout_s=90)
    level(house, 6.0)
    wait_for(lambda: len(causes(admin)) == 2, timeout_s=60, message="a command of the new engine")
    wait_for(lambda: warnings(admin) == ["orange"], timeout_s=60, message="a warning")


def test_more_is_found_than_the_engine_keeps_while_the_page_is_away(running_gulou, tmp_path, wait_for) -> None:
    data = tmp_path / "data"
    rules = data / "packs" / "pumps" / "rules"
    rules.mkdir(parents=True)
    (rules.parent / "pack.yaml").write_text(PACK, encoding="utf-8")
    (rules / "high.yaml").write_text(RULES, encoding="utf-8")
    (data / "city.toml").write_text("[bridge]\nkept_messages = 5\n", encoding="utf-8")
    house = running_gulou(data).start()
    try:
        with closing(house.admin()) as admin:
            assert admin.post("/packs/pumps/enable").status_code == 200
            levels(house, 5.0, range(3))
            wait_for(lambda: seen(admin) == {f"gauge-{n}": ["active"] for n in range(3)}, timeout_s=60)
            before = end(house, "web")
            levels(house, 5.0, range(3, 90))
            levels(house, 0.5, range(40))  # some end before anybody has heard of them
            levels(house, 6.0, range(10))  # and some begin anew
            wait_for(lambda: is_back(house, "web", before), timeout_s=90)
            levels(house, 7.0, range(90, 95))
            expected = {f"gauge-{n}": ["cleared"] if n < 40 else ["active"] for n in range(95)}
            expected |= {f"gauge-{n}": ["active", "cleared"] for n in range(10)}
            wait_for(lambda: seen(admin) == expected, timeout_s=60, message="every warning, once")
    finally:
        house.stop()


def levels(house, value: float, gauges) -> None:
    now = datetime.now(ZoneInfo("UTC")).isoformat()
    points = [
        {**rows([1])[0], "entity": f"urn:ngsi-ld:WaterLevelObserved:gauge-{n}", "value": value, "observedAt": now}
        for n in gauges
    ]
    answer = httpx.post(
        f"{house.said['ingest_url']}/ingest/v1/readings", json=points, headers=bearer(house), trust_env=False
    )
    assert answer.json()["stored"] == len(points)


def seen(admin) -> dict[str, list[str]]:
    """The states of every gauge's warnings."""
    found: dict[str, list[str]] = {}
    for one in admin.get("/warnings", params={"limit": 500}).json()["items"]:
        if one["rule_id"] == "pumps/high":
            found.setdefault(one["entity_id"].rpartition(":")[2], []).append(one["state"])
    return {name: sorted(states) for name, states in found.items()}


PUMP = "urn:ngsi-ld:Pump:p-1"


def level(house, value: float) -> None:
    now = datetime.now(ZoneInfo("UTC")).isoformat()
    point = {**rows([1])[0], "value": value, "observedAt": now}
    answer = httpx.post(
        f"{house.said['ingest_url']}/ingest/v1/readings", json=[point], headers=bearer(house), trust_env=False
    )
    assert answer.json()["stored"] == 1


def causes(admin) -> set[str]:
    return {one["cause"] for one in admin.get("/commands", params={"limit": 100}).json()["items"]}


def warnings(admin) -> list[str]:
    """Severities of the warnings of this rule that stand."""
    found = admin.get("/warnings", params={"state": "active"}).json()["items"]
    return [one["severity"] for one in found if one["rule_id"] == "pumps/high"]


def test_both_killed_come_back(house, admin, gulou, lines, wait_for) -> None:
    send(house.url, bearer(house), range(10))
    before = {part: end(house, part) for part in ("engine", "web")}
    wait_for(lambda: all(is_back(house, part, pid) for part, pid in before.items()), timeout_s=90)
    send(house.url, bearer(house), range(10, 12))
    wait_for(lambda: stored(gulou, lines, house.data) == [number / 1000 for number in range(12)])


def test_a_killed_supervisor_takes_its_parts_with_it(house, running_gulou, gulou, lines, wait_for) -> None:
    send(house.url, bearer(house), range(10))
    parts = [house.pid_of("engine"), house.pid_of("web")]
    house.process.kill()
    house.process.wait(10)
    house._close()
    again = running_gulou(house.data).start()  # waits until the last of them has ended
    try:
        assert not any(is_alive(pid) for pid in parts)
        assert stored(gulou, lines, house.data) == [number / 1000 for number in range(10)]
    finally:
        again.stop()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_killed_again_and_again_under_load_every_acknowledged_reading_is_stored_once(
    house, admin, gulou, lines, wait_for
) -> None:
    headers, done = bearer(house), threading.Event()
    acknowledged: set[int] = set()
    sent: set[int] = set()

    def load() -> None:
        for number in itertools.count():
            if done.is_set():
                return
            sent.add(number)
            try:
                answer = send(house.said["ingest_url"], headers, [number], timeout=20)
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                acknowledged.add(number)

    sender = threading.Thread(target=load)
    sender.start()
    for part in ("engine", "web", "engine"):
        count = len(acknowledged)
        wait_for(lambda count=count: len(acknowledged) > count + 20, timeout_s=90, message="acknowledgements")
        before = end(house, part)
        wait_for(lambda part=part, before=before: is_back(house, part, before), timeout_s=90, message=part)
    done.set()
    sender.join()

    levels = {number / 1000 for number in acknowledged}
    wait_for(lambda: levels <= set(stored(gulou, lines, house.data)), message="all that was acknowledged")
    found = stored(gulou, lines, house.data)
    assert len(found) == len(set(found))
    assert set(found) <= {number / 1000 for number in sent}
    sums = admin.get("/accounting").json()["total"]
    assert sums["received"] == sums["stored"] + sums["rejected"] + sums["dropped"]
    assert sums["stored"] == len(found)
