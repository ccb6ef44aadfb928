"""From "the fleet is stuck" to the cause, with the first page alone. The times are in docs/guides/dashboard.md."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Locator, Page, expect

from redis_sessions import SessionCache
from tests.browser.checks import open_live
from tests.browser.dashboards import STUCK_AFTER_SECONDS
from tests.browser.watched_page import WatchedPages
from tests.support.machine_load import measured_load
from tests.support.planted_fleet import PlantedFleet

CAUSES = {
    "dead_holder": r"(?i)\bbooker-1\b.*\bdead\b|\bdead\b.*\bbooker-1\b",
    "silent_holder": r"(?i)\bresearcher-1\b.*\b(wrote nothing|silent)\b",
    "inbox_full": r"(?i)\binbox\b.*\bfull\b",
    "budget_spent": r"(?i)\bbudget\b.*\bspent\b.*51,500.*50,000",
    "paused_parent": r"(?i)\bpaused\b.*waiting for the airline.*\bactive session",
    "poison_run": r"(?i)\b2 workers died\b",
}
"""Words that a stranger must be able to read of each session, on one page and in one place."""
FIRST_PAGE_SECONDS = 5.0
STRANGER_SECONDS = 60.0
WORDS_PER_SECOND = 4.0
"""The pace of a person who reads silently: 240 words a minute."""
_WORDS_TO_READ = """(problem) => {
  const count = (node) => node.innerText.split(/\\s+/).filter((word) => word).length;
  let words = count(document.querySelector('header')) + count(document.querySelector('[data-testid=totals]')) + count(problem);
  for (let above = problem.previousElementSibling; above; above = above.previousElementSibling) {
    words += count(above.querySelector('.head'));
  }
  return words;
}"""
"""The words of navigation, totals and the entry itself, and the heads of the entries above it, which a person skims."""


def problem_of(page: Page, kind: str, session_id: str) -> Locator:
    """Return the entry of a problem on the first page."""
    return page.locator(f'[data-testid=problem][data-kind={kind}][data-session="{session_id}"]')


@pytest.mark.parametrize("kind", CAUSES)
def test_stranger_finds_session_and_cause(kind: str, pages: WatchedPages, fleet: PlantedFleet) -> None:
    """The first page names the session, the cause and what to do, in words, at most 5 s after it was opened."""
    with measured_load() as load:
        page, began = pages.open(), time.monotonic()
        page.goto("/")
        problem = problem_of(page, kind, fleet.causes[kind])
        expect(problem).to_be_visible(timeout=30_000)
        took, bound = time.monotonic() - began, load.allow(FIRST_PAGE_SECONDS, wakeups=4)
    assert took <= bound
    words = page.evaluate(_WORDS_TO_READ, problem.element_handle())
    reading = words / WORDS_PER_SECOND
    print(f"\n{kind}: shown after {took:.1f} s, {words} words to read: {reading:.0f} s")
    assert took + reading < STRANGER_SECONDS
    text = " ".join(problem.inner_text().split())
    assert re.search(CAUSES[kind], text), text
    assert fleet.causes[kind][-12:] in text
    problem.locator("a").first.click()
    expect(page.locator("main")).to_contain_text(fleet.causes[kind])


def test_stranger_reads_the_page_as_text(pages: WatchedPages, fleet: PlantedFleet) -> None:
    """The HTML of the first page alone, without script and stream, has each planted session with its cause."""
    page = pages.open(has_script=False)
    page.goto("/")
    for kind, id in fleet.causes.items():
        assert re.search(CAUSES[kind], " ".join(problem_of(page, kind, id).inner_text().split())), kind


def test_healthy_sessions_are_not_reported(page: Page, fleet: PlantedFleet) -> None:
    """The problems of sessions are the planted ones and failed runs, and no others of the 500."""
    open_live(page, "/")
    shown = page.get_by_test_id("problem").evaluate_all(
        "nodes => nodes.map(one => [one.dataset.kind, one.dataset.session])"
    )
    about_sessions = {
        (kind, id) for kind, id in shown if id and kind not in ("run_failed", "dead_holder", "silent_holder")
    }
    assert about_sessions == {(kind, id) for kind, id in fleet.causes.items() if not kind.endswith("_holder")}


def test_killed_worker_is_shown_as_dead_in_time(pages: WatchedPages, cache: SessionCache, fleet: PlantedFleet) -> None:
    """A worker that is killed is shown as dead, on two open pages, at most its ttl and 2 s after the kill."""
    id = fleet.hold(cache, "guide-1", "guide", "extend", task="Show the city.")
    workers, first = pages.open(), pages.open()
    open_live(workers, "/workers")
    open_live(first, "/")
    row = workers.locator('[data-testid=worker-row][data-worker="guide-1"]')
    expect(row).to_contain_text("alive", timeout=30_000)
    with measured_load() as load:
        fleet.kill_worker("guide-1")
        killed = time.monotonic()
        expect(row).to_contain_text("dead", timeout=60_000)
        took = time.monotonic() - killed
        expect(problem_of(first, "dead_holder", id)).to_be_visible(timeout=60_000)
        on_first_page = time.monotonic() - killed
        bound = load.allow(fleet.ttl + 2, wakeups=8)
    print(
        f"\nworkers page {took:.1f} s, first page {on_first_page:.1f} s after the kill, ttl {fleet.ttl} s, bound {bound:.1f} s"
    )
    assert on_first_page <= bound
    cache.session(id).cancel()


def test_hanging_holder_appears_in_time(page: Page, cache: SessionCache, fleet: PlantedFleet) -> None:
    """A holder that stops to write appears on an open first page at most 5 s after it counts as stuck, and leaves again."""
    open_live(page, "/")
    with measured_load() as load:
        id = fleet.hold(cache, "guide-2", "guide", "hang", task="Show the museum.")
        began = time.monotonic()
        expect(problem_of(page, "silent_holder", id)).to_be_visible(timeout=60_000)
        took, bound = time.monotonic() - began, load.allow(STUCK_AFTER_SECONDS + FIRST_PAGE_SECONDS, wakeups=8)
    print(f"\n{took:.1f} s after the claim")
    assert took <= bound
    cache.session(id).cancel()
    expect(problem_of(page, "silent_holder", id)).to_have_count(0, timeout=30_000)


def test_poison_run_appears_in_time(page: Page, cache: SessionCache, fleet: PlantedFleet) -> None:
    """A run that kills its second worker appears on the open page of poison runs at most 5 s after that is recorded."""
    open_live(page, "/poison")
    with measured_load() as load:
        id = fleet.plant_poison(cache, "loader", task="Load the list of trains.")
        began = time.monotonic()
        entry = page.locator(f'[data-testid=poison-run][data-session="{id}"]')
        expect(entry).to_be_visible(timeout=60_000)
        took, bound = time.monotonic() - began, load.allow(FIRST_PAGE_SECONDS, wakeups=8)
    assert took <= bound
    expect(entry).to_contain_text("loader-2")
    cache.session(id).cancel()
    expect(entry).to_have_count(0, timeout=30_000)
