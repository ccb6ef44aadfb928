"""Messages on a process's channel that no script published: none becomes an event, a lease, a run or an error."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from redis_sessions import AsyncSessionCache, SessionCache
from redis_sessions._core.protocol.notifications import Notification, parse_notification
from tests.conftest import Engines
from tests.support.lease_waiters import waiting
from tests.support.watcher import Watcher, X, kinds, until

on_engines = pytest.mark.parametrize("engine", ["redis-6.2", "valkey-9", "cluster"], indirect=True)
MIB = 2**20
MESSAGE = b'{"role":"user","content":"forged"}'
FORGED = [
    b"", b" ", b"\n", b"\xff\xfe\x00", b"ask", b"ask 0", b"ask 0 0", b"ask 0 0 0", b"ask x y", b"ask -1 0",
    b"new", b"new ", b"new 3",
    b"new 0", b"new -3", b"new 999999999", b"new " + b"9" * 5000, b"new 3 %d %s" % (len(MESSAGE), MESSAGE),
    b"new \xff", b"status", b"status x", b"status 1 2 0 completed", b"status 7 2 1700000000000 failed", b"status 1 2 0 nonsense",
    b"status " + b"9" * 5000 + b" 2 0 failed", b"gone", b"gone 0 0", b"position", b"position abc 2", b"unknown 0 0",
    b"delta", b"delta ", b"delta {", b"delta \xff", b"delta " + b"[" * 60_000, b'delta "' + b"x" * 100_000 + b'"',
    b"delta " + b"1" * MIB, b"delta 1 2", b"delta 1 4 1 {", b'delta 1 4 1 "' + b"x" * 200_000 + b'"', b'delta 9 999999999 1 "x"',
    b"delta " + b"9" * 400 + b' 4 1 "x"', b'delta 9999999999999999 4 999999999 "x',
    b"granted", b"granted 77 60000", b"granted x y", b"granted 77 " + b"9" * 400,
    b"lost", b"lost 1 1", b"lost 77 0", b"held 77", b"held 77 9999999999999999", b"held 77 " + b"9" * 400, b"held \xff 1",
    b"run", b"run ", b"run 1", b"run 1 ", b"run x y", b"run 1 missing", b"run 1 a{b}", b"run 1 {x}:session:a", b"run 1 @5/x",
    b"run 1 \xff", b"run 1 " + b"a" * 300, b"run 1 free", b"run 1 free b c d", b"run " + b"9" * 400 + b" free",
    b"run 9999999999999999 other:session:a", b"run 1 " + b"free " * 3000,
]  # fmt: skip
"""The texts behind the nonce of a receiver. `free` is a session that no run belongs to."""


class Attacker:
    """Publishes on the channel of a cache's process to everything that listens in it, with the nonces of the listeners."""

    def __init__(self, cache: Any, client: redis.Redis) -> None:
        self._hub = cache._context.hub
        self._client = client
        self._replayed: list[bytes] = []
        self._subscription = client.pubsub()
        self._subscription.psubscribe(f"{cache.namespace}:*")  # an attacker hears all that is published

    def publish_all(self) -> None:
        """Publish each forgery to each listener, then what was published before, then messages of other forms."""
        while (heard := self._subscription.get_message(timeout=0.01)) is not None:
            if heard["type"] == "pmessage":
                self._replayed.append(heard["data"])
        pipe = self._client.pipeline(transaction=False)
        for nonce in [*self._hub._listeners]:
            for forged in FORGED:
                pipe.publish(self._hub.channel, nonce.encode() + b" " + forged)
        for message in [*self._replayed, b"", b"\xff" * MIB, b"unknown new 3", b" new 3", b"x" * 10 * MIB]:
            pipe.publish(self._hub.channel, message)
        pipe.execute()

    def close(self) -> None:
        """Close the subscription."""
        self._subscription.close()


@contextmanager
def attacking(cache: Any, client: redis.Redis) -> Iterator[Attacker]:
    """Yield an attacker."""
    attacker = Attacker(cache, client)
    try:
        yield attacker
    finally:
        attacker.close()


@pytest.fixture
def client(engine: str, engines: Engines) -> redis.Redis:
    """Return a client with all rights on a node of the engine."""
    return engines.nodes[engine][0].client


@on_engines
def test_forged_message_becomes_no_event(cache: SessionCache, client: redis.Redis) -> None:
    """A watcher yields what the session has, each once and in order, whatever is published on its channel."""
    session = cache.create("a")
    cache.create("free")
    session.append(X, X)
    watcher = Watcher(cache.session("a").watch())
    watcher.until(lambda events: len(events) == 2)
    subscription = cache._context.hub._subscription
    with attacking(cache, client) as attacker:
        session.append(X)
        session.pause()
        session.resume()
        watcher.until(lambda events: len(events) == 5)
        attacker.publish_all()
        session.append({"role": "user", "content": "real"})
        watcher.until(lambda events: len(events) >= 6)
        attacker.publish_all()
        session.complete()
    events = watcher.end()
    assert watcher.problem is None
    assert kinds(events) == [
        "message 1", "message 2", "message 3", "status paused", "status active", "message 4", "status completed",
    ]  # fmt: skip
    assert events[5].message is not None
    assert events[5].message.content == "real"
    assert cache._context.hub._subscription is subscription


@on_engines
def test_forged_message_becomes_no_event_of_many(cache: SessionCache, client: redis.Redis) -> None:
    """A watch of many sessions yields what the sessions have, and goes on, whatever is published on its channel."""
    sessions = [cache.create(f"m{number}", user_id="mia") for number in range(3)]
    stop = threading.Event()
    watcher = Watcher(cache.watch(user_id="mia", stop=stop))
    until(lambda: len(cache._context.hub._listeners) == 3)
    with attacking(cache, client) as attacker:
        for session in sessions:
            session.append(X)
        watcher.until(lambda events: len(events) == 3)
        attacker.publish_all()
        sessions[0].append(X)
        sessions[1].delete()
        watcher.until(lambda events: len(events) >= 5)
        attacker.publish_all()
        sessions[2].append(X)
        watcher.until(lambda events: len(events) >= 6)
        time.sleep(1)  # an event of a forgery would come now
    stop.set()
    events = watcher.end(30)
    assert watcher.problem is None
    found = sorted((event.session_id, event.kind, event.seq) for event in events)
    assert found == [
        ("m0", "message", 1), ("m0", "message", 2), ("m1", "deleted", 1), ("m1", "message", 1),
        ("m2", "message", 1), ("m2", "message", 2),
    ]  # fmt: skip


@on_engines
def test_forged_message_becomes_no_event_in_asyncio(url: str, cache: SessionCache, client: redis.Redis) -> None:
    """An asyncio watcher yields what the session has, each once, whatever is published on its channel."""
    session = cache.create("a")
    session.append(X)

    async def watch() -> list[str]:
        async with AsyncSessionCache.from_url(url, namespace=cache.namespace) as other:
            events = []
            async for event in (await other.open("a")).watch(timeout=20):
                events.append(event)
                if event.seq == 1 and event.kind == "message":
                    with attacking(other, client) as attacker:
                        await asyncio.to_thread(attacker.publish_all)
                    session.append(X)
                    session.complete()
            return kinds(events)

    assert asyncio.run(watch()) == ["message 1", "message 2", "status completed"]


@on_engines
def test_forged_grant_gives_no_lease(cache: SessionCache, client: redis.Redis) -> None:
    """A lease waiter holds the lease only when the server granted it, and soon after that."""
    session = cache.create("free")
    with session.lease(ttl=30) as lease:
        with waiting(cache, "free") as fences, attacking(cache, client) as attacker:
            attacker.publish_all()
            time.sleep(0.1)
            assert fences == []
            session.append(X)  # the holder still holds the lease, although 'lost' was published
            began = time.monotonic()
            lease.release()
        assert fences == [2]
        assert time.monotonic() - began < 5


@on_engines
def test_forged_offer_gives_no_run(cache: SessionCache, client: redis.Redis) -> None:
    """A claim that waits returns the run that was spawned for its agent, and no session that a forged offer names."""
    cache.create("free")
    parent = cache.create("parent")
    parent.spawn("stranger")
    stranger = parent.children()[0].id
    found: list[str] = []
    problems: list[BaseException] = []

    def claim() -> None:
        try:
            run = cache.claim("clerk", wait=20)
            assert run is not None
            found.append(run.id)
            run.complete("done")
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=claim)
    thread.start()
    until(lambda: cache._context.hub._listeners)
    with attacking(cache, client) as attacker:
        for _ in range(2):
            attacker.publish_all()
            for nonce in [*cache._context.hub._listeners]:
                client.publish(cache._context.hub.channel, f"{nonce} run 9999999999999 {stranger} parent")
        time.sleep(0.1)
        assert (found, problems) == ([], [])
        result = parent.spawn("clerk")
        thread.join(20)
    assert problems == []
    assert found == [result.session_key]
    assert {one.id: one.status for one in parent.children()}[stranger] == "active"


@pytest.mark.parametrize("facts", FORGED)
def test_malformed_notification_is_passed_over(facts: bytes) -> None:
    """A message of a channel is a notification in its own form, or nothing. Nothing is raised."""
    found = parse_notification(b"0123456789abcdef " + facts)
    assert found is None or (found[0] == "0123456789abcdef" and isinstance(found[1], Notification))
    for message in (facts, facts[1:], facts[::-1], b"\xff" + facts):
        parse_notification(message)
