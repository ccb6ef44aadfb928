"""The dashboard with the keyboard alone."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.checks import open_live, page_paths
from tests.support.planted_fleet import PlantedFleet

_FOCUS = """() => {
  const at = document.activeElement;
  const style = getComputedStyle(at);
  const box = at.getBoundingClientRect();
  return {
    name: at.nodeName, text: (at.innerText || at.value || at.getAttribute('aria-label') || '').trim().slice(0, 60),
    isMarked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1, isShown: box.width > 0 && box.height > 0,
  };
}"""


def test_first_key_reaches_the_content(page: Page, fleet: PlantedFleet) -> None:
    """The first stop of the Tab key is a link that skips to the content."""
    open_live(page, "/")
    page.keyboard.press("Tab")
    assert "Skip" in page.evaluate(_FOCUS)["text"]
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_each_stop_of_the_keyboard_is_visible(page: Page, fleet: PlantedFleet) -> None:
    """Each element that the Tab key reaches is visible and marked, on pages that change all the time."""
    for name in ("fleet", "sessions", "session", "tree"):
        open_live(page, page_paths(fleet)[name])
        reached = []
        for _ in range(30):
            page.keyboard.press("Tab")
            stop = page.evaluate(_FOCUS)
            reached.append(stop)
            if stop["name"] != "BODY":  # the end of the page
                assert stop["isShown"], (name, stop)
                assert stop["isMarked"], (name, stop)
        assert len({(one["name"], one["text"]) for one in reached}) > 8, reached


def test_focus_stays_while_the_page_changes(page: Page, fleet: PlantedFleet) -> None:
    """A focused link keeps its focus over several changes of the page."""
    open_live(page, "/")
    link = page.get_by_test_id("problem").locator("a").first
    link.focus()
    href = link.get_attribute("href")
    with page.expect_event("console", lambda message: message.text == "changed 3 times", timeout=30_000):
        page.evaluate("""() => {
          let changes = 0;
          new MutationObserver(() => { changes += 1; if (changes === 3) console.log('changed 3 times'); })
            .observe(document.getElementById('main'), {subtree: true, childList: true, characterData: true});
        }""")
    assert page.evaluate("document.activeElement.getAttribute('href')") == href


def test_keys_lead_to_pages_and_are_listed(page: Page, fleet: PlantedFleet) -> None:
    """`g` with a letter opens a page, `?` lists the keys, and Escape closes the list."""
    open_live(page, "/")
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/workers")
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=30_000)
    page.keyboard.press("?")
    dialog = page.locator("#keys")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("search")
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("gw?")
    assert page.locator("#search").input_value() == "gw?"


def test_long_table_scrolls_with_keys(page: Page, fleet: PlantedFleet) -> None:
    """A table that is wider than the window can be focused, and scrolls with the arrow keys."""
    page.set_viewport_size({"width": 390, "height": 800})
    open_live(page, "/workers")
    region = page.locator(".scroll").first
    region.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.scroll').scrollLeft > 0")
