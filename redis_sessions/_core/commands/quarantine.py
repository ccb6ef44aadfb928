"""Calls on the quarantine: the keys to which repairs move damaged data, and the index that names these keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..protocol.call import Call, invoke
from ..protocol.keys import IndexKeys, QuarantineKeys, quarantined_key_of
from ..protocol.scripts import script

QUARANTINE_MS = 30 * 24 * 3600 * 1000
"""The time for which damaged data is kept."""
PAGE = 1000
"""The number of keys of the quarantine that a call reads."""


class Quarantined(NamedTuple):
    """A key of the quarantine."""

    key: str
    kind: str
    """session, messages, ledger, values or key."""
    keys: QuarantineKeys

    @property
    def id(self) -> str:
        """The ID of the session, the agent or the index."""
        return self.keys.id


def list_keys(index: IndexKeys, first: int) -> Call[list[bytes]]:
    """Read keys of the quarantine by their places, up to 1,000, the oldest first. Some may have expired."""
    return Call(("ZRANGE", index.ids, first, first + PAGE - 1), index, list, writes=False)


def entries_of(namespace: str, keys: Sequence[bytes]) -> list[Quarantined]:
    """Return what keys of the quarantine hold."""
    found = [(key, quarantined_key_of(namespace, key)) for key in keys]
    return [Quarantined(key.decode(), *one) for key, one in found if one is not None]


def keep(keys: QuarantineKeys, values: Mapping[bytes, bytes]) -> Call[None]:
    """Keep values for 30 days, before they are removed where they were."""
    named = [part for pair in values.items() for part in pair]
    return invoke(script("quarantine/keep"), keys, lambda reply: None, keep_ms=QUARANTINE_MS, rest=named)


def move(key: str, keys: QuarantineKeys) -> list[Call[None]]:
    """Move a key of another type than the library gives it."""
    return [
        Call(("RENAME", key, keys.key), keys, lambda reply: None),
        Call(("PEXPIRE", keys.key, QUARANTINE_MS), keys, lambda reply: None),
    ]


def enter(index: IndexKeys, keys: Sequence[str], now_ms: int) -> list[Call[None]]:
    """Enter keys into the index of the quarantine. Entries older than 30 days leave it."""
    named = [part for key in keys for part in (now_ms, key)]
    return [
        Call(("ZADD", index.ids, *named), index, lambda reply: None),
        Call(("ZREMRANGEBYSCORE", index.ids, "-inf", now_ms - QUARANTINE_MS), index, lambda reply: None),
        Call(("PEXPIRE", index.ids, QUARANTINE_MS), index, lambda reply: None),
    ]


def read_user(entry: Quarantined) -> Call[str]:
    """Read the user of a session, or of its values, in the quarantine, or ''."""
    return Call(
        ("HGET", entry.key, "user"), entry.keys, lambda reply: reply.decode(errors="replace") if reply else "",
        writes=False,
    )  # fmt: skip


def is_channel(keys: QuarantineKeys) -> Call[bool]:
    """Ask whether the values that were moved are those of a channel, and of nothing else."""
    return Call(("HKEYS", keys.values), keys, lambda reply: reply == [b"channel"], writes=False)


def delete_values(keys: QuarantineKeys) -> Call[int]:
    """Delete the values of a session, a queue, an index or a channel in the quarantine."""
    return Call(("DEL", keys.values), keys, int)


def delete(keys: QuarantineKeys) -> Call[int]:
    """Delete all keys of a session, a queue or an index in the quarantine."""
    return Call(("DEL", *keys[2:]), keys, int)


def leave(index: IndexKeys, keys: QuarantineKeys) -> Call[int]:
    """Take the keys of a session, a queue or an index out of the index of the quarantine."""
    return Call(("ZREM", index.ids, *keys[2:]), index, int)
