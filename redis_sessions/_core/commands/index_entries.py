"""The entries of the indexes of sessions: where a session is listed, and the calls that put it there, move it and take it out.

An index is a hint in a slot of its own. An entry is written before its session is listed there, and can outlive the session. So
a list reads each session, and removes wrong entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple

from ..protocol.call import Argument, Call, invoke
from ..protocol.json_values import from_json
from ..protocol.keys import EntryKeys, SessionKeys, entry_keys, session_keys, shard_of
from ..protocol.records import Counters
from ..protocol.scripts import script

RAISE_INTERVAL_MS = 2000
"""The pause between two raises of a session's entries by one process: how far an entry may be behind."""
CREATION_GRACE_MS = 20_000
"""The time that a creation may take after its entry. Longer than any call is retried."""
RECORD_FIELDS = ("kind", "user", "agent", "label", "tags")
"""The fields of a session that decide where it is listed."""
_STATE_FIELDS = ("incarnation", "status", "counters", "created", "has_ledger", "has_parts", *RECORD_FIELDS)
_MAX_REMOVED = 500
"""Sessions and indexes, multiplied, of one removal."""
_MIN_TTL_MS = 30 * 24 * 3600 * 1000
_PERSISTENT_MS = 10 * 365 * 24 * 3600 * 1000


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
        listed = from_json(tags) if isinstance(tags, str | bytes) and tags else []
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ValueError("tags must be a list of strings")
        return cls(_text(kind) or "main", _text(user), _text(agent), _text(label), tuple(dict.fromkeys(listed)))

    def changed(self, fields: Mapping[str, Argument | None]) -> IndexRecord:
        """Return the record after some fields of the session were set, or removed where the value is None."""
        new = IndexRecord.of(fields)
        return self._replace(**{name: getattr(new, name) for name in RECORD_FIELDS if name in fields})

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
    has_ledger: bool = False
    has_parts: bool = False


class Sample(NamedTuple):
    """Sessions of an index that may have expired."""

    now_us: int
    ids: list[str]


class EntryUpdate(NamedTuple):
    """The new place of one session in its indexes."""

    id: str
    group: Literal["announced", "active", "ended"]
    created_us: int = 0
    updated_us: int = 0


def tag_value(tag: str) -> str:
    """Return a session's tag as part of a key: itself, or its SHA-256 when it is long or not printable."""
    is_plain = len(tag) <= 128 and tag.isprintable()
    return tag if is_plain else sha256(tag.encode("utf-8", "surrogatepass")).hexdigest()


def server_time(namespace: str) -> Call[int]:
    """Read the time of a server, in microseconds."""
    keys = session_keys(namespace, "time")
    return Call(("TIME",), keys, lambda reply: int(reply[0]) * 1_000_000 + int(reply[1]), writes=False)


def announce(
    entries: Sequence[EntryKeys], id: str, ttl_ms: int, *, created_us: int = 0, is_cluster: bool
) -> list[Call[bool]]:
    """Before a session is created, or comes to be listed elsewhere: put it into indexes, as updated now.

    The result is False if it has an entry already, whose place must be repaired.
    """
    return put(entries, [EntryUpdate(id, "announced", created_us)], ttl_ms, is_cluster=is_cluster)


def put(
    entries: Sequence[EntryKeys], updates: Sequence[EntryUpdate], ttl_ms: int, *, is_cluster: bool, as_of_us: int = 0
) -> list[Call[bool]]:
    """Put sessions into indexes: in one call, or on a cluster in one for each index. Entries newer than `as_of_us` stay."""
    rest = [part for one in updates for part in (one.group, one.created_us, one.updated_us, one.id)]
    kept_ms = _PERSISTENT_MS if ttl_ms < 0 else ttl_ms + _MIN_TTL_MS
    calls = [
        invoke(
            script("indexes/put_entries"), group[0], lambda known: known == 0, ttl_ms=kept_ms, as_of_us=as_of_us, rest=rest,
            rest_keys=[zset for one in group for zset in one[2:]],
        )
        for group in _groups(entries, is_cluster)
    ]  # fmt: skip
    for call in calls:
        call.about = updates[0].id
    return calls


def raise_entries(entries: Sequence[EntryKeys], id: str) -> Call[bool]:
    """Before a write: raise the last update of a session in its indexes, which must be on one server.

    The result is False if it is not listed there, as an active session.
    """
    zsets = [one.active_updated for one in entries]
    call = invoke(
        script("indexes/raise_entries"), entries[0], lambda raised: raised == len(zsets), id=id, rest_keys=zsets
    )
    call.about = id
    return call


def remove(entries: Sequence[EntryKeys], ids: Sequence[str], latest_us: int, *, is_cluster: bool) -> list[Call[int]]:
    """Take sessions out of indexes, unless their entries are newer than a time. The result is how many entries went."""
    return [
        invoke(
            script("indexes/remove_entries"), group[0], int, latest_us=latest_us, rest=part,
            rest_keys=[zset for one in group for zset in one[2:]],
        )
        for group in _groups(entries, is_cluster)
        for part in _parts(ids, max(_MAX_REMOVED // len(group), 1))
    ]  # fmt: skip


def sample(index: EntryKeys, limit: int) -> Call[Sample]:
    """Read sessions of an index that may have expired, at most four times `limit`."""
    return invoke(
        script("indexes/sample_entries"),
        index,
        lambda reply: Sample(int(reply[0]), [*dict.fromkeys(id.decode() for id in reply[1:])]),
        limit=limit,
        grace_us=CREATION_GRACE_MS * 1000,
        rest_keys=(index.active_updated, index.ended_updated),
        writes=False,
    )


def members(index: EntryKeys, zset: str, first: int, count: int) -> Call[list[str]]:
    """Read IDs of a zset of an index by their places, the oldest first."""
    command = ("ZRANGE", zset, first, first + count - 1)
    return Call(command, index, lambda reply: [id.decode() for id in reply], writes=False)


def exists(keys: SessionKeys) -> Call[bool]:
    """Ask whether a session exists."""
    return Call(("EXISTS", keys.session), keys, bool, writes=False)


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
    return SessionIndexState(
        incarnation.decode(), is_active, int(fields["created"] or 0), updated_us, ttl_ms, record,
        has_ledger=fields["has_ledger"] is not None, has_parts=fields["has_parts"] is not None,
    )  # fmt: skip


def all_indexes(namespace: str) -> str:
    """Return the pattern that the keys of all indexes match, for SCAN."""
    return f"{namespace}:{{*}}:*:*:updated:*"


def entry_keys_of(namespace: str, key: str) -> EntryKeys | None:
    """Return the index that a key belongs to, or None for another key."""
    prefix, _, rest = key.partition("}:")
    index, kind, group, order, *value = [*rest.split(":", 4), "", "", "", ""][:5] if rest.count(":") >= 4 else [""] * 5
    found = entry_keys(namespace, index, kind, "".join(value), prefix.partition(":{")[2])
    return found if group in ("active", "ended") and order == "updated" and key in found else None


def _groups(entries: Sequence[EntryKeys], is_cluster: bool) -> list[Sequence[EntryKeys]]:
    return [[entry] for entry in entries] if is_cluster else [entries] if entries else []


def _parts(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [ids[first : first + size] for first in range(0, len(ids), size)]


def _text(value: Argument | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def _as_is(reply: Any) -> Any:
    return reply
