"""The checks of `doctor`. Pure: the fields of INFO and the replies to probes in, findings out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)

from .._core.protocol.keys import SCHEMA_VERSION
from .._core.protocol.transport_errors import TransportError, error_word
from ..errors import AccessDenied, SessionsError

MIN_VERSION = (6, 2)
MAX_LATENCY_MS = 5.0


_RIGHTS = "give the user the rights that the operations guide lists"
_MASTER = "give the URL of the master"


class _State(NamedTuple):
    """A state in which a server refuses writes, and the word and class of its refusal."""

    word: str
    kind: type[Exception]
    fact: str
    advice: str


_STATES = [
    _State(
        "OOM", OutOfMemoryError, "the memory is full (maxmemory)",
        "prune or delete sessions, or raise maxmemory. Reads and deletes still work",
    ),
    _State("READONLY", ReadOnlyError, "the server is a read-only replica", _MASTER),
    _State("MASTERDOWN", MasterDownError, "the server is a replica that lost its master", _MASTER),
    _State("LOADING", BusyLoadingError, "the server is loading its data", "wait until the server has loaded its data"),
    _State(
        "MISCONF", ResponseError, "the server cannot save its data to disk (MISCONF)",
        "look at the server's log and at the free space of its disk",
    ),
    _State(
        "NOREPLICAS", ResponseError, "too few replicas are connected (min-replicas-to-write)",
        "connect replicas, or lower min-replicas-to-write",
    ),
    _State("BUSY", ResponseError, "a script keeps the server busy", "wait, or end the script with SCRIPT KILL"),
    _State("CLUSTERDOWN", ClusterDownError, "the cluster is down", "check that a master serves each slot"),
    _State("NOPERM", NoPermissionError, "the user lacks a right", _RIGHTS),
]  # fmt: skip


class Finding(NamedTuple):
    """The outcome of one check. `advice` says what to do if the level is not ok."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    fact: str
    advice: str = ""


def diagnose(info: dict[str, str], latency_ms: float, loaded: list[int] | None, schema: str) -> list[Finding]:
    """Return the findings about one node.

    Args:
        info: the fields of INFO.
        latency_ms: the median time of a round trip, in ms.
        loaded: 1 or 0 for each script, as SCRIPT EXISTS answers. None if the user may not ask.
        schema: the schema version of the namespace.
    """
    return [
        _check_server(info),
        _check_memory(info),
        _check_policy(info),
        _check_persistence(info),
        _check_replicas(info),
        _check_latency(latency_ms),
        _check_scripts(loaded),
        _check_schema(schema),
    ]


def check_info(refusal: Exception) -> Finding:
    """Return the finding about a server that refuses INFO, or does not answer."""
    state = _state_of(refusal)
    if state is not None and state.word != "NOPERM":
        return Finding("fail", "server", state.fact, state.advice)
    if isinstance(refusal, TransportError):
        return Finding("fail", "server", str(refusal), "start the server, or let a replica take its place")
    return Finding("fail", "server", f"INFO is refused: {refusal}", "doctor needs the right to INFO")


def check_reads(problem: SessionsError | None) -> Finding:
    """Return the finding about the error of a read, if there was one."""
    if problem is None:
        return Finding("ok", "reads", "accepted")
    return Finding("fail", "reads", str(problem), "see the other findings")


def check_writes(reply: object) -> Finding:
    """Return the finding about the reply to a write that changes nothing."""
    if not isinstance(reply, Exception):
        return Finding("ok", "writes", "accepted")
    state = _state_of(reply)
    if state is not None:
        return Finding("fail", "writes", f"refused: {state.fact}", state.advice)
    if isinstance(reply, TransportError):
        return Finding("fail", "writes", f"no answer: {reply}", "see the other findings")
    return Finding("fail", "writes", f"refused: {reply}", "look at the server's log")


def _state_of(refusal: Exception) -> _State | None:
    word = error_word(str(refusal))
    for state in _STATES:
        if word == state.word or (state.kind is not ResponseError and isinstance(refusal, state.kind)):
            return state
    return None


def check_rights(problem: SessionsError | None) -> Finding:
    """Return the finding about the error of scripts, if there was one."""
    if problem is None:
        return Finding("ok", "rights", "scripts run")
    advice = _RIGHTS if isinstance(problem, AccessDenied) else "see the other findings"
    return Finding("fail", "rights", f"scripts do not run: {problem}", advice)


def check_waiting(refusal: str | None) -> Finding:
    """Return the finding about the subscription that wakes waiters."""
    if refusal is None:
        return Finding("ok", "waiting", "waiters are woken by notifications")
    return Finding("warn", "waiting", f"{refusal}, so waiters poll", "give the user SUBSCRIBE and the channels")


def version_of(info: Mapping[str, str]) -> tuple[int, int, int]:
    """Return the version of the server that INFO describes."""
    text = info.get("valkey_version") or info.get("redis_version", "0")
    found = [int(part) for part in re.findall(r"\d+", text)[:3]]
    major, minor, patch = [*found, 0, 0, 0][:3]
    return major, minor, patch


def _check_server(info: dict[str, str]) -> Finding:
    name = info.get("server_name", "redis")
    version = info.get("valkey_version") or info.get("redis_version", "0")
    fact = f"{name} {version}, {info.get('redis_mode', info.get('server_mode', 'standalone'))}, {_role(info)}"
    if version_of(info) < (*MIN_VERSION, 0):
        return Finding("fail", "server", fact, "use Redis 6.2 or newer, or Valkey")
    if info.get("loading") == "1":
        return Finding("fail", "server", f"{fact}, loading its data", "wait until the server has loaded its data")
    if info.get("role") == "slave":
        return Finding(
            "fail",
            "server",
            fact,
            "this server is a replica: it refuses writes, and its data may be old: give the URL of the master",
        )
    return Finding("ok", "server", fact)


def _check_memory(info: dict[str, str]) -> Finding:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    fact = f"{used / 2**20:.1f} MiB used" + (f" of {limit / 2**20:.0f} MiB (maxmemory)" if limit else ", no maxmemory")
    if limit and used >= limit:
        advice = "the server refuses writes: prune or delete sessions, or raise maxmemory. Reads and deletes still work"
        return Finding("fail", "memory", f"{fact}, full", advice)
    if limit and used > 0.9 * limit:
        advice = "a full server refuses writes: raise maxmemory, or lower ttl and max_messages of sessions"
        return Finding("warn", "memory", fact, advice)
    return Finding("ok", "memory", fact)


def _check_policy(info: dict[str, str]) -> Finding:
    policy = info.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return Finding("ok", "policy", policy)
    which = "keys with a TTL, and sessions have one" if policy.startswith("volatile") else "any key"
    advice = (
        f"a full server removes {which}: a session loses its messages, a queue its runs, an index its entries, and no"
        " client hears of it. Set maxmemory-policy noeviction, so that a full server refuses writes (StoreFull)"
    )
    return Finding("warn", "policy", policy, advice)


def _role(info: Mapping[str, str]) -> str:
    if info.get("role") != "slave":
        return "master"
    link = info.get("master_link_status", "unknown")
    return f"replica of {info.get('master_host', '?')}:{info.get('master_port', '?')} (link {link})"


def _check_replicas(info: Mapping[str, str]) -> Finding:
    return Finding("ok", "replicas", f"{info.get('connected_slaves', '0')} connected")


def _check_persistence(info: dict[str, str]) -> Finding:
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        advice = "the server may refuse writes (MISCONF): look at its log and at the free space of its disk"
        return Finding("fail", "persistence", "the last snapshot could not be saved", advice)
    if info.get("aof_enabled") != "1":
        advice = "a restart loses all writes since the last snapshot: set appendonly yes"
        return Finding("warn", "persistence", "no append-only file", advice)
    if info.get("aof_last_write_status", "ok") != "ok":
        advice = "look at the server's log and at the free space of its disk"
        return Finding("fail", "persistence", "append-only file, and the last write failed", advice)
    return Finding("ok", "persistence", "append-only file")


def _check_latency(latency_ms: float) -> Finding:
    fact = f"{latency_ms:.2f} ms for a round trip (median)"
    if latency_ms < MAX_LATENCY_MS:
        return Finding("ok", "latency", fact)
    advice = "most operations are one round trip: run workers closer to the server"
    return Finding("warn", "latency", fact, advice)


def _check_scripts(loaded: list[int] | None) -> Finding:
    if loaded is None:
        return Finding("ok", "scripts", "unknown, because SCRIPT EXISTS is refused")
    fact = f"{sum(loaded)} of {len(loaded)} in the server's cache. Clients load the others at first use"
    return Finding("ok", "scripts", fact)


def _check_schema(found: str) -> Finding:
    if found == SCHEMA_VERSION:
        return Finding("ok", "schema", found)
    advice = f"this package reads and writes schema {SCHEMA_VERSION}: use a version of the package that matches"
    return Finding("fail", "schema", found, advice)
