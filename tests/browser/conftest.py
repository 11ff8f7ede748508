"""A real Chromium on a real demo; skipped by name where there is no browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # a shared machine is slow at times; what is wrong stays wrong

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "test-artifacts"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium; no browser is ever downloaded."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed")
    if not (ROOT / "src" / "gulou" / "web" / "index.html").is_file():
        pytest.skip("the console is not built (make setup)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that reports errors of its own and every request that leaves the machine; a picture is kept at the end."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-US", timezone_id="Asia/Shanghai")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.problems = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.problems.append(f"page error: {error}"))  # type: ignore[attr-defined]
    page.on("request", lambda asked: _only_loopback(page, asked.url))
    yield page
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{request.node.name}.png", timeout=90_000)
    context.close()


def _only_loopback(page: Page, url: str) -> None:
    if not url.startswith(("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")):
        page.problems.append(f"external request: {url}")  # type: ignore[attr-defined]


@pytest.fixture
def sign_in() -> Callable[[Page, str, str], None]:
    """Sign in as the admin with the printed password, and wait for the map."""

    def go(page: Page, url: str, password: str) -> None:
        page.goto(url, wait_until="domcontentloaded")
        page.get_by_test_id("sign-in-name").fill("admin")
        page.get_by_test_id("sign-in-password").fill(password)
        page.get_by_test_id("sign-in-submit").click()
        page.get_by_test_id("city-map").wait_for()

    return go


@pytest.fixture(scope="session")
def stormy_city(running_gulou, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """One small city with a cloudburst, for all tests that only look at pages or add things of their own."""
    folder = tmp_path_factory.mktemp("stormy-city")
    demo = running_gulou(folder / "data", ("demo", "--devices", "150", "--storm-after", "1")).start()
    yield demo
    demo.stop()


@pytest.fixture(scope="session")
def chief(stormy_city) -> Iterator[httpx.Client]:
    """The city's API, as its admin."""
    client = stormy_city.admin()
    yield client
    client.close()


@pytest.fixture(scope="session")
def cookie_of(stormy_city, chief: httpx.Client) -> Callable[[str], dict]:
    """The session cookie of an account that has one role; it is made when first asked for."""
    known: dict[str, dict] = {}

    def cookie(role: str) -> dict:
        if role not in known:
            made = chief.post("/users", json={"name": f"test-{role}", "roles": [role]}).raise_for_status().json()
            with httpx.Client(base_url=stormy_city.url, trust_env=False) as client:
                body = {"name": f"test-{role}", "password": made["password"]}
                client.post("/api/v1/session", json=body).raise_for_status()
                name, value = next(iter(client.cookies.items()))
            known[role] = {"name": name, "value": value, "url": stormy_city.url}
        return known[role]

    return cookie


@pytest.fixture
def visit(page: Page, stormy_city, cookie_of: Callable[[str], dict]) -> Callable[..., Page]:
    """Go to a page of the stormy city as somebody with a role, signed in already."""

    def go(path: str, role: str = "admin", language: str = "en", theme: str = "dark") -> Page:
        page.context.add_cookies([cookie_of(role)])
        settings = {"gulou.language": language, "gulou.theme": theme}
        keep = ";".join(f"localStorage['{key}'] ??= '{value}'" for key, value in settings.items())
        page.add_init_script(keep)
        page.goto(stormy_city.url + path, wait_until="domcontentloaded")
        page.get_by_test_id("profile-menu").wait_for()
        return page

    return go
