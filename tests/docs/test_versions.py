"""Tests that the page of versions agrees with the suite."""

from __future__ import annotations

from tests.conftest import ENGINES, SAMPLE, SAMPLED_ENGINES
from tests.support.prose import ROOT

PAGE = (ROOT / "docs" / "reference" / "compatibility.md").read_text(encoding="utf-8")


def test_page_of_versions_names_engines_and_sample() -> None:
    """The page names each engine of the suite, and each place of the sample, which exists."""
    for name in {*ENGINES, *SAMPLED_ENGINES} - {"cluster"}:
        assert f"`{name}`" in PAGE, name
    for place in SAMPLE:
        assert f"`tests/{place}`" in PAGE, place
        assert (ROOT / "tests" / place).exists(), place
