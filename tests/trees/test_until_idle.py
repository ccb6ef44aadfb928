"""Workers that return when no work is left."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, SessionCache


def test_worker_handles_what_its_handlers_spawn(cache: SessionCache) -> None:
    """A worker that returns when idle handles a whole tree, parked parents and several agents included."""
    seen: list[str] = []

    def handle(run: Any) -> Any:
        seen.append(run.agent_id)
        if run.agent_id == "clerk":
            return "clerk"
        children = [run.spawn("clerk", task=str(number)).raise_if_refused() for number in range(3)]
        assert children
        return [child.result for child in run.wait_for()]

    root = cache.create("root")
    for _ in range(2):
        root.spawn("planner").raise_if_refused()
    handled = cache.worker(["planner", "clerk"], handle, concurrency=3, until_idle=True)
    assert [child.result for child in root.children()] == [["clerk"] * 3] * 2
    assert handled == len(seen)
    assert seen.count("clerk") == 6
    assert cache.worker(["planner", "clerk"], handle, until_idle=True) == 0


def test_worker_does_not_wait_for_delayed_work(cache: SessionCache) -> None:
    """Delayed work, and work that waits for its next attempt, is left for later."""
    root = cache.create("root")
    root.spawn("a", delay="1h").raise_if_refused()
    root.spawn("a").raise_if_refused()
    root.spawn("a", task="fail").raise_if_refused()

    def handle(run: Any) -> None:
        if run.task == "fail":
            raise ValueError("first")

    assert cache.worker("a", handle, backoff="1h", until_idle=True) == 2
    assert [child.status for child in root.children()] == ["active", "completed", "active"]


def test_worker_answers_turns_that_open_in_between(cache: SessionCache) -> None:
    """A turn that a message opens during a turn is handled before the worker returns."""
    session = cache.create("talk", answered_by="clerk")
    session.send("one")

    def handle(run: Any) -> None:
        if run.history()[-1].content == "one":
            other = threading.Thread(
                target=cache.session("talk").send, args=("two",)
            )  # not under the lease of the turn
            other.start()
            other.join()
        run.finish({"role": "assistant", "content": "ok"})

    assert cache.worker("clerk", handle, until_idle=True) == 2
    assert [message.content for message in session.history()] == ["one", "ok", "two", "ok"]


def test_parent_that_another_session_wakes_is_handled(cache: SessionCache) -> None:
    """A parked parent is handled again when a session below it is completed by a program, without a worker of its own."""
    root = cache.create("root")
    root.spawn("planner").raise_if_refused()

    def handle(run: Any) -> Any:
        if run.agent_id == "closer":
            cache.session(run.task).complete("closed")
            return None
        child = run.spawn("idle", label="child").raise_if_refused()
        run.spawn("closer", task=child.session_key).raise_if_refused()
        return [one.result for one in run.wait_for([child.session_key])]

    for _ in range(5):
        cache.worker(["planner", "closer"], handle, until_idle=True)
        root.spawn("planner").raise_if_refused()
    assert [child.result for child in root.children()][:5] == [["closed"]] * 5


@pytest.mark.parametrize("concurrency", [1, 4])
def test_async_worker_returns_when_idle(url: str, namespace: str, concurrency: int) -> None:
    """An asyncio worker handles all work, and returns its number."""

    async def main() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace) as cache:
            root = await cache.create("root")
            for _ in range(3):
                (await root.spawn("a", task="top")).raise_if_refused()

            async def handle(run: Any) -> int:
                if run.task == "top":
                    (await run.spawn("a", task="below")).raise_if_refused()
                    await run.wait_for()
                return 1

            assert await cache.worker("a", handle, concurrency=concurrency, until_idle=True) >= 6
            assert await cache.worker("a", handle, until_idle=True) == 0
            assert [child.status for child in await root.children(recursive=True)] == ["completed"] * 6

    asyncio.run(main())
