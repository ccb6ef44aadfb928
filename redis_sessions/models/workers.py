"""The state of a worker in the registry."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict


class WorkerInfo(BaseModel):
    """A worker at one moment of the server, by its last heartbeat."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The ID of the worker: 12 hex digits, new at each start."""
    owner: str
    """The name that others see as the holder of the worker's leases."""
    host: str
    """The name of the machine."""
    pid: int
    """The process ID on this machine."""
    agents: tuple[str, ...]
    """The agents whose runs the worker claims."""
    concurrency: int
    """The number of runs that the worker takes at once."""
    holding: tuple[str, ...]
    """The IDs of the sessions that the worker works on. A change is at most about a second late."""
    ttl: timedelta
    """The time for which the leases of the worker outlive the worker."""
    started_at: datetime
    """When the worker was heard first (UTC)."""
    last_heard_at: datetime
    """When the worker was heard last (UTC)."""
    silent_for: timedelta
    """Time since then."""
    is_alive: bool
    """False if the worker is silent for longer than its `ttl` (at least 2 s) and a second more."""
