"""Calls that read pages of sessions: entries of an index, and the sessions themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

from ..._durations import moment, moment_of
from ...errors import CodecMissing, DecryptionError, SessionsError
from ...models.summaries import LastMessage, SessionSummary
from ..protocol import records
from ..protocol.blobs import BlobsNeeded
from ..protocol.call import Call, invoke
from ..protocol.codec import decode
from ..protocol.encoding import decoded_field, decoded_origins
from ..protocol.json_values import from_json
from ..protocol.keys import EntryKeys, IndexKeys, SessionKeys
from ..protocol.message_times import TIME_DIGITS, read_time
from ..protocol.scripts import script
from .index_entries import CREATION_GRACE_MS, RAISE_INTERVAL_MS, IndexRecord
from .list_query import OLDEST, START, DamagedRow, Position, Query, Row

AnyRow: TypeAlias = Row | DamagedRow
FIELDS = (
    "has_metadata", "incarnation", "counters", "status", "kind", "created", "finished", "user", "agent", "name", "label",
    "task", "tags", "parent", "lineage", "layout", "lease", "tree", "inbox", "origins",
)  # fmt: skip
_TEXT_FIELDS = {
    "user_id": "user",
    "agent_id": "agent",
    "name": "name",
    "label": "label",
    "task": "task",
    "parent_id": "parent",
}
MAX_ROWS = 200
"""Sessions that one call reads."""
MAX_LAST_MESSAGE_BYTES = 4096
"""A longer last message is shown by its time alone."""


class IndexEntry(NamedTuple):
    """An index entry: the session and its time in microseconds."""

    time: int
    id: str


class IndexSlice(NamedTuple):
    """A part of an index."""

    entries: list[IndexEntry]
    floor: int | None
    """The time below which there are more entries. None when there are none."""
    now_us: int


def scan(query: Query, indexes: Sequence[EntryKeys], behind: Position, wanted: int) -> Call[IndexSlice]:
    """Read entries of indexes on one server, in the order of the query: about as many as are wanted."""

    def read(reply: list[Any]) -> IndexSlice:
        pairs = zip(reply[2::2], reply[3::2], strict=True)
        entries = [IndexEntry(int(float(at)), id.decode()) for id, at in pairs]
        return IndexSlice(entries, int(reply[1]) if reply[1] else None, int(reply[0]))

    return invoke(
        script("indexes/scan"),
        indexes[0],
        read,
        first={START: "+inf", OLDEST: "-inf"}.get(behind) or str(int(behind.time)),
        limit=wanted,
        sign=-1 if query.ascending else 1,
        rest_keys=[zset for index in indexes for zset in query.zsets(index)],
        writes=False,
    )


def begin_prune(keys: IndexKeys, cooldown_ms: int) -> Call[bool]:
    """Claim the pruning for a cooldown. The result is False when another process claimed it within its cooldown."""
    return Call(("SET", keys.ids, "1", "NX", "PX", cooldown_ms), keys, lambda reply: reply is not None)


def count_entries(zset: str, index: EntryKeys) -> Call[int]:
    """Count the entries of a zset."""
    return Call(("ZCARD", zset), index, int, writes=False)


def read_rows(keys: Sequence[SessionKeys], now_us: int, state: Sequence[str] = ()) -> Call[list[AnyRow | None]]:
    """Read sessions of one server as a list shows them, None for one that is gone. A reply of about 1 MB leaves out the rest.

    Args:
        state: names of the state whose values are read, too.
    """
    fields = (*FIELDS, *(f"state.{name}" for name in state))

    def read(reply: list[Any]) -> list[AnyRow | None]:
        for one in keys:
            one.chain = keys[0].chain  # the executor gives it to the first one
        return [
            read_row(one, parts[0], parts[1], parts[2], now_us, state) for one, parts in zip(keys, reply, strict=False)
        ]

    return invoke(
        script("indexes/read_sessions"),
        keys[0],
        read,
        max_bytes=MAX_LAST_MESSAGE_BYTES,
        rest=fields,
        rest_keys=[key for one in keys for key in (one.session, one.messages)],
        writes=False,
    )


def read_row(
    keys: SessionKeys,
    values: Sequence[bytes | None],
    metadata: Sequence[bytes],
    message: bytes,
    now_us: int,
    state: Sequence[str] = (),
) -> AnyRow | None:
    """Return one session, None when it is gone. A damaged session must not stop the list of the others."""
    found = {name: value for name, value in zip(FIELDS, values, strict=False) if value is not None}
    shown = {name: value for name, value in zip(state, values[len(FIELDS) :], strict=False) if value is not None}
    if "incarnation" not in found:
        return None
    try:
        return _read_row(keys, found, metadata, message, now_us, shown)
    except (LookupError, ValueError, TypeError, ArithmeticError):
        return DamagedRow(keys.id)


def _read_row(
    keys: SessionKeys,
    found: dict[str, bytes],
    metadata: Sequence[bytes],
    message: bytes,
    now_us: int,
    state: Mapping[str, bytes],
) -> Row:
    counters = records.Counters.parse(found["counters"])
    kept = records.Layout.parse(found.get("layout")).kept
    incarnation = found["incarnation"].decode()
    with suppress(SessionsError):
        keys.origins = decoded_origins(keys, found.get("origins"))
    texts = {to: _shown(keys, field, found[field]) for to, field in _TEXT_FIELDS.items() if field in found}
    optional: dict[str, Any] = {to: text.decode() for to, text in texts.items() if text is not None}
    values = {
        name.decode()[5:]: _shown(keys, name.decode(), value)
        for name, value in zip(metadata[::2], metadata[1::2], strict=True)
    }
    shown = {name: _shown(keys, f"state.{name}", value) for name, value in state.items()}
    if "tags" in found:
        optional["tags"] = from_json(found["tags"])
    if "finished" in found:
        optional["finished_at"] = moment(found["finished"])
    if "lineage" in found:
        optional["root_id"] = records.Lineage.parse(found["lineage"]).ancestors[-1]
    lease = records.LeaseRecord.parse(found.get("lease"))
    if lease.has_holder and lease.deadline_ms > now_us // 1000:
        optional["holder"] = lease.owner
    if message:
        optional["last_message"] = _last_message(message, counters.last_seq, incarnation, keys)
    summary = SessionSummary(
        id=keys.id,
        status=found["status"].decode(),
        rev=counters.rev,
        kind=found.get("kind", b"main").decode(),
        metadata={name: from_json(value) for name, value in values.items() if value is not None},
        state={name: from_json(value) for name, value in shown.items() if value is not None},
        created_at=moment_of(found["created"]),
        updated_at=moment_of(counters.updated_us),
        count=counters.last_seq - counters.dropped + kept,
        last_seq=counters.last_seq,
        user_messages=counters.user_messages,
        assistant_messages=counters.assistant_messages,
        turns=counters.turns,
        tokens=counters.tokens,
        inbox_size=records.inbox_size(found.get("inbox")),
        active_descendants=records.SpawnCounts.parse(found.get("tree")).active,
        **optional,
    )
    return Row(summary, incarnation, int(found["created"]), counters.updated_us)


def _shown(keys: SessionKeys, field: str, value: bytes) -> bytes | None:
    """Return a value as it was given, None if it cannot be decoded here: a list goes on without it."""
    try:
        return decoded_field(keys, field, value)
    except (CodecMissing, DecryptionError):
        return None


def _last_message(element: bytes, seq: int, incarnation: str, keys: SessionKeys) -> LastMessage:
    """Return the last message. Only its time when the script cut it after the time, or it cannot be decoded here."""
    at = moment(read_time(element))
    if len(element) == TIME_DIGITS:
        return LastMessage(seq=seq, at=at)
    try:
        message = decode(element, seq, incarnation, keys)
    except (CodecMissing, DecryptionError, BlobsNeeded):  # a list waits for no blob store
        return LastMessage(seq=seq, at=at)
    return LastMessage(seq=seq, at=at, role=message.role, text=message.text)


def record_of(summary: SessionSummary) -> IndexRecord:
    """Return the values that a session is listed under."""
    return IndexRecord(summary.kind, summary.user_id, summary.agent_id, summary.label, tuple(summary.tags))


def is_recent(entry: IndexEntry, now_us: int) -> bool:
    """Return whether an entry may belong to a session that is just being created, or to be listed there."""
    return entry.time > now_us - CREATION_GRACE_MS * 1000


def is_behind(entry: IndexEntry, row: Row, query: Query) -> bool:
    """Return whether an entry is further behind its session than the upkeep allows, or ahead of one that has ended.

    A repeated spawn leaves a session that has ended among the active ones, too, if its process dies before the repair.
    """
    time = query.position_of(row).time
    return time - entry.time > 2 * RAISE_INTERVAL_MS * 1000 or (
        row.summary.finished_at is not None and entry.time > time
    )
