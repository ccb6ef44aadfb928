"""The upkeep of the indexes of sessions: where a session is listed, and the calls that put it there, move it and take it out.

An index is a hint in a slot of its own. A session is in it before it can be read, and leaves it after it is gone. In between,
its entries are exact, or the session is marked dirty: a process marks what it writes, at most once in `DIRTY_MARK_TTL_MS`,
repairs the entries after that time, and then removes its mark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple, TypeVar

from ..protocol.call import Argument, Call, invoke
from ..protocol.json_values import from_json
from ..protocol.keys import SHARDS, EntryKeys, SessionKeys, ShardKeys, entry_keys, shard_keys, shard_of
from ..protocol.records import Counters
from ..protocol.scripts import script

T = TypeVar("T")
DIRTY_MARK_TTL_MS = 2000
"""The time for which a process may write a session that it marked, before it repairs the entries."""
WRITER_GRACE_MS = 20_000
"""The time that an announced creation, or a write, may take. Longer than any call is retried."""
MAX_DUE = 200
"""Sessions that one call hands out to be checked."""
RECORD_FIELDS = ("kind", "user", "agent", "label", "tags")
"""The fields of a session that decide where it is listed."""
_STATE_FIELDS = ("incarnation", "status", "counters", "created", *RECORD_FIELDS)
_MIN_TTL_MS = 30 * 24 * 3600 * 1000
_PERSISTENT_MS = 10 * 365 * 24 * 3600 * 1000
_DAY_MS = 24 * 3600 * 1000
_CREATION_MARGIN_MS = 20


class IndexRecord(NamedTuple):
    """The values that a session is listed under."""

    kind: str = "main"
    user: str | None = None
    agent: str | None = None
    label: str | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, fields: Mapping[str, Argument | None]) -> IndexRecord:
        """Return the record of fields of a session's hash. Raises ValueError when the tags are damaged."""
        kind, user, agent, label, tags = [fields.get(name) for name in RECORD_FIELDS]
        listed = from_json(tags) if isinstance(tags, str | bytes) else []
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ValueError("tags must be a list of text")
        return cls(_text(kind) or "main", _text(user), _text(agent), _text(label), tuple(dict.fromkeys(listed)))

    @classmethod
    def parse(cls, text: bytes) -> IndexRecord:
        """Read a stored record: a JSON array."""
        kind, user, agent, label, tags = json.loads(text)
        return cls(kind, user, agent, label, tuple(tags))

    def __str__(self) -> str:
        return json.dumps(self, separators=(",", ":"))

    def entries(self, namespace: str, tag: str) -> list[EntryKeys]:
        """Return the indexes that list a session with this record and this hash tag."""
        values = [("user", self.user), ("agent", self.agent), ("label", self.label)]
        values += [("tag", tag_value(one)) for one in self.tags]
        return [entry_keys(namespace, "all", self.kind, "", f"index-{shard_of(tag)}")] + [
            entry_keys(namespace, index, self.kind, value) for index, value in values if value is not None
        ]


class SessionIndexState(NamedTuple):
    """The values of a session that its index entries must have, too. No incarnation when the session is gone."""

    incarnation: str
    is_active: bool = False
    created_us: int = 0
    updated_us: int = 0
    ttl_ms: int = 0
    record: IndexRecord = IndexRecord()


class StoredIndexRecord(NamedTuple):
    """The index entries of a session at one moment."""

    now_us: int
    records: list[IndexRecord]
    check_at: str
    """The time of the next check, as it is stored, or ''."""
    text: str
    """The records, as they are stored, or ''."""


class DirtyMark(NamedTuple):
    """A session that is being written, and the process that writes it."""

    id: str
    writer: str

    @classmethod
    def parse(cls, member: str, writer: str = "") -> DirtyMark:
        """Read '<id> <writer>', or an ID alone, which then is this writer's."""
        id, _, found = member.partition(" ")
        return cls(id, found.rstrip("?") or writer)


class EntryUpdate(NamedTuple):
    """The new place of one session in its indexes."""

    id: str
    tag: str
    group: Literal["new", "active", "ended"]
    created_us: int = 0
    updated_us: int = 0


def tag_value(tag: str) -> str:
    """Return a session's tag as part of a key: itself, or its SHA-256 when it is long or not printable."""
    is_plain = len(tag) <= 128 and tag.isprintable()
    return tag if is_plain else sha256(tag.encode("utf-8", "surrogatepass")).hexdigest()


def server_time(namespace: str) -> Call[int]:
    """Read the time of a server, in microseconds."""
    shard = shard_keys(namespace, 0)
    return Call(("TIME",), shard, lambda reply: int(reply[0]) * 1_000_000 + int(reply[1]), writes=False)


def mark_dirty(namespace: str, tag: str, ids: Sequence[str], writer: str, *, may_relist: bool = False) -> Call[None]:
    """Mark sessions of one tree as dirty. With `may_relist`, lists look at them whatever values they ask for."""
    marks = [f"{id} {writer}{'?' if may_relist else ''}" for id in ids]
    shard = shard_keys(namespace, shard_of(tag))
    return invoke(script("indexes/mark_dirty"), shard, _ignore, ttl_ms=_MIN_TTL_MS, rest=marks)


def announce(
    namespace: str, keys: SessionKeys, record: IndexRecord, ttl_ms: int, writer: str, *, is_separate: bool
) -> list[Call[None]]:
    """Before a session is created: list it, mark it dirty, and have it checked in case it is never created."""
    update = (keys.id, "announce", "", str(record), "", writer, "", "")
    return [
        _put_record(namespace, keys.tag, ttl_ms, update, _ignore),
        *upsert(namespace, [EntryUpdate(keys.id, keys.tag, "new")], record, ttl_ms, is_separate=is_separate),
    ]


def upsert(
    namespace: str,
    updates: Sequence[EntryUpdate],
    record: IndexRecord,
    ttl_ms: int,
    *,
    is_separate: bool,
    as_of_us: int = 0,
) -> list[Call[None]]:
    """Put sessions with the same record and shard into their indexes: in one call, or one for each index if they are separate."""
    entries = record.entries(namespace, updates[0].tag)
    rest = [part for one in updates for part in (one.group, one.created_us, one.updated_us, one.id)]
    groups = [[entry] for entry in entries] if is_separate else [entries]
    return [_upsert(group, index_ttl_ms(ttl_ms), as_of_us, rest) for group in groups if group]


def remove(entries: EntryKeys, ids: Sequence[str], as_of_us: int) -> Call[None]:
    """Take sessions out of an index, unless their entries are newer."""
    rest = [part for id in ids for part in ("gone", as_of_us, as_of_us, id)]
    return _upsert([entries], _MIN_TTL_MS, 0, rest)


def _upsert(entries: Sequence[EntryKeys], ttl_ms: int, as_of_us: int, rest: Sequence[Argument]) -> Call[None]:
    zsets = [zset for one in entries for zset in one[2:]]
    return invoke(
        script("indexes/upsert_entries"), entries[0], _ignore, ttl_ms=ttl_ms, as_of_us=as_of_us, rest=rest,
        rest_keys=zsets,
    )  # fmt: skip


def put_record(
    namespace: str,
    keys: SessionKeys,
    state: SessionIndexState,
    stored: StoredIndexRecord,
    writer: str,
    grace_ms: int = 0,
) -> Call[list[str]]:
    """After the entries were repaired: store the record, and remove a writer's mark that is at least `grace_ms` old.

    When another process changed the record since it was read, both records and the mark stay, and the session is due again.
    The result is sessions that must be checked: IDs, or dirty marks.
    """
    next_check = stored.now_us // 1000 + (state.ttl_ms + _CREATION_MARGIN_MS if state.ttl_ms >= 0 else _DAY_MS)
    update = (
        keys.id,
        "put" if state.incarnation else "remove",
        str(next_check),
        str(state.record),
        stored.check_at,
        writer,
        str(stored.now_us - grace_ms * 1000),
        stored.text,
    )
    return _put_record(namespace, keys.tag, state.ttl_ms, update, _texts)


def list_due(namespace: str, shard: int, grace_ms: int) -> Call[list[str]]:
    """Read sessions that must be checked: IDs, or dirty marks."""
    return invoke(
        script("indexes/list_due"), shard_keys(namespace, shard), _texts, grace_ms=grace_ms, limit=MAX_DUE, writes=False
    )


def get_record(namespace: str, keys: SessionKeys) -> Call[StoredIndexRecord]:
    """Read what the indexes know of a session."""

    def read(reply: list[bytes]) -> StoredIndexRecord:
        now_us, records, check_at = reply
        parsed = [IndexRecord.parse(line) for line in records.splitlines()]
        return StoredIndexRecord(int(now_us), parsed, check_at.decode(), records.decode())

    shard = shard_keys(namespace, shard_of(keys.tag))
    return invoke(script("indexes/get_record"), shard, read, id=keys.id, writes=False)


def state_calls(keys: SessionKeys) -> list[Call[Any]]:
    """Return the two calls whose results `read_state` takes."""
    return [
        Call(("HMGET", keys.session, *_STATE_FIELDS), keys, _as_is, writes=False),
        Call(("PTTL", keys.session), keys, _as_is, writes=False),
    ]


def read_state(values: Sequence[bytes | None], ttl_ms: int) -> SessionIndexState:
    """Return the state of a session. Raises ValueError when it is damaged."""
    fields = dict(zip(_STATE_FIELDS, values, strict=True))
    incarnation, counters = fields["incarnation"], fields["counters"]
    if not incarnation or not counters:
        return SessionIndexState("")
    is_active = fields["status"] in (b"active", b"paused")
    updated_us = Counters.parse(counters).updated_us
    record = IndexRecord.of(fields)
    return SessionIndexState(incarnation.decode(), is_active, int(fields["created"] or 0), updated_us, ttl_ms, record)


def index_ttl_ms(ttl_ms: int) -> int:
    """Return how long an index is kept that lists a session with this life. a negative life never ends."""
    return _PERSISTENT_MS if ttl_ms < 0 else ttl_ms + _MIN_TTL_MS


def all_shards(namespace: str) -> list[ShardKeys]:
    """Return the keys of all shards."""
    return [shard_keys(namespace, shard) for shard in range(SHARDS)]


def _put_record(namespace: str, tag: str, ttl_ms: int, update: tuple[str, ...], read: Callable[[Any], T]) -> Call[T]:
    announce_ms = WRITER_GRACE_MS if ttl_ms < 0 else min(WRITER_GRACE_MS, ttl_ms + _CREATION_MARGIN_MS)
    return invoke(
        script("indexes/put_records"), shard_keys(namespace, shard_of(tag)), read, ttl_ms=index_ttl_ms(ttl_ms),
        announce_ms=announce_ms, grace_ms=WRITER_GRACE_MS, rest=update,
    )  # fmt: skip


def _text(value: Argument | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def _texts(reply: Sequence[bytes]) -> list[str]:
    return [one.decode() for one in reply]


def _ignore(reply: object) -> None:
    return None


def _as_is(reply: Any) -> Any:
    return reply
