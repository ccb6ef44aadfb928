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
    """Its seq."""
    at: datetime
    """Server time (UTC) when it was stored."""
    role: str | None = None
    """system, user, assistant or tool. None if the message is larger than 4 KiB."""
    text: str | None = None
    """Its content as text. None if the message is larger than 4 KiB."""


class SessionSummary(BaseModel):
    """A session as a list shows it, read from the session itself."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The session's ID."""
    status: Status
    """Its status."""
    rev: int
    """Its revision: changes so far."""
    kind: Kind = "main"
    """Its kind."""
    user_id: str | None = None
    """The user it belongs to."""
    agent_id: str | None = None
    """The agent it belongs to."""
    name: str | None = None
    """Its name."""
    label: str | None = None
    """Its label in its tree."""
    task: str | None = None
    """The task it was spawned for."""
    tags: list[str] = Field(default_factory=list)
    """Its tags."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Its metadata."""
    state: dict[str, Any] = Field(default_factory=dict)
    """The values of its state that the list asked for by name. A name without a value is missing."""
    parent_id: str | None = None
    """The session that spawned it."""
    root_id: str | None = None
    """The root of the tree it was spawned in. None for a root."""
    created_at: datetime
    """When it was created (UTC)."""
    updated_at: datetime
    """When it changed last (UTC)."""
    finished_at: datetime | None = None
    """When it ended (UTC)."""
    count: int
    """Messages that it retains."""
    last_seq: int
    """Its highest seq."""
    last_message: LastMessage | None = None
    """Its newest message. None if it retains none."""
    user_messages: int
    """User messages since its creation or the last clear."""
    assistant_messages: int
    """Assistant messages since its creation or the last clear."""
    turns: int
    """Completed turns."""
    tokens: int
    """Tokens of the retained messages, without the system prompt."""
    inbox_size: int = 0
    """Messages that wait in its inbox."""
    holder: str | None = None
    """The name of the worker that holds its lease."""
    active_descendants: int = 0
    """For a root: how many sessions of its tree are active."""

    @property
    def exchanges(self) -> int:
        """The smaller of the numbers of user and assistant messages."""
        return min(self.user_messages, self.assistant_messages)

    @property
    def is_active(self) -> bool:
        """True if it takes messages."""
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
