"""Fixtures of the tests in a browser. They need Chromium and Playwright: `make browser` installs the packages and runs them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from redis_sessions import SessionCache
from tests.browser.dashboards import Dashboard
from tests.support.planted_fleet import PlantedFleet, planted_fleet
from tests.support.servers import Server, binaries

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.browser.watched_page import WatchedPages

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
SESSIONS = 500
_missing = [name for name in ("playwright", "axe_playwright_python") if find_spec(name) is None]
if _missing:
    pytest.exit(f"tests/browser needs {', '.join(_missing)}: run `make browser`", returncode=2)
if not CHROMIUM:
    pytest.exit(
        "tests/browser needs Chromium: install it (apt-get install chromium), or name its path in CHROMIUM",
        returncode=2,
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return the browser that all tests share."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def store() -> Iterator[Server]:
    """Return the server of the shared fleet."""
    server = Server(binaries()["valkey-9"])
    yield server
    server.stop()


@pytest.fixture(scope="session")
def fleet(store: Server) -> Iterator[PlantedFleet]:
    """Return a fleet of 500 sessions with planted causes, which all tests share. A test may add to the fleet."""
    with planted_fleet(store.url, "acme", sessions=SESSIONS) as fleet:
        yield fleet


@pytest.fixture(scope="session")
def cache(fleet: PlantedFleet) -> Iterator[SessionCache]:
    """Return a cache of the shared fleet."""
    with SessionCache.from_url(fleet.url, namespace=fleet.namespace) as cache:
        yield cache


@pytest.fixture(scope="session")
def dashboard(fleet: PlantedFleet) -> Iterator[Dashboard]:
    """Return the dashboard of the shared fleet, without actions."""
    dashboard = Dashboard(fleet.url, fleet.namespace)
    yield dashboard
    dashboard.stop()


@pytest.fixture
def pages(browser: Browser, dashboard: Dashboard) -> Iterator[WatchedPages]:
    """Return the opener of pages. After the test no page may have had an error."""
    from tests.browser.watched_page import WatchedPages

    pages = WatchedPages(browser, dashboard.url)
    yield pages
    pages.close()
    assert pages.problems == []


@pytest.fixture
def page(pages: WatchedPages) -> Page:
    """Return one page, 1,280 pixels wide and light."""
    return pages.open()
