"""A fleet of values, for screens that do not change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from redis_sessions.models.fleet import AgentLoad, Fleet, FleetProblem, FleetSession, ServerHealth
from redis_sessions.models.workers import WorkerInfo

NOW = datetime(2026, 11, 26, 22, 30, tzinfo=UTC)
OWNER = "ip-10-0-12-33.eu-central-1.compute.internal:48213"


def ago(seconds: float) -> datetime:
    """Return a time before the fleet was read."""
    return NOW - timedelta(seconds=seconds)


def session_id(number: int) -> str:
    """Return an ID of 62 characters."""
    return f"agent:researcher:subagent:3f7c0a91-2b4d-8e6f-9a1b-{number:012}"


def session(number: int, **fields: Any) -> FleetSession:
    """Return a session of the fleet."""
    given: dict[str, Any] = {
        "id": session_id(number), "status": "active", "rev": 3, "kind": "subagent", "agent_id": "researcher",
        "created_at": ago(3600), "updated_at": ago(number), "count": 4, "last_seq": 4, "user_messages": 2,
        "assistant_messages": 2, "turns": 2, "tokens": 120, "max_inbox": 100, "task": f"Find bag {number}", "read_at": NOW,
    }  # fmt: skip
    return FleetSession(**given | fields)


def fleet(count: int = 40, **fields: Any) -> Fleet:
    """Return a fleet with a problem of each kind that a session can have, and sessions in good order."""
    first = [
        session(
            1, work="running", holder=OWNER, held_since=ago(300), lease_expires_at=ago(20), attempt=1, max_attempts=3
        ),
        session(2, work="running", holder="worker-2", held_since=ago(4000), attempt=2, max_attempts=3),
        session(3, inbox_size=100, label="bags-of-lisbon", holder="worker-3", held_since=ago(12)),
        session(4, spent_tokens=51_500, token_budget=50_000, spent_cost=1.25),
        session(5, status="paused", reason="waits for the airline"),
        session(6, work="queued", waiting_since=ago(90), run_deadline=ago(-600), user_id="mia"),
    ]
    facts = (
        ("dead_holder", 1, f"Worker {OWNER}, which holds the session, is dead.", "Release the lease."),
        ("silent_holder", 2, "Worker worker-2 holds the session for 66 min, and wrote nothing.", "Look at the worker."),
        ("inbox_full", 3, "The inbox is full: 100 messages wait.", "Let the holder take them."),
        ("budget_spent", 4, "The budget of the tree is spent: 51,500 of 50,000 tokens.", "Raise the budget."),
        (
            "paused_parent",
            5,
            "The session is paused (waits for the airline), with 2 active sessions below it.",
            "Resume it.",
        ),
    )
    worker: dict[str, Any] = {
        "host": "ip-10-0-12-33", "pid": 48213, "agents": ("researcher",), "concurrency": 2, "ttl": timedelta(seconds=30),
        "started_at": ago(7200),
    }  # fmt: skip
    given: dict[str, Any] = {
        "namespace": "acme", "read_at": NOW, "active": count, "ended": 7, "is_complete": True,
        "messages_per_second": 12.34,
        "problems": [
            FleetProblem(kind=kind, session_id=session_id(number), since=ago(60 * number), text=text, advice=advice)
            for kind, number, text, advice in facts
        ],
        "agents": [
            AgentLoad(agent_id="researcher", queued=1, running=2, retried=1, oldest_wait=timedelta(seconds=90), workers=1),
            AgentLoad(agent_id="translator", failed=3, parked=2, workers=2, idle=4),
        ],
        "sessions": [*first, *(session(number) for number in range(7, count + 1))],
        "failed": [session(900, status="failed", reason="ValueError", attempt=3, max_attempts=3)],
        "spenders": [session(4, spent_tokens=51_500, token_budget=50_000, spent_cost=1.25)],
        "workers": [
            WorkerInfo(
                id="0123456789ab", owner="worker-2", holding=(session_id(2),), last_heard_at=ago(1),
                silent_for=timedelta(seconds=1), is_alive=True, **worker,
            ),
            WorkerInfo(
                id="ba9876543210", owner=OWNER, holding=(session_id(1),), last_heard_at=ago(300),
                silent_for=timedelta(seconds=300), is_alive=False, **worker,
            ),
        ],
        "servers": [
            ServerHealth(
                address="127.0.0.1:6379", is_up=True, version="valkey 9.1.0", role="master", used_memory=12_345_678,
                clients=34, commands_per_second=1234, latency=timedelta(milliseconds=0.2),
            )
        ],
    }  # fmt: skip
    return Fleet(**given | fields)
