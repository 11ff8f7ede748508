"""The server is killed and comes back on the same port: the page says so, and mends itself without a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]


@pytest.fixture
def house(running_gulou, tmp_path: Path) -> Iterator[object]:
    """A server that a test may kill."""
    running = running_gulou(tmp_path / "data").start()
    yield running
    if running.process.poll() is None:
        running.stop()


def test_a_killed_server_is_shown_and_forgiven(
    house, gulou, page: Page, sign_in: Callable[[Page, str, str], None]
) -> None:
    sign_in(page, house.url, house.said["password"])
    state = page.get_by_test_id("connection-state")
    page.get_by_test_id("nav-devices").click()
    expect(state).to_have_attribute("data-state", "live")
    expect(page.get_by_test_id("device-count")).to_have_attribute("data-total", "0")
    page.evaluate("window.__neverReloaded = true")

    house.kill()
    expect(state).to_have_attribute("data-state", "lost")
    expect(page.get_by_test_id("lost-banner")).to_be_visible()

    added = gulou("devices", "add", "while-away", "--entity", "WaterLevelObserved:while-away", "--data", house.data)
    assert added.returncode == 0, added.stderr
    house.port = int(house.url.rsplit(":", 1)[1])
    house.start()
    expect(state).to_have_attribute("data-state", "live")
    expect(page.get_by_test_id("lost-banner")).to_have_count(0)
    expect(page.locator('[data-testid="device-row"][data-device-id="while-away"]')).to_be_visible()
    assert page.evaluate("window.__neverReloaded") is True
    assert page.problems == []  # type: ignore[attr-defined]
