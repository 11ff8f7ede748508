"""The closed loop, seen by a duty officer: a cloudburst, a warning, an incident, the pump, the level falls. req: HW-15

Nothing is reloaded on the way, and nothing is faked: devices on sockets, rules, commands and acknowledgements are the
product's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]
DRAIN = "urn:ngsi-ld:WaterLevelObserved:drain-1"
LONG = 120_000


@pytest.fixture
def city(running_gulou, tmp_path: Path) -> Iterator[object]:
    """A demo whose cloudburst begins ten seconds after its devices have started."""
    demo = running_gulou(tmp_path / "data", ("demo", "--devices", "200", "--storm-after", "10")).start()
    yield demo
    assert demo.stop() == 0


def go_to(page: Page, key: str) -> None:
    page.get_by_test_id(f"nav-{key}").click()


def level(page: Page) -> float:
    """The drain's level as the side panel shows it."""
    return float(page.get_by_test_id("value-waterLevel").get_attribute("data-value") or "nan")


def test_a_cloudburst_is_seen_judged_and_answered(
    city, page: Page, sign_in: Callable[..., None], wait_for: Callable[..., object]
) -> None:
    sign_in(page, city.url, city.said["password"])
    page.evaluate("window.__neverReloaded = true")

    # live entities on the map
    city_map = page.get_by_test_id("city-map")
    wait_for(lambda: int(city_map.get_attribute("data-entity-count") or 0) >= 190, 60, "entities on the map")
    first = city_map.get_attribute("data-last-frame")
    wait_for(lambda: city_map.get_attribute("data-last-frame") != first, 30, "the map moves")
    expect(page.get_by_test_id("connection-state")).to_have_attribute("data-state", "live")

    # the warning arises by itself, grows to orange or red, and opens the incident
    go_to(page, "warnings")
    row = page.locator('[data-testid="warning-row"]', has_text="East Gate Underpass").filter(has_text="drain-level")
    row.first.wait_for(timeout=LONG)
    grave = page.locator(
        '[data-testid="warning-row"][data-severity="orange"], [data-testid="warning-row"][data-severity="red"]'
    ).filter(has_text="flood/drain-level")
    grave.first.wait_for(timeout=LONG)
    grave.first.click()
    detail = page.get_by_test_id("warning-detail")
    detail.wait_for()

    # the pack wants a person's yes; the officer gives it
    detail.get_by_test_id("approve").click()
    expect(detail.get_by_test_id("proposed-action")).not_to_have_attribute("data-state", "proposed", timeout=30_000)

    # the incident, with its timeline and the pump's command confirmed by its effect
    detail.get_by_test_id("to-incident").click()
    page.get_by_test_id("incident-page").wait_for()
    wait_for(
        lambda: page.locator('[data-testid="incident-command"][data-state="effect_seen"]').count(), 90, "the pump runs"
    )
    kinds = page.locator('[data-testid="timeline-item"]').evaluate_all("all => all.map(one => one.dataset.kind)")
    assert {"opened", "command"} <= set(kinds), kinds

    # back on the map the level falls
    go_to(page, "map")
    page.get_by_test_id("map-search").fill("East Gate Underpass")
    page.locator('[data-testid="search-hit"]', has_text="Storm drain").first.click()
    page.locator(f'[data-testid="entity-panel"][data-entity-id="{DRAIN}"]').wait_for()
    wait_for(lambda: level(page) < 1.0, 90, "the level falls below one metre")

    # the warning clears by itself; nothing was reloaded, nothing left the machine, no error on the page
    go_to(page, "warnings")
    expect(grave).to_have_count(0, timeout=LONG)
    assert page.evaluate("window.__neverReloaded") is True
    assert page.problems == []  # type: ignore[attr-defined]
