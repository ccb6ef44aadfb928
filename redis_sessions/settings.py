"""What a session is given when it is created, and the defaults for it. A session keeps its own settings in the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ._core.codec import LARGEST_MESSAGE, TokenCounter
from ._core.units import milliseconds
from .errors import InvalidInput
from .models.limits import LimitAction
from .models.sessions import Kind, SessionType

MICROS = 1_000_000
"""Costs are kept in millionths."""
CapPolicy = Literal["oldest", "tool_safe", "turn"]


class Description(TypedDict, total=False):
    """What a session says of itself."""

    user_id: str | None
    agent_id: str | None
    kind: Kind | None
    name: str | None
    type: SessionType | Mapping[str, Any] | None
    tags: list[str] | None
    parent_id: str | None
    metadata: Mapping[str, Any] | None
    system_prompt: str | None
    formation: Literal["explicit", "first_loop"] | None


class SessionOptions(TypedDict, total=False):
    """The settings that `create` and its kin accept to override the cache's defaults."""

    ttl: float | timedelta | None
    max_lifetime: float | timedelta | None
    max_messages: int | None
    cap_policy: CapPolicy
    max_turns: int | None
    max_entries: int | None
    max_duration: float | timedelta | None
    limit_action: LimitAction
    max_message_bytes: int
    max_tokens: int
    max_inbox: int


class TreeOptions(TypedDict, total=False):
    """Bounds of the tree that a session is the root of."""

    max_depth: int | None
    max_children: int | None
    max_concurrent: int | None
    max_descendants: int
    token_budget: int | None
    cost_budget: float | None
    budget_holds: Literal["spawn", "append"]


class CacheOptions(SessionOptions, TreeOptions, total=False):
    """Everything that a cache takes beside a URL or a client; `from_url` says what."""

    namespace: str
    timeout: float | timedelta
    retry_for: float | timedelta
    max_connections: int
    token_counter: TokenCounter
    touch_on_read: bool
    acks: int
    max_document_bytes: int


class Filters(TypedDict, total=False):
    """Which sessions a list is of, and in which order."""

    user: str | None
    agent: str | None
    label: str | None
    tags: list[str] | None
    kinds: list[str] | None
    active_only: bool
    order: Literal["updated", "created"]


class NewSession(Description, SessionOptions, TreeOptions, total=False):
    """Everything that `create` takes beside an id."""


class SessionSettings(BaseModel):
    """Limits and lifetimes of a session. Durations are seconds or timedelta; None switches a bound off."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)

    ttl: float | timedelta | None = 3600.0
    """Idle life: writes extend it. None (with no `max_lifetime`) makes a session persistent."""
    max_lifetime: float | timedelta | None = None
    """Whole life: the session is gone then, however busy."""
    max_messages: int | None = Field(default=100, ge=1)
    """Cap on retained messages, pinned ones included; the system prompt is not among them."""
    cap_policy: CapPolicy = "tool_safe"
    """What may stand at the head after the cap cut: anything, no orphaned tool result, or only a user message."""
    max_turns: int | None = Field(default=None, ge=0)
    max_entries: int | None = Field(default=None, ge=0)
    max_duration: float | timedelta | None = None
    limit_action: LimitAction = "error"
    """When max_turns, max_entries or max_duration would be passed: refuse, refuse and end the session, or go on."""
    max_message_bytes: int = Field(default=1024 * 1024, ge=1, le=LARGEST_MESSAGE)
    max_tokens: int = Field(default=8192, ge=0)
    """The budget of `context()` when it is given none."""
    max_inbox: int = Field(default=100, ge=1, le=1000)
    """How many sent messages may wait while another holds the lease."""
    max_depth: int | None = Field(default=5, ge=0)
    """How deep a tree may grow below its root."""
    max_children: int | None = Field(default=5, ge=0)
    """How many children of one session may be active at once."""
    max_concurrent: int | None = Field(default=8, ge=0)
    """How many sessions of a tree, without its root, may be active at once."""
    max_descendants: int = Field(default=64, ge=0, le=5000)
    """How many a tree may ever have, without its root."""
    token_budget: int | None = Field(default=None, ge=0)
    """No more children once recorded usage of a session and all below it reached so many tokens."""
    cost_budget: float | None = Field(default=None, ge=0, le=1e9)
    """The same in whatever currency usage is recorded in."""
    budget_holds: Literal["spawn", "append"] = "spawn"
    """What a spent budget refuses: spawns, or appends, too."""

    @field_validator("ttl", "max_lifetime", "max_duration")
    @classmethod
    def _positive(cls, value: float | timedelta | None) -> float | timedelta | None:
        if value is not None:
            milliseconds(value, "duration")
        return value

    @classmethod
    def of(cls, options: dict[str, Any], defaults: SessionSettings | None = None) -> Self:
        """Settings from defaults and options; one refusal that names the option when one is wrong."""
        try:
            return cls(**((defaults.model_dump(exclude_unset=True) if defaults else {}) | options))
        except ValidationError as problem:
            first = problem.errors()[0]
            reason = first["msg"].removeprefix("Value error, ")
            if first["type"] == "extra_forbidden":
                reason = f"there is no such setting; there are {', '.join(cls.model_fields)}"
            raise InvalidInput(name=str(first["loc"][0]), detail=f"{first.get('input')!r}: {reason}") from None

    def for_child(self, options: dict[str, Any]) -> SessionSettings:
        """Those of a session's child: of the same kind, but with no budget and no bounds of a tree of its own."""
        for name in TreeOptions.__annotations__:
            if name in options and "budget" not in name:
                raise InvalidInput(
                    name=name, detail="holds for a whole tree: give it to the root, when that is created"
                )
        own = SessionSettings(
            **self.model_dump(exclude_unset=True, exclude={"token_budget", "cost_budget", "budget_holds"})
        )
        return SessionSettings.of(options, own)

    @property
    def rules(self) -> str:
        """What every append holds to, as the session's hash has it: 'cap policy max_bytes'."""
        return f"{self.max_messages or 0} {self.cap_policy} {self.max_message_bytes}"

    def fields(self) -> dict[str, str | int]:
        """The other settings as fields of the session's hash; limits that are off are left out."""
        limits = (self.max_turns, self.max_entries, _ms(self.max_duration))
        fields: dict[str, str | int] = {"max_tokens": self.max_tokens, "max_inbox": self.max_inbox}
        has_budget = self.token_budget is not None or self.cost_budget is not None
        if any(limit is not None for limit in limits) or (has_budget and self.budget_holds == "append"):
            words = ["-" if limit is None else str(limit) for limit in limits]
            fields["limits"] = " ".join([*words, self.limit_action])
        if self.tree_limits != _TREE_LIMITS:
            fields["tree_limits"] = self.tree_limits
        if has_budget:
            cost = None if self.cost_budget is None else round(self.cost_budget * MICROS)
            words = ["-" if most is None else str(most) for most in (self.token_budget, cost)]
            fields["budget"] = " ".join([*words, self.budget_holds])
        return fields

    @property
    def tree_limits(self) -> str:
        """'depth children concurrent total', '-' for none."""
        limits = (self.max_depth, self.max_children, self.max_concurrent, self.max_descendants)
        return " ".join("-" if limit is None else str(limit) for limit in limits)

    @property
    def ttl_ms(self) -> int:
        """The idle life in ms, 0 for none."""
        return _ms(self.ttl) or 0

    @property
    def max_lifetime_ms(self) -> int:
        """The whole life in ms, 0 for none."""
        return _ms(self.max_lifetime) or 0


_TREE_LIMITS = SessionSettings().tree_limits


def _ms(duration: float | timedelta | None) -> int | None:
    return None if duration is None else milliseconds(duration, "duration")
