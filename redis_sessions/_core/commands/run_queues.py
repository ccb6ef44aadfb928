"""Calls by which workers get the work of their agent: runs of spawned sessions, and turns of sessions that the agent answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from ..protocol.call import Call, invoke
from ..protocol.codec import Encoded
from ..protocol.encoding import decoded_field, encoded_reason
from ..protocol.ids import new_operation_id
from ..protocol.keys import AgentKeys, IndexKeys, SessionKeys
from ..protocol.scripts import script
from ..protocol.trace_context import is_traceparent
from ..protocol.work import is_work

MAX_CHECKS = 20
"""Runs and turns that one call hands out to be checked."""
POLL_INTERVAL_SECONDS = 5.0
"""A waiter for children or for room, and a busy worker, look again after this time, even if no notification came."""
INBOX_QUEUE = ":inbox"
"""The queue of sessions without an agent that must be checked, because messages wait in the inbox. No agent has this name."""
When = Literal["keep", "now", "after", "confirm", "reserve", "remove"]
Check = Literal["keep", "after", "remove"]
Outcome = Literal["", "released", "failed", "given_up", "parked", "finished"]
_AGENT_IN_ID = re.compile(r"agent:([^:]+):subagent:")


def agent_of(id: str) -> str | None:
    """Return the agent of a spawned session, from its ID."""
    found = _AGENT_IN_ID.match(id)
    return found[1] if found else None


def queue_keys(queue: AgentKeys | None, keys: SessionKeys) -> dict[str, str]:
    """Return the keys by which a session's script writes a queue, or the session's own where the queue has another slot."""
    names = ("queue", "check_at", "workers", "ready", "running")
    return {name: keys.session if queue is None else getattr(queue, name) for name in names}


class DequeueReply(NamedTuple):
    """Reply to a worker that asks for work."""

    reserved: str
    """'<time> <work>': work that is reserved for the worker until a time, or ''."""
    next_ms: int
    """When there may be something to do; -1 for never."""
    due: list[str]
    """Work that the worker must check."""
    damaged: list[bytes]
    """Members of the queue that name no session."""
    inboxes_due: list[str]
    """Work of the queue of inboxes that the worker must check."""


def _read_dequeue(reply: Any) -> DequeueReply:
    reserved, next_ms, due, inboxes_due = reply
    work = reserved.partition(b" ")[2]
    damaged = [one for one in due if not is_work(one)]
    if reserved and not is_work(work):
        damaged.append(work)
        reserved = b""
    sound = [one.decode() for one in due if one not in damaged]
    return DequeueReply(
        reserved.decode(), next_ms, sound, damaged, [one.decode() for one in inboxes_due if is_work(one)]
    )


def dequeue(
    agent: AgentKeys,
    purpose: Literal["claim", "leave", "check"],
    nonce: str = "",
    wait_ms: int = 0,
    channel: str = "",
    counts_receivers: bool = False,
    inboxes: AgentKeys | None = None,
) -> Call[DequeueReply]:
    """Ask for work, or a place among the waiting workers (claim). Leave that place (leave), or get due work only (check).

    Args:
        inboxes: the queue of inboxes, to get its due work, too, where a script can read both queues.
    """
    return invoke(
        script("runs/dequeue"),
        agent,
        _read_dequeue,
        other_keys={"inbox_check_at": (inboxes or agent).check_at},
        purpose=purpose,
        nonce=nonce,
        wait_ms=wait_ms,
        channel=channel,
        counts_receivers=int(counts_receivers),
        max_checks=MAX_CHECKS,
    )


def schedule(
    agent: AgentKeys,
    work: str | bytes,
    when: When,
    delay_ms: int = 0,
    *,
    check: Check = "keep",
    check_ms: int = 0,
    reserved_until: str = "",
    running_ms: int = 0,
) -> Call[None]:
    """Write work into its agent's queue, and when it must be checked. `runs/schedule.lua` says what each word does."""
    return invoke(
        script("runs/schedule"), agent, lambda reply: None, work=work, when=when, delay_ms=delay_ms, check=check,
        check_ms=check_ms, reserved_until=reserved_until, running_ms=running_ms,
    )  # fmt: skip


class ClaimReply(NamedTuple):
    """Reply to a claim, or to a call that advanced work."""

    verdict: Literal["claimed", "free", "idle", "held", "waiting", "parked", "unsettled", "over", "cancelled"]
    check_ms: int
    """When the work must be checked again."""
    incarnation: str
    answered_by: str | None
    """The agent that answers the session."""
    queue_as: tuple[str, str | None]
    """Priority and fairness key."""
    wakes_parent: bool = False
    has_inbox: bool = False
    is_scheduled: bool = False
    """True if the queue was written in the same step."""
    fence: int = 0
    ttl_ms: int = 0
    attempt: int = 0
    max_attempts: int | None = None
    task: str | None = None
    first_seq: int | None = None
    """The first message that the turn answers. None for a run."""
    left_ms: int = -1
    """Time until the deadline, -1 for none."""
    resumed: str = ""
    """'done', or 'timeout <number>:<incarnation> …' of the children, when the run was parked before."""
    has_died: bool = False
    """True if the worker of the last attempt died."""
    retries: int = 0
    session_ttl_ms: int = 0
    traceparent: str | None = None
    """The trace context of the request, as W3C traceparent."""
    waited_ms: int = -1
    """Time since the work was requested and could be claimed. -1 if that is not known, as for a later attempt."""


def _read_claim(keys: SessionKeys, reply: Any) -> ClaimReply:
    incarnation, verdict, check_ms, queue, *rest = reply
    answered_by, priority, fairness_key = queue.decode().split()
    common: dict[str, Any] = {
        "verdict": verdict.decode(),
        "check_ms": int(check_ms),
        "incarnation": incarnation.decode(),
        "answered_by": None if answered_by == "-" else answered_by,
        "queue_as": (priority, None if fairness_key == "-" else fairness_key),
    }
    if common["verdict"] != "claimed":
        wakes_parent, has_inbox, is_scheduled = rest or (0, 0, 0)
        return ClaimReply(
            **common, wakes_parent=wakes_parent == 1, has_inbox=has_inbox == 1, is_scheduled=is_scheduled == 1
        )
    fence, ttl_ms, attempt, max_attempts, task, first_seq, left_ms, resumed, has_died, retries, *more = rest
    session_ttl_ms, traceparent, waited_ms = more
    return ClaimReply(
        **common,
        fence=int(fence),
        ttl_ms=int(ttl_ms),
        attempt=int(attempt),
        max_attempts=None if max_attempts == b"-" else int(max_attempts),
        task=decoded_field(keys, "task", task).decode() or None,
        first_seq=None if first_seq == b"-" else int(first_seq),
        left_ms=int(left_ms),
        resumed=resumed.decode(),
        has_died=has_died == 1,
        retries=int(retries),
        session_ttl_ms=int(session_ttl_ms),
        traceparent=traceparent.decode() if is_traceparent(traceparent) else None,
        waited_ms=int(waited_ms),
    )


def claim(
    keys: SessionKeys,
    nonce: str,
    owner: str,
    ttl_ms: int,
    agents: Sequence[str],
    channel: str,
    counts_receivers: bool,
) -> Call[ClaimReply]:
    """Claim a run or a turn."""
    return invoke(
        script("runs/claim"), keys, partial(_read_claim, keys), nonce=nonce, owner=owner, ttl_ms=ttl_ms,
        agents=f" {' '.join(agents)} ",
        channel=channel,
        counts_receivers=int(counts_receivers),
    )  # fmt: skip


def advance(
    keys: SessionKeys,
    nonce: str = "",
    outcome: Outcome = "",
    *,
    delay_ms: int = 0,
    problem: str = "",
    parent_reason: str = "",
    parked: str = "",
    entries: Sequence[Encoded] = (),
    operation_id: str | None = None,
    agent: str = "",
    queue: AgentKeys | None = None,
) -> Call[ClaimReply]:
    """Give work back under the nonce of its claim, or check work whose worker may have died, or whose time may be over.

    Args:
        parent_reason: the reason in the message to the parent if the run fails. Default: the problem.
        agent: the agent in whose queue the work is, if the queue has the slot of the session.
        queue: the queue of `agent`.
    """
    return invoke(
        script("runs/advance"), keys, partial(_read_claim, keys), other_keys=queue_keys(queue, keys),
        rest=[entry for entry, _ in entries], format=next((format for _, format in entries if format), ""), id=keys.id,
        operation_id=operation_id or new_operation_id(), nonce=nonce, outcome=outcome, delay_ms=delay_ms,
        problem=encoded_reason(keys, problem), parent_reason=encoded_reason(keys, parent_reason),
        parked=parked, agent=agent if queue is not None else "",
    )  # fmt: skip


def retry(keys: SessionKeys, incarnation: str, tree_limits: str) -> Call[ClaimReply]:
    """Make a run that failed, or a turn that failed, available again."""
    return invoke(
        script("runs/retry"), keys, partial(_read_claim, keys), incarnation=incarnation, operation_id=new_operation_id(),
        tree_limits=tree_limits,
    )  # fmt: skip


def register_agent(agents: IndexKeys, agent: str, max_agents: int) -> Call[None]:
    """Register an agent that has runs or turns."""
    return invoke(script("runs/register_agent"), agents, lambda reply: None, agent=agent, max_agents=max_agents)


def set_bound(agent: AgentKeys, max_running: int | None) -> Call[None]:
    """Bound how much work of an agent runs at once in the whole fleet."""
    return invoke(
        script("runs/set_bound"), agent, lambda reply: None, max_running="" if max_running is None else max_running
    )


def count_runs(agent: AgentKeys) -> list[Call[int]]:
    """Count the runs and turns that arrived, and those that wait in the line."""
    return [Call(("ZCARD", key), agent, int, writes=False) for key in (agent.queue, agent.ready)]


class QueueLength(NamedTuple):
    """The length of an agent's queue, and the bound of what runs at once."""

    waiting: int
    max_running: int | None


def read_queue(agent: AgentKeys) -> list[Call[Any]]:
    """Return the three calls that `queue_length` takes the replies of."""
    bound = Call(("GET", agent.bound), agent, lambda reply: int(reply) if reply else None, writes=False)
    return [*count_runs(agent), bound]


def queue_length(replies: Sequence[Any]) -> QueueLength:
    """Return what the replies to `read_queue` say."""
    arrived, ready, max_running = replies
    return QueueLength(arrived + ready, max_running)


def has_work(keys: SessionKeys) -> Call[bool]:
    """Return whether a session that has not ended has, or had, a run or a turn, or has messages in its inbox."""
    command = ("HMGET", keys.session, "status", "run", "inbox")
    return Call(command, keys, lambda found: found[0] in (b"active", b"paused") and any(found[1:]), writes=False)


def list_agents(agents: IndexKeys, limit: int) -> Call[list[str]]:
    """Read the agents that have runs."""
    return Call(
        ("ZRANGE", agents.ids, 0, limit - 1), agents, lambda reply: [one.decode() for one in reply], writes=False
    )
