"""Each page of the dashboard, with a live fleet behind it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Request, expect

from redis_sessions import SessionCache
from tests.browser.checks import find_overflow, find_violations, open_live, page_paths
from tests.browser.watched_page import WatchedPages
from tests.support.planted_fleet import LONGEST_ID, PlantedFleet

PAGES = (
    "fleet", "sessions", "runs", "running", "failed", "workers", "poison", "health", "session", "held", "hostile", "tree",
)  # fmt: skip
MAX_BYTES = 200_000
"""Weight of the first page: what the browser receives for it, apart from the stream."""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(name: str, scheme: str, pages: WatchedPages, fleet: PlantedFleet) -> None:
    """Axe-core finds no violation on any page, light and dark, wide and narrow, and no page is wider than the window."""
    for width in (1280, 390):
        page = pages.open(width=width, is_dark=scheme == "dark")
        open_live(page, page_paths(fleet)[name])
        assert find_violations(page) == []
        assert find_overflow(page) == []


def test_pages_link_to_each_other_and_name_themselves(page: Page, fleet: PlantedFleet) -> None:
    """Each link of the navigation leads to a page with one heading, a title and the mark of the present page."""
    open_live(page, "/")
    names = page.locator("nav a").all_inner_texts()
    assert len(names) >= 6
    titles = set()
    for name in names:
        page.locator("nav a", has_text=re.compile(f"^{re.escape(name)}$")).click()
        expect(page.locator("nav a[aria-current=page]")).to_have_text(name)
        expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=30_000)
        assert page.locator("h1").count() == 1
        titles.add(page.title())
    assert len(titles) == len(names)


def test_fleet_page_counts_what_exists(page: Page, fleet: PlantedFleet) -> None:
    """The first page shows the number of active sessions, and the number of living workers changes while it is open."""
    open_live(page, "/")
    shown = page.get_by_test_id("active").inner_text()
    assert int(shown.replace(",", "")) > 400
    running = page.get_by_test_id("totals").locator("div", has_text="workers").locator("dd")
    before = int(running.inner_text())
    fleet.start_worker("concierge-3", "concierge", "chat")
    expect(running).to_have_text(str(before + 1), timeout=30_000)


def test_page_is_light(pages: WatchedPages) -> None:
    """The first page weighs less than 200 KB with all that it loads, and loads nothing twice."""
    page = pages.open()
    sizes: dict[str, int] = {}

    def measure(request: Request) -> None:
        sizes[request.url] = request.sizes()["responseBodySize"]

    page.on("requestfinished", measure)
    open_live(page, "/")
    loaded = {url: size for url, size in sizes.items() if "/live/" not in url}
    assert 3 <= len(loaded) <= 6, loaded
    assert sum(loaded.values()) < MAX_BYTES, loaded


def test_search_finds_session_by_part_of_its_id(page: Page, fleet: PlantedFleet) -> None:
    """The end of an ID finds the session from any page, and the session shows its whole ID."""
    id = fleet.causes["silent_holder"]
    open_live(page, "/workers")
    page.keyboard.press("/")
    page.keyboard.type(id[-12:])
    page.keyboard.press("Enter")
    link = page.locator(f'main a[data-session="{id}"]').first
    expect(link.or_(page.locator("h1", has_text=id)).first).to_be_visible(timeout=30_000)
    if link.count():
        link.click()
    expect(page.locator("main")).to_contain_text(id)
    assert len(id) == LONGEST_ID


def test_transcript_is_readable_and_grows(page: Page, cache: SessionCache, fleet: PlantedFleet) -> None:
    """A conversation shows its messages with folded tool calls, and a new message comes in without a reload."""
    open_live(page, page_paths(fleet)["session"])
    transcript = page.locator("#transcript")
    expect(transcript).to_contain_text("Where is my bag?")
    call = transcript.locator("details", has_text="find_bag").first
    assert call.get_attribute("open") is None
    call.locator("summary").first.click()
    expect(call).to_contain_text("LH-7731")
    page.evaluate("window.untouched = true")
    cache.session(fleet.conversation).append({"role": "user", "content": "A message that comes later."})
    expect(transcript).to_contain_text("A message that comes later.", timeout=10_000)
    assert call.get_attribute("open") is not None, "an open tool call closes when the transcript grows"
    assert page.evaluate("window.untouched")


def test_tree_shows_levels_and_spend(page: Page, fleet: PlantedFleet) -> None:
    """The tree of a root shows its children and their children, each level can be closed, and the root its spend."""
    open_live(page, page_paths(fleet)["tree"])
    main = page.locator("main")
    for label in ("leg-0", "leg-2", "hotel-1"):
        expect(main).to_contain_text(label)
    expect(main).to_contain_text("4,280")
    first = main.locator("details").first
    if first.get_attribute("open") is None:
        first.locator("summary").first.click()
    first.locator("summary").first.press("Enter")
    assert first.get_attribute("open") is None


def test_pages_work_without_script(pages: WatchedPages, fleet: PlantedFleet) -> None:
    """Each page has its content without the script, too."""
    page = pages.open(has_script=False)
    for name, path in page_paths(fleet).items():
        response = page.goto(path)
        assert response is not None
        assert response.status == 200
        assert len(page.locator("main").inner_text()) > 40, name


@pytest.mark.parametrize("is_dark", [False, True])
def test_pages_that_say_no_are_accessible(is_dark: bool, pages: WatchedPages, fleet: PlantedFleet) -> None:
    """The pages about wrong input say what is wrong in one sentence, are accessible, and lead back."""
    pages.expected_status = (400, 404)
    page = pages.open(is_dark=is_dark, width=390)
    for path, status, words in (
        ("/session?id=gone", 404, "gone"), ("/sessions?cursor=cut", 400, "cursor"), ("/work?state=odd", 400, "state"),
        ("/nothing", 404, ""), ("/session?id=" + "x" * 300, 400, "256"),
    ):  # fmt: skip
        response = page.goto(path)
        assert response is not None
        assert response.status == status, path
        said = page.locator("main").inner_text()
        assert words in said
        assert "Traceback" not in said
        assert find_violations(page) == []
        assert find_overflow(page) == []
        assert page.locator("nav a").count() >= 6


def test_open_list_of_keys_is_accessible(page: Page, fleet: PlantedFleet) -> None:
    """The list of keys is accessible while it is open."""
    open_live(page, "/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    assert find_violations(page) == []
