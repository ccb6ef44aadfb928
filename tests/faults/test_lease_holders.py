"""Workers that die, hang or have a wrong clock in the middle of a turn. Without its guard, each run fails."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import InvalidInput, LeaseLost, SessionCache, SessionLocked, SessionsError
from redis_sessions._core.protocol import linker, scripts
from tests.support.history import Journal, find_violations, read_journals, release_quietly, workers, write_turns
from tests.support.lease_waiters import FREE
from tests.support.machine_load import measured_load
from tests.support.processes import CONTEXT
from tests.support.servers import Server, await_true

KILLS = 200 if os.environ.get("REDIS_SESSIONS_SOAK") else 12
TTL = 0.5


def create(server: Server, namespace: str) -> SessionCache:
    """Return a cache with the session `shared`."""
    cache = SessionCache.from_url(server.url, namespace=namespace)
    cache.create("shared", max_messages=None)
    return cache


def test_killed_holder_loses_nothing_and_delays_the_next_by_its_ttl(
    server: Server, namespace: str, tmp_path: Path
) -> None:
    """After SIGKILL of each holder, no message is lost, duplicated or interleaved, and the next waiter has the lease in time."""
    arguments = (server.url, namespace, str(tmp_path))
    with create(server, namespace) as cache, measured_load() as load:
        session, kills = cache.session("shared"), []
        running = {
            f"w{n}": CONTEXT.Process(target=write_turns, args=(*arguments, f"w{n}", 10_000), daemon=True)
            for n in range(4)
        }
        for process in running.values():
            process.start()
        number = len(running)
        for _ in range(KILLS):
            holder = None
            while holder is None or holder.owner not in running or not holder.waiters:  # a new process starts slowly
                time.sleep(random.uniform(0, 0.02))
                holder = session.lease().info()
            victim = running.pop(holder.owner)
            assert victim.pid
            os.kill(victim.pid, signal.SIGKILL)
            killed = time.time()
            victim.join()
            name = f"w{number}"
            number += 1
            running[name] = CONTEXT.Process(target=write_turns, args=(*arguments, name, 10_000), daemon=True)
            running[name].start()
            while not (after := session.lease().info()) or after.fence <= holder.fence:
                assert time.time() - killed < load.allow(5, wakeups=4)
                time.sleep(0.002)
            kills.append((holder.fence, killed))
        for process in running.values():
            process.kill()
            process.join()
        events = read_journals(tmp_path)
        assert find_violations(session.history(), events) == []
        acquired = {event["fence"]: event["at"] for event in events if event["what"] == "acquired"}
        waits = [acquired[fence + 1] - killed for fence, killed in kills if fence + 1 in acquired]
        assert len(waits) >= KILLS / 3  # the next holder may be killed before it writes to its journal
        assert statistics.median(waits) < load.allow(TTL + 0.2, wakeups=4)
        assert max(waits) < load.allow(2 * TTL + 1, wakeups=20)  # a new process starts at the same time
    server.client.flushall()


def test_turns_without_leases_are_interleaved(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """The ablation shows that appends alone keep every message, but not the messages of a turn together."""
    with create(own_server, namespace) as cache:
        with workers(write_turns, ["a", "b", "c"], own_server.url, namespace, str(tmp_path), 15, leased=False):
            pass
        violations = find_violations(cache.session("shared").history(), read_journals(tmp_path))
    assert violations
    assert all("torn" in violation for violation in violations)


def _write_stopped_turn(url: str, namespace: str, folder: str, worker: str, fenced: bool) -> None:
    """Write half a turn, stop the process with SIGSTOP, and write the other half when the process goes on."""
    if not fenced:
        _replace_lua("check_lease", "local function check_lease() end\n")
    journal = Journal(Path(folder) / f"{worker}.log")
    with SessionCache.from_url(url, namespace=namespace) as cache:
        session = cache.session("shared")
        lease = session.lease(TTL, 10, owner=worker).acquire()
        for number in range(1, 5):
            payload = {"role": "user", "writer": worker, "number": number, "turn": f"{worker}.0", "fence": lease.fence}
            try:
                result = session.append(payload, batch_id=f"{worker}.{number}")
                journal.write(what="acknowledged", batch=f"{worker}.{number}", seq=result.first_seq)
            except LeaseLost:
                journal.write(what="refused", batch=f"{worker}.{number}")
            if number == 2:
                os.kill(os.getpid(), signal.SIGSTOP)
        if fenced:
            release_quietly(lease)


def _replace_lua(name: str, text: str) -> None:
    """Replace a library function in all scripts of this process."""
    assert name in linker.library()
    linker.library()[name] = text
    scripts.script.cache_clear()


def _stop_and_continue(server: Server, namespace: str, folder: Path, fenced: bool) -> list[str]:
    """Stop a holder past its lease, write another worker's turn, and let the holder go on. Return the violations."""
    with create(server, namespace) as cache:
        session = cache.session("shared")
        process = CONTEXT.Process(
            target=_write_stopped_turn, args=(server.url, namespace, str(folder), "a", fenced), daemon=True
        )
        process.start()
        while session.info().count < 2:
            time.sleep(0.01)
        time.sleep(0.05)
        with session.lease(5, 5) as lease:
            for number in (1, 2):
                session.append({"role": "user", "writer": "b", "number": number, "turn": "b.0", "fence": lease.fence})
            assert process.pid
            os.kill(process.pid, signal.SIGCONT)
            process.join(20)
            session.append({"role": "user", "writer": "b", "number": 3, "turn": "b.0", "fence": lease.fence})
        violations = find_violations(session.history(), read_journals(folder))
        assert session.info().count == (5 if fenced else 7)
    server.client.flushall()
    return violations


def test_holder_stopped_past_its_lease_is_refused(server: Server, namespace: str, tmp_path: Path) -> None:
    """The late writes of a stopped holder raise LeaseLost, and the next holder's turn stays together."""
    assert _stop_and_continue(server, namespace, tmp_path, fenced=True) == []
    assert [event["what"] for event in read_journals(tmp_path)] == [
        "acknowledged",
        "acknowledged",
        "refused",
        "refused",
    ]


def test_holder_without_fence_check_writes_into_the_next_turn(
    own_server: Server, namespace: str, tmp_path: Path
) -> None:
    """The ablation shows that late writes of a stopped holder enter the next turn when no script checks the fence."""
    violations = _stop_and_continue(own_server, namespace, tmp_path, fenced=False)
    assert any("comes after" in violation for violation in violations)
    assert any("torn apart" in violation for violation in violations)


def _write_turns_an_hour_ahead(*arguments: Any, **options: Any) -> None:
    """Run a worker whose clock is an hour ahead."""
    real = time.time
    time.time = lambda: real() + 3600
    write_turns(*arguments, **options)


def _acquire_at_once(url: str, namespace: str, folder: str, is_trusted: bool) -> None:
    """Ask for a held lease without a wait. With `is_trusted`, scripts take the time from a worker that is an hour ahead."""
    if is_trusted:
        now_ms = int((time.time() + 3600) * 1000)
        _replace_lua("read_clock", f"local function read_clock() return {now_ms}, {now_ms}000 end\n")
    with SessionCache.from_url(url, namespace=namespace) as cache:
        try:
            fence = cache.session("shared").lease(5, 0).acquire().fence
        except SessionLocked:
            fence = 0
        Journal(Path(folder) / "late.log").write(what="asked", fence=fence)


def test_worker_with_a_wrong_clock_changes_nothing(server: Server, namespace: str, tmp_path: Path) -> None:
    """A worker whose clock is an hour ahead takes over no lease, and no other worker takes over its lease."""
    arguments = (server.url, namespace, str(tmp_path))
    with create(server, namespace) as cache:
        with (
            workers(_write_turns_an_hour_ahead, ["late"], *arguments, 15, ttl=20),
            workers(write_turns, ["a", "b"], *arguments, 15, ttl=20),
        ):
            pass
        events = read_journals(tmp_path)
        assert find_violations(cache.session("shared").history(), events) == []
        assert not [event for event in events if event["what"] == "lost"]
    server.client.flushall()


@pytest.mark.parametrize("is_trusted", [False, True])
def test_script_that_trusts_a_wrong_clock_takes_the_lease(
    own_server: Server, namespace: str, tmp_path: Path, is_trusted: bool
) -> None:
    """The ablation shows that a script takes a held lease only when the script trusts the clock of a worker."""
    with create(own_server, namespace) as cache:
        session = cache.session("shared")
        lease = session.lease(60).acquire()
        arguments = (own_server.url, namespace, str(tmp_path), is_trusted)
        process = CONTEXT.Process(target=_acquire_at_once, args=arguments, daemon=True)
        process.start()
        process.join(20)
        assert [event["fence"] for event in read_journals(tmp_path)] == [2 if is_trusted else 0]
        if is_trusted:
            with pytest.raises(LeaseLost):
                session.append({"role": "user", "content": "x"})
        else:
            lease.release()


def _wait_in_child(cache: SessionCache, folder: str) -> None:
    """Wait for the lease, and write to the journal when the lease is acquired."""
    journal = Journal(Path(folder) / "child.log")
    journal.write(what="begins")
    with cache.session("shared").lease(30, 20) as lease:
        journal.write(what="acquired", fence=lease.fence)


def test_forked_process_is_notified_of_its_grant(server: Server, namespace: str, tmp_path: Path) -> None:
    """A forked process that waits with its parent's cache is notified, although the parent had subscribed before the fork."""
    with create(server, namespace) as cache, measured_load() as load:
        session = cache.session("shared")
        assert cache._context.hub.try_subscribe()
        with session.lease(30) as lease:
            child = multiprocessing.get_context("fork").Process(target=_wait_in_child, args=(cache, str(tmp_path)))
            child.start()
            await_true(lambda: bool((lease.info() or FREE).waiters))
        released = time.time()
        child.join(10)
        acquired = next(event for event in read_journals(tmp_path) if event["what"] == "acquired")
        assert acquired["fence"] == 2
        assert acquired["at"] - released < load.allow(0.5, wakeups=4)
    server.client.flushall()


def test_lease_whose_release_failed_is_not_renewed(own_server: Server, namespace: str) -> None:
    """A lease whose block ends during an outage runs out, and the next worker acquires the lease."""
    with SessionCache.from_url(own_server.url, namespace=namespace) as cache:
        lease = cache.create("shared").lease(2).acquire()
        cache._executor.retry_for = 0.3
        own_server.kill()
        with pytest.raises(SessionsError):
            lease.release()
        own_server.start()
        with SessionCache.from_url(own_server.url, namespace=namespace) as other:
            with other.session("shared").lease(5, 30) as second:
                assert second.fence == lease.fence + 1
            assert not lease.is_held


def test_waiter_of_a_closed_cache_does_not_delay_the_next(own_server: Server, namespace: str) -> None:
    """Waiters whose cache is closed raise InvalidInput, and after the release the lease is free at once."""
    with create(own_server, namespace) as cache, cache.session("shared").lease(30) as lease, measured_load() as load:
        other = SessionCache.from_url(own_server.url, namespace=namespace)
        errors: list[str] = []

        def wait() -> None:
            try:
                other.session("shared").lease(30, 20).acquire()
            except InvalidInput as problem:
                errors.append(str(problem))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        await_true(lambda: len((lease.info() or FREE).waiters) == 3)
        other.close()
        for thread in threads:
            thread.join(5)
        assert errors == ["cache: the cache is closed"] * 3
        lease.release()
        began = time.monotonic()
        with cache.session("shared").lease(5, 5):
            assert time.monotonic() - began < load.allow(0.5, wakeups=4)
