"""Runs: the calls by which workers get the sessions that were spawned for their agent, and the reading of their replies."""

from __future__ import annotations

import re
from typing import Any, Literal, NamedTuple

from .calls import Call, invoke
from .ids import new_operation_id
from .keys import AgentKeys, IndexKeys, SessionKeys
from .scripts import script

DUE = 20
"""How many runs one look takes care of."""
Delay = int | str
HEARTBEAT = 5.0
"""Seconds after which a worker that waits asks by itself."""
_ID = re.compile(r"agent:([^:]+):subagent:")


def agent_of(id: str) -> str | None:
    """The agent whose queue a spawned session is in, from its id."""
    found = _ID.match(id)
    return found[1] if found else None


def named(keys: SessionKeys) -> str:
    """A run as queues have it: its id and those of its ancestors."""
    return " ".join([keys.id, *keys.ancestors])


class Asked(NamedTuple):
    """An answer to who asks for a run: one to claim ('<time> <run>'), or in how many ms there may be one; runs to look after."""

    run: str
    next_ms: int
    late: list[str]


def ask(
    agent: AgentKeys, nonce: str = "", wait_ms: int = 0, channel: str = "", counted: bool = False, most: int = DUE
) -> Call[Asked]:
    """Without a nonce it asks for runs to look after alone."""
    return invoke(
        script("runs/ask"),
        agent,
        lambda reply: Asked(reply[0].decode(), reply[1], [run.decode() for run in reply[2]]),
        nonce=nonce,
        wait=wait_ms,
        channel=channel,
        counted=int(counted),
        most=most,
    )


def note(agent: AgentKeys, run: str, delay: Delay, look: Delay, taken: str = "") -> Call[None]:
    """When a run may be had and when to look after it, in ms.

    "" as it is, "+" now unless it waits already, "*<ms>" now, in the place that its hint kept for so long, "-" not any
    more. `taken`: only if nobody has put it into the queue anew since it was handed out with that time.
    """
    return invoke(script("runs/note"), agent, lambda reply: None, run=run, delay=delay, look=look, taken=taken)


class Claim(NamedTuple):
    """What came of a claim: `claimed`, or why not; and in how many ms to look after the run again."""

    verdict: Literal["claimed", "free", "idle", "held", "cancelled", "over"]
    look_ms: int
    life: str
    ms: int = 0
    fence: int = 0
    attempt: int = 0
    max_attempts: int | None = None
    task: str | None = None


def claim(keys: SessionKeys, nonce: str = "", owner: str = "", ttl_ms: int = 0) -> Call[Claim]:
    """Without a nonce it looks after the run, and leaves it to be claimed."""

    def read(reply: Any) -> Claim:
        life, verdict = reply[0].decode(), reply[1].decode()
        if verdict != "claimed":
            return Claim(verdict, int(reply[2]), life)
        _, _, fence, ms, attempt, most, task, look = reply
        attempts = None if most == b"-" else int(most)
        return Claim("claimed", look, life, ms, int(fence), int(attempt), attempts, task.decode() or None)

    return invoke(
        script("runs/claim"), keys, read, id=keys.id, nonce=nonce, owner=owner, ttl=ttl_ms, batch=new_operation_id()
    )


def enlist(agents: IndexKeys, agent: str) -> Call[None]:
    """Notes that an agent has runs."""
    return invoke(script("runs/enlist"), agents, lambda reply: None, agent=agent)


class Waiting(NamedTuple):
    """What waits in an agent's queue: runs for a worker, and workers for a run."""

    runs: int
    workers: int


def queued(agent: AgentKeys) -> Call[int]:
    return Call(("ZCARD", agent.queue), agent, int, writes=False)


def idle(agent: AgentKeys) -> Call[list[int]]:
    """Until when each worker waits, in ms; those who did not leave the line stand there after that time."""
    return Call(
        ("GET", agent.workers),
        agent,
        lambda reply: [int(one.split(b" ", 2)[1]) for one in (reply or b"").splitlines()],
        writes=False,
    )


def listed(agents: IndexKeys, limit: int) -> Call[list[str]]:
    """Agents that have runs."""
    return Call(
        ("ZRANGE", agents.ids, 0, limit - 1), agents, lambda reply: [one.decode() for one in reply], writes=False
    )
