"""All keys of a namespace. No other module than this one and `shared_keys.py` builds a key.

    <namespace>:meta                      string   schema version of the namespace
    <namespace>:{<namespace>:meta}:probe  any      the key on which a first write tries what the user may do
    <namespace>:{<tag>}:session:<id>      hash     a session: its records, description, state (docs: storage reference)
    <namespace>:{<tag>}:messages:<id>     list     its retained messages, oldest first
    <namespace>:{<tag>}:ledger:<id>       hash     what its loops recorded: events and turns in pages, steps, configurations
    <namespace>:{<tag>}:parts:<id>        hash     its parts: records, messages, IDs of messages
    <namespace>:{<tag>}:part_names:<id>   zset     the names of its parts
    <namespace>:{<tag>}:deltas:<id>       list     what was published of the answer that is being made, oldest first
    <namespace>:{<tag>}:popped:<id>       list     messages that were popped lately, for a repeated call
    <namespace>:{<tag>}:channel:<id>      string   ID of the session that a channel talks in
    <namespace>:{<tag>}:queue:<agent>     zset     runs and turns that arrive or are reserved, by the time of availability
    <namespace>:{<tag>}:check_at:<agent>  zset     runs and turns of the agent, by the time at which they must be checked
    <namespace>:{<tag>}:workers:<agent>   string   workers that wait for work
    <namespace>:{<tag>}:ready:<agent>     zset     runs and turns that wait for a worker, by rank
    <namespace>:{<tag>}:ranks:<agent>     zset     the last rank of each fairness key, and of each priority
    <namespace>:{<tag>}:running:<agent>   zset     with a bound, what runs, by the end of its lease
    <namespace>:{<tag>}:bound:<agent>     string   how much may run at once
    <namespace>:{<tag>}:import-session:<nonce>:<id>, import-messages:<nonce>:<id>, import-ledger:<nonce>:<id>
                                          hash     a session that is being imported
    <namespace>:{<tag>}:import-parts:<nonce>:<id>, import-part_names:<nonce>:<id>
                                          hash     its parts
    <namespace>:{<tag>}:import:<nonce>    string   the outcome of that import
    <namespace>:{<tag>}:quarantine-session:<ms>:<id>, quarantine-messages:<ms>:<id>, quarantine-ledger:<ms>:<id>
                                          hash     a damaged session, as it was stored
    <namespace>:{<tag>}:quarantine-parts:<ms>:<id>, quarantine-part_names:<ms>:<id>
                                          hash     its parts
    <namespace>:{<tag>}:quarantine-values:<ms>:<id>
                                          hash     damaged values of a session, or members of a queue, by their places
    <namespace>:{<tag>}:quarantine-key:<ms>:<id>
                                          any      a zset of a queue or an index, or a channel, of another type
    <namespace>:{<tag>}:<index>:<kind>:<active or ended>:<created or updated>:<value>
                                          zset     sessions by time, the index is all, user, agent, label or tag
    <namespace>:{<tag>}:shared:<scope>    hash     values of a shared scope by name (JSON)
    <namespace>:{<tag>}:shared-log:<scope>
                                          hash     its totals, and the results of its last operations
    <namespace>:{shared}:names            zset     shared scopes, by name
    <namespace>:{shared}:registered       zset     shared scopes by the time at which a process registered them
    <namespace>:{<tag>}:checkpoints:<thread>
                                          hash     checkpoints, blobs and pending writes of a thread, with counts of their names
    <namespace>:{<tag>}:checkpoint-names:<thread>
                                          zset     names of the checkpoints and pending writes, in order
    <namespace>:{quarantine}:keys         zset     keys of the quarantine by the time at which they were made
    <namespace>:{workers}:heard_at        zset     workers by the time at which they were heard last
    <namespace>:{workers}:records         hash     the record of each of them (JSON)
    <namespace>:index:leases              zset     sessions whose leases are held, by deadline (advisory)
    <namespace>:index:agents              zset     agents that have runs
    <namespace>:index:documents           zset     categories that hold documents
    <namespace>:index:threads             zset     threads that have checkpoints
    <namespace>:index:pruned              string   pruning ran within its cooldown
    <namespace>:documents:<category>      hash     documents by name and extension, with their times, no TTL
    <namespace>:wake:<process>            channel  on which a process hears notifications

The type comes before the ID, so no ID can form the key of another session. `tag` is `hash_tag(id)`: all keys of a session, and
of a whole tree, share a slot. An agent's keys have the tag of the agent's ID. Each category of documents has its own slot.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias
from zlib import crc32

from .chain import Chain
from .hash_tag import hash_tag
from .ids import check_category, check_id
from .shared_keys import ScopeIndexKeys, SharedKeys

SCHEMA_VERSION = "7"
SHARDS = 16


Origin: TypeAlias = tuple[str, str]
"""The namespace and the ID of a session that another one was copied from."""


class SessionKeys:
    """The keys of one session, and of its ancestors as far as they are known: a child's writes declare those, too."""

    __slots__ = (
        "_prefix",
        "ancestor_keys",
        "ancestors",
        "chain",
        "deltas",
        "id",
        "ledger",
        "messages",
        "origins",
        "part_names",
        "parts",
        "popped",
        "session",
        "tag",
    )

    def __init__(self, namespace: str, id: str) -> None:
        self.id = check_id(id)
        self.tag = hash_tag(id)
        self._prefix = f"{namespace}:{{{self.tag}}}:"
        self.session = f"{self._prefix}session:{id}"
        self.messages = f"{self._prefix}messages:{id}"
        self.ledger = f"{self._prefix}ledger:{id}"
        self.parts = f"{self._prefix}parts:{id}"
        self.part_names = f"{self._prefix}part_names:{id}"
        self.deltas = f"{self._prefix}deltas:{id}"
        self.popped = f"{self._prefix}popped:{id}"
        self.chain: Chain | None = None
        """The codecs of the cache. Handles and the executor set it."""
        self.origins: tuple[Origin, ...] | None = None
        """The sessions that this one was copied from by forks and imports, once they were read."""
        self.set_ancestors(())

    def set_ancestors(self, ancestors: Sequence[str]) -> None:
        """Name the ancestors, the parent first. They never change."""
        self.ancestors = tuple(ancestors)
        self.ancestor_keys = tuple(
            f"{self._prefix}{kind}:{id}" for id in self.ancestors for kind in ("session", "messages")
        )


class AgentKeys(NamedTuple):
    """The keys that the workers of an agent share."""

    id: str
    tag: str
    queue: str
    check_at: str
    workers: str
    ready: str
    ranks: str
    running: str
    bound: str


class WorkerKeys(NamedTuple):
    """The keys of the registry of workers. They have a slot of their own."""

    id: str
    tag: str
    heard_at: str
    records: str


class ChannelKeys(NamedTuple):
    """The key that names the session of a channel. That session has the channel's tag."""

    id: str
    tag: str
    channel: str


class StagedKeys(NamedTuple):
    """The keys that hold one session of an import until all sessions are there."""

    id: str
    tag: str
    fields: str
    elements: str
    ledger: str
    parts: str
    part_names: str


class ImportKeys(NamedTuple):
    """The key that holds the outcome of an import, in the slot of its sessions."""

    id: str
    tag: str
    record: str


class IndexKeys(NamedTuple):
    """The key of an index with a slot of its own: the key is its own tag."""

    id: str
    tag: str
    ids: str


class NamespaceKeys(NamedTuple):
    """The keys of the claim of a namespace, in the slot of the schema version."""

    id: str
    tag: str
    meta: str
    probe: str


class QuarantineKeys(NamedTuple):
    """The keys to which one repair moves damaged data of one session or queue, in its slot."""

    id: str
    tag: str
    session: str
    messages: str
    ledger: str
    parts: str
    part_names: str
    values: str
    key: str


class DocumentKeys(NamedTuple):
    """The key of a category of documents. Like an index it has a slot of its own."""

    id: str
    tag: str
    documents: str


class CheckpointKeys(NamedTuple):
    """The keys of a thread's checkpoints."""

    id: str
    tag: str
    values: str
    names: str


class EntryKeys(NamedTuple):
    """The zsets of one index value, for sessions of one kind."""

    id: str
    tag: str
    active_created: str
    active_updated: str
    ended_created: str
    ended_updated: str


AnyKeys: TypeAlias = (
    SessionKeys
    | AgentKeys
    | WorkerKeys
    | ChannelKeys
    | StagedKeys
    | ImportKeys
    | QuarantineKeys
    | IndexKeys
    | NamespaceKeys
    | EntryKeys
    | DocumentKeys
    | SharedKeys
    | ScopeIndexKeys
    | CheckpointKeys
)


def session_keys(namespace: str, id: str) -> SessionKeys:
    """Return the keys of a session. Raises InvalidInput for a bad ID."""
    return SessionKeys(namespace, id)


@lru_cache(maxsize=1024)
def agent_keys(namespace: str, agent: str) -> AgentKeys:
    """Return the keys of an agent's queue."""
    tag = hash_tag(agent)
    return AgentKeys(agent, tag, *[f"{namespace}:{{{tag}}}:{kind}:{agent}" for kind in AgentKeys._fields[2:]])


def worker_keys(namespace: str) -> WorkerKeys:
    """Return the keys of the registry of workers."""
    return WorkerKeys("workers", "workers", *[f"{namespace}:{{workers}}:{kind}" for kind in ("heard_at", "records")])


def channel_keys(namespace: str, channel: str) -> ChannelKeys:
    """Return the key of a channel. Raises InvalidInput for a bad ID."""
    tag = hash_tag(check_id(channel, "channel"))
    return ChannelKeys(channel, tag, f"{namespace}:{{{tag}}}:channel:{channel}")


def staged_keys(namespace: str, id: str, nonce: str) -> StagedKeys:
    """Return the keys where the import under a nonce stages a session."""
    tag = hash_tag(id)
    kinds = ("import-session", "import-messages", "import-ledger", "import-parts", "import-part_names")
    return StagedKeys(id, tag, *[f"{namespace}:{{{tag}}}:{kind}:{nonce}:{id}" for kind in kinds])


def import_keys(namespace: str, root: str, nonce: str) -> ImportKeys:
    """Return the key of the outcome of the import under a nonce."""
    tag = hash_tag(root)
    return ImportKeys(root, tag, f"{namespace}:{{{tag}}}:import:{nonce}")


def quarantined_key_of(namespace: str, key: bytes) -> tuple[str, QuarantineKeys] | None:
    """Return the kind of a key of the quarantine, such as session, with all keys of its repair, or None."""
    prefix, _, rest = key.decode(errors="replace").partition("}:quarantine-")
    kind, at_ms, id = (*rest.split(":", 2), "", "")[:3]
    found = _quarantine_keys(namespace, prefix.removeprefix(f"{namespace}:{{"), id, at_ms)
    return (kind, found) if kind in found._fields[2:] and getattr(found, kind).encode() == key else None


def quarantine_keys(
    namespace: str, keys: SessionKeys | AgentKeys | ChannelKeys | EntryKeys, at_ms: int
) -> QuarantineKeys:
    """Return the keys to which the repair of a time moves damaged data of a session, a queue, a channel or an index."""
    return _quarantine_keys(namespace, keys.tag, keys.id.strip(), str(at_ms))


def _quarantine_keys(namespace: str, tag: str, id: str, at_ms: str) -> QuarantineKeys:
    prefix = f"{namespace}:{{{tag}}}:quarantine"
    return QuarantineKeys(id, tag, *[f"{prefix}-{kind}:{at_ms}:{id}" for kind in QuarantineKeys._fields[2:]])


def quarantine_index(namespace: str) -> IndexKeys:
    """Return the key of the index of the quarantine."""
    return IndexKeys("quarantine", "quarantine", f"{namespace}:{{quarantine}}:keys")


def shard_of(tag: str) -> int:
    """Return the shard of the sessions with a hash tag."""
    return int(tag, 16) % SHARDS


@lru_cache(maxsize=1024)
def entry_keys(namespace: str, index: str, kind: str, value: str, tag: str = "") -> EntryKeys:
    """Return the zsets of an index value. Without a tag they have a slot of their own."""
    tag = tag or f"{crc32(f'{index}:{value}'.encode()):08x}"
    prefix = f"{namespace}:{{{tag}}}:{index}:{kind}"
    zsets = [f"{prefix}:{group}:{order}:{value}" for group in ("active", "ended") for order in ("created", "updated")]
    return EntryKeys(f"{index} {value}", tag, *zsets)


def index_keys(namespace: str, name: str) -> IndexKeys:
    """Return the key of an index of the namespace: leases, agents, documents, threads or pruned."""
    key = f"{namespace}:index:{name}"
    return IndexKeys(name, key, key)


def document_keys(namespace: str, category: str) -> DocumentKeys:
    """Return the key of a category of documents. Raises InvalidInput for a bad category."""
    key = f"{namespace}:documents:{check_category(category)}"
    return DocumentKeys(category, key, key)


def checkpoint_keys(namespace: str, thread: str) -> CheckpointKeys:
    """Return the keys of a thread's checkpoints. Raises InvalidInput for a bad thread."""
    tag = hash_tag(check_id(thread, "thread"))
    prefix = f"{namespace}:{{{tag}}}"
    return CheckpointKeys(thread, tag, f"{prefix}:checkpoints:{thread}", f"{prefix}:checkpoint-names:{thread}")


def meta_key(namespace: str) -> str:
    """Return the key of the schema version."""
    return f"{namespace}:meta"


def namespace_keys(namespace: str) -> NamespaceKeys:
    """Return the keys of the claim of a namespace."""
    meta = meta_key(namespace)
    return NamespaceKeys(namespace, meta, meta, f"{namespace}:{{{meta}}}:probe")


def wake_channel(namespace: str, process: str) -> str:
    """Return the channel on which a process hears notifications."""
    return f"{namespace}:wake:{process}"


def key_patterns(namespace: str) -> list[str]:
    """Return the patterns that match each key of a namespace, and no key of another one, for an ACL.

    The names of indexes are exact, because `acme:index` can be a namespace, too.
    """
    indexes = [f"{namespace}:index:{name}" for name in ("leases", "agents", "documents", "threads", "pruned")]
    return [f"{namespace}:{{*", f"{namespace}:documents:*", *indexes, meta_key(namespace)]


def channel_patterns(namespace: str) -> list[str]:
    """Return the patterns of the channels of a namespace, for an ACL. Those of a longer namespace are longer."""
    return [wake_channel(namespace, "?" * 12)]
