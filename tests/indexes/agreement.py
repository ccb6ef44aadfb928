"""Whether the indexes say of all sessions what they say themselves, by looking at every key there is."""

from __future__ import annotations

from typing import Any

from redis_sessions import SessionCache
from redis_sessions._core.indexes import Facts
from redis_sessions._core.keys import entry_keys, session_keys
from tests.conftest import Engines, fake_client


def clients(cache: SessionCache, engine: str, engines: Engines) -> list[Any]:
    return [node.client for node in engines.nodes[engine]] or [fake_client(cache)]


def entries(servers: list[Any], namespace: str) -> dict[str, set[str]]:
    """Which sessions each index has."""
    found: dict[str, set[str]] = {}
    for server in servers:
        for key in server.scan_iter(match=f"{namespace}:*"):
            parts = key.decode().split(":")
            if len(parts) > 5 and parts[-2] in ("created", "updated") and parts[-3] in ("active", "ended"):
                found[key.decode()] = {id.decode() for id in server.zrange(key, 0, -1)}
    return found


def expected(servers: list[Any], namespace: str) -> dict[str, set[str]]:
    """Which it should have."""
    wanted: dict[str, set[str]] = {}
    for server in servers:
        for key in server.scan_iter(match=f"{namespace}:*:session:*"):
            id = key.decode().split(":session:", 1)[1]
            found = server.hgetall(key)
            facts = Facts.of(*[found.get(name) for name in (b"kind", b"user", b"agent", b"label", b"tags")])
            is_active = found[b"status"] in (b"active", b"paused")
            for index in facts.indexes(namespace, session_keys(namespace, id).tag):
                for zset in index[2:4] if is_active else index[4:6]:
                    wanted.setdefault(zset, set()).add(id)
    return wanted


def disagreement(servers: list[Any], namespace: str) -> dict[str, tuple[set[str], set[str]]]:
    """Where they differ: what an index has, and what it should have."""
    has, should = entries(servers, namespace), expected(servers, namespace)
    return {
        zset: (has.get(zset, set()), should.get(zset, set()))
        for zset in has.keys() | should.keys()
        if has.get(zset, set()) != should.get(zset, set())
    }


def rewrite(
    server: Any, namespace: str, id: str, *, updated: int, entry: int, kind: str = "main", **values: str
) -> None:
    """Gives a session another time of its last update, and its entries in the indexes another still (microseconds)."""
    keys = session_keys(namespace, id)
    counts = server.hget(keys.session, "counts").rsplit(b" ", 1)[0]
    server.hset(keys.session, "counts", counts + f" {updated}".encode())
    for index, value in values.items():
        server.zadd(entry_keys(namespace, index, kind, value).active_updated, {id: entry})
