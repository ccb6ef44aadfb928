"""The memory of a fleet monitor, without a server: problems of many kinds, and the samples of an hour."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redis_sessions._core.commands.fleet_problems import Findings, find_problems
from redis_sessions._core.commands.fleet_view import FleetCounts, FleetView
from redis_sessions.models.fleet import AgentLoad, Fleet, FleetSession

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def session(id: str, **fields: Any) -> FleetSession:
    """Return a session."""
    given = {
        "id": id, "status": "active", "rev": 1, "created_at": NOW, "updated_at": NOW, "count": 1, "last_seq": 1,
        "user_messages": 1, "assistant_messages": 0, "turns": 0, "tokens": 1, "read_at": NOW,
    }  # fmt: skip
    return FleetSession.model_validate(given | fields)


def findings(sessions: list[FleetSession], *agents: AgentLoad) -> Findings:
    """Return what a monitor found."""
    return Findings(NOW, {one.id: one for one in sessions}, [], [], list(agents), [], timedelta(seconds=60))


def test_many_problems_of_one_kind_hide_no_other_kind() -> None:
    """Each kind has up to 50 problems of its own, and a fleet says which kinds can have more."""
    past, future = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    sessions = []
    for number in range(60):
        sessions += [
            session(f"dead{number}", holder="x", held_since=past, lease_expires_at=past),
            session(f"silent{number}", holder="x", held_since=past, lease_expires_at=future, updated_at=past),
            session(f"full{number}", inbox_size=5, max_inbox=5),
            session(f"spent{number}", token_budget=1, spent_tokens=2),
            session(f"paused{number}", status="paused", work="queued"),
        ]
    slow = AgentLoad(agent_id="slow", queued=5, workers=2, oldest_wait=timedelta(hours=1))
    problems = find_problems(findings(sessions, slow))
    kinds = ("dead_holder", "silent_holder", "inbox_full", "budget_spent", "paused_parent")
    assert Counter(one.kind for one in problems) == dict.fromkeys(kinds, 50) | {"long_wait": 1}
    fleet = Fleet(namespace="x", read_at=NOW, active=300, ended=0, is_complete=True, problems=problems)
    assert fleet.cut_kinds == set(kinds)


@pytest.mark.parametrize(("running", "kind"), [(0, "no_worker"), (1, "long_wait")])
def test_agent_whose_runs_are_claimed_has_workers(running: int, kind: str) -> None:
    """A program that claims by itself is in no registry. While it has a run of the agent, work waits for a free place."""
    agent = AgentLoad(agent_id="a", queued=1, running=running, oldest_wait=timedelta(hours=1))
    assert [one.kind for one in find_problems(findings([], agent))] == [kind]


@pytest.mark.parametrize("pace", [2, 15, 60])
def test_samples_are_those_of_the_last_hour(pace: int) -> None:
    """A monitor that reads slowly keeps no samples of earlier hours."""
    view = FleetView("x", 100, timedelta(seconds=60))
    now = NOW
    for _ in range(9000 // pace):
        now += timedelta(seconds=pace)
        view.end_sweep(is_whole=True)
        fleet = view.build(FleetCounts(0, 0, {}, [], []), now)
    span = fleet.samples[-1].at - fleet.samples[0].at
    assert timedelta(minutes=58) <= span <= timedelta(hours=1)
    assert len(fleet.samples) <= 721
