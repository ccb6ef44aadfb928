"""The problems of a fleet with their causes, from the reads of a monitor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, get_args

from ..._printable import count_of
from ...models.fleet import MAX_OF_A_KIND, AgentLoad, FleetProblem, FleetSession, ProblemKind, ServerHealth
from ...models.workers import WorkerInfo

HOUR = timedelta(hours=1)
_RETRY_ADVICE = "Look at the attempts. `redis-sessions retry` makes a failed run or turn available again."
_TAKEOVER = timedelta(seconds=2)
"""A lease that ran out sooner ago is being taken over."""
_ORDER: tuple[str, ...] = get_args(ProblemKind)


class Findings(NamedTuple):
    """The facts that a monitor has of a fleet."""

    now: datetime
    sessions: Mapping[str, FleetSession]
    """Active sessions by ID."""
    failed: Sequence[FleetSession]
    workers: Sequence[WorkerInfo]
    agents: Sequence[AgentLoad]
    servers: Sequence[ServerHealth]
    stuck_after: timedelta


def find_problems(found: Findings) -> list[FleetProblem]:
    """Return the problems, the most urgent kind first, and of a kind the oldest first. At most 50 of a kind."""
    by_kind: dict[str, list[FleetProblem]] = {kind: [] for kind in _ORDER}
    for problem in _all(found):
        by_kind[problem.kind].append(problem)
    return [
        one
        for problems in by_kind.values()
        for one in sorted(problems, key=lambda each: (each.since or found.now, each.session_id or ""))[:MAX_OF_A_KIND]
    ]


def _all(found: Findings) -> Iterator[FleetProblem]:
    for server in found.servers:
        if server.problem:
            text = f"Server {server.address}: {server.problem}."
            yield FleetProblem(kind="server", text=text, advice="Run `redis-sessions doctor` with this server's URL.")
    dead = _dead_owners(found.workers)
    for session in found.sessions.values():
        if session.held_since is not None:
            yield from _holder_problems(session, dead, found)
        has_budget = session.token_budget is not None or session.cost_budget is not None
        if session.attempts or session.inbox_size or has_budget:
            yield from _session_problems(session, found.now)
    yield from _paused_parents(found)
    yield from _agent_problems(found)
    for session in found.failed:
        yield from _failures(session)
    for worker in found.workers:
        if not worker.is_alive:
            held = f", and held {count_of(len(worker.holding), 'session')}" if worker.holding else ""
            yield FleetProblem(
                kind="dead_worker", worker=worker.owner, since=worker.last_heard_at,
                text=f"Worker {worker.owner} died: it was not heard for {_span(worker.silent_for)}{held}.",
                advice="Other workers take over its runs. Look at the log of its machine.",
            )  # fmt: skip


def _dead_owners(workers: Iterable[WorkerInfo]) -> dict[str, WorkerInfo]:
    """Return the workers that are dead, by their names, unless another one with the same name lives."""
    alive = {one.owner for one in workers if one.is_alive}
    return {one.owner: one for one in workers if not one.is_alive and one.owner not in alive}


def _holder_problems(session: FleetSession, dead: Mapping[str, WorkerInfo], found: Findings) -> Iterator[FleetProblem]:
    assert session.held_since is not None
    assert session.lease_expires_at is not None
    # A large fleet is read in parts: the lease can have been renewed since the session was read.
    holder, read_at = session.holder or "a worker", session.read_at
    over = (found.now if holder in dead else read_at) - session.lease_expires_at
    about = {"session_id": session.id, "agent_id": session.agent_id, "worker": session.holder}
    if holder in dead:
        silent = dead[holder].silent_for
        left = (
            f"its lease runs out in {_span(-over)}" if over < timedelta(0) else f"its lease ran out {_span(over)} ago"
        )
        yield FleetProblem(
            kind="dead_holder", since=dead[holder].last_heard_at, **about,
            text=f"Worker {holder}, which holds the session, is dead: it was not heard for {_span(silent)}; {left}.",
            advice="Another worker takes over when the lease has run out. Release the lease to let that happen now.",
        )  # fmt: skip
    elif over > _TAKEOVER:
        yield FleetProblem(
            kind="dead_holder", since=session.lease_expires_at, **about,
            text=f"The lease of {holder} ran out {_span(over)} ago, and no worker took over.",
            advice="Run `redis-sessions recover`, and start a worker of the agent if a run or turn waits.",
        )  # fmt: skip
    else:
        since = max(session.held_since, session.updated_at)
        if read_at - since > found.stuck_after:
            yield FleetProblem(
                kind="silent_holder", since=since, **about,
                text=f"Worker {holder} holds the session for {_span(read_at - session.held_since)}, lives, and wrote "
                f"nothing for {_span(read_at - since)}.",
                advice="Look at what the worker does. Give runs a run_timeout and leases a max_hold, or cancel the run.",
            )  # fmt: skip


def _session_problems(session: FleetSession, now: datetime) -> Iterator[FleetProblem]:
    about = {"session_id": session.id, "agent_id": session.agent_id}
    died = [one for one in session.attempts if one.outcome == "died"]
    if len(died) > 1:
        yield _poison(session, len(died))
    elif session.work == "failed" and session.attempts and session.attempts[-1].ended_at >= now - HOUR:
        last = session.attempts[-1]
        yield FleetProblem(
            kind="run_failed", since=last.ended_at, worker=last.worker, **about,
            text=f"The turn gave up after {count_of(session.attempt, 'attempt')}, and no worker answers: {last.error}",
            advice=_RETRY_ADVICE,
        )  # fmt: skip
    if session.max_inbox is not None and session.inbox_size >= max(session.max_inbox, 1):
        cause = "no worker holds it" if session.holder is None else f"{session.holder} does not take them"
        advice = "Let a worker take them (lease, turn), or raise max_inbox with patch."
        if session.status == "paused":
            cause, advice = "the session is paused", "Resume it."
        yield FleetProblem(
            kind="inbox_full", **about,
            text=f"The inbox is full: {count_of(session.inbox_size, 'message')} wait, and {cause}. More are refused.",
            advice=advice,
        )  # fmt: skip
    spent = _spent_budget(session)
    if spent:
        yield FleetProblem(
            kind="budget_spent", **about,
            text=f"The budget of the tree is spent: {spent}. More is refused.",
            advice="Raise the budget with patch, or cancel the tree.",
        )  # fmt: skip


def _spent_budget(session: FleetSession) -> str:
    if session.token_budget is not None and session.spent_tokens >= session.token_budget:
        return f"{session.spent_tokens:,} of {session.token_budget:,} tokens"
    if session.cost_budget is not None and session.spent_cost >= session.cost_budget:
        return f"cost {session.spent_cost:,.2f} of {session.cost_budget:,.2f}"
    return ""


def _poison(session: FleetSession, died: int) -> FleetProblem:
    last = session.attempts[-1]
    return FleetProblem(
        kind="poison_run", session_id=session.id, agent_id=session.agent_id, worker=last.worker, since=last.ended_at,
        text=f"{count_of(died, 'worker')} died with this run, the last one was {last.worker}.",
        advice="The run probably kills its process (memory, a crash of native code). Look at the attempts, then cancel it.",
    )  # fmt: skip


def _paused_parents(found: Findings) -> Iterator[FleetProblem]:
    paused = {id: list[str]() for id, one in found.sessions.items() if one.status == "paused"}
    if not paused:
        return
    for session in found.sessions.values():
        for ancestor in {session.parent_id, session.root_id} & paused.keys():
            if ancestor is not None and ancestor != session.id:
                paused[ancestor].append(session.id)
    for id, children in paused.items():
        session = found.sessions[id]
        number = max(session.active_descendants, len(children))
        is_waiting = session.work in ("queued", "delayed")
        if number or is_waiting:
            example = f", such as {min(children)}" if children else ""
            below = f", with {count_of(number, 'active session')} below it{example}" if number else ""
            own = ", and its own run or turn waits for that" if is_waiting else ""
            reason = f" ({session.reason})" if session.reason else ""
            yield FleetProblem(
                kind="paused_parent", session_id=session.id, agent_id=session.agent_id, since=session.updated_at,
                text=f"The session is paused{reason}{below}{own}.",
                advice="Resume it, or cancel the tree.",
            )  # fmt: skip


def _agent_problems(found: Findings) -> Iterator[FleetProblem]:
    for agent in found.agents:
        wait = agent.oldest_wait
        since = None if wait is None else found.now - wait
        waits = f"{count_of(agent.queued, 'run or turn', 'runs and turns')} of agent {agent.agent_id}" + (
            "" if wait is None else f", the oldest for {_span(wait)}"
        )
        if agent.queued and not agent.workers and not agent.running:
            yield FleetProblem(
                kind="no_worker", agent_id=agent.agent_id, since=since, text=f"No worker lives for {waits}.",
                advice=f"Start workers of agent {agent.agent_id}.",
            )  # fmt: skip
        elif wait is not None and wait > found.stuck_after:
            cause = f"{count_of(agent.workers, 'worker')} with {agent.idle} free places, and {agent.running} running."
            advice = "Start more workers, raise their concurrency, or look for runs that hang."
            if agent.max_running is not None and agent.running >= agent.max_running:
                cause = f"{agent.running} run, and at most {agent.max_running} of the agent may run at once."
                advice = "Raise the bound with limit_agent, or look for runs that hang."
            yield FleetProblem(
                kind="long_wait", agent_id=agent.agent_id, since=since, text=f"Waiting: {waits}. {cause}", advice=advice
            )


def _failures(session: FleetSession) -> Iterator[FleetProblem]:
    died = sum(one.outcome == "died" for one in session.attempts)
    if died > 1:
        yield _poison(session, died)
        return
    why = session.attempts[-1].error if session.attempts else session.reason or "no reason was given"
    number = f" after {count_of(session.attempt, 'attempt')}" if session.attempt else ""
    yield FleetProblem(
        kind="run_failed", session_id=session.id, agent_id=session.agent_id, since=session.finished_at,
        worker=session.attempts[-1].worker if session.attempts else None,
        text=f"{'Failed' if session.status == 'failed' else 'Timed out'}{number}: {why}",
        advice=_RETRY_ADVICE,
    )  # fmt: skip


def _span(time: timedelta) -> str:
    seconds = max(time.total_seconds(), 0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"
