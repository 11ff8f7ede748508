"""Devices in the browser: find, import, export, command and watch the answer come."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.integration]


def test_search_and_filters_stand_in_the_address(visit: Callable[..., Page]) -> None:
    page = visit("/devices")
    page.get_by_test_id("device-row").first.wait_for()
    page.get_by_test_id("device-search").fill("pump-")
    expect(page.locator('[data-testid="device-row"][data-device-id="pump-1"]')).to_be_visible()
    expect(page.locator('[data-testid="device-row"]:not([data-device-id^="pump-"])')).to_have_count(0)
    page.wait_for_url("**q=pump-*")
    page.locator('[data-testid="device-row"][data-device-id="pump-1"]').click()
    expect(page.get_by_test_id("device-page")).to_have_attribute("data-device-id", "pump-1")
    page.go_back()
    expect(page.get_by_test_id("device-search")).to_have_value("pump-")
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_file_is_tried_imported_and_comes_back_in_the_export(visit: Callable[..., Page], tmp_path: Path) -> None:
    file = tmp_path / "devices.csv"
    file.write_text(
        "id,name,adapter,kind,bindings\n"
        "import-1,First,http,sensor,\n"
        "no such id!,Second,http,sensor,\n"
        "import-3,第三,http,sensor,\n",
        encoding="utf-8",
    )
    page = visit("/devices", role="device-integrator")
    page.get_by_test_id("import-devices").click()
    page.get_by_test_id("import-file").set_input_files(file)
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Trial").click()
    result = page.get_by_test_id("import-result")
    expect(result).to_contain_text("3 lines: 2 created, 0 updated, 0 unchanged, 1 failed")
    expect(result).to_contain_text("no such id!")
    dialog.get_by_role("button", name=re.compile("Import$")).click()  # an icon may still stand before the word
    expect(result.get_by_text("Trial")).to_have_count(0)
    dialog.get_by_role("button", name="Close").last.click()
    with page.expect_download() as download:
        page.get_by_test_id("export-devices").click()
    saved = tmp_path / "export.csv"
    download.value.save_as(saved)
    with saved.open(encoding="utf-8-sig", newline="") as lines:
        names = {line["id"]: line["name"] for line in csv.DictReader(lines)}
    assert (names["import-1"], names["import-3"]) == ("First", "第三")
    assert "no such id!" not in names
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_command_is_followed_live_by_the_name_of_who_sent_it(visit: Callable[..., Page]) -> None:
    page = visit("/devices/pump-3", role="duty-officer")
    power = page.get_by_test_id("value-powerState")
    expect(power).to_have_attribute("data-value", "off")
    page.get_by_test_id("command-send").click()
    row = page.get_by_test_id("command-row").first
    expect(row.get_by_test_id("command-state")).to_have_attribute("data-state", "acknowledged", timeout=30_000)
    expect(row).to_contain_text("test-duty-officer")
    expect(power).to_have_attribute("data-value", "on", timeout=60_000)
    assert page.problems == []  # type: ignore[attr-defined]


def test_a_secret_is_shown_once(visit: Callable[..., Page]) -> None:
    page = visit("/devices/pump-4", role="device-integrator")
    page.get_by_test_id("issue-credentials").click()
    page.locator(".ant-popconfirm .ant-btn-primary").click()
    secret = page.get_by_test_id("device-secret")
    expect(secret).to_have_text("".join(secret.inner_text().split()))
    assert len(secret.inner_text()) >= 32
    page.reload()
    page.get_by_test_id("device-page").wait_for()
    expect(secret).to_have_count(0)
    assert page.problems == []  # type: ignore[attr-defined]
