"""Compare the library with bare commands on one server: `make bench`, or `python -m benchmarks.run --json FILE`.

Absolute times depend on the machine, so look at the ratios. Client and server share a core where the system can pin processes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis
import redis.asyncio

from benchmarks import append_cost, following, leases, listing, trees
from benchmarks.rows import Row
from redis_sessions import AsyncSessionCache, SessionCache
from redis_sessions._core.protocol.keys import session_keys
from tests.support.servers import Server, binaries

# The least that an append must do: read the settings, push, trim, count, and extend two TTLs.
MINIMAL = """
local v = redis.call('HMGET', KEYS[1], 'rev', 'max', 'ttl', 'status')
if not v[1] then return redis.error_reply('SESSION_NOT_FOUND') end
local n = redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('LTRIM', KEYS[2], -tonumber(v[2]), -1)
redis.call('HSET', KEYS[1], 'rev', v[1] + 1, 'updated', ARGV[2])
redis.call('PEXPIRE', KEYS[1], v[3])
redis.call('PEXPIRE', KEYS[2], v[3])
return n
"""
MINIMAL_CREATE = """
redis.call('HSET', KEYS[1], 'rev', 0, 'max', 100, 'ttl', ARGV[1], 'status', 'active')
redis.call('PEXPIRE', KEYS[1], ARGV[1])
"""
MESSAGE = {"role": "user", "content": "x" * (400 - len('{"role":"user","content":""}'))}
RAW = json.dumps(MESSAGE, separators=(",", ":"))
KEYS = ("{raw}:session", "{raw}:messages")


def p50(*calls: Callable[[], Any], rounds: int = 3000) -> list[float]:
    """Return the median time of each call in µs. The calls take turns, so that a slow moment affects all of them."""
    times: list[list[int]] = [[] for _ in calls]
    for turn in range(rounds + 200):
        for call, taken in zip(calls, times, strict=True):
            began = time.perf_counter_ns()
            call()
            if turn >= 200:
                taken.append(time.perf_counter_ns() - began)
    return [statistics.median(taken) / 1000 for taken in times]


async def async_p50(*calls: Callable[[], Awaitable[Any]], rounds: int = 3000) -> list[float]:
    """Do the same as `p50` for awaitable calls."""
    times: list[list[int]] = [[] for _ in calls]
    for turn in range(rounds + 200):
        for call, taken in zip(calls, times, strict=True):
            began = time.perf_counter_ns()
            await call()
            if turn >= 200:
                taken.append(time.perf_counter_ns() - began)
    return [statistics.median(taken) / 1000 for taken in times]


def prepare(client: redis.Redis) -> str:
    """Empty the server and load the minimal script. Return its SHA-1."""
    client.flushall()
    client.hset(KEYS[0], mapping={"rev": 0, "max": 100, "ttl": 3600000, "status": "active"})
    return str(client.script_load(MINIMAL))


def server_time(client: redis.Redis, call: Callable[[], Any], rounds: int = 4000) -> float:
    """Return the server's own time for a call in µs."""
    for _ in range(200):
        call()
    client.config_resetstat()
    for _ in range(rounds):
        call()
    return float(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])


def sync_rows(server: Server) -> list[Row]:
    """Measure the sync client."""
    client = redis.Redis(host="127.0.0.1", port=server.port)
    sha = prepare(client)
    create_sha = client.script_load(MINIMAL_CREATE)
    rows = []
    with SessionCache.from_url(server.url) as cache:
        session, ten, short, long = (cache.create(max_messages=cap) for cap in (100, 100, None, None))

        def raw() -> Any:
            return client.evalsha(sha, 2, *KEYS, RAW, "1763700000000")

        ours, theirs, batch = p50(lambda: session.append(MESSAGE), raw, lambda: ten.append(*[MESSAGE] * 10))
        rows.append(Row("append, sync p50", ours, theirs, "µs", 1.4))
        rows.append(Row("batch of 10 / one message", batch, ours, "µs", 1.8))
        rows.append(
            Row(
                "append, server time",
                server_time(client, lambda: session.append(MESSAGE)),
                server_time(client, raw),
                "µs",
                3.0,
            )
        )
        for _ in range(10):
            long.append(*[MESSAGE] * 1000)
        short.append(*[MESSAGE] * 10)
        many, few = p50(lambda: long.append(MESSAGE), lambda: short.append(MESSAGE), rounds=1000)
        rows.append(Row("append to 10,000 / to 10 and growing", many, few, "µs", 1.1))
        client.rpush("bare", *[RAW] * 10_000)
        ours, theirs = p50(
            lambda: long.history(50), lambda: [json.loads(text) for text in client.lrange("bare", -50, -1)], rounds=1500
        )
        rows.append(Row("read 50 of 10,000", ours, theirs, "µs", 1.5))
        ours, theirs = p50(
            cache.create, lambda: client.evalsha(create_sha, 1, f"raw:{time.perf_counter_ns()}", 3600000)
        )
        rows.append(Row("create, sync p50", ours, theirs, "µs"))
        rows += memory_rows(client, cache)
    client.close()
    return rows


def memory_rows(client: redis.Redis, cache: SessionCache) -> list[Row]:
    """Measure the bytes of a message in a long session, and of small sessions with all their keys."""

    def size(*keys: str) -> float:
        return float(sum(client.memory_usage(key, samples=0) or 0 for key in keys))

    client.rpush("bare1000", *[RAW] * 1000)
    thousand = cache.create(max_messages=None)
    for _ in range(1000):
        thousand.append(MESSAGE)
    keys = session_keys(cache.namespace, thousand.id)
    rows = [
        Row(
            "a message's memory (of 1,000)",
            size(keys.session, keys.messages) / 1000,
            size("bare1000") / 1000,
            "bytes",
            1.15,
        )
    ]
    short, empty = cache.create(), cache.create()
    short.append(MESSAGE)
    for name, session, max_bytes in (
        ("one-message session / 1.6 KB", short, 1600.0),
        ("empty session / 1.2 KB", empty, 1200.0),
    ):
        keys = session_keys(cache.namespace, session.id)
        rows.append(Row(name, size(keys.session, keys.messages), max_bytes, "bytes", 1.0))
    return rows


async def async_rows(server: Server) -> list[Row]:
    """Measure the asyncio client."""
    client = redis.asyncio.Redis(host="127.0.0.1", port=server.port)
    plain = redis.Redis(host="127.0.0.1", port=server.port)
    sha = prepare(plain)
    async with AsyncSessionCache.from_url(server.url) as cache:
        session = await cache.create()
        ours, theirs = await async_p50(
            lambda: session.append(MESSAGE), lambda: client.evalsha(sha, 2, *KEYS, RAW, "1763700000000")
        )
        rows = [Row("append, asyncio p50", ours, theirs, "µs", 1.4)]
        sessions = [await cache.create(max_messages=None) for _ in range(32)]
        pool = redis.asyncio.BlockingConnectionPool(host="127.0.0.1", port=server.port, max_connections=32)
        pooled = redis.asyncio.Redis(connection_pool=pool)

        async def rate(calls: Sequence[Callable[[], Awaitable[Any]]], each: int = 200) -> float:
            async def repeat(call: Callable[[], Awaitable[Any]]) -> None:
                for _ in range(each):
                    await call()

            began = time.perf_counter()
            await asyncio.gather(*[repeat(call) for call in calls])
            return len(calls) * each / (time.perf_counter() - began)

        def raw(number: int) -> Callable[[], Awaitable[Any]]:
            keys = (f"{{raw{number}}}:session", f"{{raw{number}}}:messages")
            plain.hset(keys[0], mapping={"rev": 0, "max": 100000, "ttl": 3600000, "status": "active"})
            return lambda: pooled.evalsha(sha, 2, *keys, RAW, "1763700000000")

        raws = [raw(number) for number in range(32)]
        appends = [(lambda session=session: session.append(MESSAGE)) for session in sessions]
        rates = [(await rate(appends), await rate(raws)) for _ in range(5)]
        ours, theirs = (statistics.median(column) for column in zip(*rates, strict=True))
        rows.append(Row("32 tasks, appends/s", ours, theirs, "/s", 2.0, at_least=True))
        await pooled.aclose()
        await pool.disconnect()
    await client.aclose()
    plain.close()
    return rows


def main() -> int:
    """Run all benchmarks and print their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the rows to this file, too")
    parser.add_argument(
        "--server",
        choices=list(binaries()),
        default="path" if "path" in binaries() else None,
        help="the server to measure",
    )
    arguments = parser.parse_args()
    name = arguments.server or next(iter(binaries()))
    server = Server(binaries()[name])
    try:
        version = server.client.info("server")
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {0})
            subprocess.run(
                ["taskset", "-a", "-p", "-c", "0", str(server.process.pid)], capture_output=True, check=False
            )
        rows = sync_rows(server) + asyncio.run(async_rows(server))
        rows += append_cost.server_time_rows(server) + append_cost.memory_rows(server)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, set(range(os.cpu_count() or 1)))  # the other benchmarks need several processes
        rows += leases.rows(server) + trees.rows(server, p50) + following.rows(server, p50) + listing.rows(server, p50)
    finally:
        server.stop()
    print(f"{version.get('server_name', 'redis')} {version['redis_version']}, client and server on one core\n")
    print(f"{'':40}{'ours':>12}{'raw':>12}{'ratio':>8}  bar")
    for row in rows:
        bar = "" if row.bar is None else f"{'≥' if row.at_least else '≤'} {row.bar}{'' if row.holds else '  missed'}"
        print(f"{row.name:40}{row.ours:>9,.0f} {row.unit:5}{row.raw:>6,.0f} {row.unit:5}{row.ratio:>5.2f}  {bar}")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump([{**row._asdict(), "ratio": row.ratio, "holds": row.holds} for row in rows], file, indent=1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
