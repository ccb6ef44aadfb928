"""Check what is stored at the end of a round: lists, queues, leases and lifetimes."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from redis_sessions import SessionCache
from redis_sessions.cli.reindex import reindex
from tests.conftest import TTL_DIFFERENCE_MS, check_lifetimes
from tests.soak.engines import Clustered, Service
from tests.soak.plan import AGENTS, MAX_CLOCK_OFFSET, USERS

_RESERVED_SECONDS = 60.0 + 2 * MAX_CLOCK_OFFSET
"""The time for which a queue has a hint of work that was never made: twice the retry_for of the caller."""
_MOVED_DIFFERENCE_MS = round(4 * MAX_CLOCK_OFFSET * 1000)
_MAX_UNLISTED = 20
_LIST_SECONDS = 20.0
"""Lists may show what changed a moment later. A process that was killed leaves the repair of its entries to others."""


def check_lists(cache: SessionCache, users: dict[str, str | None], *, is_cluster: bool) -> tuple[list[str], int]:
    """Check that lists have exactly the sessions that exist, and return how many were missing until a reindex.

    In a cluster an index can be silent while a session is created. When the processes that would repair that die, the session is
    missing until an operator reindexes.

    Args:
        users: the user of each session.
    """
    found, missing = _compare_lists(cache, users)
    due = time.monotonic() + _LIST_SECONDS
    while found and time.monotonic() < due:
        time.sleep(0.5)
        found, missing = _compare_lists(cache, users)
    if is_cluster and 0 < missing <= _MAX_UNLISTED:
        reindex(cache, lambda checked: None)
        return _compare_lists(cache, users)[0], missing
    return found, 0


def _compare_lists(cache: SessionCache, users: dict[str, str | None]) -> tuple[list[str], int]:
    """Return the differences, and how many sessions the list of all sessions misses."""
    listed = Counter(one.id for one in cache.iter_sessions())
    missing = len(users.keys() - listed.keys())
    found = _differences("list()", listed, set(users))
    for number in range(USERS):
        user = f"user-{number}"
        listed = Counter(one.id for one in cache.iter_sessions(user=user))
        found += _differences(f"list(user={user})", listed, {id for id, its in users.items() if its == user})
    return found, missing


def _differences(name: str, listed: Counter[str], wanted: set[str]) -> list[str]:
    doubled = [id for id, count in listed.items() if count > 1]
    missing, dead = wanted - listed.keys(), listed.keys() - wanted
    if not (doubled or missing or dead):
        return []
    return [f"{name}: missing {sorted(missing)[:5]}, dead {sorted(dead)[:5]}, twice {doubled[:5]}"]


def check_queues(cache: SessionCache, service: Service, namespace: str) -> list[str]:
    """Check that no work and no lease is left. A queue may still have hints that were reserved for a sender that died."""
    cache.recover()
    found = [f"agent {agent} still has work" for agent in AGENTS if cache.claim(agent) is not None]
    found += [f"{lease.session_id} is still leased by {lease.owner}" for lease in cache.leases(limit=100).items]
    for node in service.masters():
        for key in node.client.scan_iter(match=f"{namespace}:*", count=1000):
            kind = key.decode().partition("}:")[2].partition(":")[0]
            if kind not in ("queue", "ready", "running"):
                continue
            listed: Any = node.client.zrange(key, 0, -1, withscores=True)
            for work, score in listed:
                ahead = score / 1000 - time.time()
                if kind != "queue" or not 0 < ahead < _RESERVED_SECONDS:
                    found.append(f"{key.decode()} still has {work.decode()} for {ahead:.1f} s from now")
    return found


def check_all_lifetimes(service: Service, namespace: str) -> list[str]:
    """Check that all keys expire as they must.

    MIGRATE gives each key the TTL that is left. So keys of one session that move in two steps expire apart by as much as clocks
    jump between the steps.
    """
    found, difference_ms = [], _MOVED_DIFFERENCE_MS if isinstance(service, Clustered) else TTL_DIFFERENCE_MS
    for node in service.masters():
        try:
            check_lifetimes(node.client, namespace, difference_ms)
        except AssertionError as problem:
            found.append(str(problem).partition("\n")[0])
    return found


def users_of(sessions: dict[str, dict[str, Any]]) -> dict[str, str | None]:
    """Return the user of each session that a plan names."""
    return {id: options.get("user_id") for id, options in sessions.items()}
