"""The state of a session's lease."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict


class LeaseInfo(BaseModel):
    """A session's lease at one moment of the server."""

    model_config = ConfigDict(frozen=True)

    session_id: str
    """The session."""
    owner: str
    """The name of the holder."""
    fence: int
    """The fencing token of the grant."""
    held_since: datetime
    """The time of the grant, in UTC. Renewals keep it."""
    expires_in: timedelta
    """Time until another worker may take the lease, unless it is renewed."""
    waiters: list[str]
    """The names of the workers that wait, the next one first."""
    inbox_size: int
    """Messages that wait in the session's inbox."""
