"""The record of an order, for the `audit` hook of a cache."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

AuditAction = Literal[
    "delete", "cancel", "force_release", "forget", "import", "prune", "repair", "request_cancel", "pause", "resume", "retry",
]  # fmt: skip


class AuditRecord(BaseModel):
    """One order that succeeded: the action, the session, the time, and who gave the order."""

    model_config = ConfigDict(frozen=True)

    action: AuditAction
    """delete, cancel, force_release (of a lease), forget (a user), import, prune or repair.

    From the dashboard also request_cancel, pause, resume and retry. From `top` also pause, resume and retry.
    """
    namespace: str
    """The namespace."""
    actor: str
    """The `actor` of the cache. Default: '<host>:<process ID>'."""
    host: str
    """The name of the machine."""
    pid: int
    """The process ID on this machine."""
    at: datetime
    """When the order had succeeded, by the clock of this machine (UTC)."""
    session_id: str | None = None
    """The session. None for forget and prune, and for the repair of a queue, an index or a channel. The root of an import."""
    user_id: str | None = None
    """The user that was forgotten."""
    reason: str | None = None
    """The reason that the caller gave for a cancellation."""
    details: dict[str, Any] = {}
    """Numbers of the results of the order, by name."""
