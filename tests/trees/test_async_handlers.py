"""The ways out of an asyncio handler: it is cancelled within a second, and what it raises means what it means in a thread."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from redis_sessions import AsyncRun, AsyncSession, AsyncSessionCache, GiveUp, InvalidInput, Retry
from tests.conftest import Engines
from tests.support.log_events import events_of
from tests.support.machine_load import measured_load
from tests.trees.children import X
from tests.trees.runs import DEADLINE_SECONDS
from tests.trees.workers import run_async

ENGINES = ["fake", "valkey-9", "cluster"]
Stop = Callable[[AsyncSession, AsyncSession], Awaitable[Any]]


@pytest.fixture(params=ENGINES)
def options(request: pytest.FixtureRequest, engines: Engines, namespace: str) -> Iterator[dict[str, Any]]:
    """Return the URL and the namespace for a cache of this test."""
    name = str(request.param)
    yield {"url": engines.url(name), "namespace": namespace}
    for node in engines.nodes[name]:
        node.client.flushall()


async def spawn(parent: AsyncSession, *tasks: str, **given: Any) -> list[str]:
    """Spawn a run of agent `a` for each task. Return the session keys."""
    found = [(await parent.spawn("a", task=task, **given)).raise_if_refused() for task in tasks]
    return [str(one.session_key) for one in found]


class Slow:
    """A handler that waits to be cancelled."""

    def __init__(self, *, ignores: bool = False) -> None:
        self.began = asyncio.Event()
        self.told: list[tuple[float, str | None, bool]] = []
        self.refused: Exception | None = None
        self.others: list[str | None] = []
        self.ignores = ignores

    async def __call__(self, run: AsyncRun) -> str:
        if self.began.is_set():
            self.others.append(run.task)
            return "other"
        self.began.set()
        try:
            await asyncio.sleep(DEADLINE_SECONDS)
        except asyncio.CancelledError:
            self.told.append((time.monotonic(), run.stop_reason, run.should_stop.is_set()))
            try:
                await run.append(X)
            except Exception as problem:
                self.refused = problem
            if not self.ignores:
                raise
            await asyncio.sleep(0.3)
        return "late"


async def until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds."""
    while not condition():
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("ignores", [False, True], ids=["ends", "ignores"])
@pytest.mark.parametrize("reason", ["cancelled", "timed_out", "deleted", "run_timeout"])
def test_end_by_others_cancels_handler(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture, reason: str, ignores: bool
) -> None:
    """A handler whose run ended is cancelled within a second, its slot is free, its write refused, and one line is logged."""
    handler = Slow(ignores=ignores)
    ids: list[str] = []

    async def main(cache: AsyncSessionCache, stop: asyncio.Event) -> None:
        parent, other = await cache.create(), await cache.create()
        ids.extend(await spawn(parent, "t", run_timeout=0.5 if reason == "run_timeout" else 60))
        await handler.began.wait()
        began = time.monotonic()
        child = cache.session(ids[0])
        if reason == "cancelled":
            await child.cancel()
        elif reason == "timed_out":
            await child.time_out()
        elif reason == "deleted":
            await child.delete()
        await spawn(other, "next")
        await until(lambda: bool(handler.told) and bool(handler.others))
        ((told_at, found, should_stop),) = handler.told
        assert told_at - began < load.allow(2.5, wakeups=4)
        assert should_stop
        assert found == reason.replace("run_timeout", "timed_out") or (reason, found) == ("deleted", "cancelled")
        await until(lambda: handler.refused is not None)
        assert [one.status for one in await other.join(timeout=DEADLINE_SECONDS)] == ["completed"]
        if reason != "deleted":
            assert (await child.info()).result is None

    with caplog.at_level(logging.INFO, "redis_sessions"), measured_load() as load:
        run_async(options, handler, main)
    lines = [record for record in events_of(caplog.records, ids[0]) if record.event != "run_claimed"]
    assert [(record.levelno, record.exc_info) for record in lines] == [(logging.INFO, None)]


def test_end_of_grace_cancels_handler_and_then_gives_back(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """At the end of the grace a handler is cancelled while its lease still holds, and its run is given back as it was."""
    seen: list[Any] = []
    began: list[AsyncRun] = []

    async def handler(run: AsyncRun) -> None:
        began.append(run)
        try:
            await asyncio.sleep(DEADLINE_SECONDS)
        finally:
            seen.append((await run.append(X)).last_seq)

    async def main(cache: AsyncSessionCache, stop: asyncio.Event) -> None:
        await spawn(await cache.create(), "t", max_attempts=1)
        await until(lambda: bool(began))
        stop.set()
        run = await cache.claim("a", wait=DEADLINE_SECONDS)
        assert run is not None
        assert (run.attempt, (await run.info()).last_seq, seen, began[0].stop_reason) == (1, 1, [1], "shutdown")
        await run.complete()

    with caplog.at_level(logging.INFO, "redis_sessions"):
        run_async(options, handler, main, grace=0.2)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def wrapping(began: asyncio.Event) -> Callable[[AsyncRun], Awaitable[None]]:
    """Return a handler that turns its cancellation into an error of its own, as some clients do."""

    async def handler(run: AsyncRun) -> None:
        began.set()
        try:
            await asyncio.sleep(DEADLINE_SECONDS)
        except asyncio.CancelledError as problem:
            raise RuntimeError("the client is closed") from problem

    return handler


def test_wrapped_cancellation_uses_up_no_attempt(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """A handler that turns its cancellation at a stop into an error has its run given back, also in its last attempt."""
    began = asyncio.Event()

    async def main(cache: AsyncSessionCache, stop: asyncio.Event) -> None:
        await spawn(await cache.create(), "t", max_attempts=1)
        await began.wait()
        stop.set()
        run = await cache.claim("a", wait=DEADLINE_SECONDS)
        assert run is not None
        assert (run.attempt, run.has_died, (await run.info()).attempts) == (1, False, [])
        await run.complete()

    with caplog.at_level(logging.INFO, "redis_sessions"):
        run_async(options, wrapping(began), main, grace=0)
    assert "the client is closed" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_wrapped_cancellation_at_end_of_event_loop_is_no_failure(
    options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The end of an event loop cancels worker and handler. The error of the handler is not taken for a failed attempt."""
    began = asyncio.Event()

    async def main() -> None:
        cache = AsyncSessionCache.from_url(**options)
        worker = asyncio.create_task(cache.worker("a", wrapping(began), grace=0, signals=False))
        await spawn(await cache.create(), "t", max_attempts=1)
        await began.wait()
        assert not worker.done()

    with caplog.at_level(logging.INFO, "redis_sessions"):
        asyncio.run(asyncio.wait_for(main(), DEADLINE_SECONDS))
    events = {getattr(record, "event", "") for record in caplog.records}
    assert "run_claimed" in events
    assert not events & {"run_failed", "run_retried"}


def test_second_stop_ends_grace(options: dict[str, Any]) -> None:
    """A second signal ends the grace at once: the handler is cancelled, and its run given back."""
    handler = Slow()

    async def main() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            worker = asyncio.create_task(cache.worker("a", handler, signals=True))
            await spawn(await cache.create(), "t")
            await handler.began.wait()
            began = time.monotonic()
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(1)  # two signals within 0.3 s count as one
            assert handler.told == []
            os.kill(os.getpid(), signal.SIGTERM)
            await worker
            assert time.monotonic() - began < load.allow(3.5, wakeups=8)
            assert handler.told[0][1] == "shutdown"
            run = await cache.claim("a", wait=DEADLINE_SECONDS)
            assert run is not None
            assert run.attempt == 1
            await run.complete()

    with measured_load() as load:
        asyncio.run(asyncio.wait_for(main(), DEADLINE_SECONDS))


async def leak_cancellation(run: AsyncRun) -> None:
    """Wait for a task that another one cancelled."""
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    await task


async def exit_process(run: AsyncRun) -> None:
    """Exit, as a tool's command line does."""
    raise SystemExit(2)


async def fail_in_group(run: AsyncRun) -> None:
    """Fail in a task group."""

    async def fail(text: str) -> None:
        raise ValueError(text)

    async with asyncio.TaskGroup() as group:
        group.create_task(fail("a"))
        group.create_task(fail("b"))


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (leak_cancellation, "CancelledError"),
        (exit_process, "SystemExit: 2"),
        (fail_in_group, "ExceptionGroup: unhandled errors in a TaskGroup (2 sub-exceptions): ValueError: a; ValueError: b"),
    ],
)  # fmt: skip
def test_error_of_handler_is_an_attempt(options: dict[str, Any], handler: Any, reason: str) -> None:
    """A leaked cancellation, an exit and a group of errors are failed attempts, and the worker goes on."""

    async def either(run: AsyncRun) -> Any:
        return await handler(run) if run.task == "bad" else "done"

    async def main(cache: AsyncSessionCache, stop: asyncio.Event) -> None:
        parent = await cache.create()
        await spawn(parent, "bad", "good", max_attempts=2)
        bad, good = await parent.join(timeout=DEADLINE_SECONDS)
        assert (bad.status, bad.reason, bad.attempt) == ("failed", reason, 2)
        assert good.result == "done"

    run_async(options, either, main)


@pytest.mark.parametrize("problem", [Retry(after=0.1), GiveUp("no")], ids=["retry", "give-up"])
def test_wish_in_task_group_is_heard(options: dict[str, Any], problem: Exception) -> None:
    """`Retry` and `GiveUp` that leave the handler in a task group mean what they mean alone."""
    calls: list[int] = []

    async def handler(run: AsyncRun) -> str:
        calls.append(run.attempt)
        if len(calls) > 1:
            return "done"

        async def wish() -> None:
            raise problem

        async with asyncio.TaskGroup() as group:
            group.create_task(wish())
        return ""

    async def main(cache: AsyncSessionCache, stop: asyncio.Event) -> None:
        parent = await cache.create()
        await spawn(parent, "t")
        (child,) = await parent.join(timeout=DEADLINE_SECONDS)
        wanted = ("completed", "done", None) if isinstance(problem, Retry) else ("failed", None, "no")
        assert (child.status, child.result, child.reason) == wanted
        assert calls == [1] * len(calls)

    run_async(options, handler, main)


def test_wait_in_task_group_parks(options: dict[str, Any]) -> None:
    """A run that waits for its children in a task group is parked, too."""

    async def handler(run: AsyncRun) -> Any:
        if run.task == "child":
            return 1
        await spawn(run, "child", "child")
        async with asyncio.TaskGroup() as group:
            found = group.create_task(run.wait_for(timeout=DEADLINE_SECONDS))
        return sum(one.result for one in found.result())

    async def main(cache: AsyncSessionCache, stop: asyncio.Event) -> None:
        parent = await cache.create()
        await spawn(parent, "parent")
        (child,) = await parent.join(timeout=DEADLINE_SECONDS)
        assert (child.result, child.attempts) == (2, [])

    run_async(options, handler, main, concurrency=1)


def test_cancelled_worker_gives_its_runs_back(options: dict[str, Any]) -> None:
    """The cancellation of the worker's own task ends as a stop does, and costs its runs no attempt."""
    handler = Slow()

    async def main() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            worker = asyncio.create_task(cache.worker("a", handler, grace=0.1, signals=False))
            await spawn(await cache.create(), "t", max_attempts=1)
            await handler.began.wait()
            worker.cancel()
            await asyncio.wait([worker])
            run = await cache.claim("a", wait=DEADLINE_SECONDS)
            assert run is not None
            assert run.attempt == 1
            await run.complete()

    asyncio.run(asyncio.wait_for(main(), DEADLINE_SECONDS))


def test_closed_cache_stops_its_worker_at_once(options: dict[str, Any]) -> None:
    """A cache that is closed cancels its handlers, whose leases nothing renews any more, and ends its worker."""
    handler = Slow()

    async def main() -> None:
        cache = AsyncSessionCache.from_url(**options)
        await spawn(await cache.create(), "t")
        worker = asyncio.create_task(cache.worker("a", handler, stop=asyncio.Event()))
        await handler.began.wait()
        await cache.close()
        with pytest.raises(InvalidInput, match="closed"):
            await worker

    asyncio.run(asyncio.wait_for(main(), DEADLINE_SECONDS / 2))
    assert [(reason, is_set) for _, reason, is_set in handler.told] == [("lost", True)]


def test_handler_that_cancels_itself_fails_its_attempt(options: dict[str, Any]) -> None:
    """A handler that cancels its own task does not stop the worker, so the attempt counts."""
    found = []

    async def handler(run: AsyncRun) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(DEADLINE_SECONDS)

    async def main(cache: AsyncSessionCache, stop: asyncio.Event) -> None:
        parent = await cache.create()
        await spawn(parent, "t", max_attempts=2)
        found.extend(await parent.join(timeout=DEADLINE_SECONDS))

    run_async(options, handler, main)
    assert [(one.status, one.attempt, one.reason) for one in found] == [("failed", 2, "CancelledError")]


def test_event_of_threads_does_not_stop_a_worker_of_tasks(options: dict[str, Any]) -> None:
    """An event that would block the event loop is refused."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(**options) as cache:
            with pytest.raises(InvalidInput, match="stop"):
                await cache.worker("a", Slow(), stop=threading.Event())  # type: ignore[arg-type]

    asyncio.run(main())
