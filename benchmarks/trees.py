"""Trees: spawns compared with creations, ends with status changes, and a waiting worker with BLPOP."""

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
from tests.support.servers import Server

HANDS = 300


def _claim(url: str, pipe: Any) -> None:
    """Claim runs. Send the number of each run and the time of its claim."""
    with SessionCache.from_url(url) as cache:
        for _ in range(HANDS):
            run = cache.claim("handed", wait=30)
            claimed_at = time.perf_counter()
            assert run is not None
            pipe.send((int(run.task or 0), claimed_at))
            run.complete()


def _pop(url: str, pipe: Any) -> None:
    """Wait in BLPOP. Send each number and the time of its arrival."""
    client = redis.Redis.from_url(url)
    for _ in range(HANDS):
        _, number = client.blpop(["handed"])  # type: ignore[misc]
        pipe.send((int(number), time.perf_counter()))


def _hand_off_time(server: Server, target: Callable[..., None], give: Callable[[int], Any]) -> float:
    """Return the median µs from before a number is given until another process has the number."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    context.Process(target=target, args=(server.url, theirs), daemon=True).start()
    time.sleep(1)
    waits = []
    for number in range(HANDS):
        time.sleep(0.005)
        began = time.perf_counter()
        give(number)
        received, received_at = mine.recv()
        assert received == number
        waits.append((received_at - began) * 1e6)
    return float(statistics.median(waits))


def _count_idle_scripts(server: Server) -> int:
    """Return the scripts that an idle worker runs in 10 s."""
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
    """Measure spawns, ends, the hand-off to a worker, and an idle worker."""
    with SessionCache.from_url(
        server.url, max_messages=None, max_children=None, max_active=None, max_descendants=5000
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
        cache._context.indexer.flush()  # so that no background work is measured
        raw = redis.Redis.from_url(server.url)
        popped = _hand_off_time(server, _pop, lambda number: raw.rpush("handed", number))
        root = cache.create()
        claimed = _hand_off_time(server, _claim, lambda number: root.spawn("handed", task=str(number)))
        cache._context.indexer.flush()
        return [
            Row("spawn / create, sync p50", ours, plain, "µs", 2.0),
            Row("end of a child / of a session", end, other, "µs"),
            Row("hand-off to a worker p50 / BLPOP", claimed, popped, "µs", 3.0),
            Row("idle worker, commands in 10 s / 2", _count_idle_scripts(server), 2, "", 1.0),
        ]
