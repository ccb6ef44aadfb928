"""What a session is: its type, and everything `info()` answers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .leases import LeaseInfo
from .limits import LimitAction, LimitCheck, check_limits
from .trees import SpawnRef

Status = Literal["active", "paused", "completed", "failed", "cancelled", "timed_out"]
Kind = Literal["main", "subagent", "cron"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class TeacherDemo(_Frozen):
    """A teacher model shows a task."""

    type: Literal["teacher_demo"] = "teacher_demo"
    task: str
    model: str


class Evaluation(_Frozen):
    """A skill is held against test cases."""

    type: Literal["evaluation"] = "evaluation"
    skill_name: str
    test_cases: int


class Refinement(_Frozen):
    """A skill is improved, for the nth time."""

    type: Literal["refinement"] = "refinement"
    skill_name: str
    iteration: int


class Conversation(_Frozen):
    """People and an agent talk."""

    type: Literal["conversation"] = "conversation"
    purpose: str


class AgentRun(_Frozen):
    """An agent works."""

    type: Literal["agent"] = "agent"
    agent_name: str


SessionType = Annotated[TeacherDemo | Evaluation | Refinement | Conversation | AgentRun, Field(discriminator="type")]
session_type: TypeAdapter[SessionType] = TypeAdapter(SessionType)


class Formation(_Frozen):
    """How a session came to be: made as such, for its first loop, or when a channel had been idle for so long."""

    kind: Literal["explicit", "first_loop", "inactivity"]
    at: datetime
    threshold: timedelta | None = None
    previous_id: str | None = None
    """The session that the channel had before, if it had one."""


class SessionInfo(_Frozen):
    """A session as it stood at one moment of the server: status, revision, counts, turns, times and settings."""

    id: str
    life: str
    status: Status
    rev: int
    kind: Kind = "main"
    user_id: str | None = None
    agent_id: str | None = None
    name: str | None = None
    type: SessionType | None = None
    tags: list[str] = []
    parent_id: str | None = None
    root_id: str | None = None
    """The root of the tree it was spawned in; None for a root."""
    label: str | None = None
    task: str | None = None
    model: str | None = None
    spawned_by: SpawnRef | None = None
    """The tool call, and the loop of its parent, that it was spawned by."""
    attempt: int = 0
    """How often a worker claimed it."""
    max_attempts: int | None = None
    run_deadline: datetime | None = None
    """When it is ended as timed_out."""
    metadata: dict[str, Any] = {}
    system_prompt: str | None = None
    formation: Formation

    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None = None
    read_at: datetime
    reason: str | None = None
    result: Any = None

    count: int
    """Messages retained, pinned ones included; the system prompt is none of them."""
    dropped: int
    """Messages that the cap or `clear` removed."""
    last_seq: int
    entries: int
    """Messages since the session began or was cleared."""
    user_messages: int
    assistant_messages: int
    turns: int
    """Completed turns: a user message, or several in a row, followed by an assistant message."""
    bytes: int
    tokens: int
    """Of the retained messages and the system prompt, by the writers' token counter."""

    spent_tokens: int = 0
    """Recorded usage of its loops and of all below it."""
    spent_cost: float = 0.0

    ttl: timedelta | None = None
    expires_in: timedelta | None = None
    """Life left when this was read; None for a persistent session."""
    max_messages: int | None
    cap_policy: str
    max_turns: int | None = None
    max_entries: int | None = None
    max_duration: timedelta | None = None
    limit_action: LimitAction = "error"
    max_message_bytes: int
    max_tokens: int
    max_inbox: int

    lease: LeaseInfo | None = None
    """Who holds it and who waits for it, or None."""
    inbox: int = 0
    """Messages that wait for the holder of the lease."""

    @property
    def current_turn(self) -> int:
        """The number of the turn that the last user message opened; 0 before the first."""
        return self.user_messages

    @property
    def exchanges(self) -> int:
        """The smaller of the user and the assistant messages."""
        return min(self.user_messages, self.assistant_messages)

    @property
    def active_seed_id(self) -> str | None:
        """What it works on; like the next two from the metadata, if it is text there."""
        return self._text("active_seed_id")

    @property
    def active_persona_id(self) -> str | None:
        """Who the session plays."""
        return self._text("active_persona_id")

    @property
    def project_id(self) -> str | None:
        """What it belongs to."""
        return self._text("project_id")

    def _text(self, name: str) -> str | None:
        value = self.metadata.get(name)
        return value if isinstance(value, str) else None

    @property
    def is_empty(self) -> bool:
        """Whether there were no user messages."""
        return self.user_messages == 0

    @property
    def scope(self) -> Literal["ephemeral", "persistent"]:
        """Persistent when nothing ends its life by itself."""
        return "persistent" if self.expires_in is None else "ephemeral"

    @property
    def duration(self) -> timedelta:
        """From its creation to its last change, never negative."""
        return max(self.updated_at - self.created_at, timedelta(0))

    @property
    def runtime(self) -> int:
        """Whole seconds from its creation to its end, or to now while it runs."""
        return max(int(((self.finished_at or self.read_at) - self.created_at).total_seconds()), 0)

    @property
    def remaining_turns(self) -> int | None:
        """Turns left before `max_turns`; None without that limit."""
        return None if self.max_turns is None else max(self.max_turns - self.turns, 0)

    @property
    def limits(self) -> list[LimitCheck]:
        """Where each limit that is set stands, in the order turns, entries, duration."""
        return check_limits(
            turns=self.turns,
            entries=self.entries,
            duration_ms=round(self.duration.total_seconds() * 1000),
            max_turns=self.max_turns,
            max_entries=self.max_entries,
            max_duration_ms=None if self.max_duration is None else round(self.max_duration.total_seconds() * 1000),
        )

    def check_limits(self) -> LimitCheck:
        """The first limit, in that order, that is reached or exceeded; else ok. `limits` shows them all."""
        return next((check for check in self.limits if check.state != "ok"), LimitCheck("ok"))
