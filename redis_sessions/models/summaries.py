"""A session as a list shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from .sessions import Kind, Status, text_value


class LastMessage(BaseModel):
    """The newest message of a session."""

    model_config = ConfigDict(frozen=True)

    seq: int
    """The seq."""
    at: datetime
    """Server time (UTC) when the message was stored."""
    role: str | None = None
    """system, user, assistant or tool. None if the message is larger than 4 KiB."""
    text: str | None = None
    """The content as text. None if the message is larger than 4 KiB."""


class SessionSummary(BaseModel):
    """A session as a list shows it, read from the session itself."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The ID."""
    status: Status
    """The status."""
    rev: int
    """The revision: changes so far."""
    kind: Kind = "main"
    """The kind."""
    user_id: str | None = None
    """The user the session belongs to."""
    agent_id: str | None = None
    """The agent the session belongs to."""
    name: str | None = None
    """The name."""
    label: str | None = None
    """The label in the tree."""
    task: str | None = None
    """The task the session was spawned for."""
    tags: list[str] = Field(default_factory=list)
    """The tags."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """The metadata."""
    state: dict[str, Any] = Field(default_factory=dict)
    """The values of the session's state that the list asked for by name. A name without a value is missing."""
    parent_id: str | None = None
    """The parent: the session that spawned this one."""
    root_id: str | None = None
    """The root of the tree the session was spawned in. None for a root."""
    created_at: datetime
    """When the session was created (UTC)."""
    updated_at: datetime
    """When the session changed last (UTC)."""
    finished_at: datetime | None = None
    """When the session ended (UTC)."""
    count: int
    """Messages that the session retains."""
    last_seq: int
    """The highest seq."""
    last_message: LastMessage | None = None
    """The newest message. None if the session retains none."""
    user_messages: int
    """User messages since the session's creation or the last clear."""
    assistant_messages: int
    """Assistant messages since the session's creation or the last clear."""
    turns: int
    """Completed turns."""
    tokens: int
    """Tokens of the retained messages, without the system prompt."""
    inbox_size: int = 0
    """Messages that wait in the session's inbox."""
    holder: str | None = None
    """The name of the worker that holds the session's lease."""
    active_descendants: int = 0
    """For a root: the number of active sessions of the tree."""

    @property
    def exchanges(self) -> int:
        """The smaller of the numbers of user and assistant messages."""
        return min(self.user_messages, self.assistant_messages)

    @property
    def is_active(self) -> bool:
        """True if the session takes messages."""
        return self.status == "active"

    @property
    def active_seed_id(self) -> str | None:
        """The metadata value `active_seed_id`, if it is text."""
        return text_value(self.metadata, "active_seed_id")

    @property
    def active_persona_id(self) -> str | None:
        """The metadata value `active_persona_id`, if it is text."""
        return text_value(self.metadata, "active_persona_id")

    @property
    def project_id(self) -> str | None:
        """The metadata value `project_id`, if it is text."""
        return text_value(self.metadata, "project_id")
