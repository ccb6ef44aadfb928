"""A write whose first attempt may have run ends with OutcomeUnknown, whatever ends its retries."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, OutcomeUnknown, SessionCache
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server, await_true

X = {"role": "user", "content": "x"}
_SETTINGS = {"full": ("maxmemory", "1mb", "0"), "denied": ("requirepass", "secret", "")}


def _outcome_of(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start a call in a thread. The list has its result or its error when the thread is over."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as problem:
            found.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, found


@pytest.mark.parametrize("state", _SETTINGS)
def test_refused_retry_of_a_write_that_ran_raises_outcome_unknown(plain: Server, state: str) -> None:
    """An append whose reply was lost was not refused, although the server is full, or refuses access, at the retry."""
    losses, (name, bad, good) = Losses(0, 0), _SETTINGS[state]
    with proxy(plain.port, losses) as port:
        url = f"redis://127.0.0.1:{port}"
        with SessionCache.from_url(url, namespace="acme", timeout=1, retry_for=10) as cache:
            session = cache.session("a")
            session.append(X)
            losses.replies = 1.0
            thread, found = _outcome_of(lambda: session.append(X))
            await_true(lambda: losses.lost_replies > 0)
            plain.client.config_set(name, bad)
            plain.client.client_kill_filter(_type="normal", skipme=True)  # open connections need no password
            losses.replies = 0.0
            thread.join(20)
            plain.client.config_set(name, good)
            if state == "full" and not isinstance(found[0], Exception):
                assert found[0].duplicate  # Redis 6.2 lets the repeated script run when memory is full
            else:
                assert isinstance(found[0], OutcomeUnknown), found
                assert found[0].batch_id is not None
                assert session.append(X, batch_id=found[0].batch_id).duplicate
            assert session.info().last_seq == 3


def test_close_during_a_write_of_a_thread_raises_outcome_unknown(plain: Server) -> None:
    """An append that was sent when another thread closed the cache may be carried out, so its outcome is unknown."""
    cache = SessionCache.from_url(plain.url, namespace="acme", timeout=1, retry_for=2)
    session = cache.session("a")
    session.append(X)
    plain.pause()
    thread, found = _outcome_of(lambda: session.append(X))
    time.sleep(0.3)
    cache.close()
    thread.join(20)
    plain.resume()
    assert isinstance(found[0], OutcomeUnknown), found


def test_close_during_a_write_of_a_task_raises_outcome_unknown(plain: Server) -> None:
    """The same holds for a task."""

    async def write() -> Any:
        cache = AsyncSessionCache.from_url(plain.url, namespace="acme", timeout=1, retry_for=2)
        session = cache.session("a")
        await session.append(X)
        plain.pause()
        task = asyncio.ensure_future(session.append(X))
        await asyncio.sleep(0.3)
        await cache.close()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    found = asyncio.run(write())
    plain.resume()
    assert isinstance(found, OutcomeUnknown), found
