"""Calls of `forget`: what a session says of itself, and the removal of what other keys say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..protocol.call import Call
from ..protocol.ids import check_id, is_incarnation
from ..protocol.json_values import from_json, to_json
from ..protocol.keys import (
    SHARDS,
    AgentKeys,
    EntryKeys,
    IndexKeys,
    SessionKeys,
    WorkerKeys,
    agent_keys,
    entry_keys,
    shard_of,
)
from ..protocol.records import Counters, Lineage
from ..protocol.work import Work, queue_prefix
from .index_entries import RECORD_FIELDS, IndexRecord
from .run_queues import INBOX_QUEUE, agent_of
from .session_fields import KINDS

_FIELDS = (
    "incarnation", "counters", "created", *RECORD_FIELDS, "lineage", "children", "run", "inbox", "lease", "answered_by",
    "priority", "fairness_key", "channel", "report", "finished",
)  # fmt: skip


class SessionFacts(NamedTuple):
    """The facts that the removal of a session needs. A field that is damaged counts as absent."""

    id: str
    fields: Mapping[str, bytes]

    @property
    def incarnation(self) -> str:
        """The incarnation, or '' when the session is damaged."""
        found = self.text("incarnation")
        return found if is_incarnation(found) else ""

    @property
    def user(self) -> str:
        """The user, or ''."""
        return self.text("user")

    @property
    def created_us(self) -> int:
        """The time of the creation, in microseconds, or 0."""
        created = self.text("created")
        return int(created) if created.isdecimal() else 0

    @property
    def messages(self) -> int:
        """The number of retained messages."""
        try:
            counters = Counters.parse(self.fields["counters"])
        except (LookupError, ValueError):
            return 0
        return counters.last_seq - counters.dropped

    @property
    def lineage(self) -> Lineage | None:
        """The place in the tree, or None for a root."""
        try:
            found = Lineage.parse(self.fields["lineage"])
            for id in found.ancestors:
                check_id(id)
        except (LookupError, ValueError):
            return None
        return found

    @property
    def ancestors(self) -> tuple[str, ...]:
        """The IDs of the ancestors, the parent's first."""
        return () if self.lineage is None else tuple(self.lineage.ancestors)

    @property
    def record(self) -> IndexRecord:
        """The values that the session is listed under."""
        fields = {name: self.text(name) for name in RECORD_FIELDS if name in self.fields}
        try:
            return IndexRecord.of(fields)
        except ValueError:
            return IndexRecord.of(fields | {"tags": ""})

    @property
    def is_in_tree(self) -> bool:
        """True if the session has children, or is one."""
        return "lineage" in self.fields or "children" in self.fields

    def text(self, field: str) -> str:
        """Return a field as text, or ''."""
        return self.fields.get(field, b"").decode(errors="replace")

    def queues(self, namespace: str) -> list[AgentKeys]:
        """Return the queues that may name the session."""
        agents = {self.text("answered_by"), agent_of(self.id) or ""} - {""}
        if "lease" in self.fields or "inbox" in self.fields:
            agents.add(INBOX_QUEUE)
        return [agent_keys(namespace, agent) for agent in sorted(agents)]

    def works(self) -> list[str]:
        """Return the members by which queues may name the session."""
        prefix = queue_prefix(self.id, self.ancestors, self._priority, self.text("fairness_key") or None)
        prefixes = dict.fromkeys(["", prefix, queue_prefix(self.id, self.ancestors, 0, None)])
        return [str(Work(self.id, self.ancestors, one)) for one in prefixes]

    @property
    def rank(self) -> str:
        """The member of the ranks of a queue that stands for the fairness key of the session."""
        return f"{self._priority}/{self.text('fairness_key') or [self.id, *self.ancestors][-1]}"

    @property
    def _priority(self) -> int:
        text = self.text("priority")
        return int(text) if text.removeprefix("-").isdecimal() else 0


def read_facts(keys: SessionKeys) -> Call[SessionFacts | None]:
    """Read the facts of a session, or None when the session does not exist."""

    def read(reply: Sequence[bytes | None]) -> SessionFacts | None:
        found = {name: value for name, value in zip(_FIELDS, reply, strict=True) if value is not None}
        return SessionFacts(keys.id, found) if found else None

    return Call(("HMGET", keys.session, *_FIELDS), keys, read, writes=False)


def read_field(keys: SessionKeys, field: str) -> Call[bytes | None]:
    """Read one field of a session as it is stored."""
    return Call(("HGET", keys.session, field), keys, _as_is, writes=False)


def _as_is(reply: bytes | None) -> bytes | None:
    return reply


def read_user(keys: SessionKeys) -> Call[str]:
    """Read the user of a session, or ''."""
    return Call(
        ("HGET", keys.session, "user"),
        keys,
        lambda reply: reply.decode(errors="replace") if reply else "",
        writes=False,
    )


def user_indexes(namespace: str, user: str) -> list[EntryKeys]:
    """Return the indexes of a user's sessions."""
    return [entry_keys(namespace, "user", kind, user) for kind in KINDS]


def shared_indexes(namespace: str, tag: str) -> list[EntryKeys]:
    """Return the indexes that list each session with a hash tag, whatever the session says."""
    return [entry_keys(namespace, "all", kind, "", f"index-{shard_of(tag) % SHARDS}") for kind in KINDS]


def mark_entries(index: EntryKeys, ids: Sequence[str]) -> list[Call[int]]:
    """Move entries of an index to the time 0. Such an entry belongs to no session that is being created.

    So a call that goes on after a break knows that it may remove the entry, although the session is gone.
    """
    members = [part for id in ids for part in (0, id)]
    return [Call(("ZADD", zset, "XX", *members), index, int) for zset in index[2:]]


def entry_times(index: EntryKeys, id: str) -> list[Call[float]]:
    """Read the times of a session's entry in an index, 0 for none."""
    return [Call(("ZSCORE", zset, id), index, lambda reply: float(reply or 0), writes=False) for zset in index[2:]]


def leave_queues(namespace: str, facts: SessionFacts) -> list[Call[int]]:
    """Take a session out of the queues that may name it. The results are how many places there were."""
    works = facts.works()
    return [
        Call(("ZREM", zset, *([facts.rank] if zset == queue.ranks else works)), queue, int)
        for queue in facts.queues(namespace)
        for zset in (queue.queue, queue.check_at, queue.ready, queue.running, queue.ranks)
    ]


def leave_leases(leases: IndexKeys, id: str) -> Call[int]:
    """Take a session out of the index of held leases."""
    return Call(("ZREM", leases.ids, id), leases, int)


def list_members(zset: str, keys: AgentKeys | EntryKeys, first: int, count: int) -> Call[list[bytes]]:
    """Read members of a zset of a queue or an index by their places, as they are stored."""
    return Call(("ZRANGE", zset, first, first + count - 1), keys, list, writes=False)


def remove_members(zset: str, keys: AgentKeys | EntryKeys, members: Sequence[bytes]) -> Call[int]:
    """Remove members from a zset of a queue or an index."""
    return Call(("ZREM", zset, *members), keys, int)


def drop(zset: str, keys: EntryKeys) -> Call[int]:
    """Delete a zset of an index."""
    return Call(("DEL", zset), keys, int)


def ids_of(members: Sequence[bytes]) -> tuple[list[str], list[bytes]]:
    """Return the IDs among members of an index, and the other members."""
    ids, others = [], []
    for member in members:
        try:
            ids.append(check_id(member.decode()))
        except ValueError:
            others.append(member)
    return ids, others


def names_any(member: bytes, ids: set[str]) -> bool:
    """Return whether a member of a queue names one of some sessions, as its own or as an ancestor."""
    return not ids.isdisjoint(member.decode(errors="replace").split(" "))


def is_category_of(category: str, user: str) -> bool:
    """Return whether a category of documents is that of a user: its path ends with the ID, and does not consist of it."""
    return category.endswith(f"/{user}")


def list_worker_ids(keys: WorkerKeys) -> Call[list[bytes]]:
    """Read the IDs of all workers with a record."""
    return Call(("HKEYS", keys.records), keys, list, writes=False)


def read_worker_records(keys: WorkerKeys, ids: Sequence[bytes]) -> Call[list[bytes | None]]:
    """Read records of workers."""
    return Call(("HMGET", keys.records, *ids), keys, list, writes=False)


def sessions_named(record: bytes) -> list[bytes]:
    """Return the IDs of the sessions that the record of a worker names."""
    try:
        return [id.encode() for id in from_json(record)["holding"]]
    except (ValueError, TypeError, LookupError, AttributeError):
        return []


def without_sessions(record: bytes, ids: set[str]) -> bytes | None:
    """Return the record of a worker without sessions, or None when the record names none of them."""
    try:
        found = from_json(record)
        kept = [id for id in found["holding"] if id not in ids]
        return None if kept == found["holding"] else to_json(found | {"holding": kept}, "record").encode()
    except (ValueError, TypeError, LookupError):
        return None
