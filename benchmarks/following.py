"""Lists and watches: a page among many sessions compared with few, and an event compared with a bare PUBLISH."""

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
from redis_sessions._core.commands.index_entries import EntryUpdate, IndexRecord, put
from redis_sessions._core.protocol.keys import session_keys
from tests.support.servers import Server

FEW_SESSIONS, MANY_SESSIONS = 1000, 1_000_000
EVENTS = 400
MESSAGE = {"role": "user", "content": "x" * 370}


def rows(server: Server, p50: Callable[..., list[float]]) -> list[Row]:
    """Measure a page of a list, and the event of an append."""
    return [*_pages(server, p50), *_events(server)]


def _fill(client: redis.Redis, cache: SessionCache, first: int, last: int) -> None:
    """Write sessions and their index entries directly, in hashes of a few fields, so that a million sessions fit in memory."""
    pipe = client.pipeline(transaction=False)
    for number in range(first, last):
        id, now = f"s{number}", time.time_ns() // 1000 - (2_000_000 - number) * 1_000_000  # one a second, for weeks
        keys, user = session_keys(cache.namespace, id), f"u{number % (last // 500 or 1)}"
        counters = f"0 0 0 0 0 0 0 0 0 0 {now} 0"
        fields: dict[Any, Any] = {
            "incarnation": "0" * 12, "status": "active", "counters": counters, "created": now, "user": user,
            "settings": "0 oldest 0 0 -",
        }  # fmt: skip
        pipe.hset(keys.session, mapping=fields)
        entries = IndexRecord(user=user).entries(cache.namespace, keys.tag)
        for call in put(entries, [EntryUpdate(id, "active", now, now)], -1, is_cluster=False):
            pipe.execute_command(*call.command)
        if number % 2000 == 1999:
            pipe.execute()
    pipe.execute()


def _pages(server: Server, p50: Callable[..., list[float]]) -> list[Row]:
    """Measure a page of 50 of a user's 500 sessions, among a thousand sessions and among a million."""
    client = redis.Redis.from_url(server.url)
    times = []
    with SessionCache.from_url(server.url, namespace="many") as cache:
        cache.create("warm", user_id="u0", tags=["t"])
        done = 0
        for total in (FEW_SESSIONS, MANY_SESSIONS):
            _fill(client, cache, done, total)
            done = total
            client.config_resetstat()
            (taken,) = p50(lambda: cache.list(50, user_id="u1"), rounds=300)
            times.append(taken)
            assert len(cache.list(50, user_id="u1").items) == 50
    client.flushall()
    client.close()
    return [Row("50 newest of a user, among 1,000,000 / 1,000", times[1], times[0], "µs", 1.5)]


def _events(server: Server) -> list[Row]:
    """Measure the time from before an append until a watcher in another thread has the message, and a bare PUBLISH."""
    waits: dict[str, list[float]] = {"event": [], "publish": []}
    with SessionCache.from_url(server.url) as cache, SessionCache.from_url(server.url) as other:
        cache.create("watched", max_messages=None)
        arrived = threading.Semaphore(0)
        arrival_times: list[float] = []

        def watch() -> None:
            for _ in other.session("watched").watch():
                arrival_times.append(time.perf_counter())
                arrived.release()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        client = redis.Redis.from_url(server.url)
        subscriber = redis.Redis.from_url(server.url).pubsub()
        subscriber.subscribe("bare")
        subscriber.get_message(timeout=1)

        def listen() -> None:
            for _ in range(EVENTS):
                published = next(subscriber.listen())
                json.loads(published["data"])
                arrival_times.append(time.perf_counter())
                arrived.release()

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
                assert arrived.acquire(timeout=10)
                if turn >= 50:
                    waits[name].append((arrival_times[-1] - began) * 1e6)
        session.complete()
        watcher.join(5)
        client.close()
    event, publish = (float(statistics.median(waits[name])) for name in ("event", "publish"))
    return [Row("an event to a watcher / a bare PUBLISH", event, publish, "µs", 3.0)]
