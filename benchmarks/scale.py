"""Measure every operation among a thousand sessions and among a million: `python -m benchmarks.scale --sessions 1000000`.

The sessions are real: each is created with a user and an agent and gets one message. Between two sizes nothing is removed.
Each operation takes turns with a PING, because machines are slower at some times. Ratios are those of the times in PINGs.
The last part lets 100,000 sessions expire while others are written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from redis_sessions import AsyncSessionCache, SessionCache
from tests.support.servers import Server, binaries, cluster

MESSAGE = {"role": "user", "content": "x" * 400}
EXPIRING = 100_000
EXPIRING_TTL_SECONDS = 20
ROUNDS = 300
BAR = 1.3
_TASKS = 100
_SESSIONS_OF_A_USER = 100


def main() -> int:
    """Fill a server or a cluster, and print the cost of each operation at each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1_000_000, help="the largest number of sessions")
    parser.add_argument(
        "--server", choices=list(binaries()), default=next(iter(binaries())), help="the server to measure"
    )
    parser.add_argument("--cluster", action="store_true", help="a cluster of three of them")
    parser.add_argument("--json", metavar="FILE", help="write the figures to this file, too")
    arguments = parser.parse_args()
    binary = binaries()[arguments.server]
    with ExitStack() as stack:
        if arguments.cluster:
            servers = stack.enter_context(cluster(binary))
            url = f"redis+cluster://127.0.0.1:{servers[0].port}"
        else:
            servers = [Server(binary)]
            stack.callback(servers[0].stop)
            url = servers[0].url
        figures = measure(url, servers, arguments.sessions)
    report(figures)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=1)
    return 0


def sizes(largest: int) -> Iterator[int]:
    """Yield 1,000 and each further power of ten up to the largest size."""
    size = 1000
    while size <= largest:
        yield size
        size *= 10


def measure(url: str, servers: list[Server], largest: int) -> dict[str, Any]:
    """Return the p50 of each operation and of a PING in µs by size, the bytes of a session, and the cost of an expiry."""
    times: dict[str, dict[int, tuple[float, float]]] = {}
    bytes_by_size: dict[int, float] = {}
    empty, filled = memory(servers), 0
    with SessionCache.from_url(url) as cache:
        for size in sizes(largest):
            asyncio.run(fill(url, filled, size))
            filled = size
            time.sleep(3)  # the upkeep of the indexes ends
            bytes_by_size[size] = (memory(servers) - empty) / size
            for name, call in operations(cache, size).items():
                times.setdefault(name, {})[size] = p50(call, servers[0].client.ping)
            print(f"{size:>10,} sessions: {bytes_by_size[size]:,.0f} bytes each", flush=True)
        expiry = measure_expiry(url, cache)
    return {"microseconds": times, "bytes": bytes_by_size, "expiry": expiry}


def memory(servers: list[Server]) -> int:
    """Return the memory that all servers use, in bytes."""
    return sum(int(server.client.info("memory")["used_memory"]) for server in servers)


async def fill(url: str, first: int, last: int, **options: Any) -> None:
    """Create the sessions s<first> to s<last - 1>, each with one message."""
    numbers = iter(range(first, last))

    async def create() -> None:
        for number in numbers:
            session = await cache.create(
                f"s{number}", user_id=f"u{number // _SESSIONS_OF_A_USER}", agent_id="concierge", **options
            )
            await session.append(MESSAGE)

    async with AsyncSessionCache.from_url(url) as cache:
        await asyncio.gather(*[create() for _ in range(_TASKS)])


def operations(cache: SessionCache, size: int) -> dict[str, Callable[[], Any]]:
    """Return the calls to measure. Each works on another session in each round."""
    picks = {name: iter(range(7, 10**12, 7919)) for name in ("append", "send", "history", "info", "state", "delete")}
    parent = cache.get_or_create("parent", max_children=None, max_active=None, max_descendants=5000)

    def pick(name: str) -> Any:
        return cache.session(f"s{next(picks[name]) % size}")

    def spawn_and_claim() -> None:
        parent.spawn("researcher", task="t").raise_if_refused()
        run = cache.claim("researcher", wait=5)
        assert run is not None
        run.complete("done")

    def create_and_delete() -> None:
        cache.delete(cache.create(user_id="u1", agent_id="concierge").id)

    return {
        "append": lambda: pick("append").append(MESSAGE),
        "send": lambda: pick("send").send("x"),
        "history": lambda: pick("history").history(10),
        "info": lambda: pick("info").info(),
        "state": lambda: pick("state").state.put("n", 1),
        "create and delete": create_and_delete,
        "page of a user": lambda: cache.list(50, user_id="u1"),
        "page of all": lambda: cache.list(50),
        "count of a user": lambda: cache.count(user_id="u1"),
        "spawn, claim and end": spawn_and_claim,
    }


def p50(call: Callable[[], Any], ping: Callable[[], Any]) -> tuple[float, float]:
    """Return the median times of a call and of a PING in µs. Both take turns."""
    times: list[tuple[int, int]] = []
    for turn in range(ROUNDS + 50):
        began = time.perf_counter_ns()
        call()
        between = time.perf_counter_ns()
        ping()
        if turn >= 50:
            times.append((between - began, time.perf_counter_ns() - between))
    ours, bare = zip(*times, strict=True)
    return statistics.median(ours) / 1000, statistics.median(bare) / 1000


def measure_expiry(url: str, cache: SessionCache) -> dict[str, float]:
    """Return the time of an append in µs before, and while, 100,000 sessions expire."""
    asyncio.run(fill(url, 10**9, 10**9 + EXPIRING, ttl=EXPIRING_TTL_SECONDS))
    session = cache.session("s1")

    def appends(seconds: float) -> list[float]:
        times, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.perf_counter_ns()
            session.append(MESSAGE)
            times.append((time.perf_counter_ns() - began) / 1000)
        return sorted(times)

    before = appends(3)
    during = appends(EXPIRING_TTL_SECONDS)
    found = {"p50 before": before[len(before) // 2], "p99 before": before[len(before) * 99 // 100]}
    return found | {"p50 during": during[len(during) // 2], "p99 during": during[len(during) * 99 // 100]}


def report(figures: dict[str, Any]) -> None:
    """Print the table."""
    found = sorted(figures["bytes"])
    print(f"\n{'p50 in µs':24}" + "".join(f"{size:>12,}" for size in found) + f"{'ratio':>9}")
    for name, times in figures["microseconds"].items():
        ratio = times[found[-1]][0] / times[found[-1]][1] / (times[found[0]][0] / times[found[0]][1])
        row = "".join(f"{times[size][0]:>12,.0f}" for size in found)
        print(f"{name:24}{row}{ratio:>9.2f}{'' if ratio <= BAR else '  missed'}")
    print(f"{'bytes of a session':24}" + "".join(f"{figures['bytes'][size]:>12,.0f}" for size in found))
    print(
        "append while 100,000 sessions expire: "
        + ", ".join(f"{name} {value:,.0f} µs" for name, value in figures["expiry"].items())
    )


if __name__ == "__main__":
    raise SystemExit(main())
