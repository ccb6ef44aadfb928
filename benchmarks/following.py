"""Lists and watching beside what they cannot do without: a page among many sessions, an event beside a bare PUBLISH."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.rows import Row
from redis_sessions import SessionCache
from redis_sessions._core.indexes import Facts, kept_ms, put
from redis_sessions._core.keys import session_keys
from tests.servers import Server

FEW, MANY = 1000, 1_000_000
EVENTS = 400
MESSAGE = {"role": "user", "content": "x" * 370}


def rows(server: Server, p50: Callable[..., list[float]]) -> list[Row]:
    return [*_pages(server, p50), *_events(server)]


def _fill(client: redis.Redis, cache: SessionCache, first: int, last: int) -> None:
    """Sessions as their creation leaves them, in hashes of a few fields so that a million of them have room."""
    pipe = client.pipeline(transaction=False)
    for number in range(first, last):
        id, now = f"s{number}", time.time_ns() // 1000 - (2_000_000 - number) * 1_000_000  # one a second, for weeks
        keys, user = session_keys(cache.namespace, id), f"u{number % (last // 500 or 1)}"
        counts = f"0 0 0 0 0 0 0 0 0 0 {now}"
        fields = ("life", "0" * 12, "status", "active", "counts", counts, "created", now, "user", user, "rules", "0")
        pipe.execute_command("HSET", keys.session, *fields)
        for call in put(cache.namespace, [(id, keys.tag, "active", now, now)], Facts(user=user), -1, is_apart=False):
            pipe.execute_command(*call.command)
        if number % 2000 == 1999:
            pipe.execute()
    pipe.execute()


def _pages(server: Server, p50: Callable[..., list[float]]) -> list[Row]:
    """A page of the 50 newest of one user who has 500 sessions, among a thousand and among a million."""
    client = redis.Redis.from_url(server.url)
    times = []
    with SessionCache.from_url(server.url, namespace="many") as cache:
        cache.create("warm", user_id="u0", tags=["t"])
        done = 0
        for total in (FEW, MANY):
            _fill(client, cache, done, total)
            done = total
            client.config_resetstat()
            (taken,) = p50(lambda: cache.list(50, user="u1"), rounds=300)
            times.append(taken)
            assert len(cache.list(50, user="u1").items) == 50
    client.flushall()
    client.close()
    assert kept_ms(-1) > 0
    return [Row("50 newest of a user, among 1,000,000 / 1,000", times[1], times[0], "µs", 1.5)]


def _events(server: Server) -> list[Row]:
    """From before an append until a watcher in another thread has the message; beside a bare PUBLISH of as much."""
    waits: dict[str, list[float]] = {"event": [], "publish": []}
    with SessionCache.from_url(server.url) as cache, SessionCache.from_url(server.url) as other:
        cache.create("watched", max_messages=None)
        had = threading.Semaphore(0)
        moments: list[float] = []

        def watch() -> None:
            for _ in other.session("watched").watch():
                moments.append(time.perf_counter())
                had.release()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        client = redis.Redis.from_url(server.url)
        subscriber = redis.Redis.from_url(server.url).pubsub()
        subscriber.subscribe("bare")
        subscriber.get_message(timeout=1)

        def listen() -> None:
            for _ in range(EVENTS):
                said = next(subscriber.listen())
                json.loads(said["data"])
                moments.append(time.perf_counter())
                had.release()

        threading.Thread(target=listen, daemon=True).start()
        text = json.dumps(MESSAGE)
        session = cache.session("watched")
        ways: dict[str, Callable[[], Any]] = {
            "event": lambda: session.append(MESSAGE),
            "publish": lambda: client.publish("bare", text),
        }
        time.sleep(0.5)
        for turn in range(EVENTS):
            for name, way in ways.items():
                time.sleep(0.002)
                began = time.perf_counter()
                way()
                assert had.acquire(timeout=10)
                if turn >= 50:
                    waits[name].append((moments[-1] - began) * 1e6)
        session.complete()
        watcher.join(5)
        client.close()
    event, publish = (float(statistics.median(waits[name])) for name in ("event", "publish"))
    return [Row("an event to a watcher / a bare PUBLISH", event, publish, "µs", 3.0)]
