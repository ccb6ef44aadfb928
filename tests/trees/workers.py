"""Workers in threads and in event loops, and processes that die between two commands."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from redis_sessions import AsyncRun, AsyncSessionCache, Run, Session, SessionCache
from redis_sessions._core.commands import run_queues
from tests.support.servers import await_true
from tests.trees.runs import DEADLINE_SECONDS

BACKGROUND = ("services.run_queues", "services.queue_hints", "api.lease")
"""The modules that start work in the background."""


@contextmanager
def working(
    cache: SessionCache, handler: Callable[[Run], Any], agent: str | list[str] = "a", **options: Any
) -> Iterator[threading.Event]:
    """Run a worker in a thread in the block. Yield the event that stops the worker."""
    stop = threading.Event()
    options = {"stop": stop, "backoff": 0.05, **options}
    thread = threading.Thread(target=cache.worker, args=(agent, handler), kwargs=options, daemon=True)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


def run_later(seconds: float, function: Callable[[], Any]) -> threading.Timer:
    """Call a function in a thread after some seconds."""
    timer = threading.Timer(seconds, function)
    timer.start()
    return timer


def raising(problem: BaseException | type[BaseException]) -> Any:
    """Return a handler that raises an error."""

    def handler(run: Run) -> None:
        raise problem

    return handler


def run_async(
    options: dict[str, Any], handler: Callable[[AsyncRun], Awaitable[Any]], main: Callable[..., Any], **given: Any
) -> None:
    """Run `main(cache, stop)` and a worker of agent `a` in one event loop."""

    async def run() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            stop = asyncio.Event()
            worker = asyncio.create_task(cache.worker("a", handler, **{"stop": stop, "backoff": 0.05, **given}))
            try:
                await main(cache, stop)
            finally:
                stop.set()
                await worker

    asyncio.run(asyncio.wait_for(run(), DEADLINE_SECONDS))


def kill_background_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process die, as it were, before what it starts in the background."""
    timer = SimpleNamespace(cancel=lambda: None)
    dead = SimpleNamespace(spawn=lambda *_: timer, later=lambda *_: timer, Event=threading.Event)
    for module in BACKGROUND:
        monkeypatch.setattr(f"redis_sessions._sync.{module}.tasks", dead)


def await_work_state(session: Session, state: str | None) -> None:
    """Return when the run or turn of a session has a state."""
    await_true(lambda: session.info().work == state, DEADLINE_SECONDS)


def await_empty_queue(cache: SessionCache, agent: str = "a") -> None:
    """Return when a queue has neither work nor checks. Work that can be claimed fails the test."""
    queue = cache._context.run_queues.queue_of(agent)

    def is_empty() -> bool:
        cache._context.run_queues._check_all(agent, cache._executor.run(run_queues.dequeue(queue, "check")).due)
        assert cache.claim(agent) is None
        return sum(cache._executor.get_many(run_queues.count_runs(queue))) == 0

    await_true(is_empty, DEADLINE_SECONDS)


def texts(session: Session) -> list[str]:
    """Return the texts of the transcript."""
    return [str(message.content) for message in session.history()]
