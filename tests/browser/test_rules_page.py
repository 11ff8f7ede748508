"""Rules in the browser: very many are found by words, kind and state; one that was put aside judges again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]

PACK = """\
pack: gauges
version: 1.0.0
title: {en: Gauges, zh: 水尺}
description: {en: One rule for each., zh: 每个水尺一条规则。}
gulou: "0.1"
licence: Apache-2.0
"""
LIMIT = (
    "  - {{id: gauge-{n}, kind: threshold, value: waterLevel, levels: {{orange: 2}}, category: flood, headline: high,\n"
    '     label: {{en: "Gauge {n} is high", zh: "水尺{n}水位高"}},\n'
    '     select: {{type: WaterLevelObserved, id: "urn:ngsi-ld:WaterLevelObserved:gauge-{n}"}}}}\n'
)
SILENT = (
    "  - {id: silent, kind: absence, levels: {blue: 9d}, category: flood, headline: silent,\n"
    "     select: {type: WaterLevelObserved}}\n"
)


@pytest.fixture(scope="module")
def gauges(running_gulou, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A small city with 251 rules, where judging two readings is dearer than a rule may be."""
    data = tmp_path_factory.mktemp("gauges") / "data"
    (data / "packs" / "gauges" / "rules").mkdir(parents=True)
    (data / "packs" / "gauges" / "pack.yaml").write_text(PACK, encoding="utf-8")
    text = "rules:\n" + "".join(LIMIT.format(n=n) for n in range(250)) + SILENT
    (data / "packs" / "gauges" / "rules" / "all.yaml").write_text(text, encoding="utf-8")
    (data / "city.toml").write_text("[rules]\nbudget_us = 0.001\nbudget_readings = 2\n", encoding="utf-8")
    running = running_gulou(data).start()
    with closing(running.admin()) as admin:
        admin.post("/packs/gauges/enable").raise_for_status()
    yield running
    running.stop()


@pytest.fixture
def rules_page(page: Page, gauges, sign_in: Callable[[Page, str, str], None]) -> Page:
    sign_in(page, gauges.url, gauges.said["password"])
    page.goto(f"{gauges.url}/rules?pack=gauges", wait_until="domcontentloaded")
    page.get_by_test_id("rule-row").first.wait_for()
    return page


def row(page: Page, name: str):
    return page.locator(f'[data-testid="rule-row"][data-rule-id="gauges/{name}"]')


def test_rules_are_found_by_words_and_kind_and_read_on(rules_page: Page) -> None:
    page, rows = rules_page, rules_page.get_by_test_id("rule-row")
    expect(page.get_by_test_id("rule-count")).to_have_attribute("data-total", "251")
    expect(rows).to_have_count(100)
    page.get_by_test_id("more-rules").click()
    expect(rows).to_have_count(200)
    page.get_by_test_id("more-rules").click()
    expect(rows).to_have_count(251)
    expect(page.get_by_test_id("more-rules")).to_have_count(0)

    page.get_by_test_id("rule-search").fill("gauge-17 HIGH")
    expect(rows).to_have_count(11)  # 17 and 170 to 179
    page.get_by_test_id("rule-search").fill("水尺249")
    expect(rows).to_have_count(1)
    expect(row(page, "gauge-249")).to_be_visible()
    page.wait_for_url("**q=*")
    page.reload()
    expect(page.get_by_test_id("rule-search")).to_have_value("水尺249")
    expect(rows).to_have_count(1)
    page.locator("body").press("Enter")
    expect(page.get_by_test_id("rule-detail")).to_contain_text("gauge-249")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("rule-detail")).to_have_count(0)

    page.get_by_test_id("rule-search").fill("no such rule")
    page.get_by_role("button", name="Show all rules").click()
    expect(page.get_by_test_id("rule-count")).to_have_attribute("data-total", "251")
    expect(page.get_by_test_id("rule-search")).to_have_value("")
    page.goto(page.url + "&kind=absence", wait_until="domcontentloaded")
    expect(rows).to_have_count(1)
    expect(row(page, "silent")).to_be_visible()
    assert page.problems == []  # type: ignore[attr-defined]


def send(gauges, gauge: int, *levels: float) -> None:
    token = json.loads((gauges.data / "server.json").read_bytes())["token"]
    for level in levels:
        point = {
            "entity": f"urn:ngsi-ld:WaterLevelObserved:gauge-{gauge}",
            "type": "WaterLevelObserved",
            "property": "waterLevel",
            "value": level,
            "observedAt": datetime.now(UTC).isoformat(),
        }
        url = f"{gauges.url}/ingest/v1/readings"
        httpx.post(url, json=[point], headers={"Authorization": f"Bearer {token}"}, trust_env=False).raise_for_status()


def test_a_rule_is_tried_on_history_as_it_is_and_changed(rules_page: Page, gauges) -> None:
    page, outcome = rules_page, rules_page.get_by_test_id("trial-outcome")
    send(gauges, 7, 3.0, 1.0, 4.0)
    page.goto(f"{gauges.url}/rules?rule=gauges/gauge-7", wait_until="domcontentloaded")
    page.get_by_test_id("trial-run").click()
    expect(outcome).to_have_attribute("data-readings", "3")
    expect(outcome).to_have_attribute("data-raised", "2")
    expect(page.get_by_test_id("trial-firing")).to_have_count(3)
    expect(page.get_by_test_id("trial-firing").first).to_contain_text("gauge-7")

    page.get_by_test_id("trial-edit").click()
    text = page.get_by_test_id("trial-text")
    own = text.input_value()
    text.fill(own.replace("orange: 2", "orange: 3.5"))
    page.get_by_test_id("trial-run").click()
    expect(outcome).to_have_attribute("data-raised", "1")
    text.fill(own.replace("orange: 2", "orange: 9"))
    page.get_by_test_id("trial-run").click()
    expect(outcome).to_contain_text("3 readings: it would have raised nothing")
    text.fill(own.replace("kind: threshold", "kind: treshold"))
    page.get_by_test_id("trial-run").click()
    expect(page.get_by_test_id("error-state")).to_contain_text("threshold")
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_rule_that_was_put_aside_is_found_and_released(rules_page: Page, gauges) -> None:
    page = rules_page
    send(gauges, 42, 3.0, 1.0, 3.0)
    page.goto(f"{gauges.url}/rules?pack=gauges&state=quarantined", wait_until="domcontentloaded")
    found = row(page, "gauge-42")
    expect(found).to_be_visible()
    found.get_by_role("button").click()
    page.get_by_role("button", name="Let it judge again").click()
    expect(page.get_by_text("The rule judges again, from the beginning")).to_be_visible()
    expect(page.get_by_test_id("put-aside")).to_have_count(0)
    expect(found).to_have_count(0)
    with closing(gauges.admin()) as admin:
        assert admin.get("/rules/gauges/gauge-42").json()["state"] == "active"
    assert page.problems == []  # type: ignore[attr-defined]
