"""Pages of lists against the raw commands: quiet, after many creations by a process that has ended, and while others write."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import redis

from benchmarks.rows import Row
from redis_sessions import SessionCache
from redis_sessions._core.commands.list_pages import FIELDS
from redis_sessions._core.protocol.keys import entry_keys, session_keys
from tests.support.servers import Server

MESSAGE = {"role": "user", "content": "x" * 370}
PAGE = 50
CREATED = 100_000
"""Sessions that a process creates before it ends."""
WRITES_PER_SECOND = 500
"""Appends of another process to sessions of other users, while pages are read."""
CREATE = """
import sys
from redis_sessions import SessionCache
cache = SessionCache.from_url(sys.argv[1])
for number in range(int(sys.argv[2])):
    cache.create(user_id=f"other{number % 100}", agent_id="bulk")
import os
os._exit(0)
"""
WRITE = """
import sys, time
from redis_sessions import SessionCache
cache = SessionCache.from_url(sys.argv[1])
names, cursor = [], None
while len(names) < 5000:
    page = cache.list(1000, cursor, agent_id="bulk")
    names += [one.id for one in page.items]
    cursor = page.cursor
pause, number = 1 / float(sys.argv[2]), 0
began = time.monotonic()
while True:
    cache.session(names[number * 7919 % 5000]).append({"role": "user", "content": "x"})
    number += 1
    time.sleep(max(0.0, began + number * pause - time.monotonic()))
"""


def rows(server: Server, p50: Callable[..., list[float]]) -> list[Row]:
    """Measure pages of 50 sessions of one user and of all, against one ZREVRANGE and one HMGET for each session."""
    client = redis.Redis.from_url(server.url)
    found: list[Row] = []
    with SessionCache.from_url(server.url) as cache:
        for _ in range(200):
            cache.create(user_id="mia", agent_id="concierge").append(MESSAGE)
        time.sleep(2.5)
        found += _pages(cache, client, p50, "quiet")
        subprocess.run([sys.executable, "-c", CREATE, server.url, str(CREATED)], check=True)
        found += _pages(cache, client, p50, f"right after {CREATED:,} creations")
        writer = subprocess.Popen([sys.executable, "-c", WRITE, server.url, str(WRITES_PER_SECOND)])
        try:
            time.sleep(3)
            found += _pages(cache, client, p50, f"beside {WRITES_PER_SECOND} writes/s")
        finally:
            writer.kill()
            writer.wait()
    client.flushall()
    client.close()
    return found


def _pages(cache: SessionCache, client: redis.Redis, p50: Callable[..., list[float]], when: str) -> list[Row]:
    index = entry_keys(cache.namespace, "user", "main", "mia").active_updated

    def raw() -> list[object]:
        entries: Any = client.zrevrange(index, 0, PAGE - 1, withscores=True)
        pipe = client.pipeline(transaction=False)
        for id, _ in entries:
            pipe.hmget(session_keys(cache.namespace, id.decode()).session, FIELDS)
        return pipe.execute()

    assert len(cache.list(PAGE, user_id="mia").items) == len(cache.list(PAGE).items) == len(raw()) == PAGE
    user, every, bare = p50(lambda: cache.list(PAGE, user_id="mia"), lambda: cache.list(PAGE), raw, rounds=300)
    return [
        Row(f"page of a user, {when}", user, bare, "µs", 3.0),
        Row(f"page of all, {when}", every, bare, "µs", 3.0),
    ]
