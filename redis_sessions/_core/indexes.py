"""The upkeep of indexes: where a session is listed, and the calls that put it there, move it and take it out.

An index is a hint, in a slot of its own. A session is in it before it can be seen, and leaves it after it is gone; in
between it may be behind by `LAG_MS` at most, because what is written is marked (at most so often) and put right after.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from .calls import Argument, Call, invoke
from .codec import from_json
from .keys import SHARDS, EntryKeys, SessionKeys, ShardKeys, entry_keys, shard_keys, shard_of
from .scripts import script

T = TypeVar("T")
LAG_MS = 5000
"""For how long a session that was put right may be written by the same process before it is put right again."""
GRACE_MS = 20_000
"""How long an announced creation or a write may take; longer than any is retried."""
MOST_TAGS = 64
LATE = 200
KINDS = ("main", "subagent", "cron")
_KEPT_MS = 30 * 24 * 3600 * 1000
_FOR_EVER_MS = 10 * 365 * 24 * 3600 * 1000
_DAY_MS = 24 * 3600 * 1000
_CHANGES = {"sessions/status", "sessions/delete", "sessions/patch", "sessions/touch"}


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
    """What the indexes know of a session: where it is listed, when to look at it, and since when it is marked."""

    facts: list[Facts]
    due: str
    mark: str


def tag_value(tag: str) -> str:
    """A tag as part of a key: any text may be one."""
    is_plain = len(tag) <= 128 and tag.isprintable()
    return tag if is_plain else sha256(tag.encode("utf-8", "surrogatepass")).hexdigest()


def changes(call: Call[Any]) -> bool:
    """Whether a call changes what a session is listed under, or for how long."""
    return call.script is not None and call.script.name in _CHANGES


def clock(namespace: str) -> Call[int]:
    """Reads as the time of a server, in microseconds."""
    shard = shard_keys(namespace, 0)
    return Call(("TIME",), shard, lambda reply: int(reply[0]) * 1_000_000 + int(reply[1]), writes=False)


def mark(namespace: str, keys: SessionKeys, others: Sequence[str] = ()) -> list[Call[None]]:
    """Says that sessions of one tree are being written."""
    shard = shard_keys(namespace, shard_of(keys.tag))
    now = str(_now())
    pairs = [part for id in (keys.id, *others) for part in (now, id)]
    return [
        Call(("ZADD", shard.marks, *pairs), shard, _nothing),
        Call(("PEXPIRE", shard.marks, _KEPT_MS), shard, _nothing),
    ]


def announce(namespace: str, keys: SessionKeys, facts: Facts, ttl_ms: int, *, is_apart: bool) -> list[Call[None]]:
    """Before a session is created: it is listed, and looked at after a while, in case it did not come."""
    notes = ("", str(facts), "")
    return [
        _note(namespace, keys.tag, ttl_ms, [(keys.id, *notes)], _nothing),
        *put(namespace, [(keys.id, keys.tag, "new", 0, 0)], facts, ttl_ms, is_apart=is_apart),
    ]


def put(
    namespace: str,
    entries: Sequence[tuple[str, str, str, int | str, int | str]],
    facts: Facts,
    ttl_ms: int,
    *,
    is_apart: bool,
    indexes: Sequence[EntryKeys] | None = None,
) -> list[Call[None]]:
    """Puts sessions (id, tag, group, created, updated) of the same facts and shard where they belong."""
    places = facts.indexes(namespace, entries[0][1]) if indexes is None else indexes
    rest = [part for id, _, group, created, updated in entries for part in (group, created, updated, id)]
    groups = [[place] for place in places] if is_apart else [places]
    return [_put(group, kept_ms(ttl_ms), rest) for group in groups if group]


def gone(entries: EntryKeys, ids: Sequence[str], bound: int) -> Call[None]:
    """Takes sessions out of an index, unless their times there are later than that, in microseconds."""
    rest = [part for id in ids for part in ("gone", bound, bound, id)]
    return _put([entries], _KEPT_MS, rest)


def _put(places: Sequence[EntryKeys], life_ms: int, entries: Sequence[Argument]) -> Call[None]:
    zsets = [zset for place in places for zset in place[2:]]
    return invoke(script("indexes/put"), places[0], _nothing, life=life_ms, rest=entries, rest_keys=zsets)


def note(namespace: str, keys: SessionKeys, truth: Truth, noted: Noted, now: int) -> Call[list[str]]:
    """Notes how a session was found at a time (microseconds), after it was put right. Reads as ids of others that are late."""
    if not truth.life:
        record = (keys.id, "-", "", noted.due)
    else:
        look = now // 1000 + (truth.ttl_ms + 20 if truth.ttl_ms >= 0 else _DAY_MS)
        record = (keys.id, str(look), str(truth.facts), noted.mark)
    return _note(namespace, keys.tag, truth.ttl_ms, [record], lambda reply: [id.decode() for id in reply])


def late(namespace: str, shard: int, grace_ms: int) -> Call[list[str]]:
    return invoke(
        script("indexes/late"),
        shard_keys(namespace, shard),
        lambda reply: list(dict.fromkeys(id.decode() for id in reply)),
        grace=grace_ms,
        most=LATE,
        writes=False,
    )


def noted(namespace: str, keys: SessionKeys) -> list[Call[bytes | None]]:
    """Read together as what `read_noted` takes."""
    shard = shard_keys(namespace, shard_of(keys.tag))
    return [
        Call(("HGET", shard.facts, keys.id), shard, _as_is, writes=False),
        Call(("ZSCORE", shard.due, keys.id), shard, _as_is, writes=False),
        Call(("ZSCORE", shard.marks, keys.id), shard, _as_is, writes=False),
    ]


def read_noted(facts: bytes | None, due: bytes | None, mark: bytes | None) -> Noted:
    return Noted(
        [Facts.read(line) for line in (facts or b"").splitlines()], (due or b"").decode(), (mark or b"").decode()
    )


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


def _note(
    namespace: str, tag: str, ttl_ms: int, records: Sequence[tuple[str, ...]], read: Callable[[Any], T]
) -> Call[T]:
    rest = [part for record in records for part in record]
    shard = shard_keys(namespace, shard_of(tag))
    grace = GRACE_MS if ttl_ms < 0 else min(GRACE_MS, ttl_ms + 20)
    return invoke(script("indexes/note"), shard, read, life=kept_ms(ttl_ms), grace=grace, rest=rest)


def _now() -> int:
    return int(time.time() * 1000)


def _text(value: Argument | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else None if value is None else str(value)


def _nothing(reply: object) -> None:
    return None


def _as_is(reply: Any) -> Any:
    return reply
