"""The clock of fake servers: everything that the servers decide by time follows it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from redis_sessions import InvalidInput, LeaseInfo, LeaseLost, SessionCache
from redis_sessions.testing import FakeClock, fake_async_cache, fake_cache, fake_clock
from tests.support.watcher import until

X = {"role": "user", "content": "x"}


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    """Return a clock of the fake servers of a test."""
    with fake_clock() as clock:
        yield clock


@pytest.fixture
def fake(clock: FakeClock) -> Iterator[SessionCache]:
    """Return a cache on a fake server with that clock."""
    with fake_cache() as cache:
        yield cache


def test_sessions_expire_as_the_clock_advances(fake: SessionCache, clock: FakeClock) -> None:
    """A session is there until its idle TTL is over, and is gone then. A touch extends its life."""
    fake.create("a", ttl="30m").append(X)
    fake.create("b", ttl="30m")
    clock.advance("29m")
    fake.session("b").touch()
    assert fake.get("a") is not None
    clock.advance("2m")
    assert fake.get("a") is None
    assert fake.get("b") is not None


def test_times_of_messages_follow(fake: SessionCache, clock: FakeClock) -> None:
    """Times that the server writes lie as far apart as the clock was advanced."""
    session = fake.create("a", ttl="10d")
    session.append(X)
    clock.advance("1d")
    session.append(X)
    first, second = session.history()
    assert 86_400 <= (second.timestamp - first.timestamp).total_seconds() < 86_460
    assert abs(clock.time() - time.time() - 86_400) < 1


def lease_info(cache: SessionCache) -> LeaseInfo | None:
    """Return the lease of the session `a`."""
    return cache.session("a").lease().info()


def test_lease_runs_out_as_the_clock_advances(fake: SessionCache, clock: FakeClock) -> None:
    """A lease whose time is over goes to the next worker, also to one that waits. Its former holder cannot write."""
    session = fake.create("a")
    lease = session.lease(ttl="30s")
    lease.acquire()
    other = fake.session("a").lease(ttl="30s", wait="20s", owner="other")
    taken = threading.Thread(target=other.acquire)
    taken.start()
    until(lambda: (found := lease_info(fake)) is not None and found.waiters == ["other"])
    clock.advance("31s")
    taken.join(15)
    assert not taken.is_alive()
    with pytest.raises(LeaseLost):
        lease.session.append(X)
    other.release()


def test_delayed_work_and_retries_follow(fake: SessionCache, clock: FakeClock) -> None:
    """Delayed work, and the next attempt at work that failed, can be claimed when the clock was advanced."""
    root = fake.create("root", ttl="1d")
    root.spawn("a", delay="10m").raise_if_refused()
    attempts: list[int] = []

    def handle(run: Any) -> None:
        attempts.append(run.attempt)
        if run.attempt == 1:
            raise ValueError("first")

    handled = [fake.worker("a", handle, backoff="1m", until_idle=True)]
    for pause in ("11m", "2m"):
        clock.advance(pause)
        handled.append(fake.worker("a", handle, backoff="1m", until_idle=True))
    assert (handled, attempts) == ([0, 1, 1], [1, 2])
    assert [child.status for child in root.children()] == ["completed"]


def test_deadline_of_a_run_follows(fake: SessionCache, clock: FakeClock) -> None:
    """A run whose time is over is timed out, and the handler at work on it is stopped, if the lease of the run lasts so long."""
    root = fake.create("root", ttl="1d")
    root.spawn("a", run_timeout="5m").raise_if_refused()
    begun, stopped, stop = threading.Event(), threading.Event(), threading.Event()

    def handle(run: Any) -> None:
        begun.set()
        run.should_stop.wait(20)
        stopped.set()

    worker = threading.Thread(
        target=fake.worker, args=("a", handle), kwargs={"stop": stop, "concurrency": 2, "ttl": "1h"}
    )
    worker.start()
    assert begun.wait(20)
    clock.advance("6m")
    assert stopped.wait(20)
    until(lambda: root.children()[0].status == "timed_out")
    stop.set()
    worker.join(20)


def test_channel_begins_anew_after_inactivity(fake: SessionCache, clock: FakeClock) -> None:
    """A conversation that was idle for longer than its inactivity gets a new session."""
    first = fake.conversation("channel", inactivity="30m")
    first.append(X)
    assert fake.conversation("channel", inactivity="30m").id == first.id
    clock.advance("31m")
    assert fake.conversation("channel", inactivity="30m").id != first.id


def test_waiting_worker_gets_delayed_work_at_once(fake: SessionCache, clock: FakeClock) -> None:
    """A claim that waits returns as soon as the clock reaches the time of the work."""
    fake.create("root", ttl="1d").spawn("a", delay="1h").raise_if_refused()
    found: list[Any] = []
    claim = threading.Thread(target=lambda: found.append(fake.claim("a", wait="30s")))
    claim.start()
    until(lambda: fake._context.hub._listeners)
    time.sleep(0.05)
    began = time.monotonic()
    clock.advance("61m")
    claim.join(20)
    assert time.monotonic() - began < 9  # before the worker would have asked by itself
    assert found[0] is not None
    found[0].release()


def test_both_kinds_of_caches_share_the_clock(clock: FakeClock) -> None:
    """A blocking and an asyncio cache on one fake server see the same sessions and the same time."""

    async def main() -> None:
        async with fake_async_cache() as cache:
            with SessionCache(cache) as blocking:
                await cache.create("a", ttl="30m")
                assert await asyncio.to_thread(blocking.get, "a") is not None
                clock.advance("31m")
                assert await cache.get("a") is None
                assert await asyncio.to_thread(blocking.get, "a") is None

    asyncio.run(main())


def test_clock_of_the_system_counts_after_the_block() -> None:
    """A clock is alone, ends with its block, and refuses a duration that is not valid."""
    with fake_clock() as clock:
        clock.advance("10h")
        with pytest.raises(InvalidInput, match="open already"), fake_clock():
            pass
        for wrong in (0, -1, "soon"):
            with pytest.raises(InvalidInput, match=r"^duration:"):
                clock.advance(wrong)
    with fake_cache() as cache:
        cache.create("a").append(X)
        assert abs(cache.session("a").history()[0].timestamp.timestamp() - time.time()) < 60


def test_time_of_the_process_does_not_change(clock: FakeClock) -> None:
    """The clock is that of the fake servers alone."""
    clock.advance("10h")
    assert abs(time.time() + 36_000 - clock.time()) < 1
