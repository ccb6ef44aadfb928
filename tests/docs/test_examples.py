"""Tests that the examples run as they stand and print what they promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PRINTED = {  # lines that each example prints
    "skill_evaluation": [
        "10 / 4 = ?, 1 turns left",
        "1 - 3: not asked, turns 4 of 3",
        "arithmetic, nightly: completed, 3 turns, 9 entries, 2 passed",
        "failed: [{'answer': '?'}]",
    ],
    "chat": [
        "worker 1: You asked: When does belt 4 start? (I see 6 messages.)",
        "worker 0: You asked: And what was my flight? (I see 7 messages.)",
        "turn 4, 8 messages, 77 tokens, user mia",
        "state: Bag(colour='red', belt=4), {'language': 'en'}",
        "cleared: ['system'], state stays: True",
    ],
    "agent_loop": [
        "session formed by inactivity",
        "loops: [('small', 'completed'), ('small', 'completed'), ('large', 'completed')]",
        "selected of 2: the last, True",
        "used 333 tokens, in 2 levels of loops",
        "compacted: ['Mia wanted a text about belts, and has it.']",
    ],
    "user_desk": [
        "tom: 1 exchanges, seed-1, trips/tom",
        "mia: 2 exchanges, seed-2, trips/mia",
        "trips/mia: ['facts', 'plan'], {'questions': 2}, plan of 39 letters",
        "2 sessions deleted, 0 left",
    ],
    "agents": [
        "one more: max_children",
        "weather: completed, {'answer': 'yes (Is it raining in Bern?)'}",
        "trains: completed, {'answer': 'yes (When is the next train to Bern?)'}",
        "children: 2, still active: 1",
    ],
}


def test_every_example_is_described() -> None:
    """The README of the examples describes every example, and each example has 30 to 60 lines."""
    described = (EXAMPLES / "README.md").read_text()
    found = {path.stem: path.read_text() for path in EXAMPLES.glob("*.py")}
    assert found.keys() == PRINTED.keys()
    for name, text in found.items():
        assert f"| `{name}.py` |" in described
        assert 30 <= len(text.splitlines()) <= 60, name


@pytest.mark.parametrize("arguments", [["fake://"], []], ids=["fake", "embedded"])
@pytest.mark.parametrize("name", PRINTED)
def test_example_prints_its_lines(name: str, arguments: list[str]) -> None:
    """An example runs without an error, on a fake and on a bundled server, and prints its lines."""
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line for line in PRINTED[name] if line not in lines] == []
