"""Threads that hold a lease or wait for a lease."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from redis_sessions import SessionCache

X = {"role": "user", "content": "x"}


def elsewhere(function: Callable[[], Any]) -> Any:
    """Return the result of a function in another thread, which holds no lease."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.Context().run, function).result(30)


@contextmanager
def waiting(cache: SessionCache, id: str, ttl: float = 5, wait: float = 20) -> Iterator[list[int]]:
    """Start a thread that waits for the lease. Yield a list that gets the fence once the thread has held the lease."""
    fences: list[int] = []

    def run() -> None:
        with cache.session(id).lease(ttl, wait) as lease:
            fences.append(lease.fence)

    thread = threading.Thread(target=run)
    before = len((cache.session(id).lease().info() or FREE).waiters)
    thread.start()
    due = time.monotonic() + 10
    while len((cache.session(id).lease().info() or FREE).waiters) == before and not fences:
        assert time.monotonic() < due, "the thread does not wait for the lease"
        time.sleep(0.01)
    try:
        yield fences
    finally:
        thread.join(30)
    assert not thread.is_alive()


class _Free:
    """Stand-in for the LeaseInfo of a free lease."""

    waiters: tuple[str, ...] = ()


FREE = _Free()
