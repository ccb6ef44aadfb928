"""Watches that survive the death of a server, and lists while thousands of sessions expire."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, SessionCache
from redis_sessions._core.commands.watch_progress import WatchProgress
from redis_sessions._sync.services import entry_repair
from redis_sessions.cli.reindex import reindex
from tests.conftest import SLOW_TEST_ENGINES, Engines
from tests.support.index_agreement import disagreement, entries
from tests.support.processes import CONTEXT
from tests.support.servers import Server
from tests.support.watcher import Watcher, X, kinds

SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))


async def _watch_over_a_restart(
    server: Server, watchers: int, rate: int, seconds: float
) -> tuple[dict[str, list[int]], int]:
    """Watch sessions while the server is killed once. Return the seqs that each watcher saw, and the number of messages."""
    seen: dict[str, list[int]] = {f"s{number}": [] for number in range(watchers)}
    async with AsyncSessionCache.from_url(server.url, max_messages=None, retry_for=20) as cache:
        await asyncio.gather(*[cache.create(id) for id in seen])

        async def watch(id: str) -> None:
            async for event in cache.session(id).watch():
                if event.kind == "message":
                    seen[id].append(event.seq)

        async def write(id: str) -> int:
            session, due = cache.session(id), time.monotonic() + seconds
            count = 0
            while time.monotonic() < due or count < min_count:
                count = (await session.append(X)).last_seq
                await asyncio.sleep(random.uniform(0, 2 * watchers / rate))
            await session.complete()
            return count

        min_count = 1 + int(rate // watchers)  # messages of each session, however slow the machine is
        watching = [asyncio.create_task(watch(id)) for id in seen]
        writing = [asyncio.create_task(write(id)) for id in seen]
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
        counts = await asyncio.gather(*writing)
        await asyncio.wait_for(asyncio.gather(*watching), 30)
        assert [len(seqs) for seqs in seen.values()] == counts
        return seen, sum(counts)


def test_watch_over_a_restart_yields_every_message_once(own_server: Server) -> None:
    """One hundred watchers see every message of their session once and in order while the server is killed and restarted."""
    seen, total = asyncio.run(_watch_over_a_restart(own_server, 100, 1000, 15 if SOAK else 4))
    assert total > 1000
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in seen.values())


def test_watch_that_reads_no_missed_messages_has_gaps(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation shows that a watcher misses messages when it goes on with the next notification instead of reading."""

    def skip(self: WatchProgress, snapshot: Any, messages: Any, upper: int) -> Iterator[Any]:
        self.seq = min(upper, snapshot.last_seq)
        yield from self._status_events(change for change in snapshot.changes if change.last_seq <= self.seq)
        self.is_over = self.is_over or (snapshot.has_ended and self.seq >= snapshot.last_seq)

    monkeypatch.setattr(WatchProgress, "catch_up", skip)
    with pytest.raises(AssertionError):
        asyncio.run(_watch_over_a_restart(own_server, 30, 600, 3))


def _watch_in_child(cache: SessionCache, pipe: Any) -> None:
    for event in cache.session("a").watch():
        pipe.send(event.seq)


def test_forked_process_watches_with_the_cache_of_its_parent(own_server: Server) -> None:
    """A forked process sees all events of a session although its parent made the cache and watches the same session."""
    with SessionCache.from_url(own_server.url) as cache:
        session = cache.create("a")
        session.append(X)
        watcher = Watcher(session.watch())
        watcher.until(lambda events: len(events) == 1)
        mine, theirs = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_watch_in_child, args=(cache, theirs))
        child.start()
        assert mine.poll(10)
        session.append(X)
        session.complete()
        child.join(10)
        assert child.exitcode == 0
        assert [mine.recv() for _ in range(3)] == [1, 2, 2]
        assert kinds(watcher.end()) == ["message 1", "message 2", "status completed"]


def _write_and_list(url: str, namespace: str, seed: int, barrier: Any, seconds: float) -> None:
    """Create sessions and read lists. Fail when a list has a session that had expired before the list was read."""
    chance = random.Random(seed)
    with SessionCache.from_url(url, namespace=namespace) as cache:
        barrier.wait(60)
        until = time.time() + seconds
        while time.time() < until:
            for _ in range(5):
                cache.create(user_id=f"u{chance.randrange(20)}", ttl=600).append(X)
            began = time.time()
            for summary in cache.list(50, user_id=f"u{chance.randrange(20)}").items:
                if summary.name is not None:  # the name of a session that expires is its life in seconds
                    expired_at = summary.created_at.timestamp() + float(summary.name)
                    assert expired_at > began - 0.02, f"{summary.id} had expired when the list was read"


@pytest.mark.parametrize("name", SLOW_TEST_ENGINES)
def test_expired_session_is_not_listed_and_leaves_no_entry(
    name: str, engines: Engines, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No list shows an expired session while thousands expire, and after a reindex no index has an entry of one."""
    total, url = (100_000 if SOAK else 1500), engines.url(name)
    servers = [node.client for node in engines.nodes[name]]
    for server in servers:
        server.flushall()
    with SessionCache.from_url(url, namespace=namespace) as cache:
        life, all_expired_at = 60.0 if SOAK else 2.0, 0.0
        barrier = CONTEXT.Barrier(5)
        arguments = [(url, namespace, seed, barrier, life * 1.5) for seed in range(4)]
        processes = [CONTEXT.Process(target=_write_and_list, args=given) for given in arguments]
        for process in processes:
            process.start()
        barrier.wait(60)
        ends = time.time() + life
        for number in range(total):
            left = max(ends - time.time(), 0.5) + random.uniform(0, 1)
            cache.create(f"dead{number}", user_id=f"u{number % 20}", ttl=left, name=str(left))
            all_expired_at = max(all_expired_at, time.time() + left)
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0, 0]
        time.sleep(max(all_expired_at + 0.1 - time.time(), 0))
        monkeypatch.setattr(entry_repair, "CREATION_GRACE_MS", 0)  # else only entries older than 20 s are removed
        reindex(cache, lambda _: None)
        live = sum(1 for server in servers for _ in server.scan_iter(match=f"{namespace}:*:session:*", count=1000))
        assert live > 0
        assert disagreement(servers, namespace) == {}
        assert sum(map(len, entries(servers, namespace).values())) == live * 2 * 2
        assert cache.count() == live
    for server in servers:
        server.flushall()
