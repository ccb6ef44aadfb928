"""What a list of sessions says of each."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from .sessions import Kind, Status


class SessionSummary(BaseModel):
    """A session as a list shows it, read from the session itself."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: Status
    rev: int
    """Changes so far."""
    kind: Kind = "main"
    user_id: str | None = None
    agent_id: str | None = None
    name: str | None = None
    label: str | None = None
    task: str | None = None
    tags: list[str] = Field(default_factory=list)
    parent_id: str | None = None
    root_id: str | None = None
    active_seed_id: str | None = None
    """Like the next two, from the metadata, if it is text there."""
    active_persona_id: str | None = None
    project_id: str | None = None
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    count: int
    """Messages retained."""
    last_seq: int
    user_messages: int
    assistant_messages: int
    turns: int
    tokens: int
    """Of the retained messages."""
    holder: str | None = None
    """Who holds its lease."""
    active_below: int = 0
    """Of a root: how many sessions of its tree are active."""

    @property
    def exchanges(self) -> int:
        """The smaller of the user and the assistant messages."""
        return min(self.user_messages, self.assistant_messages)

    @property
    def is_active(self) -> bool:
        """Whether it takes messages."""
        return self.status == "active"
