"""The performance page of a living city: figures move, who sends most is named, and leads to its page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def test_the_page_follows_what_the_city_sends(visit: Callable[..., Page]) -> None:
    page = visit("/performance")
    expect(page.get_by_test_id("performance-stored").locator("b")).not_to_have_text("0")
    expect(page.get_by_test_id("performance-p99").locator("b")).to_contain_text("ms")
    for region in ("Consumers of the log", "Queues", "By source", "Processes"):
        expect(page.get_by_role("region", name=region).locator("tbody tr.ant-table-row").first).to_be_visible()
    loudest = page.get_by_role("region", name="Loudest devices").get_by_role("link").first
    name = loudest.inner_text()
    loudest.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.url.endswith(f"/devices/{name}")
    assert page.problems == []  # type: ignore[attr-defined]
