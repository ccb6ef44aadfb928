"""Watches of one session: order, gaps, resumption, ends, and deltas."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionNotFound, SessionReplaced
from redis_sessions._sync.services.history import read_history
from tests.conftest import Engines
from tests.support.index_agreement import clients
from tests.support.watcher import Watcher, X, kinds, until


def test_watch_yields_messages_and_statuses_in_order(cache: SessionCache) -> None:
    """A watch yields stored and new messages and statuses in order, and ends with the session."""
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
        watcher.until(lambda _: session.info().inbox_size == 1)
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


def test_watch_resumes_behind_given_position(cache: SessionCache) -> None:
    """A watch begins behind a seq and a status change, or with new events, and yields the rest of an ended session."""
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


def test_dropped_messages_are_yielded_as_gap(cache: SessionCache) -> None:
    """A gap names the messages that the cap dropped, and pinned messages keep their places."""
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
    assert kinds(list(session.watch(11, timeout=0.1))) == ["gap 13", "edit 13"]


def test_edits_are_yielded_with_their_first_seq(cache: SessionCache) -> None:
    """A present watcher and a later one get an edit for each clear, compact, pop and replace, then the new messages."""
    session = cache.create("a")
    session.append(X, X, X, {"role": "assistant", "content": "a"})
    watcher = Watcher(session.watch(None))
    while not watcher.events:
        session.publish("begun")
    session.replace(2, {"role": "user", "content": "[redacted]"})
    session.pop()
    session.replace(X, after_seq=2)
    watcher.until(lambda events: events[-1].kind == "message")  # a watcher yields what is stored when it looks
    session.compact(2, "sum")
    session.clear()
    session.append(X)
    session.complete()
    events = [event for event in watcher.end() if event.kind != "delta"]
    assert [(event.kind, event.seq, event.first_seq, event.change) for event in events] == [
        ("edit", 4, 2, 1), ("edit", 4, 4, 2), ("edit", 4, 3, 3), ("message", 5, None, 3), ("edit", 5, 1, 4),
        ("edit", 5, 1, 5), ("message", 6, None, 5), ("status", 6, None, 6),
    ]  # fmt: skip
    assert all(event.is_stored and event.at is not None for event in events)
    later = [event for event in session.watch(4) if event.kind != "gap"]
    assert [(event.kind, event.first_seq) for event in later] == [
        *[("edit", seq) for seq in (2, 4, 3, 1, 1)], ("message", None), ("status", None),
    ]  # fmt: skip
    assert kinds(list(session.watch(5, after_change=3))) == ["edit 5", "edit 5", "message 6", "status completed"]


def test_long_history_is_yielded_once_in_order(cache: SessionCache) -> None:
    """A watch of a history longer than one page yields every message once, in order."""
    session = cache.create("a", max_messages=None)
    for _ in range(5):
        session.append(*[X] * 500)
    events = session.watch(timeout=0.1)
    assert [event.seq for event in events] == list(range(1, 2501))


def test_published_delta_reaches_watchers_and_is_not_stored(cache: SessionCache) -> None:
    """A delta reaches present watchers in its place, is not stored, and has at most 65,536 bytes."""
    session = cache.create("a")
    session.publish({"unheard": True})
    session.append(X)  # ends the answer, so that the watcher below does not get its delta
    watcher = Watcher(cache.session("a").watch(0))
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
        cache.session("unknown").publish("x")


def test_deleted_session_ends_watch(cache: SessionCache) -> None:
    """A watch of a deleted session ends with `deleted`, and a session that does not exist is refused."""
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


def test_expired_session_ends_watch(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch of an expired session ends with `deleted` at the next renewal."""
    monkeypatch.setattr("redis_sessions._sync.services.watcher.RENEW_SECONDS", 0.1)
    watcher = Watcher(cache.create("a", ttl=1).watch())
    assert kinds(watcher.end()) == ["deleted 0"]


def test_large_message_is_yielded_in_its_place(cache: SessionCache) -> None:
    """A message that is too large for a notification is read from the session, in order."""
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


def test_slow_watcher_misses_no_message(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A watcher with more notifications than its queue holds reads the messages from the session."""
    monkeypatch.setattr("redis_sessions._sync.services.watcher._MAX_QUEUED", 5)
    session = cache.create("a", max_messages=None)
    events = session.watch(timeout=1)
    session.append(X)
    seen = [next(events).seq]
    for _ in range(100):
        session.append(X)
    session.complete()
    seen += [event.seq for event in events if event.kind == "message"]
    assert seen == list(range(1, 102))


def test_several_watchers_of_one_session_see_all_events(cache: SessionCache) -> None:
    """Each watcher of a session in one process yields all its events."""
    session = cache.create("a")
    watchers = [Watcher(cache.session("a").watch()) for _ in range(5)]
    session.append(X)
    for watcher in watchers:
        watcher.until(lambda events: len(events) == 1)
    session.append(X)
    session.complete()
    assert [kinds(watcher.end()) for watcher in watchers] == [["message 1", "message 2", "status completed"]] * 5


def test_dropped_status_changes_are_yielded_as_gap(cache: SessionCache) -> None:
    """The last status changes follow a gap, in order, if there were more than the session keeps."""
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


def test_status_change_precedes_later_message(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status change that comes between two reads of a watcher precedes the messages after the change."""
    session = cache.create("a")
    session.append(X)
    writes: list[Callable[[], object]] = [session.pause, session.resume, lambda: session.append(X)]

    def write_then_read(*arguments: Any, **bounds: Any) -> Any:
        while writes:
            writes.pop(0)()
        return read_history(*arguments, **bounds)

    monkeypatch.setattr("redis_sessions._sync.services.watcher.read_history", write_then_read)
    events = list(session.watch(timeout=0.3))
    assert writes == []
    assert kinds(events) == ["message 1", "status paused", "status active", "message 2"]


def test_new_incarnation_ends_watch_of_old_one(cache: SessionCache) -> None:
    """A watch ends with `deleted` when its session expired and another one was created with the ID."""
    session = cache.create("a", ttl=2)
    session.append(X)
    watcher = Watcher(session.watch())
    watcher.until(lambda events: len(events) == 1)
    until(lambda: cache.get("a") is None)
    cache.create("a").append(X)
    cache._context.watcher._renew()
    assert kinds(watcher.end()) == ["message 1", "deleted 1"]


def test_sessions_with_equal_crc_are_watched_apart(cache: SessionCache) -> None:
    """Two IDs with one CRC-32 are watched apart."""
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


def test_lost_subscription_is_renewed(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """A watch continues after the server lost its subscription, as after a failover, and reads what it missed."""
    session = cache.create("a")
    watcher = Watcher(session.watch())
    session.append(X)
    watcher.until(lambda events: len(events) == 1)
    for server in clients(cache, engine, engines):
        for key in server.scan_iter(match=f"{namespace}:*:session:a"):
            assert server.hdel(key, "subscribers") == 1
    session.append(X)
    cache._context.watcher._renew()
    watcher.until(lambda events: len(events) == 2)
    session.complete()
    assert kinds(watcher.end())[-1] == "status completed"


def test_ended_watches_leave_no_subscription(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """A session keeps one subscription for each process that watches it, however many watches have ended."""
    session = cache.create("a")
    for _ in range(5):
        assert list(session.watch(None, timeout=0.01)) == []
    servers = clients(cache, engine, engines)

    def subscribers() -> bytes:
        keys = [(server, key) for server in servers for key in server.scan_iter(match=f"{namespace}:*:session:a")]
        return b"".join(server.hget(key, "subscribers") or b"" for server, key in keys)

    until(lambda: subscribers() == b"")
    watchers = [Watcher(session.watch()) for _ in range(3)]
    until(lambda: subscribers() != b"")
    session.append(X)
    for watcher in watchers:
        watcher.until(lambda events: len(events) == 1)
    assert len([record for record in subscribers().splitlines() if record.endswith(b" watch")]) == 1
    assert len(subscribers().splitlines()) == 1
    session.complete()
    for watcher in watchers:
        watcher.end()


def test_edit_begins_with_the_summary_that_a_compaction_replaces(cache: SessionCache) -> None:
    """The edit of a compaction begins with the older summary, also when the cap had passed that summary."""
    session = cache.create("a", max_messages=3)
    session.append(X, X, X)
    session.compact(1, "sum")
    session.append(X, X, X)
    assert [message.seq for message in session.history()] == [1, 5, 6]
    session.compact(5, "more")
    assert [message.seq for message in session.history()] == [5, 6]
    assert kinds(list(session.watch(6, after_change=1, timeout=0.1))) == ["edit 6"]
    (edit,) = session.watch(6, after_change=1, timeout=0.1)
    assert edit.first_seq == 1
