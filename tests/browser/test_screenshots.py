"""The pictures of the documentation. REDIS_SESSIONS_SCREENSHOTS=1 writes them, otherwise their sizes are checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.browser.checks import open_live, page_paths
from tests.browser.watched_page import WatchedPages
from tests.support.planted_fleet import PlantedFleet

FOLDER = Path(__file__).parents[2] / "docs" / "assets"
PICTURES = {
    "dashboard-fleet": ("fleet", 1100, False), "dashboard-fleet-dark": ("fleet", 1100, True),
    "dashboard-session": ("session", 1100, False), "dashboard-tree": ("tree", 1100, False),
    "dashboard-narrow": ("fleet", 390, False),
}  # fmt: skip
"""The pictures by their name: page, width, and whether the page is dark."""
MAX_BYTES = 150_000


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_small_and_of_a_page_that_exists(name: str, pages: WatchedPages, fleet: PlantedFleet) -> None:
    """Each picture of the documentation exists, is a PNG of less than 150 KB, and shows a page that opens."""
    page_name, width, is_dark = PICTURES[name]
    page = pages.open(width=width, height=620, is_dark=is_dark)
    open_live(page, page_paths(fleet)[page_name])
    path = FOLDER / f"{name}.png"
    if os.environ.get("REDIS_SESSIONS_SCREENSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        page.screenshot(path=path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < MAX_BYTES
