"""The health of a server, from its reply to INFO."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from ...models.fleet import ServerHealth
from ..protocol.transport_errors import TransportError

_NEARLY_FULL = 0.9


def server_health(address: str, reply: object, latency: timedelta) -> ServerHealth:
    """Return the health by a reply to INFO: its bytes, or an error."""
    if isinstance(reply, bytes):
        return _read_info(address, parse_info(reply.decode("utf-8", "replace")), latency)
    if isinstance(reply, TransportError):
        return ServerHealth(address=address, is_up=False, problem=f"it does not answer: {reply}")
    return ServerHealth(address=address, is_up=True, latency=latency)  # INFO is refused, or unknown to a fake


def parse_info(text: str) -> dict[str, str]:
    """Return the fields of an INFO reply."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _read_info(address: str, info: Mapping[str, str], latency: timedelta) -> ServerHealth:
    version = info.get("valkey_version") or info.get("redis_version")
    max_memory = _number(info, "maxmemory")
    return ServerHealth(
        address=address,
        is_up=True,
        problem=_problem(info),
        version=f"{info.get('server_name', 'redis')} {version}" if version else None,
        role={"slave": "replica"}.get(info.get("role", ""), info.get("role")),
        used_memory=_number(info, "used_memory"),
        max_memory=max_memory or None,
        clients=_number(info, "connected_clients"),
        commands_per_second=_number(info, "instantaneous_ops_per_sec"),
        latency=latency,
    )


def _problem(info: Mapping[str, str]) -> str | None:
    used, limit = _number(info, "used_memory") or 0, _number(info, "maxmemory") or 0
    if info.get("loading") == "1":
        return "it loads its data"
    if info.get("role") == "slave":
        return "it is a replica, which refuses writes"
    if limit and used >= limit:
        return f"its memory is full ({used / 2**20:,.0f} MiB): it refuses writes"
    if limit and used > _NEARLY_FULL * limit:
        return f"its memory is nearly full ({used / 2**20:,.0f} of {limit / 2**20:,.0f} MiB)"
    if info.get("rdb_last_bgsave_status", "ok") != "ok" or info.get("aof_last_write_status", "ok") != "ok":
        return "it cannot save its data to disk"
    return None


def _number(info: Mapping[str, str], name: str) -> int | None:
    text = info.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None
