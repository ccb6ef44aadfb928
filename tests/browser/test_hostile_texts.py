"""Texts of users that attack the page: markup, control sequences, text that turns its direction, and 1 MB."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from redis_sessions import SessionCache
from tests.browser.checks import find_overflow, open_live
from tests.support.planted_fleet import ANSI, BIDI, LARGE, SCRIPT, PlantedFleet

MAX_BYTES = 200_000
_HIDDEN = """() => [...document.body.innerText].filter((one) => {
  const code = one.codePointAt(0);
  return (code < 32 && code !== 10 && code !== 9) || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e)
    || (code >= 0x2066 && code <= 0x2069) || code === 0x200e || code === 0x200f;
}).map((one) => one.codePointAt(0).toString(16))"""
PAGES = (
    "session",
    "tree",
    "/",
    "/sessions",
    "/sessions?agent=%3Cscript%3E",
    "/work?state=failed",
    "/poison",
    "/workers",
)


def path_of(name: str, id: str) -> str:
    """Return the path of a page about a session, or the path itself."""
    return name if name.startswith("/") else f"/{name}?id={quote(id, safe='')}"


@pytest.mark.parametrize("text", ["script", "ansi", "bidi", "large", "id"])
def test_hostile_text_does_no_harm(text: str, page: Page, fleet: PlantedFleet) -> None:
    """No page runs a script of a user, holds a hidden or direction-turning character, or grows beyond the window."""
    for name in PAGES if text in ("script", "id") else PAGES[:2]:
        open_live(page, path_of(name, fleet.hostile[text]))
        assert page.title() != "owned"
        assert page.locator("main script, main img[onerror], body img").count() == 0
        assert page.evaluate(_HIDDEN) == [], name
        assert find_overflow(page) == []


def test_texts_are_shown_as_they_are_written(page: Page, fleet: PlantedFleet) -> None:
    """Markup is shown as text, and control and direction characters are shown as escapes."""
    for name, shown in (("script", SCRIPT[:60]), ("ansi", r"\x1b[31m"), ("bidi", r"\u202e")):
        open_live(page, path_of("session", fleet.hostile[name]))
        expect(page.locator("#transcript")).to_contain_text(shown)
    assert "\x1b" in ANSI
    assert "\u202e" in BIDI


def test_large_message_is_cut_and_can_be_fetched(page: Page, cache: SessionCache, fleet: PlantedFleet) -> None:
    """A message of 1 MB is cut on the page, the page stays light, and the whole message is a plain text to download."""
    id = fleet.hostile["large"]
    response = page.goto(path_of("session", id))
    assert response is not None
    assert len(response.body()) < MAX_BYTES
    message = page.get_by_test_id("message").first
    assert len(message.inner_text()) < 50_000
    with page.expect_download() as started:
        message.locator("a", has_text="whole").first.click()
    assert LARGE.strip() in started.value.path().read_text()
    assert len(cache.session(id).history()[0].text or "") == len(LARGE)


def test_hostile_text_that_comes_live_does_no_harm(page: Page, cache: SessionCache, fleet: PlantedFleet) -> None:
    """Hostile messages that come in over the stream are escaped, too."""
    session = cache.session(fleet.hostile["script"])
    open_live(page, path_of("session", session.id))
    session.append({"role": "assistant", "content": f"late {SCRIPT}{ANSI}{BIDI}"})
    expect(page.locator("#transcript")).to_contain_text(f"late {SCRIPT[:30]}", timeout=10_000)
    assert page.evaluate(_HIDDEN) == []
    assert page.title() != "owned"


def test_search_for_hostile_text_does_no_harm(page: Page, fleet: PlantedFleet) -> None:
    """A search for markup says that nothing was found, or what, and shows the markup as text."""
    for text in (SCRIPT, '"><b>x</b>', "{{7*7}}", "\u202e", "%00", "x" * 5000):
        response = page.goto(f"/sessions?q={quote(text, safe='')}")
        assert response is not None
        assert response.status in (200, 400), text
        assert page.title() != "owned"
        assert page.evaluate(_HIDDEN) == []
        assert "49" not in page.locator("main h1").inner_text()
