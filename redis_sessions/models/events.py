"""What watching a session yields."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

from .messages import Message
from .sessions import Status


class SessionEvent(NamedTuple):
    """Something that happened in a session.

    `message` and `status` are stored: watching again from their `seq` (and `change`) goes on behind them. A `gap` says which
    messages are gone, unseen; without a `first_seq`, that changes of the status up to `change` are (some 30 are kept). A
    `delta` is what `publish` told; it is not stored. `deleted` says the session is gone, or is another one by now;
    `regressed`, of `cache.watch`, that a failover lost what came after `seq`.
    """

    kind: Literal["message", "status", "gap", "delta", "deleted", "regressed"]
    session_id: str
    seq: int
    """Of the message; else of the last one before the event."""
    change: int
    """How often the status had changed."""
    message: Message | None = None
    status: Status | None = None
    at: datetime | None = None
    """When the message was appended, or the status changed, by the server's clock."""
    first_seq: int | None = None
    """Of a gap in the messages, which goes on to `seq`."""
    data: Any = None
    """Of a delta."""

    @property
    def is_stored(self) -> bool:
        """Whether it can be read again."""
        return self.kind in ("message", "status")
