"""Spawns beside creations, ends beside status changes, and a waiting worker beside one that waits in BLPOP."""

from __future__ import annotations

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.rows import Row
from redis_sessions import SessionCache
from tests.servers import Server

HANDS = 300


def _claim(url: str, pipe: Any) -> None:
    """Waits for runs; notes when it had each."""
    with SessionCache.from_url(url) as cache:
        for _ in range(HANDS):
            run = cache.claim("handed", wait=30)
            had = time.perf_counter()
            assert run is not None
            pipe.send((int(run.task or 0), had))
            run.complete()


def _pop(url: str, pipe: Any) -> None:
    """Waits in BLPOP."""
    client = redis.Redis.from_url(url)
    for _ in range(HANDS):
        _, number = client.blpop(["handed"])  # type: ignore[misc]
        pipe.send((int(number), time.perf_counter()))


def _handed(server: Server, target: Callable[..., None], give: Callable[[int], Any]) -> float:
    """µs from before the giving to the other process having it, the median."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    context.Process(target=target, args=(server.url, theirs), daemon=True).start()
    time.sleep(1)
    waits = []
    for number in range(HANDS):
        time.sleep(0.005)
        began = time.perf_counter()
        give(number)
        found, had = mine.recv()
        assert found == number
        waits.append((had - began) * 1e6)
    return float(statistics.median(waits))


def _idle(server: Server) -> int:
    """Commands in 10 s of a worker that has nothing to do."""
    with SessionCache.from_url(server.url) as cache:
        stop = threading.Event()
        worker = threading.Thread(
            target=cache.worker, args=("idle", lambda run: None), kwargs={"stop": stop, "concurrency": 8}
        )
        worker.start()
        time.sleep(1)
        client = redis.Redis.from_url(server.url)
        before = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        time.sleep(10)
        after = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        stop.set()
        worker.join()
        return int(after - before)


def rows(server: Server, p50: Callable[..., list[float]]) -> list[Row]:
    """What a tree costs."""
    with SessionCache.from_url(
        server.url, max_messages=None, max_children=None, max_concurrent=None, max_descendants=5000
    ) as cache:
        parent = cache.create()
        spawned: list[str] = []

        def spawn() -> None:
            nonlocal parent
            if len(spawned) % 1000 == 999:
                parent = cache.create()
            spawned.append(parent.spawn("a", task="x" * 100).session_key or "")

        ours, plain = p50(spawn, cache.create, rounds=2000)
        waiting = iter(spawned)
        others = iter([cache.create() for _ in range(1300)])
        end, other = p50(
            lambda: cache.session(next(waiting)).complete("r" * 100), lambda: next(others).complete("r"), rounds=1000
        )
        cache._home.indexes.catch_up()  # what was made before is no part of what is measured
        raw = redis.Redis.from_url(server.url)
        popped = _handed(server, _pop, lambda number: raw.rpush("handed", number))
        root = cache.create()
        claimed = _handed(server, _claim, lambda number: root.spawn("handed", task=str(number)))
        cache._home.indexes.catch_up()
        return [
            Row("spawn / create, sync p50", ours, plain, "µs", 2.0),
            Row("end of a child / of a session", end, other, "µs"),
            Row("hand-off to a worker p50 / BLPOP", claimed, popped, "µs", 3.0),
            Row("idle worker, commands in 10 s / 2", _idle(server), 2, "", 1.0),
        ]
