"""The bounds of what a cache stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import InvalidInput

MAX_WIRE_BYTES = 64 * 1024 * 1024
"""The most bytes of one message or document that any setting allows."""


def _bytes(default: int) -> Any:
    return Field(default=default, ge=1, le=MAX_WIRE_BYTES)


def _count(default: int, le: int = 1_000_000) -> Any:
    return Field(default=default, ge=1, le=le)


class StorageBounds(BaseModel):
    """The bounds of what a cache stores. Text and JSON are measured in bytes of UTF-8.

    The client refuses a larger value with InvalidInput, a script a larger total with BoundExceeded. Nothing is written then.
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
    batch_calls: int = _count(800, 100_000)
    """Tool calls, and results of calls, in all messages of one append or edit. A single message is not bounded by this."""
    batch_bytes: int = _bytes(1024 * 1024)
    """All messages of one append or edit, as stored. A single message is bounded by `max_message_bytes` instead."""
    inbox_bytes: int = _bytes(2 * 1024 * 1024)
    """All messages of senders that wait in one inbox, as stored. One message always fits. Results of children do not count."""
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
    parts: int = _count(100_000)
    """Parts of a session."""
    part_messages: int = _count(1_000_000, 100_000_000)
    """Messages of all parts of a session, and IDs that were given to messages of the session itself."""
    parts_bytes: int = Field(default=1024**3, ge=1, le=1024**4)
    """All messages of all parts of a session, as stored."""
    deltas_bytes: int = Field(default=256 * 1024, ge=1, le=1024 * 1024)
    """All deltas of the answer that is being made in a session. Each counts 100 bytes more. The oldest go, the newest stays."""
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
    shared_bytes: int = _bytes(1024 * 1024)
    """All values of a shared scope: names, and values as JSON."""
    shared_values: int = _count(2000, 100_000)
    """Values of one shared scope."""
    scopes: int = _count(100_000, 10_000_000)
    """Shared scopes of the namespace."""
    outbox_writes: int = _count(100, 10_000)
    """Appends whose writes of shared scopes wait in one session, because a server did not take them."""

    checkpoint_bytes: int = _bytes(1024 * 1024)
    """One checkpoint of a thread: its state, its metadata and the names of its blobs."""
    blob_bytes: int = _bytes(1024 * 1024)
    """One blob of a checkpoint, or one pending write."""
    checkpoints: int = _count(100_000)
    """Checkpoints of one thread."""
    checkpoint_blobs: int = _count(1000, 100_000)
    """Blobs that one checkpoint names."""
    checkpoint_writes: int = _count(5000, 100_000)
    """Pending writes of one checkpoint."""

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
