"""Workers that die, hang or have a wrong clock in the middle of a turn. Each run fails when its guard is switched off."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from redis_sessions import InvalidInput, LeaseLost, SessionCache, SessionLocked, SessionsError
from redis_sessions._core import messages, scripts
from tests.history import SPAWN, Journal, events, problems, with_lease_gone, workers, write_turns
from tests.servers import Server, await_true

KILLS = 200 if os.environ.get("REDIS_SESSIONS_SOAK") else 12
TTL = 0.5


def create(server: Server, namespace: str) -> SessionCache:
    cache = SessionCache.from_url(server.url, namespace=namespace)
    cache.create("shared", max_messages=None)
    return cache


def test_killed_holders_lose_nothing_and_hold_up_nobody(server: Server, namespace: str, tmp_path: Path) -> None:
    """SIGKILL of whoever holds the lease, again and again: 0 lost, 0 doubled, 0 interleaved; the next one is in soon."""
    arguments = (server.url, namespace, str(tmp_path))
    with create(server, namespace) as cache:
        session, late = cache.session("shared"), []
        running = {
            f"w{n}": SPAWN.Process(target=write_turns, args=(*arguments, f"w{n}", 10_000), daemon=True)
            for n in range(4)
        }
        for process in running.values():
            process.start()
        number = len(running)
        for _ in range(KILLS):
            holder = None
            while holder is None or holder.owner not in running:
                time.sleep(random.uniform(0, 0.02))
                holder = session.lease().info()
            victim = running.pop(holder.owner)
            assert victim.pid
            os.kill(victim.pid, signal.SIGKILL)
            killed = time.time()
            victim.join()
            name = f"w{number}"
            number += 1
            running[name] = SPAWN.Process(target=write_turns, args=(*arguments, name, 10_000), daemon=True)
            running[name].start()
            while not (after := session.lease().info()) or after.fence <= holder.fence:
                assert time.time() - killed < 5
                time.sleep(0.002)
            late.append((holder.fence, killed))
        for process in running.values():
            process.kill()
            process.join()
        noted = events(tmp_path)
        assert problems(session.history(), noted) == []
        acquired = {event["fence"]: event["at"] for event in noted if event["what"] == "acquired"}
        waits = [acquired[fence + 1] - killed for fence, killed in late if fence + 1 in acquired]
        assert len(waits) > KILLS / 2
        assert max(waits) < TTL + 0.2
    server.client.flushall()


def test_without_leases_turns_are_torn_apart(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """The ablation: appends alone keep every message, but not a turn together."""
    with create(own_server, namespace) as cache:
        with workers(write_turns, ["a", "b", "c"], own_server.url, namespace, str(tmp_path), 15, leased=False):
            pass
        found = problems(cache.session("shared").history(), events(tmp_path))
    assert found
    assert all("torn" in problem for problem in found)


def _sleepy(url: str, namespace: str, folder: str, worker: str, fenced: bool) -> None:
    """Writes half a turn, is stopped past its lease, and goes on with it."""
    if not fenced:
        _replace("fence", "local function fence() end\n")
    journal = Journal(Path(folder) / f"{worker}.log")
    with SessionCache.from_url(url, namespace=namespace) as cache:
        session = cache.session("shared")
        lease = session.lease(TTL, 10, owner=worker).acquire()
        for number in range(1, 5):
            payload = {"role": "user", "writer": worker, "number": number, "turn": f"{worker}.0", "fence": lease.fence}
            try:
                result = session.append(payload, batch_id=f"{worker}.{number}")
                journal.note(what="acknowledged", batch=f"{worker}.{number}", seq=result.first_seq)
            except LeaseLost:
                journal.note(what="refused", batch=f"{worker}.{number}")
            if number == 2:
                os.kill(os.getpid(), signal.SIGSTOP)
        if fenced:
            with_lease_gone(lease)


def _replace(name: str, text: str) -> None:
    """Another function in the place of one that scripts include."""
    library = scripts._library
    scripts._library = lambda wanted: text if wanted == name else library(wanted)  # type: ignore[assignment]
    scripts.script.cache_clear()
    messages._APPEND = scripts.script("messages/append")


def _stop_and_go_on(server: Server, namespace: str, folder: Path, fenced: bool) -> list[str]:
    with create(server, namespace) as cache:
        session = cache.session("shared")
        process = SPAWN.Process(target=_sleepy, args=(server.url, namespace, str(folder), "a", fenced), daemon=True)
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
        found = problems(session.history(), events(folder))
        assert session.info().count == (5 if fenced else 7)
    server.client.flushall()
    return found


def test_a_holder_that_was_stopped_past_its_lease_is_refused(server: Server, namespace: str, tmp_path: Path) -> None:
    """SIGSTOP, another's turn, SIGCONT: its late writes are LeaseLost, and the other's turn stands together."""
    assert _stop_and_go_on(server, namespace, tmp_path, fenced=True) == []
    assert [event["what"] for event in events(tmp_path)] == ["acknowledged", "acknowledged", "refused", "refused"]


def test_without_the_fence_its_late_writes_land(own_server: Server, namespace: str, tmp_path: Path) -> None:
    """The ablation: they stand in the middle of the other's turn."""
    found = _stop_and_go_on(own_server, namespace, tmp_path, fenced=False)
    assert any("comes after" in problem for problem in found)
    assert any("torn apart" in problem for problem in found)


def _hour_ignored(*arguments: Any) -> None:
    """A worker whose clock is an hour ahead."""
    real = time.time
    time.time = lambda: real() + 3600
    write_turns(*arguments)


def _take_at_once(url: str, namespace: str, folder: str, believed: bool) -> None:
    """A worker an hour ahead that asks for a lease another holds; `believed`, by scripts that take its word for the time."""
    if believed:
        _replace("clock", f"local function clock() return '{int((time.time() + 3600) * 1000)}' end\n")
    with SessionCache.from_url(url, namespace=namespace) as cache:
        try:
            fence = cache.session("shared").lease(5, 0).acquire().fence
        except SessionLocked:
            fence = 0
        Journal(Path(folder) / "late.log").note(what="asked", fence=fence)


def test_a_workers_clock_means_nothing(server: Server, namespace: str, tmp_path: Path) -> None:
    """An hour ahead, it takes over nobody's lease, and nobody takes over its."""
    arguments = (server.url, namespace, str(tmp_path))
    with create(server, namespace) as cache:
        with workers(_hour_ignored, ["late"], *arguments, 15), workers(write_turns, ["a", "b"], *arguments, 15):
            pass
        noted = events(tmp_path)
        assert problems(cache.session("shared").history(), noted) == []
        assert not [event for event in noted if event["what"] == "lost"]
    server.client.flushall()


@pytest.mark.parametrize("believed", [False, True])
def test_scripts_that_believed_it_would_take_leases_away(
    own_server: Server, namespace: str, tmp_path: Path, believed: bool
) -> None:
    """The ablation: a held lease is refused to it, but not by its own clock."""
    with create(own_server, namespace) as cache:
        session = cache.session("shared")
        lease = session.lease(60).acquire()
        arguments = (own_server.url, namespace, str(tmp_path), believed)
        process = SPAWN.Process(target=_take_at_once, args=arguments, daemon=True)
        process.start()
        process.join(20)
        assert [event["fence"] for event in events(tmp_path)] == [2 if believed else 0]
        if believed:
            with pytest.raises(LeaseLost):
                session.append({"role": "user", "content": "x"})
        else:
            lease.release()


def _wait_in_child(cache: SessionCache, folder: str) -> None:
    journal = Journal(Path(folder) / "child.log")
    journal.note(what="begins")
    with cache.session("shared").lease(30, 20) as lease:
        journal.note(what="acquired", fence=lease.fence)


def test_a_forked_process_hears_its_turn(server: Server, namespace: str, tmp_path: Path) -> None:
    """Though its parent made the cache, and listened before."""
    with create(server, namespace) as cache:
        session = cache.session("shared")
        cache._wakes.listen()
        with session.lease(30) as lease:
            child = multiprocessing.get_context("fork").Process(target=_wait_in_child, args=(cache, str(tmp_path)))
            child.start()
            await_true(lambda: bool(lease.info().line))  # type: ignore[union-attr]
        released = time.time()
        child.join(10)
        acquired = next(event for event in events(tmp_path) if event["what"] == "acquired")
        assert acquired["fence"] == 2
        assert acquired["at"] - released < 0.5
    server.client.flushall()


def test_a_block_that_ends_in_an_outage_is_not_renewed(own_server: Server, namespace: str) -> None:
    """Its release failed; the lease runs out, and the next one has it."""
    with SessionCache.from_url(own_server.url, namespace=namespace, retry_for=0.3) as cache:
        session = cache.create("shared")
        with pytest.raises(SessionsError), session.lease(1) as lease:
            own_server.kill()
        own_server.start()
        with session.lease(5, 5) as second:
            assert second.fence == lease.fence + 1
        assert not lease.is_held


def test_a_closed_cache_leaves_no_ghost_in_line(own_server: Server, namespace: str) -> None:
    """Who waited is told; the line goes on without them, at once."""
    with create(own_server, namespace) as cache, cache.session("shared").lease(30) as lease:
        other = SessionCache.from_url(own_server.url, namespace=namespace)
        told: list[str] = []

        def wait() -> None:
            try:
                other.session("shared").lease(30, 20).acquire()
            except InvalidInput as problem:
                told.append(str(problem))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        await_true(lambda: len(lease.info().line) == 3)  # type: ignore[union-attr]
        other.close()
        for thread in threads:
            thread.join(5)
        assert told == ["cache: it is closed"] * 3
        lease.release()
        began = time.monotonic()
        with cache.session("shared").lease(5, 5):
            assert time.monotonic() - began < 0.5
