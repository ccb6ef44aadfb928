"""Actions: each one asks, acts, and is audited. Without the permission there are none."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from redis_sessions import SessionCache
from tests.browser.checks import find_overflow, find_violations, open_live
from tests.browser.dashboards import Dashboard
from tests.browser.watched_page import WatchedPages
from tests.support.planted_fleet import LONGEST_ID, PlantedFleet, long_id
from tests.support.servers import await_true


@pytest.fixture(scope="module")
def acting(fleet: PlantedFleet) -> Iterator[Dashboard]:
    """Return a dashboard of the shared fleet that allows actions."""
    dashboard = Dashboard(fleet.url, fleet.namespace, "--allow-actions")
    yield dashboard
    dashboard.stop()


@pytest.fixture
def acting_pages(browser: Browser, acting: Dashboard) -> Iterator[WatchedPages]:
    """Return the opener of pages that may act."""
    pages = WatchedPages(browser, acting.url)
    yield pages
    pages.close()
    assert pages.problems == []


def path_of(id: str) -> str:
    """Return the path of a session's page."""
    return f"/session?id={quote(id, safe='')}"


def link_of(page: Page, action: str) -> Locator:
    """Return the link of an action on the page of a session."""
    return page.get_by_test_id(f"action-{action.replace('_', '-')}")


def act(page: Page, id: str, action: str, reason: str | None = None) -> None:
    """Act on a session with the keyboard alone: press the button on its page, and confirm on the next page."""
    open_live(page, path_of(id))
    link_of(page, action).press("Enter")
    confirm = page.get_by_test_id("confirm")
    expect(confirm).to_contain_text(id)
    assert find_violations(page) == []
    assert find_overflow(page) == []
    if reason is not None:
        page.get_by_label("Reason").fill(reason)
    page.get_by_test_id("confirm-button").press("Enter")
    expect(page.get_by_test_id("done")).to_be_visible(timeout=30_000)


def is_audited(dashboard: Dashboard, action: str, id: str) -> bool:
    """Return whether the log has one line that says who did what to a session."""
    lines = [line for line in dashboard.log().splitlines() if f"audit: {action} by dashboard at 127.0.0.1" in line]
    return sum(f"session={id}" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("action", "status"), [("pause", "paused"), ("cancel", "cancelled"), ("request_cancel", "active")]
)
def test_action_asks_acts_and_is_audited(
    action: str, status: str, acting_pages: WatchedPages, acting: Dashboard, cache: SessionCache
) -> None:
    """An action asks first, changes the session, shows that on the page, and leaves one audit line with the reason."""
    session = cache.create(long_id("order"), ttl="1d")
    assert len(session.id) == LONGEST_ID
    page = acting_pages.open()
    open_live(page, path_of(session.id))
    link_of(page, action).click()
    expect(page.get_by_test_id("confirm")).to_be_visible()
    assert session.info().status == "active"
    assert not session.is_cancel_requested()
    assert not is_audited(acting, action, session.id)
    page.get_by_test_id("confirm").locator("form a").click()
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=30_000)
    assert session.info().status == "active"
    link_of(page, action).click()
    page.get_by_label("Reason").fill("<b>ida</b> asked\x1b[31m")
    page.get_by_test_id("confirm-button").click()
    expect(page.get_by_test_id("done")).to_be_visible(timeout=30_000)
    assert session.info().status == status
    assert session.is_cancel_requested() == (action != "pause")
    await_true(lambda: is_audited(acting, action, session.id))
    assert "\x1b" not in acting.log()
    assert "<b>ida</b> asked" in acting.log()


def test_dead_holder_is_released_from_the_first_page(
    acting_pages: WatchedPages, acting: Dashboard, cache: SessionCache, fleet: PlantedFleet
) -> None:
    """From the first page an operator reaches the session of a dead holder, releases the lease, and another worker goes on."""
    id = fleet.hold(cache, "porter-1", "porter", "extend", task="Carry the bags.")
    fleet.kill_worker("porter-1")
    fleet.start_worker("porter-2", "porter", "busy")
    page = acting_pages.open()
    open_live(page, "/")
    problem = page.locator(f'[data-testid=problem][data-kind=dead_holder][data-session="{id}"]')
    expect(problem).to_be_visible(timeout=30_000)
    problem.locator("a").first.press("Enter")
    link_of(page, "release").press("Enter")
    expect(page.get_by_test_id("confirm")).to_contain_text("porter-1")
    page.get_by_test_id("confirm-button").press("Enter")
    await_true(lambda: is_audited(acting, "force_release", id))
    expect(page.get_by_test_id("lease")).to_contain_text("porter-2", timeout=30_000)
    page.goto("/")
    expect(problem).to_have_count(0, timeout=30_000)
    cache.session(id).cancel()
    fleet.kill_worker("porter-2")


def test_failed_run_is_retried(
    acting_pages: WatchedPages, acting: Dashboard, cache: SessionCache, fleet: PlantedFleet
) -> None:
    """A failed run is available again after `retry`, and a paused session takes messages again after `resume`."""
    page = acting_pages.open()
    act(page, fleet.failed, "retry")
    assert cache.session(fleet.failed).info().status == "active"
    await_true(lambda: is_audited(acting, "retry", fleet.failed))
    run = cache.claim("auditor", wait=30, owner="auditor-2")
    assert run is not None
    run.fail(reason="ValueError: the price list still has no currency")
    session = cache.create(long_id("order"), ttl="1d")
    session.pause()
    act(page, session.id, "resume")
    assert session.info().status == "active"
    await_true(lambda: is_audited(acting, "resume", session.id))


def test_tree_is_deleted(acting_pages: WatchedPages, acting: Dashboard, cache: SessionCache) -> None:
    """The confirmation of `delete` says how many sessions go, and the session is gone afterwards."""
    root = cache.create(long_id("order"), ttl="1d")
    root.spawn("reviewer", delay="1h").raise_if_refused()
    page = acting_pages.open()
    open_live(page, path_of(root.id))
    link_of(page, "delete").click()
    expect(page.get_by_test_id("confirm")).to_contain_text("1")
    page.get_by_test_id("confirm-button").click()
    expect(page.get_by_test_id("done")).to_contain_text(root.id)
    assert cache.get(root.id) is None
    await_true(lambda: is_audited(acting, "delete", root.id))


def test_action_of_a_hostile_session_is_the_right_one(
    acting_pages: WatchedPages, acting: Dashboard, cache: SessionCache, fleet: PlantedFleet
) -> None:
    """A session whose ID is markup is paused and resumed like any other."""
    id = fleet.hostile["id"]
    page = acting_pages.open()
    act(page, id, "pause", reason="</script>")
    assert cache.session(id).info().status == "paused"
    act(page, id, "resume")
    assert cache.session(id).info().status == "active"
    assert page.title() != "owned"


def test_read_only_dashboard_has_no_actions(page: Page, cache: SessionCache, fleet: PlantedFleet) -> None:
    """Without the permission no page offers an action, and a form sent by hand is refused."""
    open_live(page, path_of(fleet.conversation))
    assert page.locator("[data-testid=actions]").count() == 0
    answer = page.request.post(f"/action/cancel?id={quote(fleet.conversation, safe='')}", form={"reason": "x"})
    assert answer.status == 403
    assert cache.session(fleet.conversation).info().status == "active"


def test_form_of_another_site_is_refused(acting: Dashboard, acting_pages: WatchedPages, cache: SessionCache) -> None:
    """A form without the token of this browser does nothing, whatever it asks for."""
    session = cache.create(long_id("order"), ttl="1d")
    page = acting_pages.open()
    open_live(page, path_of(session.id))
    forms: list[dict[str, str | float | bool]] = [{}, {"form_token": "x"}]
    for form in forms:
        path = f"/action/cancel?id={quote(session.id, safe='')}"
        answer = page.request.post(path, form=form, headers={"Origin": "https://evil.example"})
        assert answer.status in (400, 403)
    assert session.info().status == "active"
    assert not is_audited(acting, "cancel", session.id)
