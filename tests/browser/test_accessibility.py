"""Every page and every dialog against WCAG 2.2 A and AA by axe-core, in both languages and both themes.

A canvas (map, charts) is beyond what axe can judge; what stands beside it (lists, labels) is not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.integration]
AXE = Path(__file__).resolve().parents[2] / "console" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
LOOKS = [("en", "dark"), ("zh", "light")]
"""Names depend on the language, contrast on the theme: two looks have seen all of both."""

Opener = Callable[[Page], None]


def click(*test_ids: str) -> Opener:
    """Click one after the other."""

    def go(page: Page) -> None:
        for test_id in test_ids:
            page.get_by_test_id(test_id).first.click()

    return go


def by_hand(selector: str) -> Opener:
    return lambda page: page.locator(selector).first.click()


def search(page: Page) -> None:
    page.get_by_test_id("map-search").fill("pump")
    page.get_by_test_id("search-hit").first.wait_for()


def nothing(page: Page) -> None:
    """Open nothing further."""


# name, address, what to wait for, what to open on it, what to wait for then
VIEWS: dict[str, tuple[str, str, Opener, str]] = {
    "map": ("/", "map-warning", nothing, "layers-panel"),
    "map-entity": ("/?sel=urn:ngsi-ld:WaterLevelObserved:drain-1", "entity-panel", nothing, "value-waterLevel"),
    "map-search": ("/", "map-search", search, "search-hit"),
    "menu": ("/password", "profile-menu", click("profile-menu"), "sign-out"),
    "help": ("/password", "profile-menu", click("help-open"), "shortcut-help"),
    "password": ("/password", "password-current", nothing, "password-submit"),
    "warnings": ("/warnings?state=all", "warning-row", nothing, "warning-state"),
    "warning": ("/warnings?state=all", "warning-row", click("warning-row"), "warning-detail"),
    "why": ("/warnings?state=all", "warning-row", click("warning-row", "ask-why"), "ground"),
    "acknowledge": ("/warnings", "acknowledge", click("acknowledge"), "acknowledge-note"),
    "incidents": ("/incidents", "incident-row", nothing, "incident-row"),
    "new-incident": ("/incidents", "new-incident", click("new-incident"), "incident-title"),
    "incident": ("/incidents", "incident-row", click("incident-row"), "timeline-item"),
    "dispatch": ("/incidents", "incident-row", click("incident-row", "dispatch"), "dispatch-department"),
    "close": ("/incidents", "incident-row", click("incident-row", "close-incident"), "close-result"),
    "devices": ("/devices", "device-row", nothing, "device-count"),
    "import": ("/devices", "device-row", click("import-devices"), "import-file"),
    "new-device": ("/devices", "device-row", click("new-device"), "device-id"),
    "device": ("/devices/pump-1", "value-powerState", nothing, "command-send"),
    "accounting": ("/accounting", "rejected-row", nothing, "account-row"),
    "rejected": ("/accounting", "rejected-row", click("rejected-row"), "raw-bytes"),
    "rules": ("/rules", "rule-row", nothing, "pack-card"),
    "rule": ("/rules?rule=flood/drain-level", "rule-detail", nothing, "rule-detail"),
    "trial": ("/rules?rule=flood/drain-level", "trial-run", click("trial-edit", "trial-run"), "trial-outcome"),
    "performance": ("/performance", "performance-page", nothing, "performance-stored"),
    "users": ("/settings", "new-user", nothing, "new-user"),
    "new-user": ("/settings", "new-user", click("new-user"), "new-user"),
    "tokens": ("/settings?tab=tokens", "new-token", nothing, "new-token"),
    "new-token": ("/settings?tab=tokens", "new-token", click("new-token"), "new-token"),
    "audit": ("/settings?tab=audit", "nav-admin", by_hand(".ant-table-row-expand-icon"), "nav-admin"),
    "system": ("/settings?tab=system", "nav-admin", by_hand(".ant-tabs-tab-active"), "nav-admin"),
    "no-page": ("/devices/nothing-of-this-name", "error-state", nothing, "error-state"),
}


@pytest.fixture(scope="module")
def axe_source() -> str:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (python hatch_build.py)")
    return AXE.read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def something_of_everything(stormy_city, chief: httpx.Client) -> None:
    """A reject and an incident of its own, and the storm's first warnings."""
    body = {"id": "axe-1", "name": "Axe", "adapter": "http", "kind": "sensor", "bindings": [], "labels": {}}
    chief.post("/devices", json=body).raise_for_status()
    secret = chief.post("/devices/axe-1/credentials", json={}).raise_for_status().json()["secret"]
    url = f"{stormy_city.url}/ingest/v1/readings"
    httpx.post(url, content=b"garbage", auth=("axe-1", secret), trust_env=False)
    chief.post("/incidents", json={"title": "A tree on the road"}).raise_for_status()
    deadline = time.monotonic() + 60
    while not chief.get("/warnings", params={"state": "active"}).json()["items"]:
        assert time.monotonic() < deadline, "the storm brings no warning"
        time.sleep(0.2)


def look_of(page: Page, language: str, theme: str) -> None:
    """Change both as another tab would: in place, so that what is open stays open."""
    page.evaluate(
        """([language, theme]) => {
            for (const [key, newValue] of [["gulou.language", language], ["gulou.theme", theme]]) {
                localStorage.setItem(key, newValue);
                window.dispatchEvent(new StorageEvent("storage", {key, newValue}));
            }
        }""",
        [language, theme],
    )
    page.locator(f'html[lang^="{language}"][data-theme="{theme}"]').wait_for(state="attached")
    # Nothing may be judged half-way through a change of colour.
    page.evaluate(
        """async () => {
            const frame = () => new Promise(requestAnimationFrame);
            const moving = () => document.getAnimations().filter(one => one.effect.getTiming().iterations !== Infinity);
            for (let calm = 0; calm < 4; calm = moving().length ? 0 : calm + 1) {
                await Promise.allSettled(moving().map(one => one.finished));
                await frame();
            }
        }"""
    )


def violations(page: Page) -> list[str]:
    return page.evaluate(
        """async tags => {
            const found = await axe.run(document, {runOnly: tags, resultTypes: ["violations"]});
            return found.violations.flatMap(one =>
                one.nodes.map(node => `${one.id}: ${node.target.join(" ")} — ${node.failureSummary}`));
        }""",
        TAGS,
    )


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_no_violation(visit: Callable[..., Page], axe_source: str, name: str) -> None:
    path, first, opener, then = VIEWS[name]
    page = visit(path)
    page.emulate_media(reduced_motion="reduce")
    page.get_by_test_id(first).first.wait_for()
    opener(page)
    page.get_by_test_id(then).first.wait_for()
    page.evaluate(axe_source)
    found = []
    for language, theme in LOOKS:
        look_of(page, language, theme)
        found += [f"[{language} {theme}] {one}" for one in violations(page)]
    assert found == [], "\n".join(found)
    assert page.problems == []  # type: ignore[attr-defined]


def test_the_sign_in_page_has_no_violation(page: Page, stormy_city, axe_source: str) -> None:
    page.goto(stormy_city.url, wait_until="domcontentloaded")
    page.get_by_test_id("sign-in-submit").wait_for()
    page.evaluate(axe_source)
    found = []
    for language, theme in LOOKS:
        look_of(page, language, theme)
        found += [f"[{language} {theme}] {one}" for one in violations(page)]
    assert found == [], "\n".join(found)
