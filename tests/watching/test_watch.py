"""Watching: order, gaps, resumption, ends, what is not stored."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionNotFound, SessionReplaced
from tests.conftest import Engines
from tests.indexes.agreement import clients
from tests.watching.watcher import Watcher, X, kinds, until


def test_messages_and_statuses_come_in_order(cache: SessionCache) -> None:
    """What was there, what comes, whoever writes it and however; and the end ends it."""
    session = cache.create("a")
    session.append(X)
    watcher = Watcher(cache.session("a").watch())
    watcher.until(lambda events: len(events) == 1)
    session.append(X, X)
    session.pause()
    session.resume()
    session.send("hello")
    with session.lease() as lease:
        threading.Thread(target=lambda: cache.session("a").send("waits")).start()
        watcher.until(lambda _: session.info().inbox == 1)
        lease.receive()
        session.append(X)
    session.complete("done")
    events = watcher.end()
    assert kinds(events) == [
        "message 1", "message 2", "message 3", "status paused", "status active", "message 4", "message 5", "message 6",
        "status completed",
    ]  # fmt: skip
    assert [event.message.content for event in events if event.message][3:5] == ["hello", "waits"]
    assert all(event.at is not None and event.is_stored for event in events)


def test_it_goes_on_where_it_was(cache: SessionCache) -> None:
    """From a seq and a change; from now on, with None; an ended session gives what there is and ends."""
    session = cache.create("a")
    session.append(X, X, X)
    session.pause()
    session.resume()
    session.append(X)
    session.complete()
    everything = list(session.watch())
    assert kinds(everything) == [
        "message 1", "message 2", "message 3", "status paused", "status active", "message 4", "status completed",
    ]  # fmt: skip
    for at, event in enumerate(everything):
        rest = list(session.watch(event.seq, after_change=event.change))
        assert kinds(rest) == kinds(everything[at + 1 :])
    assert list(session.watch(None, timeout=0.1)) == []


def test_what_the_cap_dropped_is_a_gap(cache: SessionCache) -> None:
    """Said, with its bounds; pinned messages come in their place."""
    session = cache.create("a", max_messages=4)
    session.append(X, X, X)
    session.pin(2)
    session.append(*[X] * 10)
    events = list(session.watch(timeout=0.1))
    assert [(event.kind, event.first_seq, event.seq) for event in events if event.kind == "gap"] == [
        ("gap", 1, 1),
        ("gap", 3, 10),
    ]
    assert [event.seq for event in events if event.kind == "message"] == [2, 11, 12, 13]
    session.clear()
    assert kinds(list(session.watch(11, timeout=0.1))) == ["gap 13"]


def test_a_long_history_is_read_in_parts(cache: SessionCache) -> None:
    """Every message once, in order."""
    session = cache.create("a", max_messages=None)
    for _ in range(5):
        session.append(*[X] * 500)
    events = session.watch(timeout=0.1)
    assert [event.seq for event in events] == list(range(1, 2501))


def test_what_is_published_is_not_stored(cache: SessionCache) -> None:
    """It reaches who watches now, in its place; and it is bounded."""
    session = cache.create("a")
    session.publish({"nobody": "hears"})
    watcher = Watcher(cache.session("a").watch())
    session.append(X)
    watcher.until(lambda events: len(events) == 1)
    for token in ("Hel", "lo"):
        session.publish(token)
    session.append(X)
    events = watcher.until(lambda events: len(events) == 4)
    assert [(event.kind, event.data, event.is_stored) for event in events[1:3]] == [
        ("delta", "Hel", False),
        ("delta", "lo", False),
    ]
    session.complete()
    watcher.end()
    assert session.info().count == 2
    with pytest.raises(InvalidInput, match="65536"):
        session.publish("x" * 70_000)
    with pytest.raises(InvalidInput):
        session.publish(object())
    with pytest.raises(SessionNotFound):
        cache.session("nobody").publish("x")


def test_a_session_that_goes_ends_it(cache: SessionCache) -> None:
    """With `deleted`; one that was never there is refused."""
    session = cache.create("a")
    watcher = Watcher(session.watch())
    session.append(X)
    watcher.until(lambda events: len(events) == 1)
    session.delete()
    assert kinds(watcher.end()) == ["message 1", "deleted 1"]
    with pytest.raises(SessionNotFound):
        next(iter(cache.session("a").watch()))
    cache.create("a")
    with pytest.raises(SessionReplaced):
        next(iter(session.watch()))


def test_an_expired_session_ends_it(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is next asked for, though nobody says so."""
    monkeypatch.setattr("redis_sessions._sync.watching.RENEWED", 0.1)
    watcher = Watcher(cache.create("a", ttl=0.2).watch())
    assert kinds(watcher.end()) == ["deleted 0"]


def test_a_large_message_is_read(cache: SessionCache) -> None:
    """What is too much to be told is fetched, in its place."""
    session = cache.create("a")
    watcher = Watcher(session.watch())
    session.append(X)
    watcher.until(lambda events: len(events) == 1)
    session.append({"role": "user", "content": "y" * 100_000})
    session.append(X)
    events = watcher.until(lambda events: len(events) == 3)
    assert [event.seq for event in events] == [1, 2, 3]
    assert events[1].message is not None
    assert len(events[1].message.text) == 100_000
    session.complete()
    watcher.end()


def test_a_slow_watcher_misses_nothing(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit in what waits for it is read again; nobody else waits for it."""
    monkeypatch.setattr("redis_sessions._sync.watching._MOST", 5)
    session = cache.create("a", max_messages=None)
    events = session.watch(timeout=1)
    session.append(X)
    seen = [next(events).seq]
    for _ in range(100):
        session.append(X)
    session.complete()
    seen += [event.seq for event in events if event.kind == "message"]
    assert seen == list(range(1, 102))


def test_many_watch_one_session(cache: SessionCache) -> None:
    """Each sees all; the server is told of one listener."""
    session = cache.create("a")
    watchers = [Watcher(cache.session("a").watch()) for _ in range(5)]
    session.append(X)
    for watcher in watchers:
        watcher.until(lambda events: len(events) == 1)
    session.append(X)
    session.complete()
    assert [kinds(watcher.end()) for watcher in watchers] == [["message 1", "message 2", "status completed"]] * 5


def test_more_changes_of_status_than_are_kept(cache: SessionCache) -> None:
    """The last of them are told, whole and in order, behind a gap."""
    session = cache.create("a")
    for _ in range(40):
        session.pause()
        session.resume()
    session.complete()
    gap, *events = session.watch()
    numbers = [event.change for event in events]
    assert (gap.kind, gap.change, gap.first_seq) == ("gap", numbers[0] - 1, None)
    assert numbers == list(range(numbers[0], 82))
    assert 20 < len(numbers) < 81
    assert [event.status for event in events[-3:]] == ["paused", "active", "completed"]


def test_a_change_is_never_told_behind_a_later_message(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though both come between the two reads of who catches up."""
    session = cache.create("a")
    session.append(X)
    read = session.history
    writes: list[Callable[[], object]] = [session.pause, session.resume, lambda: session.append(X)]

    def history(**bounds: Any) -> Any:
        while writes:
            writes.pop(0)()
        return read(**bounds)

    monkeypatch.setattr(session, "history", history)
    events = list(session.watch(timeout=0.3))
    assert kinds(events) == ["message 1", "status paused", "status active", "message 2"]


def test_another_session_of_that_id_is_not_taken_for_it(cache: SessionCache) -> None:
    """It expired and was created again, and nobody said so: the one that was watched is gone."""
    session = cache.create("a", ttl=0.5)
    session.append(X)
    watcher = Watcher(session.watch())
    watcher.until(lambda events: len(events) == 1)
    until(lambda: cache.get("a") is None)
    cache.create("a").append(X)
    cache._home.watches._renew()
    assert kinds(watcher.end()) == ["message 1", "deleted 1"]


def test_ids_that_look_alike_are_told_apart(cache: SessionCache) -> None:
    """These two have the same CRC-32."""
    alice, bob = cache.create("chat-e170d7b0aa41edc"), cache.create("chat-7aa78056bd65b86")
    watchers = [Watcher(session.watch()) for session in (alice, bob)]
    for session, watcher in zip((alice, bob), watchers, strict=True):
        session.append({"role": "user", "content": f"for {session.id}"})
        watcher.until(lambda events: len(events) == 1)
    for session, watcher in zip((alice, bob), watchers, strict=True):
        session.append(X)
        session.complete()
        events = watcher.end()
        assert kinds(events) == ["message 1", "message 2", "status completed"]
        assert events[0].message is not None
        assert events[0].message.content == f"for {session.id}"


def test_a_server_that_forgot_its_watchers_is_told_again(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """As after a failover that lost the registration; what came meanwhile is read."""
    session = cache.create("a")
    watcher = Watcher(session.watch())
    session.append(X)
    watcher.until(lambda events: len(events) == 1)
    for server in clients(cache, engine, engines):
        for key in server.scan_iter(match=f"{namespace}:*:session:a"):
            assert server.hdel(key, "readers") == 1
    session.append(X)
    cache._home.watches._renew()
    watcher.until(lambda events: len(events) == 2)
    session.complete()
    assert kinds(watcher.end())[-1] == "status completed"


def test_who_left_is_not_told(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """However often one comes and goes, a session has no more listeners than listen."""
    session = cache.create("a")
    for _ in range(5):
        assert list(session.watch(None, timeout=0.01)) == []
    servers = clients(cache, engine, engines)

    def readers() -> bytes:
        keys = [(server, key) for server in servers for key in server.scan_iter(match=f"{namespace}:*:session:a")]
        return b"".join(server.hget(key, "readers") or b"" for server, key in keys)

    until(lambda: readers() == b"")
    watchers = [Watcher(session.watch()) for _ in range(3)]
    until(lambda: readers() != b"")
    session.append(X)
    for watcher in watchers:
        watcher.until(lambda events: len(events) == 1)
    assert readers().count(b"~") == 1
    session.complete()
    for watcher in watchers:
        watcher.end()
