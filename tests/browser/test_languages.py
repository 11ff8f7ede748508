"""Chinese and English: switched in place, on every tab, without a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]
HEADINGS = {
    "warnings": ("Warnings", "预警"),
    "incidents": ("Incidents", "事件"),
    "devices": ("Devices", "设备"),
    "accounting": ("Accounting", "对账"),
    "rules": ("Rules", "规则"),
    "performance": ("Performance", "运行"),
    "admin": ("Admin", "管理"),
}


def speak(page: Page, language: str) -> None:
    page.get_by_test_id("profile-menu").click()
    page.get_by_test_id(f"language-{language}").click()


def test_every_page_follows_the_choice_without_a_reload(visit: Callable[..., Page]) -> None:
    page = visit("/warnings")
    page.evaluate("window.__neverReloaded = true")
    for key, (english, chinese) in HEADINGS.items():
        page.get_by_test_id(f"nav-{key}").click()
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_have_text(english)
        speak(page, "zh")
        expect(heading).to_have_text(chinese)
        expect(page).to_have_title(f"{chinese} · 鼓楼")
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        speak(page, "en")
        expect(heading).to_have_text(english)
    assert page.evaluate("window.__neverReloaded") is True
    assert page.problems == []  # type: ignore[attr-defined]


def test_the_map_stays_where_it_is(visit: Callable[..., Page]) -> None:
    page = visit("/?sel=urn:ngsi-ld:Pump:pump-1")
    panel = page.get_by_test_id("entity-panel")
    heading = panel.get_by_role("heading", level=2)
    expect(heading).to_have_text("Drainage pump 1, East Gate Underpass", timeout=20_000)
    page.locator("canvas.maplibregl-canvas").evaluate("canvas => { canvas.dataset.first = 'yes' }")
    speak(page, "zh")
    expect(heading).to_have_text("东门下穿隧道排水泵1号")
    expect(page.locator("canvas.maplibregl-canvas")).to_have_attribute("data-first", "yes")
    assert page.problems == []  # type: ignore[attr-defined]


def test_what_the_server_words_changes_too(visit: Callable[..., Page]) -> None:
    page = visit("/devices/nothing-of-this-name")
    expect(page.get_by_test_id("error-state")).to_contain_text("is not registered")
    speak(page, "zh")
    expect(page.get_by_test_id("error-state")).not_to_contain_text("is not registered")


def test_another_tab_follows(visit: Callable[..., Page], stormy_city) -> None:
    page = visit("/rules")
    other = page.context.new_page()
    other.goto(f"{stormy_city.url}/incidents", wait_until="domcontentloaded")
    expect(other.get_by_role("heading", level=1)).to_have_text("Incidents")
    speak(page, "zh")
    expect(other.get_by_role("heading", level=1)).to_have_text("事件")
