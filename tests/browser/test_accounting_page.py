"""Received = stored + rejected + dropped, on the page; what is refused shows its bytes and can be replayed."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]
ENTITY = "urn:ngsi-ld:WaterLevelObserved:ledger-1"


@pytest.fixture
def send(stormy_city, chief: httpx.Client, request: pytest.FixtureRequest) -> Callable[[bytes], dict]:
    """Post a payload as a new device that is bound to nothing yet."""
    device_id = request.node.name
    body = {"id": device_id, "name": "Gauge", "adapter": "http", "kind": "sensor", "bindings": [], "labels": {}}
    chief.post("/devices", json=body).raise_for_status()
    secret = chief.post(f"/devices/{device_id}/credentials", json={}).raise_for_status().json()["secret"]

    def post(payload: bytes) -> httpx.Response:
        return httpx.post(
            f"{stormy_city.url}/ingest/v1/readings",
            content=payload,
            headers={"Content-Type": "application/json"},
            auth=(device_id, secret),
            trust_env=False,
        )

    return post


def figure(page: Page, name: str) -> int:
    return int(page.get_by_test_id(f"total-{name}").get_attribute("data-value") or -1)


def test_the_ledger_is_live_and_adds_up(visit: Callable[..., Page], send, wait_for: Callable[..., object]) -> None:
    page = visit("/accounting")
    expect(page.get_by_test_id("accounting-total")).to_have_attribute("data-balanced", "true")
    received, rejected = figure(page, "received"), figure(page, "rejected")
    send(b"\x00\xff no JSON at all")
    wait_for(lambda: figure(page, "rejected") > rejected, 20, "the reject is counted without a reload")
    wait_for(lambda: figure(page, "received") > received, 20, "the city goes on")
    expect(page.get_by_test_id("accounting-total")).to_have_attribute("data-balanced", "true")
    gaps = page.get_by_test_id("account-check").evaluate_all("all => all.map(one => one.dataset.gap)")
    assert gaps and set(gaps) == {"0"}
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_reject_shows_its_reason_and_its_bytes(visit: Callable[..., Page], send) -> None:
    send(b"garbage \x00\xff\xfe")
    page = visit("/accounting?code=payload.malformed")
    row = page.locator('[data-testid="rejected-row"]').filter(has_text="test_a_reject_shows")
    row.first.click()
    detail = page.get_by_test_id("rejected-detail")
    expect(detail).to_contain_text("cannot be read as json")
    expect(page.get_by_test_id("raw-bytes")).to_contain_text("67 61 72 62 61 67 65 20 00 ff fe")
    codes = page.locator('[data-testid="rejected-row"]').evaluate_all("all => all.map(one => one.dataset.code)")
    assert set(codes) == {"payload.malformed"}
    assert page.problems == []  # type: ignore[attr-defined]


def test_what_was_refused_is_stored_by_a_replay_once_its_cause_is_mended(
    visit: Callable[..., Page], send, chief: httpx.Client, request: pytest.FixtureRequest
) -> None:
    device_id = request.node.name
    assert send(b'{"waterLevel": 1.25}').json()["rejected"] == 1
    page = visit(f"/accounting?q={device_id}")
    row = page.get_by_test_id("rejected-row")
    expect(row).to_have_count(1)
    binding = {"entity_id": ENTITY, "entity_type": "WaterLevelObserved", "channel": "*"}
    chief.patch(f"/devices/{device_id}", json={"bindings": [binding]}).raise_for_status()
    row.locator("input[type=checkbox]").check()
    page.get_by_test_id("replay").click()
    expect(page.get_by_text("1 stored")).to_be_visible()
    expect(row.get_by_text("Replayed")).to_be_visible()
    shown = chief.get(f"/entities/{ENTITY}", params={"format": "keyValues"}).raise_for_status().json()
    assert shown["waterLevel"] == 1.25
    assert page.problems == []  # type: ignore[attr-defined]
