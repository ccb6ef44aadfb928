"""Listing sessions: which indexes a query reads, and how the times they give become pages in an exact order.

An entry has its session's time, unless the session is marked. So a page reads so many entries, and all that are marked, asks
each session for its own time, and ends at that of the last entry it read: nothing that was not read can be newer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from ..models.summaries import SessionSummary
from .calls import Call, invoke
from .codec import from_json
from .indexes import GRACE_MS
from .keys import EntryKeys, IndexKeys, SessionKeys, ShardKeys
from .queries import START, Position, Query, Row
from .scripts import script
from .units import moment, moment_of

T = TypeVar("T")
_FIELDS = (
    "life", "counts", "status", "kind", "created", "finished", "user", "agent", "name", "label", "task", "tags", "parent",
    "place", "aside", "lease", "tree", "meta.active_seed_id", "meta.active_persona_id", "meta.project_id",
)  # fmt: skip
_TEXTS = {
    "user_id": "user",
    "agent_id": "agent",
    "name": "name",
    "label": "label",
    "task": "task",
    "parent_id": "parent",
}
_MOST_MARKS = 100_000
_METADATA = ("active_seed_id", "active_persona_id", "project_id")


class Entry(NamedTuple):
    """What an index says of a session: its time, in microseconds."""

    time: int
    id: str


class Slice(NamedTuple):
    """Part of an index: entries, and the time below which there are more (None when these are all)."""

    entries: list[Entry]
    floor: int | None
    now: int


def page(asked: Query, indexes: Sequence[EntryKeys], below: Position) -> Call[Slice]:
    """Entries of indexes in one slot, newest first."""

    def read(reply: list[Any]) -> Slice:
        return Slice(sorted(_entries(reply[2:]), reverse=True), int(reply[1]) if reply[1] else None, int(reply[0]))

    return invoke(
        script("indexes/page"),
        indexes[0],
        read,
        upper="+inf" if below is START else str(int(below.time)),
        limit=asked.wanted,
        rest_keys=[zset for index in indexes for zset in asked.zsets(index)],
        writes=False,
    )


class Marked(NamedTuple):
    """Sessions whose entries may be behind, and marks of writers that died."""

    ids: list[str]
    late: list[str]


def marked(asked: Query, shard: ShardKeys) -> Call[Marked]:
    """Sessions that are being written, or were when their writer died, of those that may belong in a list."""

    def read(reply: list[list[bytes]]) -> Marked:
        ids, late = [[one.decode() for one in some] for some in reply]
        return Marked(ids, late)

    return invoke(
        script("indexes/marked"), shard, read, text=asked.text, grace=GRACE_MS, most=_MOST_MARKS, writes=False
    )


def _entries(reply: Sequence[bytes]) -> list[Entry]:
    return [Entry(int(float(at)), id.decode()) for id, at in zip(reply[::2], reply[1::2], strict=True)]


def throttle(keys: IndexKeys, cooldown_ms: int) -> Call[bool]:
    """Reads as whether nobody was first within the cooldown."""
    return Call(("SET", keys.ids, "1", "NX", "PX", cooldown_ms), keys, lambda reply: reply is not None)


def counted(zset: str, index: EntryKeys) -> Call[int]:
    return Call(("ZCARD", zset), index, int, writes=False)


def rows(keys: Sequence[SessionKeys], now: int, *, is_apart: bool) -> list[Call[list[Row | None]]]:
    """Sessions as a list shows them at a time of the server's (microseconds), None for what is gone; some in one call, where
    they are all on one server.
    """
    return [
        _read(some, _FIELDS, lambda ids, found: [read_row(id, one, now) for id, one in zip(ids, found, strict=True)])
        for some in _parts(keys, 1 if is_apart else 200)
    ]


def times(asked: Query, keys: Sequence[SessionKeys]) -> list[Call[list[int]]]:
    """The times by which sessions on one server are ordered, 0 for what is gone."""
    field = "counts" if asked.order == "updated" else "created"
    return [
        _read(some, (field,), lambda _, found: [int(one[0].split()[-1]) if one and one[0] else 0 for one in found])
        for some in _parts(keys, 1000)
    ]


def _parts(keys: Sequence[SessionKeys], size: int) -> list[Sequence[SessionKeys]]:
    return [keys[first : first + size] for first in range(0, len(keys), size)]


def _read(
    keys: Sequence[SessionKeys], fields: Sequence[str], read: Callable[[list[str], list[list[bytes | None]]], T]
) -> Call[T]:
    ids = [one.id for one in keys]
    hashes = [one.session for one in keys]
    return invoke(
        script("indexes/read"), keys[0], lambda reply: read(ids, reply), rest=fields, rest_keys=hashes, writes=False
    )


def read_row(id: str, reply: Sequence[bytes | None], now: int) -> Row | None:
    """None for what is gone, or is damaged: one such session is no reason not to list the others."""
    try:
        return _read_row(id, reply, now)
    except (LookupError, ValueError):  # pydantic's and JSON's errors are such, too
        return None


def _read_row(id: str, reply: Sequence[bytes | None], now: int) -> Row | None:
    found = {name: value for name, value in zip(_FIELDS, reply, strict=False) if value is not None}
    if "life" not in found or "counts" not in found:
        return None
    rev, last, dropped, users, assistants, turns, _, _, tokens, _, updated = map(int, found["counts"].split())
    optional: dict[str, Any] = {to: found[field].decode() for to, field in _TEXTS.items() if field in found}
    for name in _METADATA:
        value = from_json(found[f"meta.{name}"]) if f"meta.{name}" in found else None
        if isinstance(value, str):
            optional[name] = value
    if "tags" in found:
        optional["tags"] = from_json(found["tags"])
    if "finished" in found:
        optional["finished_at"] = moment(found["finished"])
    if "place" in found:
        optional["root_id"] = found["place"].decode().split()[-1]
    _, nonce, deadline, owner = found.get("lease", b"0 - 0 -").decode().split(" ", 3)
    if nonce != "-" and int(deadline) > now // 1000:
        optional["holder"] = owner
    summary = SessionSummary(
        id=id,
        status=found["status"].decode(),
        rev=rev,
        kind=found.get("kind", b"main").decode(),
        created_at=moment_of(found["created"]),
        updated_at=moment_of(updated),
        count=last - dropped + len(found.get("aside", b"").split()),
        last_seq=last,
        user_messages=users,
        assistant_messages=assistants,
        turns=turns,
        tokens=tokens,
        active_below=int(found.get("tree", b"0 0").split()[1]),
        **optional,
    )
    return Row(summary, found["life"].decode(), int(found["created"]), updated)


def is_young(entry: Entry, now: int) -> bool:
    """Whether it may be of a session that is just being created."""
    return entry.time > now - GRACE_MS * 1000
