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


class CacheOptions(SessionOptions, total=False):
    """Everything that a cache takes beside a URL or a client; `from_url` says what."""

    namespace: str
    timeout: float | timedelta
    retry_for: float | timedelta
    max_connections: int
    token_counter: TokenCounter
    touch_on_read: bool
    acks: int


class NewSession(Description, SessionOptions, total=False):
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

    @property
    def rules(self) -> str:
        """What every append holds to, as the session's hash has it: 'cap policy max_bytes'."""
        return f"{self.max_messages or 0} {self.cap_policy} {self.max_message_bytes}"

    def fields(self) -> dict[str, str | int]:
        """The other settings as fields of the session's hash; limits that are off are left out."""
        limits = (self.max_turns, self.max_entries, _ms(self.max_duration))
        fields: dict[str, str | int] = {"max_tokens": self.max_tokens, "max_inbox": self.max_inbox}
        if any(limit is not None for limit in limits):
            words = ["-" if limit is None else str(limit) for limit in limits]
            fields["limits"] = " ".join([*words, self.limit_action])
        return fields

    @property
    def ttl_ms(self) -> int:
        """The idle life in ms, 0 for none."""
        return _ms(self.ttl) or 0

    @property
    def max_lifetime_ms(self) -> int:
        """The whole life in ms, 0 for none."""
        return _ms(self.max_lifetime) or 0


def _ms(duration: float | timedelta | None) -> int | None:
    return None if duration is None else milliseconds(duration, "duration")
