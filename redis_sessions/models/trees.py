"""Trees of sessions: what a spawn answers, and how the children of a session stand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from ..errors import SpawnRefused
from .leases import LeaseInfo

ChildStatus = Literal["active", "paused", "completed", "failed", "cancelled", "timed_out", "deleted"]


class SpawnRef(BaseModel):
    """What made a session spawn a child: the tool call, and the loop it was made in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool_call_id: str | None = None
    tool_name: str | None = None
    loop_id: str | None = None


class SpawnResult(NamedTuple):
    """What came of a spawn. `session_key` is the child's id, `run_id` its life; both None when it was refused.

    `reason` of a refusal is max_depth, max_children, max_concurrent, max_descendants, token_budget, cost_budget, label_in_use,
    cancelled, or parent_<status>.
    """

    status: Literal["accepted", "forbidden"]
    reason: str | None
    run_id: str | None
    session_key: str | None
    message: str

    @property
    def accepted(self) -> bool:
        """Whether there is a child."""
        return self.status == "accepted"

    def raise_if_refused(self) -> Self:
        """The result itself, or SpawnRefused."""
        if not self.accepted:
            raise SpawnRefused(reason=self.reason, message=self.message)
        return self


class ChildInfo(BaseModel):
    """One session of a tree, as it stood at one moment. Of one that is gone, only what its tree knows."""

    model_config = ConfigDict(frozen=True)

    id: str
    run_id: str
    number: int
    """Its place in the tree, from 1, in the order of spawning; the root is 0."""
    parent: int
    """The number of its parent."""
    status: ChildStatus
    on_parent_end: Literal["cancel", "detach", "request_cancel"]
    spawned_by: SpawnRef | None = None
    is_stored: bool
    """Whether it can be read; else it expired or was deleted."""
    label: str | None = None
    agent_id: str | None = None
    task: str | None = None
    reason: str | None = None
    result: Any = None
    tokens: int = 0
    """Of its messages."""
    attempt: int = 0
    """How often it was claimed."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None
    runtime: timedelta | None = None
    """From its creation to its end, or to now."""
    lease: LeaseInfo | None = None

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ("active", "paused")
