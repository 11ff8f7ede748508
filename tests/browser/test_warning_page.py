"""A warning in the browser: what it rests on is told by those who are asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def test_a_warning_says_why_there_is_it(visit: Callable[..., Page]) -> None:
    page = visit("/warnings?state=all", role="duty-officer")
    page.get_by_test_id("warning-row").first.click()
    page.get_by_test_id("ask-why").click()
    first = page.get_by_test_id("ground").first
    expect(first).to_have_attribute("data-change", "raised")
    expect(first).to_contain_text("Rule version")
    expect(first.locator("dd").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")  # nothing sticks out at the side
    assert page.problems == []  # type: ignore[attr-defined]
