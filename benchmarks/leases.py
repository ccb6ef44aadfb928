"""Leases beside what a queue of tokens does: how soon the next one is in, and how long a line takes."""

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
from tests.servers import Server

HANDS, WAITERS, TURNS, HOLD = 200, 32, 5, 0.002
MESSAGE = {"role": "user", "content": "x" * 372}


def _pass_lease(url: str, number: int, pipe: Any) -> None:
    """Takes the lease, waits until the other one is in line, gives it back; notes when it had it and let it go."""
    with SessionCache.from_url(url) as cache:
        session, notes = cache.session("handed"), []
        for _ in range(HANDS):
            with session.lease(30, 30) as lease:
                had = time.perf_counter()
                while time.perf_counter() < had + 0.5 and not getattr(lease.info(), "line", None):
                    time.sleep(0.001)
                time.sleep(HOLD)
                gone = time.perf_counter()
            notes.append((lease.fence, had, gone))
        pipe.send(notes)


def _pass_token(url: str, number: int, pipe: Any) -> None:
    """The same with a bare BLPOP and RPUSH."""
    client, notes = redis.Redis.from_url(url), []
    for turn in range(HANDS):
        client.blpop([f"token{number}"])
        had = time.perf_counter()
        time.sleep(HOLD + 0.001)
        gone = time.perf_counter()
        client.rpush(f"token{1 - number}", "x")
        notes.append((2 * turn + number, had, gone))
    pipe.send(notes)


def _handed(function: Callable[..., None], server: Server) -> list[float]:
    """µs from one process letting go to the other having it."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for number in range(2):
        mine, theirs = context.Pipe()
        context.Process(target=function, args=(server.url, number, theirs), daemon=True).start()
        pipes.append(mine)
    server.client.rpush("token0", "x")
    notes = sorted(note for pipe in pipes for note in pipe.recv())
    pairs = itertools.pairwise(notes)
    return sorted((after[1] - before[2]) * 1e6 for before, after in pairs if after[0] == before[0] + 1)


async def _line(url: str) -> tuple[list[float], list[float]]:
    """Seconds that each turn waited, and was held."""
    async with AsyncSessionCache.from_url(url) as cache:
        await cache.create("line")
        waits, holds = [], []

        async def take_turns() -> None:
            session = cache.session("line")
            for _ in range(TURNS):
                began = time.perf_counter()
                async with session.lease(30, 60):
                    had = time.perf_counter()
                    waits.append(had - began)
                    await asyncio.sleep(HOLD)
                    holds.append(time.perf_counter() - had)

        await asyncio.gather(*[take_turns() for _ in range(WAITERS)])
        return sorted(waits), holds


def rows(server: Server) -> list[Row]:
    """Hand-off, a line of 32, and what an append costs under a lease."""
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
    raw, ours = _handed(_pass_token, server), _handed(_pass_lease, server)
    waits, holds = asyncio.run(_line(server.url))
    ideal = (WAITERS - 1) * statistics.mean(holds) * 1000
    return [
        Row("append under a lease / without", statistics.median(leased), statistics.median(plain), "µs", 1.05),
        Row("hand-off p50 / BLPOP", statistics.median(ours), statistics.median(raw), "µs", 3.0),
        Row("hand-off p99 / 10 ms", ours[int(len(ours) * 0.99)], 10_000, "µs", 1.0),
        Row("32 in line, p99 wait / 31 holds", waits[int(len(waits) * 0.99)] * 1000, ideal, "ms", 1.3),
    ]
