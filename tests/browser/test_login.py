"""The login page in a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.checks import find_overflow, find_violations, open_live
from tests.browser.dashboards import Dashboard
from tests.browser.watched_page import WatchedPages
from tests.support.planted_fleet import PlantedFleet

TOKEN = "correct horse battery staple"


@pytest.fixture
def guarded(browser: Browser, fleet: PlantedFleet) -> Iterator[WatchedPages]:
    """Return an opener of pages of a dashboard that asks for a token."""
    dashboard = Dashboard(fleet.url, fleet.namespace, "--token", TOKEN)
    pages = WatchedPages(browser, dashboard.url)
    pages.expected_status = (401,)
    yield pages
    pages.close()
    dashboard.stop()
    assert pages.problems == []


@pytest.mark.parametrize("is_dark", [False, True])
def test_person_logs_in_with_a_token(guarded: WatchedPages, is_dark: bool) -> None:
    """A wrong token is refused in words, the right one leads to the page that was asked for, and logging out ends the access."""
    page = guarded.open(is_dark=is_dark, width=390)
    page.goto("/workers")
    assert find_violations(page) == []
    assert find_overflow(page) == []
    page.get_by_label("Token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("login-problem")).to_be_visible(timeout=30_000)
    assert find_violations(page) == []
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Workers", timeout=30_000)
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=30_000)
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    page.goto("/workers")
    expect(page.get_by_label("Token")).to_be_visible()


def test_one_login_opens_all_pages(guarded: WatchedPages) -> None:
    """A viewer who is logged in reads all pages with one login."""
    page = guarded.open()
    page.goto("/")
    page.get_by_label("Token").fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Fleet", timeout=30_000)
    for path in ("/sessions", "/work", "/health"):
        open_live(page, path)
