"""A stranger's test of `top`: one screen names each session that is stuck, and the cause, among 500 sessions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.terminal import shown_lines
from tests.support.planted_fleet import PlantedFleet, planted_fleet
from tests.support.servers import Server, await_true, binaries

CAUSES = {
    "dead_holder": "dead holder", "silent_holder": "silent holder", "inbox_full": "inbox full",
    "budget_spent": "budget spent", "paused_parent": "paused parent", "poison_run": "poison run",
}  # fmt: skip
STUCK = ("--stuck-after", "2s")


@pytest.fixture(scope="module")
def fleet() -> Iterator[PlantedFleet]:
    """Yield a fleet of 500 sessions, six of them in trouble."""
    server = Server(binaries()["valkey-9"])
    try:
        with planted_fleet(server.url, "planted", sessions=500) as found:
            yield found
    finally:
        server.stop()


@pytest.mark.parametrize(("lines", "columns"), [(24, 80), (40, 120)])
def test_one_screen_has_session_and_cause_of_each_problem(fleet: PlantedFleet, lines: int, columns: int) -> None:
    """Each line of a problem begins with its kind, and has the unique end of the ID of its session."""
    arguments = ("top", "--once", *STUCK, "--url", fleet.url, "--namespace", fleet.namespace)
    shown: list[str] = []

    def is_complete() -> bool:
        shown[:] = shown_lines(*arguments, columns=columns, lines=lines)
        return not missing()

    def missing() -> list[str]:
        return [
            kind
            for kind, title in CAUSES.items()
            if not any(line.startswith(title) and f"…{fleet.causes[kind][-8:]}" in line for line in shown)
        ]

    try:
        await_true(is_complete, 60)
    except TimeoutError:
        raise AssertionError((missing(), shown)) from None
    assert len(shown) < lines
    assert max(map(len, shown)) <= columns
