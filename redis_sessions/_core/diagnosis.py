"""What `doctor` looks at, and what it makes of it. Pure: facts in, findings out."""

from __future__ import annotations

from typing import Literal, NamedTuple

from .keys import SCHEMA

OLDEST = (6, 2)
SLOW_MS = 5.0


class Finding(NamedTuple):
    """One thing that was looked at. `advice` says what to do when it is not ok."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    fact: str
    advice: str = ""


def parse_info(text: str) -> dict[str, str]:
    """The fields of an INFO reply."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def diagnose(info: dict[str, str], latency_ms: float, loaded: list[int], schema: str) -> list[Finding]:
    """Findings about one node."""
    return [
        _server(info),
        _memory(info),
        _policy(info),
        _persistence(info),
        _replication(info),
        Finding(
            "ok" if latency_ms < SLOW_MS else "warn",
            "latency",
            f"{latency_ms:.2f} ms for a round trip (median)",
            ""
            if latency_ms < SLOW_MS
            else "every operation is one round trip: move workers and server closer together",
        ),
        Finding(
            "ok", "scripts", f"{sum(loaded)} of {len(loaded)} in the server's cache; the others load when first used"
        ),
        _schema(schema),
    ]


def _server(info: dict[str, str]) -> Finding:
    name = info.get("server_name", "redis")
    version = info.get("valkey_version") or info.get("redis_version", "0")
    fact = f"{name} {version}, {info.get('redis_mode', info.get('server_mode', 'standalone'))}, {info.get('role', 'master')}"
    major, minor = (int(part) for part in [*version.split("."), "0"][:2])
    if (major, minor) < OLDEST:
        return Finding("fail", "server", fact, "use Redis 6.2 or newer, or Valkey")
    if info.get("role") == "slave":
        return Finding("fail", "server", fact, "this is a replica and takes no writes: give the URL of the master")
    return Finding("ok", "server", fact)


def _memory(info: dict[str, str]) -> Finding:
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    fact = f"{used / 2**20:.1f} MiB used" + (f" of {most / 2**20:.0f} MiB (maxmemory)" if most else ", no maxmemory")
    if most and used > 0.9 * most:
        return Finding(
            "warn", "memory", fact, "writes are refused when it is full: raise maxmemory or lower TTLs and caps"
        )
    return Finding("ok", "memory", fact)


def _policy(info: dict[str, str]) -> Finding:
    policy = info.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return Finding("ok", "policy", policy)
    advice = "eviction can remove a part of a session: set maxmemory-policy noeviction"
    return Finding("warn", "policy", policy, advice)


def _persistence(info: dict[str, str]) -> Finding:
    if info.get("aof_enabled") == "1":
        broken = info.get("aof_last_write_status", "ok") != "ok"
        fact = "append-only file"
        return Finding("fail", "persistence", f"{fact}, last write failed", "look at the server's log and its disk") if broken \
            else Finding("ok", "persistence", fact)  # fmt: skip
    return Finding(
        "warn",
        "persistence",
        "no append-only file",
        "a restart loses what came after the last snapshot: set appendonly yes",
    )


def _replication(info: dict[str, str]) -> Finding:
    return Finding("ok", "replicas", f"{info.get('connected_slaves', '0')} connected")


def _schema(found: str) -> Finding:
    if found == SCHEMA:
        return Finding("ok", "schema", found)
    advice = f"this version reads and writes schema {SCHEMA}: use a matching version of the package"
    return Finding("fail", "schema", found, advice)
