"""Who holds a session's lease, and who waits for it."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict


class LeaseInfo(BaseModel):
    """A session's lease as it stood at one moment of the server."""

    model_config = ConfigDict(frozen=True)

    session_id: str
    owner: str
    """What its holder calls itself."""
    fence: int
    expires_in: timedelta
    """Until it may be taken over, unless it is renewed; negative when it ran out."""
    line: list[str]
    """The owners who wait, the next one first."""
    inbox: int
    """Messages that wait for the holder."""
