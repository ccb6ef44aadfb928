"""Leases compared with a queue of tokens: the hand-off to the next waiter, and the waits of many waiters."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.rows import Row
from redis_sessions import AsyncSessionCache, SessionCache
from tests.support.servers import Server

HANDS, WAITERS, TURNS, HOLD = 200, 32, 5, 0.002
MESSAGE = {"role": "user", "content": "x" * 372}


def _pass_lease(url: str, number: int, pipe: Any) -> None:
    """Acquire the lease, hold it until the other process waits, and release it. Send fence, start and end of each hold."""
    with SessionCache.from_url(url) as cache:
        session, holds = cache.session("handed"), []
        for _ in range(HANDS):
            with session.lease(30, 30) as lease:
                began = time.perf_counter()
                while time.perf_counter() < began + 0.5 and not getattr(lease.info(), "waiters", None):
                    time.sleep(0.001)
                time.sleep(HOLD)
                ended = time.perf_counter()
            holds.append((lease.fence, began, ended))
        pipe.send(holds)


def _pass_token(url: str, number: int, pipe: Any) -> None:
    """Do the same with BLPOP and RPUSH."""
    client, holds = redis.Redis.from_url(url), []
    for turn in range(HANDS):
        client.blpop([f"token{number}"])
        began = time.perf_counter()
        time.sleep(HOLD + 0.001)
        ended = time.perf_counter()
        client.rpush(f"token{1 - number}", "x")
        holds.append((2 * turn + number, began, ended))
    pipe.send(holds)


def _hand_off_times(function: Callable[..., None], server: Server) -> list[float]:
    """Return the µs from the end of each hold to the start of the other process's next hold, ascending."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for number in range(2):
        mine, theirs = context.Pipe()
        context.Process(target=function, args=(server.url, number, theirs), daemon=True).start()
        pipes.append(mine)
    server.client.rpush("token0", "x")
    holds = sorted(hold for pipe in pipes for hold in pipe.recv())
    pairs = itertools.pairwise(holds)
    return sorted((after[1] - before[2]) * 1e6 for before, after in pairs if after[0] == before[0] + 1)


async def _take_turns(url: str) -> tuple[list[float], list[float]]:
    """Let many tasks take turns. Return the seconds that each turn waited, ascending, and the seconds of each hold."""
    async with AsyncSessionCache.from_url(url) as cache:
        await cache.create("turns")
        waits, holds = [], []

        async def take_turns() -> None:
            session = cache.session("turns")
            for _ in range(TURNS):
                began = time.perf_counter()
                async with session.lease(30, 60):
                    acquired = time.perf_counter()
                    waits.append(acquired - began)
                    await asyncio.sleep(HOLD)
                    holds.append(time.perf_counter() - acquired)

        await asyncio.gather(*[take_turns() for _ in range(WAITERS)])
        return sorted(waits), holds


def rows(server: Server) -> list[Row]:
    """Measure the hand-off, the waits of 32 waiters, and an append under a lease."""
    with SessionCache.from_url(server.url) as cache:
        cache.create("handed")
        session, other = cache.create(), cache.create()
        plain: list[float] = []
        leased: list[float] = []
        with session.lease():
            for _ in range(3000):
                for handle, taken in ((other, plain), (session, leased)):
                    began = time.perf_counter_ns()
                    handle.append(MESSAGE)
                    taken.append((time.perf_counter_ns() - began) / 1000)
    raw, ours = _hand_off_times(_pass_token, server), _hand_off_times(_pass_lease, server)
    waits, holds = asyncio.run(_take_turns(server.url))
    ideal = (WAITERS - 1) * statistics.mean(holds) * 1000
    return [
        Row("append under a lease / without", statistics.median(leased), statistics.median(plain), "µs", 1.05),
        Row("hand-off p50 / BLPOP", statistics.median(ours), statistics.median(raw), "µs", 3.0),
        Row("hand-off p99 / 10 ms", ours[int(len(ours) * 0.99)], 10_000, "µs", 1.0),
        Row("32 waiters, p99 wait / 31 holds", waits[int(len(waits) * 0.99)] * 1000, ideal, "ms", 1.3),
    ]
