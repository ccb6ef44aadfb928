"""The options of `create`, and their defaults. A session keeps its own options in the store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias, TypedDict, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ._durations import Duration, milliseconds
from .errors import InvalidInput
from .models.audit import AuditRecord
from .models.limits import LimitAction
from .models.sessions import Kind, SessionType

CapPolicy = Literal["oldest", "tool_safe", "turn"]
BudgetEnforcement = Literal["spawn", "append"]
Encodable = Literal["messages", "state", "results", "metadata", "documents", "deltas"]
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
MAX_WIRE_BYTES = 64 * 1024 * 1024
"""The most bytes of one message or document that any setting allows."""


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


class NewSession(Description, SessionOptions, TreeOptions, total=False):
    """The options of `create`, apart from the ID."""


class SessionPatch(Description, SessionOptions, TreeOptions, total=False):
    """Everything that `patch` can change. `max_lifetime`, `kind` and `formation` are set at creation only."""


class SessionSettings(BaseModel):
    """The options of a session. A duration is seconds, a timedelta, or text such as '90s' or '7d'. None switches a bound off."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)

    ttl: Duration | None = 3600.0
    """Idle life. Each write extends it. With None, and no `max_lifetime`, the session is persistent."""
    max_lifetime: Duration | None = None
    """The maximum lifetime from the creation. The session is gone after it, however busy it is."""
    max_messages: int | None = Field(default=100, ge=1)
    """The cap: retained messages, pinned ones included. The system prompt does not count.

    A single group of messages, such as a call with its results, may exceed the cap. `AppendResult.over_cap` says by how much.
    """
    cap_policy: CapPolicy = "tool_safe"
    """The kinds of messages that may stand first after the cap dropped messages.

    oldest: any message, so exactly the cap is retained. tool_safe: a message that no earlier tool call or reasoning item needs.
    turn: a user message. tool_safe and turn keep the newest user message as long as its turn goes on.
    """
    max_turns: int | None = Field(default=None, ge=0)
    """Turns of the session, 0 or more."""
    max_entries: int | None = Field(default=None, ge=0)
    """Messages since the creation or the last `clear`, 0 or more."""
    max_duration: Duration | None = None
    """Time from the creation to the last write."""
    limit_action: LimitAction = "error"
    """The effect on an append that would exceed max_turns, max_entries or max_duration.

    error: it is refused. end_session: it is refused and the session ends as completed. ignore: it is accepted.
    """
    max_message_bytes: int = Field(default=1024 * 1024, ge=1, le=MAX_WIRE_BYTES)
    """Largest payload in bytes of JSON, 1 to 64 MiB."""
    max_tokens: int = Field(default=8192, ge=0)
    """The budget of `context()` when the call gives none."""
    max_inbox: int = Field(default=100, ge=1, le=1000)
    """Sent messages that may wait while another worker holds the lease, 1 to 1,000. Results of children do not count."""
    max_depth: int | None = Field(default=5, ge=0)
    """Levels of a tree below its root."""
    max_children: int | None = Field(default=5, ge=0)
    """Active children of one session."""
    max_active: int | None = Field(default=8, ge=0)
    """Active sessions of a tree, without its root."""
    max_descendants: int = Field(default=64, ge=0, le=5000)
    """Sessions of a tree that exist, ended ones included, without its root, 0 to 5,000."""
    max_spawned: int | None = Field(default=None, ge=0)
    """Sessions that a tree may ever have, without its root."""
    token_budget: int | None = Field(default=None, ge=0)
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
            reason = first["msg"].removeprefix("Value error, ").removeprefix("duration: ")
            raise InvalidInput(
                name=str(first["loc"][0]), detail=f"{reason}, got {options.get(str(first['loc'][0]))!r}"
            ) from None

    def for_child(self, options: Mapping[str, Any]) -> SessionSettings:
        """Return the settings of a child: the same defaults, without a budget and bounds of a tree of its own."""
        own = SessionSettings(
            **self.model_dump(exclude_unset=True, exclude={"token_budget", "cost_budget", "budget_enforcement"})
        )
        return SessionSettings.of(options, own)

    @property
    def caps(self) -> str:
        """'<max_messages> <cap_policy> <max_message_bytes>', the first words of the settings record."""
        return f"{self.max_messages or 0} {self.cap_policy} {self.max_message_bytes}"

    @property
    def tree_limits(self) -> str:
        """'<max_depth> <max_children> <max_active> <max_descendants> <max_spawned>', '-' for None."""
        return _words(self.max_depth, self.max_children, self.max_active, self.max_descendants, self.max_spawned)

    @property
    def ttl_ms(self) -> int:
        """The idle life in ms, 0 for none."""
        return _ms(self.ttl) or 0

    @property
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


def _bytes(default: int) -> Any:
    return Field(default=default, ge=1, le=MAX_WIRE_BYTES)


def _count(default: int, le: int = 1_000_000) -> Any:
    return Field(default=default, ge=1, le=le)


class StorageBounds(BaseModel):
    """The bounds of what a cache stores. Text and JSON are measured in bytes of UTF-8.

    The client refuses a larger value with InvalidInput. A script refuses a larger total with BoundExceeded. Both write nothing.
    Messages, inboxes and documents have bounds of their own: `max_message_bytes`, `max_inbox` and `max_document_bytes`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name_bytes: int = _bytes(1024)
    """The name of a session, and the model of a child."""
    type_bytes: int = _bytes(16 * 1024)
    """The type of a session, as JSON."""
    tags: int = _count(64, 1000)
    """Different tags of a session."""
    tag_bytes: int = _bytes(1024)
    """One tag."""
    system_prompt_bytes: int = _bytes(256 * 1024)
    """The system prompt of a session."""
    metadata_bytes: int = _bytes(64 * 1024)
    """All metadata of a session: keys, and values as JSON."""
    state_bytes: int = _bytes(1024 * 1024)
    """The whole state of a session: names, and values as JSON."""
    variables_bytes: int = _bytes(1024 * 1024)
    """All variables of a session: names and values."""
    values: int = _count(2000, 100_000)
    """Metadata keys, names of the state and variables of a session, all together."""
    task_bytes: int = _bytes(256 * 1024)
    """The task of a child."""
    reference_bytes: int = _bytes(4096)
    """The tool call that spawned a child (`spawned_by`), as JSON."""
    result_bytes: int = _bytes(256 * 1024)
    """The result of a session, as JSON."""
    reason_bytes: int = Field(default=4096, ge=64, le=64 * 1024)
    """The reason of an end, a pause or a request. A longer reason is cut."""
    batch_messages: int = _count(2000, 100_000)
    """Messages of one append or edit."""
    batch_bytes: int = _bytes(1024 * 1024)
    """All messages of one append or edit, as stored. A single message is bounded by `max_message_bytes` instead."""
    inbox_bytes: int = _bytes(2 * 1024 * 1024)
    """All messages that wait in one inbox, as stored. One message fits in any case. Results of children are never refused."""
    loops: int = _count(1000, 100_000)
    """Loops of a session."""
    loop_config_bytes: int = _bytes(16 * 1024)
    """The configuration of a loop, with its parent, group and continuation, as JSON."""
    loop_metadata_bytes: int = _bytes(16 * 1024)
    """The metadata of a loop, or the selection of its group, as JSON."""
    loop_event_bytes: int = _bytes(64 * 1024)
    """One event of a loop, as JSON."""
    loop_turn_bytes: int = _bytes(128 * 1024)
    """One turn of a loop, as JSON."""
    loop_records: int = _count(10_000_000, 1_000_000_000)
    """Events of one loop. The same bound counts for its turns, and for its steps."""
    readers: int = _count(1000, 100_000)
    """Processes that watch one session, or wait for its next message."""
    waiters: int = _count(1000, 100_000)
    """Requests that wait for the lease of one session. The same bound counts for those that wait for its children."""
    agents: int = _count(10_000)
    """Agents of the namespace that have runs or answer sessions."""
    documents: int = _count(10_000)
    """Documents of one category. A name with text and JSON counts twice."""
    categories: int = _count(10_000)
    """Categories of documents in the namespace."""

    @classmethod
    def of(cls, given: StorageBounds | Mapping[str, int] | None) -> StorageBounds:
        """Return bounds from bounds or from a mapping. Raises InvalidInput that names the bound."""
        if given is None:
            return DEFAULT_BOUNDS
        if isinstance(given, StorageBounds):
            return given
        if not (isinstance(given, Mapping) and all(isinstance(name, str) for name in given)):
            raise InvalidInput(name="bounds", detail=f"must be StorageBounds or a mapping, got {given!r}")
        return cls(**given)

    def __init__(self, **given: int) -> None:
        """Check and keep the bounds. Raises InvalidInput that names the bound."""
        try:
            super().__init__(**given)
        except ValidationError as problem:
            first = problem.errors()[0]
            name = str(first["loc"][0])
            detail = _expected_bound(type(self), name, first["input"])
            raise InvalidInput(name=f"bounds.{name}", detail=detail) from None


def _expected_bound(bounds: type[BaseModel], name: str, found: object) -> str:
    """Return what a bound must be, and what was given."""
    field = bounds.model_fields.get(name)
    if field is None:
        return f"is not a bound; valid bounds are {', '.join(sorted(bounds.model_fields))}"
    low, high = (next(getattr(one, at) for one in field.metadata if hasattr(one, at)) for at in ("ge", "le"))
    return f"must be a whole number from {low} to {high}, got {found!r}"


DEFAULT_BOUNDS = StorageBounds()


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
