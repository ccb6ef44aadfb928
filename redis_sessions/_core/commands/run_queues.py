"""Calls by which workers get the runs of their agent."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from ..protocol.call import Call, invoke
from ..protocol.ids import new_operation_id
from ..protocol.keys import AgentKeys, IndexKeys, SessionKeys
from ..protocol.records import Waiter
from ..protocol.scripts import script

MAX_CHECKS = 20
"""Runs that one call hands out to be checked."""
POLL_INTERVAL_SECONDS = 5.0
"""A waiting worker asks the server after this time, even if it heard nothing."""
When = Literal["keep", "now", "after", "confirm", "remove"]
Check = Literal["keep", "after", "remove"]
_AGENT_IN_ID = re.compile(r"agent:([^:]+):subagent:")


def agent_of(id: str) -> str | None:
    """Return the agent of a spawned session, from its ID."""
    found = _AGENT_IN_ID.match(id)
    return found[1] if found else None


def run_of(keys: SessionKeys) -> str:
    """Return a run as queues name it: its ID and those of its ancestors."""
    return " ".join([keys.id, *keys.ancestors])


class DequeueReply(NamedTuple):
    """Reply to a worker that asks for a run."""

    run: str
    """'<time> <run>', reserved for the worker until then, or ''."""
    next_ms: int
    """When there may be something to do; -1 for never."""
    due: list[str]
    """Runs that the worker must check."""


def dequeue(
    agent: AgentKeys,
    purpose: Literal["claim", "leave", "check"],
    nonce: str = "",
    wait_ms: int = 0,
    channel: str = "",
    counts_receivers: bool = False,
) -> Call[DequeueReply]:
    """Ask for a run, or a place among the waiting workers (claim). Leave that place (leave), or get due runs only (check)."""
    return invoke(
        script("runs/dequeue"),
        agent,
        lambda reply: DequeueReply(reply[0].decode(), reply[1], [run.decode() for run in reply[2]]),
        purpose=purpose,
        nonce=nonce,
        wait_ms=wait_ms,
        channel=channel,
        counts_receivers=int(counts_receivers),
        max_checks=MAX_CHECKS,
    )


def schedule(
    agent: AgentKeys,
    run: str,
    when: When,
    delay_ms: int = 0,
    *,
    check: Check = "keep",
    check_ms: int = 0,
    reserved_until: str = "",
) -> Call[None]:
    """Write a run into its agent's queue, and when it must be checked. `runs/schedule.lua` says what each word does."""
    return invoke(
        script("runs/schedule"), agent, lambda reply: None, run=run, when=when, delay_ms=delay_ms, check=check,
        check_ms=check_ms, reserved_until=reserved_until,
    )  # fmt: skip


class ClaimReply(NamedTuple):
    """Reply to a claim or a check of a run."""

    verdict: Literal["claimed", "free", "idle", "held", "finished", "over", "cancelled"]
    check_ms: int
    """When the run must be checked again."""
    incarnation: str
    fence: int = 0
    ttl_ms: int = 0
    attempt: int = 0
    max_attempts: int | None = None
    task: str | None = None


def _read_claim(reply: Any) -> ClaimReply:
    incarnation, verdict, check_ms, *rest = reply
    if not rest:
        return ClaimReply(verdict.decode(), int(check_ms), incarnation.decode())
    fence, ttl_ms, attempt, max_attempts, task = rest
    return ClaimReply(
        "claimed", int(check_ms), incarnation.decode(), int(fence), int(ttl_ms), int(attempt),
        None if max_attempts == b"-" else int(max_attempts), task.decode() or None,
    )  # fmt: skip


def claim(keys: SessionKeys, nonce: str, owner: str, ttl_ms: int) -> Call[ClaimReply]:
    """Claim a run."""
    return invoke(script("runs/claim"), keys, _read_claim, nonce=nonce, owner=owner, ttl_ms=ttl_ms)


def recover(keys: SessionKeys) -> Call[ClaimReply]:
    """Check a run whose worker may have died or whose time may be over, and end the run if so."""
    return invoke(script("runs/recover"), keys, _read_claim, id=keys.id, operation_id=new_operation_id())


def unclaim(keys: SessionKeys, nonce: str, released_nonce: str) -> Call[str]:
    """Withdraw a claim. The result is '<fence> <nonce>' of the lease to release, or '' when nothing was claimed."""
    return invoke(
        script("runs/unclaim"),
        keys,
        lambda reply: f"{reply[1]} {released_nonce}" if reply[1] else "",
        incarnation="",
        nonce=nonce,
        released=released_nonce,
    )


def register_agent(agents: IndexKeys, agent: str) -> Call[None]:
    """Register an agent that has runs."""
    return invoke(script("runs/register_agent"), agents, lambda reply: None, agent=agent)


class QueueSizes(NamedTuple):
    """The runs that wait in an agent's queue."""

    runs: int
    workers: int


def count_runs(agent: AgentKeys) -> Call[int]:
    """Count the runs in a queue."""
    return Call(("ZCARD", agent.queue), agent, int, writes=False)


def list_workers(agent: AgentKeys) -> Call[list[Waiter]]:
    """Read the waiting workers. A worker that did not leave its place stays after its time."""
    return Call(("GET", agent.workers), agent, Waiter.parse_all, writes=False)


def list_agents(agents: IndexKeys, limit: int) -> Call[list[str]]:
    """Read the agents that have runs."""
    return Call(
        ("ZRANGE", agents.ids, 0, limit - 1), agents, lambda reply: [one.decode() for one in reply], writes=False
    )
