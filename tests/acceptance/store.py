"""Changes that only the store can make: an old last update, and damaged fields."""

from __future__ import annotations

from typing import Any

from redis_sessions import SessionCache
from redis_sessions._core.protocol.call import Argument, Call
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._core.protocol.records import Counters


def command(cache: SessionCache, id: str, name: str, *arguments: Argument) -> Any:
    """Return the reply to one command on the hash of a session, on any engine."""
    keys = session_keys(cache.namespace, id)
    return cache._executor.run(Call((name, keys.session, *arguments), keys, lambda reply: reply, writes=False))


def make_old(cache: SessionCache, id: str, hours: float) -> None:
    """Set the last update of a session to a number of hours ago."""
    counters = Counters.parse(command(cache, id, "HGET", "counters"))
    before = counters._replace(updated_us=counters.updated_us - round(hours * 3600 * 1_000_000))
    command(cache, id, "HSET", "counters", str(before))
    cache._context.indexer.repair_all([id])
