"""A session: its type, its formation, and everything that `info()` returns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from .leases import LeaseInfo
from .limits import LimitAction, LimitCheck, check_limits
from .runs import Attempt, WorkState
from .trees import SpawnRef

Status = Literal["active", "paused", "completed", "failed", "cancelled", "timed_out"]
Kind = Literal["main", "subagent", "cron"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class TeacherDemo(_Frozen):
    """Session type: a teacher model demonstrates a task."""

    type: Literal["teacher_demo"] = "teacher_demo"
    """The tag of this type."""
    task: str
    """The task."""
    model: str
    """The teacher model."""


class Evaluation(_Frozen):
    """Session type: a skill is evaluated with test cases."""

    type: Literal["evaluation"] = "evaluation"
    """The tag of this type."""
    skill_name: str
    """The skill."""
    test_cases: int
    """The number of test cases."""


class Refinement(_Frozen):
    """Session type: a skill is refined."""

    type: Literal["refinement"] = "refinement"
    """The tag of this type."""
    skill_name: str
    """The skill."""
    iteration: int
    """The number of the iteration."""


class Conversation(_Frozen):
    """Session type: people and an agent talk."""

    type: Literal["conversation"] = "conversation"
    """The tag of this type."""
    purpose: str
    """The purpose."""


class AgentRun(_Frozen):
    """Session type: an agent works."""

    type: Literal["agent"] = "agent"
    """The tag of this type."""
    agent_name: str
    """The agent."""


SessionType = Annotated[TeacherDemo | Evaluation | Refinement | Conversation | AgentRun, Field(discriminator="type")]
session_type: TypeAdapter[SessionType] = TypeAdapter(SessionType)
SESSION_TYPES = (TeacherDemo, Evaluation, Refinement, Conversation, AgentRun)


class Formation(_Frozen):
    """The way in which a session was formed."""

    kind: Literal["explicit", "first_loop", "inactivity"]
    """explicit: created by a caller. first_loop: created for a first loop. inactivity: formed after a channel was idle."""
    at: datetime
    """When the session was formed (UTC)."""
    threshold: timedelta | None = None
    """The inactivity after which the session was formed."""
    previous_id: str | None = None
    """The session that the channel had before."""


class SessionInfo(_Frozen):
    """A session at one moment of the server, without its messages and state."""

    id: str
    """The ID."""
    incarnation: str
    """12 hex digits, new with every creation of a session with this ID."""
    status: Status
    """The status."""
    rev: int
    """The revision: changes so far. Give it as `expected_rev` to make a write conditional."""
    kind: Kind = "main"
    """The kind: main, subagent (spawned) or cron."""
    user_id: str | None = None
    """The user the session belongs to."""
    agent_id: str | None = None
    """The agent the session belongs to."""
    name: str | None = None
    """The name."""
    type: SessionType | None = None
    """The session type."""
    tags: list[str] = []
    """The tags."""
    parent_id: str | None = None
    """The parent: the session that spawned this one, or that `create` was given."""
    format: str | None = None
    """The message format: given at `create`, or that of the first message with a format of its own."""
    root_id: str | None = None
    """The root of the tree the session was spawned in. None for a root."""
    label: str | None = None
    """The label in the tree."""
    task: str | None = None
    """The task the session was spawned for."""
    model: str | None = None
    """The model the session was spawned for."""
    spawned_by: SpawnRef | None = None
    """The tool call that spawned the session."""
    answered_by: str | None = None
    """The agent whose workers answer the session's messages in turns."""
    priority: int = 0
    """The priority of the session's run or turns, -100 to 100. Higher is served first."""
    fairness_key: str | None = None
    """The key between which the queue of the session's agent is fair. None for the root of the tree."""
    channel: str | None = None
    """The channel that talks in the session. None unless `conversation` formed the session."""
    work: WorkState | None = None
    """The state of its run or its open turn: queued, delayed, running, parked, or failed (a turn). None when there is neither.

    A paused session keeps the state.
    """
    turn_seq: int | None = None
    """The seq of the first message that the open turn answers. None when no turn is open."""
    attempt: int = 0
    """The attempts at the run or open turn that failed or whose worker died, plus 1 while a worker has the work."""
    max_attempts: int | None = None
    """The maximum number of attempts that may fail. None if workers may not claim the session."""
    attempts: list[Attempt] = []
    """The attempts at the session's run or open turn that failed or whose worker died, oldest first, at most ten."""
    available_at: datetime | None = None
    """The time before which no worker claims the session's run or turn (UTC)."""
    run_deadline: datetime | None = None
    """The time at which the session's run ends as timed_out (UTC): the deadline of the present claim, or of the parent."""
    metadata: dict[str, Any] = {}
    """The metadata."""
    system_prompt: str | None = None
    """The system prompt."""
    formation: Formation
    """The way in which the session was formed."""

    created_at: datetime
    """When the session was created (UTC)."""
    updated_at: datetime
    """When the session changed last (UTC)."""
    finished_at: datetime | None = None
    """When the session ended (UTC)."""
    read_at: datetime
    """When this was read, by the server's clock (UTC)."""
    reason: str | None = None
    """Why the session ended, or is paused."""
    result: Any = None
    """The result that the session ended with (JSON)."""

    count: int
    """Messages that the session retains, pinned ones included. The system prompt does not count."""
    dropped: int
    """Messages that the cap or `clear` removed."""
    last_seq: int
    """The highest seq."""
    entries: int
    """Messages since the session's creation or the last `clear`."""
    user_messages: int
    """User messages since the session's creation or the last `clear`."""
    assistant_messages: int
    """Assistant messages since the session's creation or the last `clear`."""
    turns: int
    """Completed transcript turns. Several user messages in a row, answered by an assistant message, are one of them."""
    bytes: int
    """Bytes of the retained messages, as stored."""
    tokens: int
    """Tokens of the retained messages and the system prompt, by the writers' token counter."""

    spent_tokens: int = 0
    """Recorded tokens of the session's loops and of all sessions below."""
    spent_cost: float = 0.0
    """Recorded cost of the session's loops and of all sessions below."""

    ttl: timedelta | None = None
    """The idle life. None for no bound. A session that waits for a worker, or is paused, does not expire by this."""
    expires_in: timedelta | None = None
    """The life left when this was read. None for a persistent session."""
    max_messages: int | None
    """The cap. None for no cap."""
    cap_policy: str
    """oldest, tool_safe or turn. See SessionSettings."""
    max_turns: int | None = None
    """Limit of transcript turns."""
    max_entries: int | None = None
    """Limit of messages since the session's creation or the last `clear`."""
    max_duration: timedelta | None = None
    """Limit of the time from the session's creation to the last write."""
    limit_action: LimitAction = "error"
    """The effect on an append that would exceed a limit."""
    max_message_bytes: int
    """Largest payload in bytes."""
    max_tokens: int
    """The default budget of `context()`."""
    max_inbox: int
    """Messages that may wait in the inbox."""

    lease: LeaseInfo | None = None
    """The lease, if a worker holds the session."""
    inbox_size: int = 0
    """Messages that wait in the session's inbox."""

    @property
    def current_turn(self) -> int:
        """The number of the transcript turn that the last user message opened. 0 before the first."""
        return self.user_messages

    @property
    def exchanges(self) -> int:
        """The smaller of the numbers of user and assistant messages."""
        return min(self.user_messages, self.assistant_messages)

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

    @property
    def is_empty(self) -> bool:
        """True if the session has no user message."""
        return self.user_messages == 0

    @property
    def scope(self) -> Literal["ephemeral", "persistent"]:
        """persistent if the session never expires, else ephemeral."""
        return "persistent" if self.expires_in is None else "ephemeral"

    @property
    def duration(self) -> timedelta:
        """Time from the creation of the session to the last change, never negative."""
        return max(self.updated_at - self.created_at, timedelta(0))

    @property
    def runtime(self) -> int:
        """Seconds, rounded down, from the creation of the session to the end, or until now."""
        return max(int(((self.finished_at or self.read_at) - self.created_at).total_seconds()), 0)

    @property
    def remaining_turns(self) -> int | None:
        """Transcript turns left before `max_turns`, 0 or more. None without that limit."""
        return None if self.max_turns is None else max(self.max_turns - self.turns, 0)

    @property
    def limits(self) -> list[LimitCheck]:
        """A check of every limit that is set, in the order turns, entries, duration."""
        return check_limits(
            turns=self.turns,
            entries=self.entries,
            duration_ms=round(self.duration.total_seconds() * 1000),
            max_turns=self.max_turns,
            max_entries=self.max_entries,
            max_duration_ms=None if self.max_duration is None else round(self.max_duration.total_seconds() * 1000),
        )

    def check_limits(self) -> LimitCheck:
        """Return the first limit, in that order, that is reached or exceeded, else ok."""
        return next((check for check in self.limits if check.state != "ok"), LimitCheck("ok"))


def text_value(metadata: Mapping[str, Any], name: str) -> str | None:
    """Return a metadata value that is text, or None."""
    value = metadata.get(name)
    return value if isinstance(value, str) else None
