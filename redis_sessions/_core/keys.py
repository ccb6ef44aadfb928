"""The only place that builds a key.

    <namespace>:{<tag>}:session:<id>    hash   what a session is, its counts, its state (lua/README.md lists the fields)
    <namespace>:{<tag>}:messages:<id>   list   its retained messages, oldest first
    <namespace>:meta                    string the schema version of this namespace
    <namespace>:index:leases            zset   sessions whose leases are held, by deadline: advisory
    <namespace>:wake:<process>          channel on which a process hears what it waits for

The type comes before the id, so no id can form another's key. The tag is `routing.tag(id)`: both keys of a session,
and of a whole tree, share a slot.
"""

from __future__ import annotations

from typing import NamedTuple

from .ids import check_id
from .routing import tag

SCHEMA = "1"


class SessionKeys(NamedTuple):
    id: str
    tag: str
    session: str
    messages: str


def session_keys(namespace: str, id: str) -> SessionKeys:
    """The keys of one session; refuses a bad id."""
    check_id(id)
    slot = tag(id)
    prefix = f"{namespace}:{{{slot}}}:"
    return SessionKeys(id, slot, f"{prefix}session:{id}", f"{prefix}messages:{id}")


class IndexKeys(NamedTuple):
    """An index has a slot of its own: it is routed by its whole key."""

    id: str
    tag: str
    ids: str


def index_keys(namespace: str, name: str) -> IndexKeys:
    key = f"{namespace}:index:{name}"
    return IndexKeys(name, key, key)


def meta_key(namespace: str) -> str:
    return f"{namespace}:meta"


def wake_channel(namespace: str, process: str) -> str:
    return f"{namespace}:wake:{process}"
