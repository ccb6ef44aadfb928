"""The table of the source systems is whole: every row is there once, and a test shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TABLE = (ROOT / "docs" / "sources.md").read_text()
SECTIONS = {int(part[0]) - 1: part for part in TABLE.split("\n## S")[1:]}
NUMBERS = {0: 36, 1: 53, 2: 30, 3: 33, 4: 19}
UNIT_TESTS = (
    "0-01 0-04 0-06 0-12 0-15 0-17 0-20 to 0-23 0-31 0-33 0-35 1-01 1-02 1-05 1-07 1-08 1-12 1-15 1-22 1-27 1-30 1-33 1-35"
    " 1-40 1-46 3-01 to 3-03 3-05 3-06 3-09 3-10 4-01 4-03 4-06 4-11"
)


def rows(text: str) -> list[str]:
    """The row numbers in a text, ranges expanded."""
    found = []
    for first, last in re.findall(r"\b([0-4]-\d\d)(?: to ([0-4]-\d\d))?", text):
        for number in range(int(first[2:]), int((last or first)[2:]) + 1):
            found.append(f"{first[0]}-{number:02}")
    return found


def shown(text: str) -> set[str]:
    """The rows that the docstrings of a test file name."""
    return set(rows("\n".join(re.findall(r'"""(.*?)"""', text, re.DOTALL))))


@pytest.mark.parametrize("system", NUMBERS)
def test_every_row_is_in_the_table_once(system: int) -> None:
    """0-01 to 4-19, in the section of its system."""
    first_cells = "\n".join(line.split("|")[1] for line in SECTIONS[system].splitlines() if line.startswith("|"))
    assert sorted(rows(first_cells)) == [f"{system}-{number:02}" for number in range(1, NUMBERS[system] + 1)]


@pytest.mark.parametrize("system", NUMBERS)
def test_every_row_is_shown_by_a_test(system: int) -> None:
    """Of the files that its section names; the systems' own unit tests in `tests/sources`."""
    files = re.findall(r"`(tests/[\w/]+\.py)`", SECTIONS[system])
    found = set().union(*[shown((ROOT / file).read_text()) for file in files])
    wanted = {f"{system}-{number:02}" for number in range(1, NUMBERS[system] + 1)}
    assert wanted - found == set()
    own = shown((ROOT / "tests" / "sources" / f"test_s{system + 1}.py").read_text())
    assert {row for row in rows(UNIT_TESTS) if row.startswith(f"{system}-")} - own == set()
