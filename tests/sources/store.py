"""What only the store can be made to say: a last update of long ago, by a clock that is the server's; damage."""

from __future__ import annotations

from typing import Any

from redis_sessions import SessionCache
from redis_sessions._core.calls import Argument, Call
from redis_sessions._core.keys import session_keys


def command(cache: SessionCache, id: str, word: str, *arguments: Argument) -> Any:
    """What one command answers about a session's hash, on whatever engine."""
    keys = session_keys(cache.namespace, id)
    return cache._calls.run(Call((word, keys.session, *arguments), keys, lambda reply: reply, writes=False))


def make_old(cache: SessionCache, id: str, hours: float) -> None:
    """As if the last update had been so long ago."""
    *others, updated = command(cache, id, "HGET", "counts").decode().split()
    before = int(updated) - round(hours * 3600 * 1_000_000)
    command(cache, id, "HSET", "counts", " ".join([*others, str(before)]))
    cache._home.indexes.settle_all([id])
