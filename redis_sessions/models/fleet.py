"""A fleet at one moment: its load, problems, sessions, workers, servers, and the last hour."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .runs import Attempt, WorkState
from .summaries import SessionSummary
from .workers import WorkerInfo

ProblemKind = Literal[
    "server", "dead_holder", "silent_holder", "poison_run", "no_worker", "inbox_full", "budget_spent", "paused_parent",
    "long_wait", "run_failed", "dead_worker",
]  # fmt: skip
"""The kinds of problems, the most urgent first.

server: a server refuses writes, or nearly does. dead_holder: the worker that holds the session is dead, or its lease ran out and
no other worker took over its run, turn or inbox. silent_holder: the session is held, but nothing was written to it for a long
time. poison_run: at least two workers died with the run. no_worker: work waits for an agent that has no living worker.
inbox_full: the session refuses messages. budget_spent: the session's tree refuses spawns or appends. paused_parent: a paused
session has active sessions below it, or a run or turn that waits. long_wait: work waits for a long time though workers live.
run_failed: a run failed or timed out, or a turn gave up, in the last hour. dead_worker: a worker died in the last hour.
"""

MAX_OF_A_KIND = 50
"""Problems of one kind that a fleet names."""


class FleetProblem(BaseModel):
    """A problem of the fleet, with its cause and an advice."""

    model_config = ConfigDict(frozen=True)

    kind: ProblemKind
    """The kind."""
    session_id: str | None = None
    """The session, if the problem is about one."""
    agent_id: str | None = None
    """The agent, if the problem is about one."""
    worker: str | None = None
    """The name of the worker, if the problem is about one."""
    since: datetime | None = None
    """The time of the beginning of the problem, or of the read that found it first (UTC). None in that read."""
    text: str
    """The problem in one sentence. The sentence can hold the text of users: escape it."""
    advice: str
    """The remedy in one sentence."""


class FleetSession(SessionSummary):
    """A session as a fleet shows it: a summary, with its lease, its work, and the spend of its tree."""

    read_at: datetime
    """When the session was read (UTC). In a large fleet the lease can have been renewed since."""
    work: WorkState | None = None
    """The state of the session's run or open turn. None when there is neither."""
    fence: int | None = None
    """The fence of the lease, if a worker holds it."""
    held_since: datetime | None = None
    """When the lease was granted (UTC), if a worker holds the session."""
    lease_expires_at: datetime | None = None
    """When the lease runs out unless it is renewed (UTC). A time in the past: no worker has taken over yet."""
    attempt: int = 0
    """The number of attempts that failed or whose worker died, plus 1 while a worker has the session, and after the end."""
    max_attempts: int | None = None
    """The maximum number of attempts that may fail."""
    attempts: list[Attempt] = Field(default_factory=list)
    """The attempts that failed or whose worker died, oldest first, at most ten."""
    available_at: datetime | None = None
    """The time before which no worker claims the session's work (UTC)."""
    waiting_since: datetime | None = None
    """When the session's work became available (UTC), if the work is queued."""
    run_deadline: datetime | None = None
    """When the session's run ends as timed_out (UTC)."""
    max_inbox: int | None = None
    """Messages that may wait in the session's inbox."""
    reason: str | None = None
    """Why the session ended, or is paused."""
    spent_tokens: int = 0
    """Recorded tokens of the session's loops and of all sessions below."""
    spent_cost: float = 0.0
    """Recorded cost of the session's loops and of all sessions below."""
    token_budget: int | None = None
    """Tokens that the session and all sessions below may spend."""
    cost_budget: float | None = None
    """Cost that the session and all sessions below may spend."""
    parent_status: str | None = None
    """The status of the parent, if the monitor read the parent."""


class AgentLoad(BaseModel):
    """The work of one agent, and its workers."""

    model_config = ConfigDict(frozen=True)

    agent_id: str
    """The agent."""
    queued: int = 0
    """Runs and turns that wait for a worker."""
    delayed: int = 0
    """Runs and turns whose time has not come."""
    running: int = 0
    """Runs and turns that workers have."""
    parked: int = 0
    """Runs that wait for their children."""
    retried: int = 0
    """Runs and turns that are open and had an attempt that failed or whose worker died."""
    failed: int = 0
    """Runs that failed or timed out in the last hour, and open turns that gave up. The last 50,000 failures are counted."""
    given_up: int = 0
    """Open turns that gave up."""
    oldest_wait: timedelta | None = None
    """The longest wait of a queued run or turn."""
    workers: int = 0
    """Living workers of the agent."""
    idle: int = 0
    """Runs that these workers could take now."""
    dead_workers: int = 0
    """Workers that died in the last hour."""
    max_running: int | None = None
    """The bound of the runs and turns that run at once in the fleet."""


class ServerHealth(BaseModel):
    """One server at the moment of the read."""

    model_config = ConfigDict(frozen=True)

    address: str
    """Host and port, without a password."""
    is_up: bool
    """True if the server answered."""
    problem: str | None = None
    """The problem in one sentence: the server does not answer, is full, read-only, loading, or cannot save."""
    version: str | None = None
    """Its kind and version, such as valkey 9.1.0. None if INFO is refused."""
    role: str | None = None
    """master or replica."""
    used_memory: int | None = None
    """Bytes of memory in use."""
    max_memory: int | None = None
    """Bytes that the server may use. None for no limit."""
    clients: int | None = None
    """Connections to the server."""
    commands_per_second: float | None = None
    """Commands a second, as the server counts them."""
    latency: timedelta | None = None
    """Time of one round trip."""


class FleetSample(BaseModel):
    """The fleet at one moment of the last hour, for charts."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    """The time of the server (UTC)."""
    messages_per_second: float | None = None
    """New messages a second. None in the first sample."""
    ended_per_second: float | None = None
    """Runs that ended a second, since the sample before. None in the first sample."""
    queued: int
    """Runs and turns that wait for a worker."""
    running: int
    """Runs and turns that workers have."""
    wait_p50: float | None = None
    """Median of the seconds between availability and claim, of runs that ended since the sample before. None without any."""
    wait_p95: float | None = None
    """95th percentile of the same."""
    handling_p50: float | None = None
    """Median of the seconds between claim and end."""
    handling_p95: float | None = None
    """95th percentile of the same."""


class EndedRuns(BaseModel):
    """Runs of one agent that ended, and attempts that did not end well, since the monitor began.

    A run that failed, was retried and ended again counts twice, with the attempts before each end.
    """

    model_config = ConfigDict(frozen=True)

    agent_id: str
    """The agent."""
    completed: int = 0
    """Runs that completed."""
    failed: int = 0
    """Runs that failed."""
    timed_out: int = 0
    """Runs whose time was over."""
    cancelled: int = 0
    """Runs that were cancelled."""
    failed_attempts: int = 0
    """Attempts of these runs whose handler raised, at most ten of each run."""
    died_attempts: int = 0
    """Attempts of these runs whose worker died, at most ten of each run."""


class Fleet(BaseModel):
    """A fleet as a monitor saw it last."""

    model_config = ConfigDict(frozen=True)

    namespace: str
    """The namespace."""
    read_at: datetime
    """The time of the server (UTC)."""
    active: int
    """Sessions that have not ended, paused ones included."""
    ended: int
    """Sessions that have ended and are still stored."""
    is_complete: bool
    """True if each active session was read at least once, as far as the counts of the index tell.

    False in the first reads of a large fleet, while sessions that are written often were not met, and above `max_sessions`.
    """
    messages_per_second: float | None = None
    """New messages a second. None before the second read of a session."""
    problems: list[FleetProblem] = []
    """The problems, the most urgent first, at most 50 of a kind."""
    agents: list[AgentLoad] = []
    """The agents, by the number of runs and turns that wait."""
    sessions: list[FleetSession] = []
    """Active sessions that were read, the last change first. At most `max_sessions`."""
    failed: list[FleetSession] = []
    """Sessions that failed or timed out in the last hour, the newest first, at most 200.

    Each is read again after some reads, so one that was deleted is gone from here some seconds later.
    """
    workers: list[WorkerInfo] = []
    """Workers, those that live first, then those that died in the last hour. At most 10,000."""
    spenders: list[FleetSession] = []
    """Roots that spent tokens, the largest first, at most 100."""
    servers: list[ServerHealth] = []
    """The servers."""
    ended_runs: list[EndedRuns] = []
    """Runs that ended since the monitor began, by agent."""
    samples: list[FleetSample] = []
    """The last hour, oldest first. A sample a read, at most one each 5 s."""

    @property
    def cut_kinds(self) -> frozenset[ProblemKind]:
        """The kinds of which `problems` has 50, so that there can be more."""
        numbers = Counter(one.kind for one in self.problems)
        return frozenset(kind for kind, number in numbers.items() if number >= MAX_OF_A_KIND)
