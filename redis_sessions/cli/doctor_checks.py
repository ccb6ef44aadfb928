"""The checks of `doctor`. Pure: the fields of INFO in, findings out."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .._core.protocol.keys import SCHEMA_VERSION

MIN_VERSION = (6, 2)
MAX_LATENCY_MS = 5.0


class Finding(NamedTuple):
    """The outcome of one check. `advice` says what to do if the level is not ok."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    fact: str
    advice: str = ""


def parse_info(text: str) -> dict[str, str]:
    """Return the fields of an INFO reply."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


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
        Finding("ok", "replicas", f"{info.get('connected_slaves', '0')} connected"),
        _check_latency(latency_ms),
        _check_scripts(loaded),
        _check_schema(schema),
    ]


def _check_server(info: dict[str, str]) -> Finding:
    name = info.get("server_name", "redis")
    version = info.get("valkey_version") or info.get("redis_version", "0")
    fact = f"{name} {version}, {info.get('redis_mode', info.get('server_mode', 'standalone'))}, {info.get('role', 'master')}"
    major, minor = (int(part) for part in [*version.split("."), "0"][:2])
    if (major, minor) < MIN_VERSION:
        return Finding("fail", "server", fact, "use Redis 6.2 or newer, or Valkey")
    if info.get("role") == "slave":
        return Finding(
            "fail", "server", fact, "this server is a replica and refuses writes: give the URL of the master"
        )
    return Finding("ok", "server", fact)


def _check_memory(info: dict[str, str]) -> Finding:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    fact = f"{used / 2**20:.1f} MiB used" + (f" of {limit / 2**20:.0f} MiB (maxmemory)" if limit else ", no maxmemory")
    if limit and used > 0.9 * limit:
        advice = "a full server refuses writes: raise maxmemory, or lower ttl and max_messages of sessions"
        return Finding("warn", "memory", fact, advice)
    return Finding("ok", "memory", fact)


def _check_policy(info: dict[str, str]) -> Finding:
    policy = info.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return Finding("ok", "policy", policy)
    advice = "eviction can remove a part of a session: set maxmemory-policy noeviction"
    return Finding("warn", "policy", policy, advice)


def _check_persistence(info: dict[str, str]) -> Finding:
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
        return Finding("ok", "scripts", "unknown, because the user may not ask SCRIPT EXISTS")
    fact = f"{sum(loaded)} of {len(loaded)} in the server's cache. Clients load the others at first use"
    return Finding("ok", "scripts", fact)


def _check_schema(found: str) -> Finding:
    if found == SCHEMA_VERSION:
        return Finding("ok", "schema", found)
    advice = f"this package reads and writes schema {SCHEMA_VERSION}: use a version of the package that matches"
    return Finding("fail", "schema", found, advice)
