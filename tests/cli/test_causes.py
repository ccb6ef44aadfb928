"""From "the fleet is stuck" to the cause, with one screen of `top` alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.cli.terminal import Terminal, without_escapes
from tests.support.command_line import launch
from tests.support.planted_fleet import PlantedFleet, planted_fleet
from tests.support.servers import Server, await_true, binaries

CAUSES = {
    "dead_holder": r"booker-1.*\bdead\b|\bdead\b.*booker-1",
    "silent_holder": r"researcher-1\b.*wrote nothing",
    "inbox_full": r"inbox is full.*planner-1",
    "budget_spent": r"budget.*spent.*51,500 of 50,000",
    "paused_parent": r"paused \(waiting for the airline\).*active session",
    "poison_run": r"2 workers died",
}
"""Words that one line of the screen has next to the ID of the session."""
STUCK_AFTER = "3s"
STRANGER_SECONDS = 60.0
WORDS_PER_SECOND = 4.0
"""The pace of a person who reads silently: 240 words a minute. The person reads each word from the top."""
WORDS_OF_HEAD = 40
"""Words above the problems, at most."""


@pytest.fixture(scope="module")
def fleet() -> Iterator[PlantedFleet]:
    """Return a fleet of 500 sessions with planted causes."""
    server = Server(binaries()["valkey-9"])
    try:
        with planted_fleet(server.url, "acme") as fleet:
            yield fleet
    finally:
        server.stop()


def arguments(fleet: PlantedFleet) -> list[str]:
    """Return the command line of one screen."""
    return ["top", "--once", "--stuck-after", STUCK_AFTER, "--url", fleet.url, "--namespace", fleet.namespace]


def test_stranger_finds_session_and_cause(fleet: PlantedFleet) -> None:
    """One line of the printed screen names each planted session with its cause, and no other session of the fleet."""

    def problems() -> list[str]:
        lines = launch(*arguments(fleet)).stdout.splitlines()
        begin = next(at for at, line in enumerate(lines) if line.startswith("PROBLEMS"))
        end = next(at for at, line in enumerate(lines) if line.startswith("AGENTS"))
        return lines[begin + 1 : end]

    await_true(lambda: any("silent holder" in line for line in problems()))
    began = time.monotonic()
    found = problems()
    took = time.monotonic() - began
    for kind, id in fleet.causes.items():
        about = [line for line in found if kind.replace("_", " ") in line and id in line]
        assert len(about) == 1, (kind, found)
        assert re.search(CAUSES[kind], about[0]), about
        words = sum(len(line.split()) for line in found[: found.index(about[0]) + 1]) + WORDS_OF_HEAD
        print(f"\n{kind}: printed after {took:.1f} s, {words} words from the top: {words / WORDS_PER_SECOND:.0f} s")
        assert took + words / WORDS_PER_SECOND < STRANGER_SECONDS
    urgent = [line for line in found if not line.startswith(("run failed", "dead worker", "long wait"))]
    assert len(urgent) == len(fleet.causes), urgent


def test_stranger_finds_session_and_cause_at_80_columns(fleet: PlantedFleet) -> None:
    """At 80 columns no line is wider, and the end of each planted ID stands next to its kind and the words of its cause."""
    terminal = Terminal(*arguments(fleet), lines=50, columns=80)
    try:
        assert terminal.end() == 0
        lines = without_escapes(terminal.output).splitlines()
    finally:
        terminal.close()
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for kind, id in fleet.causes.items():
        at = text.find(id[-6:])
        assert at >= 0, (kind, text)
        assert kind.replace("_", " ") in text[max(at - 120, 0) : at + 120], (kind, text)
