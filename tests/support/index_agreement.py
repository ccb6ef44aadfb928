"""Compare the indexes with the sessions, by looking at every key of a namespace."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis.exceptions import MovedError

from redis_sessions import SessionCache
from redis_sessions._core.commands.index_entries import RECORD_FIELDS, IndexRecord
from redis_sessions._core.protocol.keys import entry_keys, session_keys
from redis_sessions._core.protocol.records import Counters
from tests.conftest import Engines, fake_client


def clients(cache: SessionCache, engine: str, engines: Engines) -> list[Any]:
    """Return a plain client for each server of an engine."""
    return [node.client for node in engines.nodes[engine]] or [fake_client(cache)]


def entries(servers: list[Any], namespace: str) -> dict[str, set[str]]:
    """Return the session IDs that each index has, by the key of its zset."""
    found: dict[str, set[str]] = {}
    for server in servers:
        for key in server.scan_iter(match=f"{namespace}:*"):
            parts = key.decode().split(":")
            if len(parts) > 5 and parts[-2] in ("created", "updated") and parts[-3] in ("active", "ended"):
                found[key.decode()] = {id.decode() for id in server.zrange(key, 0, -1)}
    return found


def expected_entries(servers: list[Any], namespace: str) -> dict[str, set[str]]:
    """Return the session IDs that each index must have, by what the sessions say of themselves."""
    wanted: dict[str, set[str]] = {}
    for server in servers:
        for key in server.scan_iter(match=f"{namespace}:*:session:*"):
            id = key.decode().split(":session:", 1)[1]
            found = server.hgetall(key)
            record = IndexRecord.of({name: found.get(name.encode()) for name in RECORD_FIELDS})
            is_active = found[b"status"] in (b"active", b"paused")
            for index in record.entries(namespace, session_keys(namespace, id).tag):
                zsets = (index.active_created, index.active_updated)
                for zset in zsets if is_active else (index.ended_created, index.ended_updated):
                    wanted.setdefault(zset, set()).add(id)
    return wanted


def disagreement(servers: list[Any], namespace: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return the zsets that differ: the IDs that each has, and the IDs that it must have."""
    has, should = entries(servers, namespace), expected_entries(servers, namespace)
    return {
        zset: (has.get(zset, set()), should.get(zset, set()))
        for zset in has.keys() | should.keys()
        if has.get(zset, set()) != should.get(zset, set())
    }


def exported_tree() -> list[str]:
    """Return the export of a tree."""
    with SessionCache.from_url("fake://") as cache:
        cache.create("imported", user_id="bob", tags=["u"]).spawn("researcher", label="l", mode="session")
        return list(cache.session("imported").export())


def sessions_by_index(servers: list[Any], namespace: str) -> dict[str, set[str]]:
    """Return the sessions that each list must show, by its filter, by what the sessions say of themselves."""
    wanted: dict[str, set[str]] = {}
    for server in servers:
        for key in server.scan_iter(match=f"{namespace}:*:session:*"):
            id = key.decode().split(":session:", 1)[1]
            found = server.hgetall(key)
            record = IndexRecord.of({name: found.get(name.encode()) for name in RECORD_FIELDS})
            values = [("user", record.user), ("agent", record.agent), ("label", record.label)]
            values += [("tag", tag) for tag in record.tags]
            names = ["all", *["active"] * (found[b"status"] == b"active")]
            for name in names + [f"{index} {value}" for index, value in values if value is not None]:
                wanted.setdefault(name, set()).add(id)
    return wanted


def rewrite_times(
    servers: list[Any], namespace: str, id: str, *, updated: int, entry: int, kind: str = "main", **values: str
) -> None:
    """Set the time of a session's last update, and the time of its entries in the indexes of `values` (microseconds)."""
    session = session_keys(namespace, id).session
    holder = _holder(servers, session)
    counters = Counters.parse(holder.hget(session, "counters"))._replace(updated_us=updated)
    holder.hset(session, "counters", str(counters))
    for index, value in values.items():
        zset = entry_keys(namespace, index, kind, value).active_updated
        _holder(servers, zset).zadd(zset, {id: entry})


def _holder(servers: list[Any], key: str) -> Any:
    """Return the client of the server that holds a key."""
    for server in servers:
        with suppress(MovedError):
            if server.exists(key):
                return server
    raise AssertionError(f"no server has {key}")
