"""The only place that builds a key.

    <namespace>:{<tag>}:session:<id>    hash   what a session is, its counts, its state (lua/README.md lists the fields)
    <namespace>:{<tag>}:messages:<id>   list   its retained messages, oldest first
    <namespace>:meta                    string the schema version of this namespace
    <namespace>:{<tag>}:channel:<id>    string the id of the session that a channel talks in
    <namespace>:{<tag>}:import-session:<nonce>:<id>, import-messages:<nonce>:<id>   a session that is being imported
    <namespace>:{<tag>}:import:<nonce>  string what came of that import
    <namespace>:{<tag>}:queue:<agent>   zset   runs that wait for a worker of the agent, by when they may be had
    <namespace>:{<tag>}:due:<agent>     zset   its runs by when somebody is to look after them
    <namespace>:{<tag>}:workers:<agent> string its workers that wait
    <namespace>:{index-<n>}:due         zset   sessions of a sixteenth by when to look whether the indexes are right
    <namespace>:{index-<n>}:facts       hash   what each of them is listed under
    <namespace>:{index-<n>}:marks       zset   those that were being written, by when
    <namespace>:{<tag>}:<index>:<kind>:<active or ended>:<created or updated>:<value>
                                        zset   sessions by time; the index is all, user, agent, label or tag
    <namespace>:index:leases            zset   sessions whose leases are held, by deadline: advisory
    <namespace>:index:agents            zset   agents that have runs
    <namespace>:documents:<category>    hash   documents by name and extension: kept until they are deleted
    <namespace>:index:documents         zset   categories that hold documents, by when that was noted
    <namespace>:wake:<process>          channel on which a process hears what it waits for

The type comes before the id, so no id can form another's key. The tag is `routing.tag(id)`: both keys of a session,
and of a whole tree, share a slot. An agent's keys have one of their own, and so has each category of documents.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias
from zlib import crc32

from ..errors import InvalidInput
from .ids import check_category, check_id
from .routing import tag

SCHEMA = "1"


class SessionKeys:
    """The keys of one session, and of its ancestors as far as they are known: a child's writes name them, too."""

    __slots__ = ("_prefix", "ancestors", "family", "id", "messages", "session", "tag")

    def __init__(self, namespace: str, id: str) -> None:
        self.id = check_id(id)
        self.tag = tag(id)
        self._prefix = f"{namespace}:{{{self.tag}}}:"
        self.session = f"{self._prefix}session:{id}"
        self.messages = f"{self._prefix}messages:{id}"
        self.learn(())

    def learn(self, ancestors: Sequence[str]) -> None:
        """Takes in who the ancestors are, the parent first; they never change."""
        self.ancestors = tuple(ancestors)
        self.family = tuple(f"{self._prefix}{kind}:{id}" for id in self.ancestors for kind in ("session", "messages"))


def session_keys(namespace: str, id: str) -> SessionKeys:
    """The keys of one session; refuses a bad id."""
    return SessionKeys(namespace, id)


def every_session(namespace: str) -> str:
    """What the keys of all sessions match, for SCAN."""
    return f"{namespace}:{{*}}:session:*"


def every_document(namespace: str) -> str:
    """What the keys of all categories of documents match, for SCAN."""
    return f"{namespace}:documents:*"


def id_of(namespace: str, key: bytes) -> str | None:
    """The id of the session that is at a key; None when the key is none that `session_keys` makes."""
    id = key.decode(errors="replace").partition("}:session:")[2]
    try:
        return id if session_keys(namespace, id).session.encode() == key else None
    except InvalidInput:
        return None


class AgentKeys(NamedTuple):
    """What the workers of an agent share."""

    id: str
    tag: str
    queue: str
    due: str
    workers: str


class ChannelKeys(NamedTuple):
    """What names the session that a channel talks in; that one has the channel's tag."""

    id: str
    tag: str
    channel: str


def channel_keys(namespace: str, channel: str) -> ChannelKeys:
    slot = tag(check_id(channel, "channel"))
    return ChannelKeys(channel, slot, f"{namespace}:{{{slot}}}:channel:{channel}")


def agent_keys(namespace: str, agent: str) -> AgentKeys:
    slot = tag(agent)
    return AgentKeys(agent, slot, *[f"{namespace}:{{{slot}}}:{kind}:{agent}" for kind in ("queue", "due", "workers")])


class StagedKeys(NamedTuple):
    """Where an import keeps one session until all are there."""

    id: str
    tag: str
    fields: str
    elements: str


class ImportKeys(NamedTuple):
    """What came of an import is kept beside its sessions."""

    id: str
    tag: str
    record: str


def staged_keys(namespace: str, id: str, nonce: str) -> StagedKeys:
    slot = tag(id)
    kinds = ("import-session", "import-messages")
    return StagedKeys(id, slot, *[f"{namespace}:{{{slot}}}:{kind}:{nonce}:{id}" for kind in kinds])


def import_keys(namespace: str, root: str, nonce: str) -> ImportKeys:
    slot = tag(root)
    return ImportKeys(root, slot, f"{namespace}:{{{slot}}}:import:{nonce}")


class IndexKeys(NamedTuple):
    """An index has a slot of its own: it is routed by its whole key."""

    id: str
    tag: str
    ids: str


class DocumentKeys(NamedTuple):
    """What holds the documents of a category; like an index it is routed by its whole key."""

    id: str
    tag: str
    documents: str


class ShardKeys(NamedTuple):
    """What is noted of the indexes, for a sixteenth of the sessions: a whole tree is in one."""

    id: str
    tag: str
    due: str
    facts: str
    marks: str


class EntryKeys(NamedTuple):
    """One index for sessions of one kind."""

    id: str
    tag: str
    active_created: str
    active_updated: str
    ended_created: str
    ended_updated: str


AnyKeys: TypeAlias = (
    SessionKeys | AgentKeys | ChannelKeys | StagedKeys | ImportKeys | IndexKeys | ShardKeys | EntryKeys | DocumentKeys
)
SHARDS = 16


def shard_keys(namespace: str, shard: int) -> ShardKeys:
    slot = f"index-{shard}"
    return ShardKeys(slot, slot, *[f"{namespace}:{{{slot}}}:{kind}" for kind in ("due", "facts", "marks")])


def shard_of(session_tag: str) -> int:
    """Which part of the index of all sessions a session is in."""
    return int(session_tag, 16) % SHARDS


def entry_keys(namespace: str, index: str, kind: str, value: str, slot: str = "") -> EntryKeys:
    """The zsets of an index; without a slot it has one of its own."""
    slot = slot or f"{crc32(f'{index}:{value}'.encode()):08x}"
    prefix = f"{namespace}:{{{slot}}}:{index}:{kind}"
    zsets = [f"{prefix}:{group}:{order}:{value}" for group in ("active", "ended") for order in ("created", "updated")]
    return EntryKeys(f"{index} {value}", slot, *zsets)


def index_keys(namespace: str, name: str) -> IndexKeys:
    key = f"{namespace}:index:{name}"
    return IndexKeys(name, key, key)


def document_keys(namespace: str, category: str) -> DocumentKeys:
    key = f"{namespace}:documents:{check_category(category)}"
    return DocumentKeys(category, key, key)


def meta_key(namespace: str) -> str:
    return f"{namespace}:meta"


def wake_channel(namespace: str, process: str) -> str:
    return f"{namespace}:wake:{process}"
