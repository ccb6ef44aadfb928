"""The options of `create`, and their defaults. A session keeps its own options in the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Self, TypeAlias, TypedDict, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ._durations import Duration, milliseconds, shown
from .bounds import MAX_WIRE_BYTES, StorageBounds
from .errors import InvalidInput
from .models.audit import AuditRecord
from .models.limits import LimitAction
from .models.observer import TelemetrySource
from .models.sessions import Kind, SessionType

CapPolicy = Literal["oldest", "tool_safe", "turn"]
BudgetEnforcement = Literal["spawn", "append"]
Encodable = Literal["messages", "state", "results", "metadata", "documents", "deltas", "checkpoints"]
ENCODABLE: tuple[Encodable, ...] = get_args(Encodable)
"""The kinds of values that a cache can encode."""
DEFAULT_ENCODED: tuple[Encodable, ...] = ("messages",)
TokenCounter = Callable[[dict[str, Any]], int]
AuditHook = Callable[[AuditRecord], Any]
"""A function that is called after each order. For AsyncSessionCache it can be an async function."""
AddressRemap: TypeAlias = Callable[[tuple[str, int]], tuple[str, int]] | str
"""A function from (host, port) to (host, port), or rules such as '10.0.0.1:7001=localhost:17001,*=localhost'."""
StoredValue: TypeAlias = int | str | None
MergeRow: TypeAlias = tuple[str, str, str]
"""A packed record that a patch changes: its field, its default, and its words with '*' for those that stay."""
MICROS = 1_000_000
"""Costs are stored in millionths."""


class Description(TypedDict, total=False):
    """The description of a session."""

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
    format: str | None
    answered_by: str | None
    priority: int | None
    fairness_key: str | None


class SessionOptions(TypedDict, total=False):
    """The limits and lifetimes of a session. `SessionSettings` says what each one means."""

    ttl: Duration | None
    max_lifetime: Duration | None
    max_messages: int | None
    cap_policy: CapPolicy
    max_turns: int | None
    max_entries: int | None
    max_duration: Duration | None
    limit_action: LimitAction
    max_message_bytes: int
    max_tokens: int
    max_inbox: int


class TreeOptions(TypedDict, total=False):
    """The bounds of the tree that a session is the root of. `SessionSettings` says what each one means."""

    max_depth: int | None
    max_children: int | None
    max_active: int | None
    max_descendants: int
    max_spawned: int | None
    token_budget: int | None
    cost_budget: float | None
    budget_enforcement: BudgetEnforcement


class CacheOptions(SessionOptions, TreeOptions, total=False):
    """The options of a cache, apart from the URL or the client. `SessionCache.from_url` says what each one means."""

    namespace: str
    timeout: Duration
    retry_for: Duration
    max_connections: int
    address_remap: AddressRemap | None
    token_counter: TokenCounter | None
    image_tokens: int
    touch_on_read: bool
    acks: int
    max_document_bytes: int
    bounds: StorageBounds | Mapping[str, int] | None
    audit: AuditHook | None
    actor: str | None
    codecs: Sequence[Any]
    encode: Collection[Encodable]
    telemetry: TelemetrySource | None


class Filters(TypedDict, total=False):
    """Which sessions a list shows, and in which order. `user` and `agent` are short for `user_id` and `agent_id`."""

    user_id: str | None
    agent_id: str | None
    user: str | None
    agent: str | None
    label: str | None
    tags: list[str] | None
    kinds: list[str] | None
    active_only: bool
    order: Literal["updated", "created"]
    ascending: bool
    state: Sequence[str]


class NewSession(Description, SessionOptions, TreeOptions, total=False):
    """The options of `create`, apart from the ID."""

    state: Mapping[str, Any] | None


class SessionPatch(Description, SessionOptions, TreeOptions, total=False):
    """Everything that `patch` can change. `max_lifetime`, `kind` and `formation` are set at creation only."""


_MAX_NUMBER = 2**53
"""Scripts count exactly up to it."""


class SessionSettings(BaseModel):
    """The options of a session. A duration is seconds, a timedelta, or text such as '90s' or '7d'. None switches a bound off."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)

    ttl: Duration | None = 3600.0
    """The idle life, which each write extends. With None, and no `max_lifetime`, the session is persistent."""
    max_lifetime: Duration | None = None
    """The maximum lifetime from the creation. After this time the session is gone, however busy it is."""
    max_messages: int | None = Field(default=100, ge=1, le=_MAX_NUMBER)
    """The cap: retained messages, pinned ones included. The system prompt does not count.

    A single group of messages, such as a call with its results, may exceed the cap. `AppendResult.over_cap` says by how much.
    """
    cap_policy: CapPolicy = "tool_safe"
    """The kinds of messages that may stand first after the cap dropped messages.

    oldest: any message, so exactly the cap is retained. tool_safe: a message that no earlier tool call or reasoning item needs.
    turn: a user message. tool_safe and turn keep the newest user message as long as its turn goes on.
    """
    max_turns: int | None = Field(default=None, ge=0, le=_MAX_NUMBER)
    """Completed transcript turns of the session, 0 or more."""
    max_entries: int | None = Field(default=None, ge=0, le=_MAX_NUMBER)
    """Messages since the creation or the last `clear`, 0 or more."""
    max_duration: Duration | None = None
    """Time from the creation to the last write."""
    limit_action: LimitAction = "error"
    """The effect on an append that would exceed max_turns, max_entries or max_duration.

    error: the append is refused. end_session: the append is refused and the session ends as completed. ignore: the append is
    stored.
    """
    max_message_bytes: int = Field(default=1024 * 1024, ge=1, le=MAX_WIRE_BYTES)
    """Largest payload in bytes of JSON, 1 to 64 MiB."""
    max_tokens: int = Field(default=8192, ge=0, le=_MAX_NUMBER)
    """The budget of `context()` when the call gives none."""
    max_inbox: int = Field(default=100, ge=1, le=1000)
    """Sent messages that may wait while another worker holds the lease, 1 to 1,000. Results of children do not count."""
    max_depth: int | None = Field(default=5, ge=0, le=_MAX_NUMBER)
    """Levels of a tree below its root."""
    max_children: int | None = Field(default=5, ge=0, le=_MAX_NUMBER)
    """Active children of one session."""
    max_active: int | None = Field(default=8, ge=0, le=_MAX_NUMBER)
    """Active sessions of a tree, without its root."""
    max_descendants: int = Field(default=64, ge=0, le=5000)
    """Sessions of a tree that exist, ended ones included, without its root, 0 to 5,000."""
    max_spawned: int | None = Field(default=None, ge=0, le=_MAX_NUMBER)
    """Sessions that a tree may ever have, without its root."""
    token_budget: int | None = Field(default=None, ge=0, le=_MAX_NUMBER)
    """Recorded tokens of a session and all sessions below it, after which no child is spawned."""
    cost_budget: float | None = Field(default=None, ge=0, le=1e9)
    """Recorded cost of a session and all sessions below it, after which no child is spawned. Any currency."""
    budget_enforcement: BudgetEnforcement = "spawn"
    """The calls that a spent budget refuses. spawn: spawns. append: spawns and appends."""

    @field_validator("ttl", "max_lifetime", "max_duration")
    @classmethod
    def _check_duration(cls, value: Duration | None) -> Duration | None:
        if value is not None:
            milliseconds(value, "duration")
        return value

    @classmethod
    def of(cls, options: Mapping[str, Any], defaults: SessionSettings | None = None) -> Self:
        """Return the defaults with other options. Raises InvalidInput that names the option."""
        try:
            return cls(**((defaults.model_dump(exclude_unset=True) if defaults else {}) | dict(options)))
        except ValidationError as problem:
            first = problem.errors()[0]
            reason = first["msg"].removeprefix("Value error, ").removeprefix("duration: ").partition(", got ")[0]
            name = str(first["loc"][0])
            raise InvalidInput(name=name, detail=f"{reason}, got {shown(options.get(name))}") from None

    def for_child(self, options: Mapping[str, Any]) -> SessionSettings:
        """Return the settings of a child: the same defaults, without a budget and bounds of a tree of its own."""
        return SessionSettings.of(options, self._child_defaults) if options else self._child_defaults

    @cached_property
    def _child_defaults(self) -> SessionSettings:
        budget = {"token_budget", "cost_budget", "budget_enforcement"}
        return SessionSettings(**self.model_dump(exclude_unset=True, exclude=budget))

    @cached_property
    def caps(self) -> str:
        """'<max_messages> <cap_policy> <max_message_bytes>', the first words of the settings record."""
        return f"{self.max_messages or 0} {self.cap_policy} {self.max_message_bytes}"

    @cached_property
    def tree_limits(self) -> str:
        """'<max_depth> <max_children> <max_active> <max_descendants> <max_spawned>', '-' for None."""
        return _words(self.max_depth, self.max_children, self.max_active, self.max_descendants, self.max_spawned)

    @cached_property
    def ttl_ms(self) -> int:
        """The idle life in ms, 0 for none."""
        return _ms(self.ttl) or 0

    @cached_property
    def max_lifetime_ms(self) -> int:
        """The whole life in ms, 0 for none."""
        return _ms(self.max_lifetime) or 0

    def fields(self) -> dict[str, str | int]:
        """Return the other options as fields of the session's hash. Limits that are off have no field."""
        limits = (self.max_turns, self.max_entries, _ms(self.max_duration))
        fields: dict[str, str | int] = {"max_tokens": self.max_tokens, "max_inbox": self.max_inbox}
        has_budget = self.token_budget is not None or self.cost_budget is not None
        if any(limit is not None for limit in limits) or (has_budget and self.budget_enforcement == "append"):
            fields["limits"] = _words(*limits, self.limit_action)
        if self.tree_limits != _DEFAULT_TREE_LIMITS:
            fields["tree_limits"] = self.tree_limits
        if has_budget:
            fields["budget"] = _words(self.token_budget, _micros(self.cost_budget), self.budget_enforcement)
        return fields


def checked_names(given: Mapping[str, Any], *allowed: type) -> None:
    """Refuse a name that no TypedDict of `allowed` has. Raises InvalidInput that lists the valid names."""
    valid = {name for one in allowed for name in one.__annotations__}
    for name in given:
        if name not in valid:
            raise InvalidInput(name=name, detail=f"is not an option; valid options are {', '.join(sorted(valid))}")


def check_child_options(given: Mapping[str, Any]) -> None:
    """Refuse what `spawn` does not take as an option of the child. Raises InvalidInput."""
    for name in given:
        if name in TreeOptions.__annotations__:
            raise InvalidInput(
                name=name, detail="is an option of the whole tree: give it to `create` or `patch` of the root"
            )
    checked_names(given, SessionOptions)


def check_child_description(given: Mapping[str, Any]) -> None:
    """Refuse what the description of a spawned child cannot say, because the spawn itself says it. Raises InvalidInput."""
    checked_names(given, Description)
    for name in ("agent_id", "kind", "parent_id"):
        if given.get(name) is not None:
            raise InvalidInput(name=name, detail="cannot be in the description of a child: the spawn sets it")
    for name in ("priority", "fairness_key"):
        if given.get(name) is not None:
            raise InvalidInput(name=name, detail="cannot be in the description of a child: give it to `spawn` itself")


def stored_options(given: Mapping[str, Any]) -> dict[str, StoredValue]:
    """Return given options as the store holds them: durations in ms, the cost in millionths. Raises InvalidInput."""
    options = {name: value for name, value in given.items() if name in SessionSettings.model_fields}
    settings = SessionSettings.of(options)
    found: dict[str, StoredValue] = {name: getattr(settings, name) for name in options}
    for name in ("ttl", "max_lifetime", "max_duration"):
        if name in found:
            found[name] = _ms(getattr(settings, name))
    if "cost_budget" in found:
        found["cost_budget"] = _micros(settings.cost_budget)
    return found


def _ms(duration: Duration | None) -> int | None:
    return None if duration is None else milliseconds(duration, "duration")


def _micros(cost: float | None) -> int | None:
    return None if cost is None else round(cost * MICROS)


def _words(*values: int | str | None) -> str:
    return " ".join("-" if value is None else str(value) for value in values)


_DEFAULT_TREE_LIMITS = SessionSettings().tree_limits
