"""Checks that each page of the dashboard must pass: accessibility, width, weight."""

from __future__ import annotations

from urllib.parse import quote

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.support.planted_fleet import PlantedFleet

_AXE_OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
_WIDER_THAN_WINDOW = """() => {
  const width = document.documentElement.clientWidth;
  const isClipped = (node) => {
    for (let up = node.parentElement; up; up = up.parentElement) {
      if (getComputedStyle(up).overflowX !== 'visible') return true;
    }
    return false;
  };
  return [...document.querySelectorAll('body *')]
    .filter((node) => node.checkVisibility() && node.getBoundingClientRect().right > width + 1 && !isClipped(node))
    .map((node) => node.outerHTML.slice(0, 160));
}"""


def page_paths(fleet: PlantedFleet) -> dict[str, str]:
    """Return the path of each page by its name, with a session where the page is about one."""
    talk, tree, hostile = (quote(id, safe="") for id in (fleet.conversation, fleet.tree, fleet.hostile["id"]))
    return {
        "fleet": "/", "sessions": "/sessions", "runs": "/work", "running": "/work?state=running",
        "failed": "/work?state=failed", "workers": "/workers", "poison": "/poison", "health": "/health",
        "session": f"/session?id={talk}", "held": f"/session?id={quote(fleet.causes['inbox_full'], safe='')}",
        "hostile": f"/session?id={hostile}", "tree": f"/tree?id={tree}",
    }  # fmt: skip


def open_live(page: Page, path: str) -> None:
    """Open a page, and return when its stream is connected."""
    response = page.goto(path)
    assert response is not None
    assert response.status == 200, f"{path} answers {response.status}"
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "live", timeout=30_000)


def find_violations(page: Page) -> list[str]:
    """Return what axe-core finds on a page: rule, help text, and the nodes."""
    found = Axe().run(page, options=_AXE_OPTIONS).response["violations"]
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in found
    ]


def find_overflow(page: Page) -> list[str]:
    """Return the elements that reach beyond the window, so that a person must scroll the whole page sideways."""
    return list(page.evaluate(_WIDER_THAN_WINDOW))
