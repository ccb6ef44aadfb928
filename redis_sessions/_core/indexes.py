"""The upkeep of indexes: where a session is listed, and the calls that put it there, move it and take it out.

An index is a hint, in a slot of its own. A session is in it before it can be seen, and leaves it after it is gone. In
between its entry is exact, or the session is marked: a process marks what it writes, once in `LAG_MS`, puts it right after
that time, and then ends its mark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from .calls import Argument, Call, invoke
from .codec import from_json
from .keys import SHARDS, EntryKeys, SessionKeys, ShardKeys, entry_keys, shard_keys, shard_of
from .scripts import script

T = TypeVar("T")
LAG_MS = 2000
"""For how long a session that a process marked may be written by it before it is put right."""
GRACE_MS = 20_000
"""How long an announced creation or a write may take; longer than any is retried."""
MOST_TAGS = 64
LATE = 200
KINDS = ("main", "subagent", "cron")
_KEPT_MS = 30 * 24 * 3600 * 1000
_FOR_EVER_MS = 10 * 365 * 24 * 3600 * 1000
_DAY_MS = 24 * 3600 * 1000
_CHANGES = {"sessions/status", "sessions/delete", "sessions/touch"}
_LISTED = {"user", "agent", "tags"}


class Facts(NamedTuple):
    """What a session is listed under."""

    kind: str = "main"
    user: str | None = None
    agent: str | None = None
    label: str | None = None
    tags: tuple[str, ...] = ()

    @classmethod
    def of(cls, kind: Argument | None, user: Argument | None, agent: Argument | None, label: Argument | None,
           tags: Argument | None) -> Facts:  # fmt: skip
        """Those of fields of a session's hash; raises ValueError."""
        listed = from_json(tags) if isinstance(tags, str | bytes) else []
        if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
            raise ValueError("tags are no list of texts")
        return cls(_text(kind) or "main", _text(user), _text(agent), _text(label), tuple(dict.fromkeys(listed)))

    @classmethod
    def read(cls, text: bytes) -> Facts:
        kind, user, agent, label, tags = json.loads(text)
        return cls(kind, user, agent, label, tuple(tags))

    def __str__(self) -> str:
        return json.dumps(self, separators=(",", ":"))

    def indexes(self, namespace: str, tag: str) -> list[EntryKeys]:
        """Where a session of these facts and this tag is listed."""
        places = [("user", self.user), ("agent", self.agent), ("label", self.label)]
        places += [("tag", tag_value(one)) for one in self.tags]
        shard = f"index-{shard_of(tag)}"
        return [entry_keys(namespace, "all", self.kind, "", shard)] + [
            entry_keys(namespace, index, self.kind, value) for index, value in places if value is not None
        ]


class Truth(NamedTuple):
    """What a session says of itself, as far as the indexes want to know; no `life` when it is gone."""

    life: str
    is_active: bool = False
    created: int = 0
    updated: int = 0
    ttl_ms: int = 0
    facts: Facts = Facts()


class Noted(NamedTuple):
    """What the indexes know of a session at a time (microseconds): where it is listed, and when to look at it."""

    now: int
    facts: list[Facts]
    due: str


class Mark(NamedTuple):
    """A session, and who marked it."""

    id: str
    writer: str

    @classmethod
    def of(cls, member: str, writer: str = "") -> Mark:
        """From an id, marked by this writer, or by whom is named behind it."""
        id, _, found = member.partition(" ")
        return cls(id, found.rstrip("?") or writer)


def tag_value(tag: str) -> str:
    """A tag as part of a key: any text may be one."""
    is_plain = len(tag) <= 128 and tag.isprintable()
    return tag if is_plain else sha256(tag.encode("utf-8", "surrogatepass")).hexdigest()


def changes(call: Call[Any]) -> bool:
    """Whether a call changes what a session is listed under, or for how long."""
    return call.script is not None and (call.script.name in _CHANGES or moves(call))


def moves(call: Call[Any]) -> bool:
    """Whether a call may change under what a session is listed."""
    return call.script is not None and call.script.name == "sessions/patch" and not _LISTED.isdisjoint(call.command)


def clock(namespace: str) -> Call[int]:
    """Reads as the time of a server, in microseconds."""
    shard = shard_keys(namespace, 0)
    return Call(("TIME",), shard, lambda reply: int(reply[0]) * 1_000_000 + int(reply[1]), writes=False)


def mark(namespace: str, tag: str, ids: Sequence[str], writer: str, *, may_move: bool = False) -> Call[None]:
    """Says that sessions of one tree are being written, and may come to be listed under something else."""
    members = [f"{id} {writer}{'?' if may_move else ''}" for id in ids]
    shard = shard_keys(namespace, shard_of(tag))
    return invoke(script("indexes/mark"), shard, _nothing, life=_KEPT_MS, rest=members)


def announce(
    namespace: str, keys: SessionKeys, facts: Facts, ttl_ms: int, writer: str, *, is_apart: bool
) -> list[Call[None]]:
    """Before a session is created: it is listed, marked, and looked at after a while, in case it did not come."""
    record = (keys.id, "", str(facts), "", writer, "")
    return [
        _note(namespace, keys.tag, ttl_ms, record, _nothing),
        *put(namespace, [(keys.id, keys.tag, "new", 0, 0)], facts, ttl_ms, is_apart=is_apart),
    ]


def put(
    namespace: str,
    entries: Sequence[tuple[str, str, str, int | str, int | str]],
    facts: Facts,
    ttl_ms: int,
    *,
    is_apart: bool,
    as_of: int = 0,
    indexes: Sequence[EntryKeys] | None = None,
) -> list[Call[None]]:
    """Puts sessions (id, tag, group, created, updated) of the same facts and shard, as they were read at a time, where they
    belong."""
    places = facts.indexes(namespace, entries[0][1]) if indexes is None else indexes
    rest = [part for id, _, group, created, updated in entries for part in (group, created, updated, id)]
    groups = [[place] for place in places] if is_apart else [places]
    return [_put(group, kept_ms(ttl_ms), as_of, rest) for group in groups if group]


def gone(entries: EntryKeys, ids: Sequence[str], bound: int) -> Call[None]:
    """Takes sessions out of an index, unless their times there are later than that, in microseconds."""
    rest = [part for id in ids for part in ("gone", bound, bound, id)]
    return _put([entries], _KEPT_MS, 0, rest)


def _put(places: Sequence[EntryKeys], life_ms: int, as_of: int, entries: Sequence[Argument]) -> Call[None]:
    zsets = [zset for place in places for zset in place[2:]]
    return invoke(script("indexes/put"), places[0], _nothing, life=life_ms, as_of=as_of, rest=entries, rest_keys=zsets)


def note(
    namespace: str, keys: SessionKeys, truth: Truth, noted: Noted, writer: str, grace_ms: int = 0
) -> Call[list[str]]:
    """Notes how a session was found, after it was put right, and ends the mark of a writer, if it is so old.

    Reads as others that are late, ids or marks.
    """
    look = noted.now // 1000 + (truth.ttl_ms + 20 if truth.ttl_ms >= 0 else _DAY_MS)
    record = (
        keys.id,
        str(look) if truth.life else "-",
        str(truth.facts),
        noted.due,
        writer,
        str(noted.now - grace_ms * 1000),
    )
    return _note(namespace, keys.tag, truth.ttl_ms, record, lambda reply: [one.decode() for one in reply])


def late(namespace: str, shard: int, grace_ms: int) -> Call[list[str]]:
    return invoke(
        script("indexes/late"),
        shard_keys(namespace, shard),
        lambda reply: [one.decode() for one in reply],
        grace=grace_ms,
        most=LATE,
        writes=False,
    )


def noted(namespace: str, keys: SessionKeys) -> Call[Noted]:
    def read(reply: list[bytes]) -> Noted:
        now, facts, due = reply
        return Noted(int(now), [Facts.read(line) for line in facts.splitlines()], due.decode())

    shard = shard_keys(namespace, shard_of(keys.tag))
    return invoke(script("indexes/noted"), shard, read, id=keys.id, writes=False)


def truth(keys: SessionKeys) -> list[Call[Any]]:
    """Read together as what `read_truth` takes."""
    fields = ("life", "status", "counts", "created", "kind", "user", "agent", "label", "tags")
    return [
        Call(("HMGET", keys.session, *fields), keys, _as_is, writes=False),
        Call(("PTTL", keys.session), keys, _as_is, writes=False),
    ]


def read_truth(fields: Sequence[bytes | None], ttl_ms: int) -> Truth:
    """Raises ValueError when it is damaged."""
    life, status, counts, created, *facts = fields
    if not life or not counts:
        return Truth("")
    is_active = status in (b"active", b"paused")
    return Truth(life.decode(), is_active, int(created or 0), int(counts.split()[-1]), ttl_ms, Facts.of(*facts))


def kept_ms(ttl_ms: int) -> int:
    """For how long an index is kept that holds a session of such a life; a negative one never ends."""
    return _FOR_EVER_MS if ttl_ms < 0 else ttl_ms + _KEPT_MS


def shards(namespace: str) -> list[ShardKeys]:
    return [shard_keys(namespace, shard) for shard in range(SHARDS)]


def _note(namespace: str, tag: str, ttl_ms: int, record: tuple[str, ...], read: Callable[[Any], T]) -> Call[T]:
    shard = shard_keys(namespace, shard_of(tag))
    coming = GRACE_MS if ttl_ms < 0 else min(GRACE_MS, ttl_ms + 20)
    life = kept_ms(ttl_ms)
    return invoke(script("indexes/note"), shard, read, life=life, coming=coming, grace=GRACE_MS, rest=record)


def _text(value: Argument | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def _nothing(reply: object) -> None:
    return None


def _as_is(reply: Any) -> Any:
    return reply
