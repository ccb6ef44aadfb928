"""The registry of workers on every engine: who works, on what, and who died."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import threading
import time
import weakref
from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import AsyncRun, AsyncSessionCache, InvalidInput, Run, SessionCache, WorkerInfo
from redis_sessions._core.commands import workers
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import worker_keys
from redis_sessions._sync.services.worker_registry import WorkerRegistration
from tests.support.machine_load import measured_load
from tests.support.servers import Server, await_true
from tests.trees.runs import DEADLINE_SECONDS, spawn_runs


def beat(cache: SessionCache, id: str, *agents: str, ttl_ms: int = 30_000, holding: tuple[str, ...] = ()) -> None:
    """Send one heartbeat of a worker."""
    worker = workers.Registrant(id, "me", agents or ("a",), 4, ttl_ms)
    cache._executor.run(workers.heartbeat(worker_keys(cache.namespace), worker, holding, None))


def raw(cache: SessionCache, command: str, kind: str, *arguments: Any) -> Any:
    """Send a command to a key of the registry."""
    keys = worker_keys(cache.namespace)
    return cache._executor.run(Call((command, getattr(keys, kind), *arguments), keys, lambda reply: reply))


def age(cache: SessionCache, id: str, seconds: float) -> None:
    """Let a worker be silent for some seconds more."""
    raw(cache, "ZINCRBY", "heard_at", round(-seconds * 1000), id)


def listed(cache: SessionCache, **options: Any) -> list[WorkerInfo]:
    """Return all workers, page by page."""
    page = cache.workers(**options)
    found = page.items
    while page.cursor is not None:
        page = cache.workers(**options, cursor=page.cursor)
        found = [*found, *page.items]
    return found


def registration(cache: SessionCache, ttl_ms: int = 30_000) -> WorkerRegistration:
    """Return the registration of a worker that has not begun."""
    return WorkerRegistration(cache._context, ["a"], 4, ttl_ms, "me")


def test_worker_is_listed_with_what_it_holds_until_it_stops(cache: SessionCache) -> None:
    """A worker is listed from its start, shows its runs while they last, and leaves the list when it stops."""
    stop, release = threading.Event(), threading.Event()

    def handler(run: Run) -> None:
        release.wait(DEADLINE_SECONDS)

    options = {"concurrency": 3, "stop": stop, "owner": "worker-1", "ttl": 20}
    worker = threading.Thread(target=cache.worker, args=("a", handler), kwargs=options, daemon=True)
    worker.start()
    try:
        await_true(lambda: len(cache.workers().items) == 1)
        runs = spawn_runs(cache.create(), "t1", "t2")
        await_true(lambda: set(cache.workers().items[0].holding) == set(runs))
        (found,) = cache.workers("a").items
        assert (found.owner, found.host, found.pid) == ("worker-1", platform.node(), os.getpid())
        assert (found.agents, found.concurrency, found.ttl) == (("a",), 3, timedelta(seconds=20))
        assert found.is_alive
        assert found.started_at <= found.last_heard_at
        assert found.silent_for < timedelta(seconds=20)
        assert cache.workers("other").items == []
        release.set()
        await_true(lambda: cache.workers().items[0].holding == ())
        assert cache.workers().items[0].started_at == found.started_at
    finally:
        release.set()
        stop.set()
        worker.join(DEADLINE_SECONDS)
    assert cache.workers().items == []


def test_worker_of_asyncio_is_listed_until_it_stops() -> None:
    """A worker in an event loop shows its run, and leaves the list when it stops."""

    async def main() -> None:
        async with AsyncSessionCache.from_url("fake://") as cache:
            stop, release = asyncio.Event(), asyncio.Event()

            async def handler(run: AsyncRun) -> None:
                await release.wait()

            worker = asyncio.create_task(cache.worker("a", handler, stop=stop))
            (await (await cache.create()).spawn("a")).raise_if_refused()
            while not [one for one in (await cache.workers()).items if one.holding]:
                await asyncio.sleep(0.02)
            release.set()
            stop.set()
            await worker
            assert (await cache.workers()).items == []

    asyncio.run(asyncio.wait_for(main(), DEADLINE_SECONDS))


@pytest.mark.parametrize(
    ("ttl_ms", "silent", "is_alive"), [(30_000, 29, True), (30_000, 32, False), (100, 1.5, True), (100, 4, False)]
)
def test_silent_worker_is_dead_after_its_ttl(cache: SessionCache, ttl_ms: int, silent: float, is_alive: bool) -> None:
    """A worker is dead when it was silent for longer than its ttl, at least 2 s, and a second more."""
    beat(cache, "w1", ttl_ms=ttl_ms)
    age(cache, "w1", silent)
    (found,) = cache.workers().items
    assert found.is_alive is is_alive
    assert found.silent_for >= timedelta(seconds=silent)


def test_worker_that_was_heard_before_the_clock_went_back_is_dead(cache: SessionCache) -> None:
    """A time of 500 s in the future says nothing of a worker, until the worker is heard again."""
    beat(cache, "w1")
    age(cache, "w1", -500)
    assert not cache.workers().items[0].is_alive
    beat(cache, "w1")
    assert cache.workers().items[0].is_alive


def test_workers_that_were_silent_for_an_hour_leave(cache: SessionCache) -> None:
    """A worker that was silent for an hour is not listed, and each heartbeat removes 100 of them."""
    raw(cache, "ZADD", "heard_at", *[part for n in range(250) for part in (1000 + n, f"old{n}")])
    raw(cache, "HSET", "records", *[part for n in range(250) for part in (f"old{n}", "{}")])
    beat(cache, "w1")
    assert raw(cache, "ZCARD", "heard_at") == raw(cache, "HLEN", "records") == 151
    assert [one.id for one in cache.workers().items] == ["w1"]
    beat(cache, "w1")
    beat(cache, "w1")
    assert raw(cache, "ZCARD", "heard_at") == raw(cache, "HLEN", "records") == 1


def test_pages_hold_each_worker(cache: SessionCache) -> None:
    """Pages begin with the worker that is silent for longest, and a filter by agent fills its pages."""
    for n in range(7):
        beat(cache, f"w{n}", "b" if n % 3 else "a", "c")
        age(cache, f"w{n}", 7 - n)
    first = cache.workers(limit=3)
    assert [one.id for one in first.items] == ["w0", "w1", "w2"]
    assert [one.id for one in listed(cache, limit=3)] == [f"w{n}" for n in range(7)]
    assert cache.workers(limit=7).cursor is None
    assert [one.id for one in cache.workers("b", limit=2).items] == ["w1", "w2"]
    assert [one.id for one in listed(cache, agent_id="b", limit=2)] == ["w1", "w2", "w4", "w5"]
    assert cache.workers("b", limit=4).cursor is None
    beat(cache, "w2")
    assert [one.id for one in cache.workers(limit=9, cursor=first.cursor).items] == ["w3", "w4", "w5", "w6", "w2"]
    for bad in ("nonsense", " w1", "1", "-1 w1", "²3 w1", 3):
        with pytest.raises(InvalidInput, match="cursor"):
            cache.workers(cursor=bad)  # type: ignore[arg-type]
    for options in ({"limit": 0}, {"limit": 1001}, {"agent_id": "a:b"}):
        with pytest.raises(InvalidInput):
            cache.workers(**options)


def test_page_ends_early_when_its_records_are_long(cache: SessionCache) -> None:
    """A page has at most about 1 MB, and the pages together hold each worker."""
    holding = tuple(f"{n:0>250}" for n in range(1000))
    for n in range(6):
        beat(cache, f"w{n}", holding=holding)
        age(cache, f"w{n}", 6 - n)
    assert len(cache.workers().items) == 3
    assert [one.id for one in listed(cache)] == [f"w{n}" for n in range(6)]


@pytest.mark.parametrize("record", ["", "no JSON", "[]", "{}", '{"ttl_ms":"x"}', '{"ttl_ms":1,"started_ms":1e99}'])
def test_damaged_record_hides_no_other_worker(cache: SessionCache, record: str) -> None:
    """A record that cannot be read is left out of a page."""
    for n in range(3):
        beat(cache, f"w{n}")
    raw(cache, "HSET", "records", "w1", record)
    assert sorted(one.id for one in listed(cache)) == ["w0", "w2"]
    assert sorted(one.id for one in listed(cache, limit=1)) == ["w0", "w2"]
    raw(cache, "HDEL", "records", "w0")
    assert [one.id for one in listed(cache)] == ["w2"]


@pytest.mark.parametrize(("ttl_ms", "seconds"), [(100, 1), (3000, 1.5), (9000, 4.5), (30_000, 15), (86_400_000, 15)])
def test_interval_is_half_of_the_ttl(ttl_ms: int, seconds: float) -> None:
    """A worker is heard at half of its ttl, from once a second to once in 15 s."""
    assert workers.interval_seconds(ttl_ms) == seconds


def test_changes_are_sent_at_most_once_a_second(server: Server, namespace: str) -> None:
    """A worker that takes and ends 2,000 runs in 2.5 s sends about one heartbeat a second, and an idle worker one in 15 s."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        shown = registration(cache)
        shown.start()
        await_true(lambda: len(cache.workers().items) == 1)
        server.client.config_resetstat()
        began = time.monotonic()
        for n in range(2000):
            shown.update([f"run-{n}"])
            time.sleep(max(began + 2.5 - time.monotonic(), 0) / (2000 - n))
        assert 2 <= _scripts(server) <= (time.monotonic() - began) + 1.5
        await_true(lambda: cache.workers().items[0].holding == ("run-1999",))
        server.client.config_resetstat()
        for holding in (["other"], ["run-1999"]):
            shown.update(holding)
        time.sleep(1.5)
        assert _scripts(server) == 0
        shown.stop()


def _scripts(server: Server) -> int:
    return int(server.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_worker_with_short_leases_stays_alive(server: Server, namespace: str) -> None:
    """A worker that is heard once a second does not count as dead in between."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        shown = registration(cache, ttl_ms=100)
        shown.start()
        await_true(lambda: len(cache.workers().items) == 1)
        due = time.monotonic() + 3.5
        while time.monotonic() < due:
            assert cache.workers().items[0].is_alive
            time.sleep(0.05)
        shown.stop()
        assert cache.workers().items == []


def test_outage_is_logged_at_debug_and_stops_no_worker(own_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """While the server is gone, `update` returns at once and `stop` in 2 s. When the server is back, a worker is heard again."""
    caplog.set_level(logging.DEBUG, "redis_sessions.worker")
    with SessionCache.from_url(own_server.url, retry_for=0.2) as cache, measured_load() as load:
        stopped, heard = registration(cache, ttl_ms=100), registration(cache, ttl_ms=100)
        stopped.start()
        await_true(lambda: len(cache.workers().items) == 1)
        own_server.kill()
        heard.start()
        began = time.monotonic()
        heard.update(["x"])
        assert time.monotonic() - began < load.allow(0.5, wakeups=2)
        await_true(lambda: "a heartbeat of worker" in caplog.text)
        began = time.monotonic()
        stopped.stop()
        assert time.monotonic() - began < load.allow(2.5, wakeups=4)
        assert {record.levelno for record in caplog.records} == {logging.DEBUG}
        own_server.start()
        await_true(lambda: heard.id in [one.id for one in cache.workers().items])
        heard.stop()
        assert heard.id not in [one.id for one in cache.workers().items]


class SlowHeartbeats:
    """An executor that sends heartbeats 0.3 s late."""

    def __init__(self, executor: Any) -> None:
        self._executor = executor

    def run(self, call: Call[Any]) -> Any:
        """Send a call."""
        if call.script is not None and call.script.name == "workers/heartbeat":
            time.sleep(0.3)
        return self._executor.run(call)


def test_heartbeat_in_flight_brings_no_stopped_worker_back(cache: SessionCache) -> None:
    """A worker that stops during a heartbeat is not listed, and a timer that fired before the stop sends nothing."""
    shown = registration(cache)
    shown._executor = SlowHeartbeats(cache._executor)  # type: ignore[assignment]
    shown.start()
    time.sleep(0.1)
    shown.stop()
    time.sleep(0.4)
    assert cache.workers().items == []
    shown._beat()
    shown._show_change()
    shown.update(["late"])
    assert shown._change is None
    assert cache.workers().items == []


def test_dropped_registration_ends_at_once(server: Server, namespace: str) -> None:
    """The timers do not keep a registration that was dropped without `stop`, even without a garbage collection."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        gc.disable()
        try:
            shown = registration(cache)
            dropped = weakref.ref(shown)
            shown.start()
            await_true(lambda: len(cache.workers().items) == 1)
            shown.update(["x"])
            del shown
            await_true(lambda: dropped() is None, 14)  # the next heartbeat comes after 15 s
        finally:
            gc.enable()


def test_registry_is_bounded(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker beyond the bound works without an entry, and those that are registered are heard as before."""
    monkeypatch.setattr(workers, "MAX_WORKERS", 3)
    for number in range(5):
        beat(cache, f"w{number}")
    assert {one.id for one in listed(cache)} == {"w0", "w1", "w2"}
    age(cache, "w0", 100)
    beat(cache, "w0")
    assert all(one.silent_for < timedelta(seconds=50) for one in listed(cache))
    raw(cache, "ZADD", "heard_at", 1, "w1")  # silent for more than an hour
    beat(cache, "w3")
    assert {one.id for one in listed(cache)} == {"w0", "w2", "w3"}
