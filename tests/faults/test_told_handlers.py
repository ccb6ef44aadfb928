"""Handlers hear that their run is over also where a notification is lost: a broken subscription, or none at all."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

from redis_sessions import AsyncRun, AsyncSessionCache, Run, SessionCache
from tests.support.machine_load import measured_load
from tests.support.server_states import url_of_user
from tests.support.servers import Server, await_true
from tests.trees.runs import DEADLINE_SECONDS, spawn_runs
from tests.trees.workers import run_async, working

RARELY_RENEWED = 600
"""The ttl of a lease that is renewed after 200 s. A handler that hears of the end by then only fails the tests."""


class Waiting:
    """A handler that waits for `should_stop`."""

    def __init__(self) -> None:
        self.began, self.told = threading.Event(), threading.Event()

    def __call__(self, run: Run) -> None:
        self.began.set()
        if run.should_stop.wait(DEADLINE_SECONDS):
            self.told.set()


def check_told(working_cache: SessionCache, other: SessionCache, server: Server | None = None, **options: Any) -> None:
    """Cancel a run while its worker has no free slot, and check that the handler hears of this. First break a subscription."""
    root, handler = other.create("root"), Waiting()
    (key,) = spawn_runs(root, "x")
    with working(working_cache, handler, concurrency=1, ttl=RARELY_RENEWED, **options):
        assert handler.began.wait(DEADLINE_SECONDS)
        if server is not None:
            await_true(lambda: working_cache._context.hub.is_subscribed, DEADLINE_SECONDS)
            server.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        other.session(key).cancel()
        assert handler.told.wait(DEADLINE_SECONDS)


def test_busy_worker_with_broken_subscription_hears_of_cancel(plain: Server) -> None:
    """A worker without a free slot opens its lost subscription again, and a cancel from before or after that is heard."""
    with (
        SessionCache.from_url(plain.url, namespace="acme") as cache,
        SessionCache.from_url(plain.url, namespace="acme") as other,
    ):
        check_told(cache, other, plain)


def test_worker_without_subscribe_hears_of_cancel(plain: Server) -> None:
    """A worker whose server refuses SUBSCRIBE polls for the end of its runs."""
    with (
        SessionCache.from_url(url_of_user(plain, "-subscribe"), namespace="acme") as deaf,
        SessionCache.from_url(plain.url, namespace="acme") as other,
    ):
        check_told(deaf, other)


def test_worker_until_idle_hears_of_cancel(plain: Server) -> None:
    """A worker that never waits for work hears of the end of its runs, too."""
    with (
        SessionCache.from_url(plain.url, namespace="acme") as cache,
        SessionCache.from_url(plain.url, namespace="acme") as other,
    ):
        check_told(cache, other, until_idle=True)


def test_busy_worker_of_asyncio_with_broken_subscription_hears_of_cancel(plain: Server) -> None:
    """An asyncio worker without a free slot opens its lost subscription again, and its handler is cancelled."""
    with SessionCache.from_url(plain.url, namespace="acme") as other:
        (key,) = spawn_runs(other.create("root"), "x")

        async def main(cache: AsyncSessionCache, stop: Any) -> None:
            await began.wait()
            plain.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            other.session(key).cancel()
            await ended.wait()

        async def handler(run: AsyncRun) -> None:
            began.set()
            try:
                await asyncio.sleep(RARELY_RENEWED)
            finally:
                ended.set()

        began, ended = asyncio.Event(), asyncio.Event()
        run_async({"url": plain.url, "namespace": "acme"}, handler, main, concurrency=1, ttl=RARELY_RENEWED)


def test_worker_with_many_stubborn_handlers_ends_before_a_silent_server_answers(plain: Server) -> None:
    """A worker does not wait for each of its runs in turn when the server is silent at the stop."""
    runs = 8
    with (
        SessionCache.from_url(plain.url, namespace="acme") as cache,
        SessionCache.from_url(plain.url, namespace="acme", timeout=1, retry_for=10) as silent,
        measured_load() as load,
    ):
        spawn_runs(cache.create("root", max_children=runs, max_active=runs), *map(str, range(runs)))
        begun, stop, end = threading.Semaphore(0), threading.Event(), threading.Event()

        def handler(run: Run) -> None:
            begun.release()
            end.wait(DEADLINE_SECONDS)

        options: dict[str, Any] = {"concurrency": runs, "grace": 0, "stop": stop}
        worker = threading.Thread(target=silent.worker, args=("a", handler), kwargs=options, daemon=True)
        worker.start()
        assert all(begun.acquire(timeout=DEADLINE_SECONDS) for _ in range(runs))
        plain.pause()
        began = time.monotonic()
        stop.set()
        worker.join(DEADLINE_SECONDS)
        seconds = time.monotonic() - began
        plain.resume()
        end.set()
        assert not worker.is_alive()
        assert seconds < load.allow(20)  # 3 s for the handlers, 3 s for the runs, 2 s for the registry
