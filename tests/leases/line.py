"""Threads that hold a lease or stand in line for it."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from redis_sessions import (
    SessionCache,
)

X = {"role": "user", "content": "x"}


def elsewhere(function: Callable[[], Any]) -> Any:
    """What a function gives in a thread that knows of no lease."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.Context().run, function).result(30)


@contextmanager
def waiting(cache: SessionCache, id: str, ttl: float = 5, wait: float = 20) -> Iterator[list[int]]:
    """A thread that stands in line; when it had the lease, its fence is in the list."""
    fences: list[int] = []

    def run() -> None:
        with cache.session(id).lease(ttl, wait) as lease:
            fences.append(lease.fence)

    thread = threading.Thread(target=run)
    line = len((cache.session(id).lease().info() or FREE).line)
    thread.start()
    due = time.monotonic() + 10
    while len((cache.session(id).lease().info() or FREE).line) == line and not fences:
        assert time.monotonic() < due
        time.sleep(0.01)
    try:
        yield fences
    finally:
        thread.join(30)
    assert not thread.is_alive()


class _Free:
    line: tuple[str, ...] = ()


FREE = _Free()
