"""Each role sees what it may, is told what it may not, and gets no button that would fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]
NAV = {
    "viewer": {"map", "warnings", "incidents", "devices"},
    "duty-officer": {"map", "warnings", "incidents", "devices", "accounting", "rules", "performance", "admin"},
    "steward": {"map", "warnings", "incidents", "devices", "accounting", "rules", "performance", "admin"},
    "device-integrator": {"map", "devices", "accounting"},
    "admin": {"map", "warnings", "incidents", "devices", "accounting", "rules", "performance", "admin"},
}


@pytest.mark.parametrize("role", NAV)
def test_the_bar_has_the_pages_of_the_role(visit: Callable[..., Page], role: str) -> None:
    page = visit("/devices", role=role)
    page.get_by_test_id("nav-map").wait_for()
    ids = page.locator("nav a").evaluate_all("all => all.map(one => one.dataset.testid)")
    assert {one.removeprefix("nav-") for one in ids} == NAV[role]


@pytest.mark.parametrize("path", ["/accounting", "/rules"])
def test_a_link_to_a_page_that_one_may_not_see_says_so(visit: Callable[..., Page], path: str) -> None:
    page = visit(path, role="viewer")
    expect(page.get_by_test_id("error-state")).to_have_count(1)
    expect(page.get_by_test_id("error-state")).to_contain_text("You may not see this")
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")
    assert page.problems == []  # type: ignore[attr-defined]


def test_the_admin_page_of_a_viewer_is_empty_and_says_why(visit: Callable[..., Page]) -> None:
    page = visit("/settings", role="viewer")
    expect(page.get_by_test_id("empty-state")).to_contain_text("You may not see this")


def test_a_viewer_gets_no_button_that_would_fail(visit: Callable[..., Page]) -> None:
    page = visit("/devices/pump-1", role="viewer")
    expect(page.get_by_test_id("value-powerState")).to_be_visible()
    for button in ("command-send", "issue-credentials"):
        expect(page.get_by_test_id(button)).to_have_count(0)
    page.get_by_test_id("nav-devices").click()
    page.get_by_test_id("device-row").first.wait_for()
    for button in ("new-device", "import-devices"):
        expect(page.get_by_test_id(button)).to_have_count(0)
    page.get_by_test_id("nav-warnings").click()
    page.get_by_test_id("warning-row").first.click()
    page.get_by_test_id("warning-detail").wait_for()
    for button in ("acknowledge", "detail-acknowledge", "open-incident", "approve", "decline"):
        expect(page.get_by_test_id(button)).to_have_count(0)
    page.get_by_test_id("nav-incidents").click()
    page.get_by_role("heading", level=1).wait_for()
    expect(page.get_by_test_id("new-incident")).to_have_count(0)
    assert page.problems == []  # type: ignore[attr-defined]


def test_the_map_of_one_who_may_not_see_warnings_does_not_claim_that_all_is_calm(visit: Callable[..., Page]) -> None:
    page = visit("/", role="device-integrator")
    page.get_by_test_id("city-map").wait_for()
    expect(page.get_by_test_id("map-warnings")).to_have_count(0)
    expect(page.get_by_test_id("active-warning-count")).to_have_count(0)


def test_signing_out_in_one_tab_signs_out_the_other(visit: Callable[..., Page], stormy_city, chief) -> None:
    made = chief.post("/users", json={"name": "two-tabs", "roles": ["viewer"]}).raise_for_status().json()
    page = visit("/devices", role="viewer")
    page.context.clear_cookies()
    page.goto(f"{stormy_city.url}/sign-in", wait_until="domcontentloaded")
    page.get_by_test_id("sign-in-name").fill("two-tabs")
    page.get_by_test_id("sign-in-password").fill(made["password"])
    page.get_by_test_id("sign-in-submit").click()
    page.get_by_test_id("profile-menu").wait_for()
    other = page.context.new_page()
    other.goto(f"{stormy_city.url}/devices", wait_until="domcontentloaded")
    other.get_by_test_id("device-row").first.wait_for()
    page.get_by_test_id("profile-menu").click()
    page.get_by_test_id("sign-out").click()
    page.get_by_test_id("sign-in-form").wait_for()
    other.get_by_test_id("sign-in-form").wait_for()
