"""Trees of sessions: the result of a spawn, and the state of the sessions below one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from ..errors import SpawnRefused
from .leases import LeaseInfo
from .runs import Attempt, WorkState

ChildStatus = Literal["active", "paused", "completed", "failed", "cancelled", "timed_out", "deleted"]
OPEN_STATUSES: Final = ("active", "paused")
"""The statuses of a session that has not ended."""


class SpawnRef(BaseModel):
    """The tool call that spawned a session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool_call_id: str | None = None
    """The ID of the tool call."""
    tool_name: str | None = None
    """The name of the tool."""
    loop_id: str | None = None
    """The loop of the parent in which the tool was called."""


class SpawnResult(NamedTuple):
    """The result of a spawn."""

    status: Literal["accepted", "forbidden"]
    """True if a child was spawned."""
    reason: str | None
    """Why it was refused: max_depth, max_children, max_active, max_descendants, max_spawned, token_budget, cost_budget,
    label_in_use, cancelled, call_not_open, or parent_<status>. None if it was accepted."""
    run_id: str | None
    """The run ID, which is its incarnation. None if it was refused."""
    session_key: str | None
    """The session ID. None if it was refused."""
    message: str
    """The result in one sentence."""

    @property
    def accepted(self) -> bool:
        """True if a child was spawned."""
        return self.status == "accepted"

    def raise_if_refused(self) -> Self:
        """Return the result itself. Raises SpawnRefused if it was refused."""
        if not self.accepted:
            raise SpawnRefused(reason=self.reason, message=self.message)
        return self


class ChildInfo(BaseModel):
    """A session of a tree at one moment. If the session is gone, only the record of the tree."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The session ID."""
    run_id: str
    """The run ID, which is the child's incarnation."""
    number: int
    """The number in the tree, from 1, in the order of spawning. The root is 0."""
    parent: int
    """The number of the child's parent."""
    status: ChildStatus
    """The status."""
    on_parent_end: Literal["cancel", "detach", "request_cancel"]
    """The effect that the end of the parent has on the child."""
    spawned_by: SpawnRef | None = None
    """The tool call that spawned the child."""
    is_stored: bool
    """True if the session can be read. If not, the session expired or was deleted."""
    label: str | None = None
    """The label in the tree."""
    agent_id: str | None = None
    """The agent the child was spawned for."""
    task: str | None = None
    """The task the child was spawned for."""
    reason: str | None = None
    """Why the child ended."""
    result: Any = None
    """The result that the child ended with (JSON)."""
    tokens: int = 0
    """Tokens of the child's messages."""
    work: WorkState | None = None
    """The state of the child's run or open turn: queued, delayed, running, parked, or failed (a turn)."""
    attempt: int = 0
    """The attempts at the run that failed or whose worker died, plus 1 while a worker has the child, and after the end."""
    attempts: list[Attempt] = []
    """The attempts that failed or whose worker died, oldest first, at most ten."""
    created_at: datetime | None = None
    """When the child was spawned (UTC)."""
    updated_at: datetime | None = None
    """When the child changed last (UTC)."""
    finished_at: datetime | None = None
    """When the child ended (UTC)."""
    runtime: timedelta | None = None
    """Time from the spawn to the end of the child, or until now."""
    lease: LeaseInfo | None = None
    """The lease, if a worker holds the child."""

    @property
    def is_active(self) -> bool:
        """True if the child has not ended."""
        return self.status in OPEN_STATUSES
