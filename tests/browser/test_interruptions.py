"""Two viewers, a server that restarts, a dashboard that restarts, and a lost connection: the page says so, and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from redis_sessions import SessionCache
from tests.browser.checks import find_violations, open_live
from tests.browser.dashboards import Dashboard
from tests.browser.watched_page import WatchedPages
from tests.support.servers import Server, binaries

BACK_MS = 40_000
"""Milliseconds within which a page has come back. The bound is wide for machines under load."""


@pytest.fixture
def broken(browser: Browser) -> Iterator[tuple[Server, Dashboard, WatchedPages]]:
    """Return a server, a dashboard and an opener of pages that a test may break."""
    server = Server(binaries()["path" if "path" in binaries() else "valkey-9"], "--appendonly", "yes")
    dashboard = Dashboard(server.url, "own")
    pages = WatchedPages(browser, dashboard.url)
    pages.is_disturbed = True
    with SessionCache.from_url(server.url, namespace="own") as cache:
        cache.create("first", ttl="1d")
    yield server, dashboard, pages
    pages.close()
    dashboard.stop()
    server.stop()
    assert pages.problems == []


def is_live(page: Page) -> None:
    """Return when the page says that it is live."""
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=BACK_MS)


def shows_sessions(page: Page, count: int) -> None:
    """Return when the page shows a number of active sessions."""
    expect(page.get_by_test_id("active")).to_have_text(str(count), timeout=BACK_MS)


def test_two_viewers_see_the_same(broken: tuple[Server, Dashboard, WatchedPages]) -> None:
    """A change appears on the pages of two viewers, and the second one does not disturb the first."""
    server, _, pages = broken
    one, other = pages.open(), pages.open(is_dark=True)
    for page in (one, other):
        open_live(page, "/")
        shows_sessions(page, 1)
    with SessionCache.from_url(server.url, namespace="own") as cache:
        cache.create("second", ttl="1d")
    for page in (one, other):
        shows_sessions(page, 2)
    other.close()
    with SessionCache.from_url(server.url, namespace="own") as cache:
        cache.create("third", ttl="1d")
    shows_sessions(one, 3)


def test_server_restarts(broken: tuple[Server, Dashboard, WatchedPages]) -> None:
    """While the server is away each open page says so with the time, and shows new facts when the server is back."""
    server, _, pages = broken
    page, session = pages.open(), pages.open()
    open_live(page, "/")
    open_live(session, "/session?id=first")
    server.kill()
    for one in (page, session):
        down = one.get_by_test_id("store-down")
        expect(down).to_be_visible(timeout=BACK_MS)
        expect(down).to_contain_text("cannot be read since")
    late = pages.open()
    late.goto("/")
    expect(late.get_by_test_id("store-down")).to_be_visible(timeout=BACK_MS)
    assert find_violations(late) == []
    server.start()
    with SessionCache.from_url(server.url, namespace="own") as cache:
        cache.create("second", ttl="1d")
        for one in (page, late):
            expect(one.get_by_test_id("store-down")).to_have_count(0, timeout=BACK_MS)
            shows_sessions(one, 2)
        cache.session("first").append({"role": "user", "content": "After the restart."})
        expect(session.locator("#transcript")).to_contain_text("After the restart.", timeout=BACK_MS)
        expect(session.get_by_test_id("store-down")).to_have_count(0, timeout=BACK_MS)


def test_silent_server_is_reported(broken: tuple[Server, Dashboard, WatchedPages]) -> None:
    """A server that accepts connections and answers nothing is reported, too."""
    server, _, pages = broken
    page = pages.open()
    open_live(page, "/")
    server.pause()
    try:
        expect(page.get_by_test_id("store-down")).to_be_visible(timeout=BACK_MS)
    finally:
        server.resume()
    expect(page.get_by_test_id("store-down")).to_have_count(0, timeout=BACK_MS)
    is_live(page)


def test_dashboard_restarts(broken: tuple[Server, Dashboard, WatchedPages]) -> None:
    """While the dashboard is away the page says that the connection is lost, and comes back with new facts, without a reload."""
    server, dashboard, pages = broken
    page = pages.open()
    open_live(page, "/")
    page.evaluate("window.untouched = true")
    dashboard.stop()
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "lost", timeout=BACK_MS)
    expect(page.get_by_test_id("connection")).to_contain_text("connection lost")
    with SessionCache.from_url(server.url, namespace="own") as cache:
        cache.create("second", ttl="1d")
    dashboard.start()
    is_live(page)
    shows_sessions(page, 2)
    assert page.evaluate("window.untouched")


def test_lost_connection_comes_back(broken: tuple[Server, Dashboard, WatchedPages]) -> None:
    """A browser that cannot reach the dashboard says so, and comes back by itself."""
    _, dashboard, pages = broken
    page = pages.open()
    open_live(page, "/session?id=first")
    dashboard.pause()
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "lost", timeout=BACK_MS)
    dashboard.resume()
    is_live(page)


def test_session_that_is_deleted_says_so(broken: tuple[Server, Dashboard, WatchedPages]) -> None:
    """The open page of a session says that the session is gone when it is deleted."""
    server, _, pages = broken
    page = pages.open()
    open_live(page, "/session?id=first")
    with SessionCache.from_url(server.url, namespace="own") as cache:
        cache.delete("first")
    expect(page.locator("body")).to_contain_text("gone", timeout=BACK_MS)


def test_page_comes_up_without_a_server(browser: Browser) -> None:
    """A dashboard whose server is down at the start shows a page that says so, and fills itself when the server is up."""
    server = Server(next(iter(binaries().values())))
    server.kill()
    dashboard = Dashboard(server.url, "own")
    pages = WatchedPages(browser, dashboard.url)
    pages.is_disturbed = True
    try:
        page = pages.open()
        page.goto("/")
        expect(page.get_by_test_id("store-down")).to_be_visible(timeout=BACK_MS)
        server.start()
        expect(page.get_by_test_id("store-down")).to_have_count(0, timeout=BACK_MS)
        expect(page.get_by_test_id("empty")).to_contain_text("own", timeout=BACK_MS)
    finally:
        pages.close()
        dashboard.stop()
        server.stop()
    assert pages.problems == []
