"""Watching over a server's death, and listing while thousands expire."""

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
from redis_sessions._core.watching import Progress
from tests.conftest import FEW, Engines
from tests.fleet import CONTEXT
from tests.indexes.agreement import disagreement, entries
from tests.servers import Server
from tests.watching.watcher import Watcher, X, kinds

SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))


async def _watched(server: Server, watchers: int, rate: int, seconds: float) -> tuple[dict[str, list[int]], int]:
    """What each watcher saw while sessions were written and the server was killed once, and how many there were to see."""
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
            while time.monotonic() < due:
                count = (await session.append(X)).last_seq
                await asyncio.sleep(random.uniform(0, 2 * watchers / rate))
            await session.complete()
            return count

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


def test_every_watcher_sees_every_message_once(own_server: Server) -> None:
    """In order, over the death and return of the server."""
    seen, total = asyncio.run(_watched(own_server, 100, 1000, 15 if SOAK else 4))
    assert total > 1000
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in seen.values())


def test_without_reading_what_was_missed_it_is_missed(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ablation: who goes on with what he hears next has gaps."""

    def forget(self: Progress, standing: Any, messages: Any, upper: int) -> Iterator[Any]:
        self.seq = min(upper, standing.last)
        yield from self._changed(change for change in standing.changes if change.seq <= self.seq)

    monkeypatch.setattr(Progress, "caught_up", forget)
    with pytest.raises(AssertionError):
        asyncio.run(_watched(own_server, 30, 600, 3))


def _watch_in_child(cache: SessionCache, pipe: Any) -> None:
    for event in cache.session("a").watch():
        pipe.send(event.seq)


def test_a_forked_process_watches(own_server: Server) -> None:
    """Though its parent made the cache, and watches the same session."""
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


def _list_and_write(url: str, namespace: str, seed: int, till: float) -> None:
    """Pages through lists, and writes what lives; leaves with an error when it is shown what is dead."""
    chance = random.Random(seed)
    with SessionCache.from_url(url, namespace=namespace) as cache:
        while time.time() < till:
            for _ in range(5):
                cache.create(user_id=f"u{chance.randrange(20)}", ttl=600).append(X)
            began = time.time()
            for one in cache.list(50, user=f"u{chance.randrange(20)}").items:
                if one.name is not None:  # for how long it lives
                    assert one.created_at.timestamp() + float(one.name) > began - 0.02, f"{one.id} was dead for a while"


@pytest.mark.parametrize("name", FEW)
def test_what_expires_is_not_listed_and_leaves_no_entry(name: str, engines: Engines, namespace: str) -> None:
    """Thousands expire while four processes list and write: no list shows a dead one, two sweeps later no index has it."""
    total, url = (100_000 if SOAK else 1500), engines.url(name)
    servers = [node.client for node in engines.nodes[name]]
    for server in servers:
        server.flushall()
    with SessionCache.from_url(url, namespace=namespace) as cache:
        lives, over = 60.0 if SOAK else 2.0, 0.0
        till = time.time() + lives * 1.5
        fleet = [CONTEXT.Process(target=_list_and_write, args=(url, namespace, seed, till)) for seed in range(4)]
        for process in fleet:
            process.start()
        ends = time.time() + lives
        for number in range(total):
            left = max(ends - time.time(), 0.5) + random.uniform(0, 1)
            cache.create(f"dead{number}", user_id=f"u{number % 20}", ttl=left, name=str(left))
            over = max(over, time.time() + left)
        for process in fleet:
            process.join()
        assert [process.exitcode for process in fleet] == [0, 0, 0, 0]
        time.sleep(max(over + 0.1 - time.time(), 0))
        for _ in range(2):
            cache.sweep()
        live = sum(1 for server in servers for _ in server.scan_iter(match=f"{namespace}:*:session:*", count=1000))
        assert live > 0
        assert disagreement(servers, namespace) == {}
        assert sum(map(len, entries(servers, namespace).values())) == live * 2 * 2
        assert cache.count() == live
    for server in servers:
        server.flushall()
