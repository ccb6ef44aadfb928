"""Watching: order, gaps, resumption, ends, what is not stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from redis_sessions import (
    InvalidInput,
    SessionCache,
    SessionEvent,
    SessionNotFound,
    SessionReplaced,
)

X = {"role": "user", "content": "x"}


class Watcher:
    """Gathers events in a thread of its own."""

    def __init__(self, events: Iterator[SessionEvent]) -> None:
        self.events: list[SessionEvent] = []
        self.problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(events,), daemon=True)
        self._thread.start()

    def _run(self, events: Iterator[SessionEvent]) -> None:
        try:
            for event in events:
                self.events.append(event)
        except BaseException as problem:
            self.problem = problem

    def until(self, condition: Callable[[list[SessionEvent]], bool], seconds: float = 5) -> list[SessionEvent]:
        due = time.monotonic() + seconds
        while not condition(self.events):
            assert time.monotonic() < due, self.problem or self.events
            time.sleep(0.005)
        return self.events

    def end(self, seconds: float = 5) -> list[SessionEvent]:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), self.events
        return self.events


def kinds(events: list[SessionEvent]) -> list[str]:
    return [f"{event.kind} {event.status or event.seq}" for event in events]


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
    for at, event in enumerate(everything[:-1]):
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


def test_a_users_sessions_are_watched_together(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there from now on, those that come from their beginning, also what began and ended unseen."""
    monkeypatch.setattr("redis_sessions._sync.fleets._FOUND", 0.3)
    old = cache.create("old", user_id="mia")
    old.append(X)
    watcher = Watcher(cache.watch(user="mia", timeout=0.8))
    time.sleep(0.2)
    old.append(X)
    new = cache.create("new", user_id="mia")
    new.append(X)
    new.complete()
    cache.create("other", user_id="bob").append(X)
    time.sleep(0.5)
    old.append(X)
    events = watcher.end(8)
    assert [event.seq for event in events if event.session_id == "old"] == [2, 3]
    assert kinds([event for event in events if event.session_id == "new"]) == ["message 1", "status completed"]
    assert {event.session_id for event in events} == {"old", "new"}


def test_a_tree_is_watched_together(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its root and whoever is spawned below it, results included."""
    monkeypatch.setattr("redis_sessions._sync.fleets._FOUND", 0.3)
    root = cache.create("root")
    watcher = Watcher(cache.watch(tree="root", timeout=0.8))
    time.sleep(0.2)
    child = cache.session(root.spawn("a", mode="session").session_key or "")
    child.append(X)
    child.complete("done")
    events = watcher.end(8)
    assert kinds([event for event in events if event.session_id == child.id]) == ["message 1", "status completed"]
    assert kinds([event for event in events if event.session_id == "root"]) == ["message 1"]
    with pytest.raises(InvalidInput):
        cache.watch(user="mia", tree="root")


def test_many_are_resumed_together(cache: SessionCache) -> None:
    """From the last seq seen of each."""
    for name in ("a", "b"):
        cache.create(name, user_id="mia").append(X, X, X)
    events = list(cache.watch(user="mia", after={"a": 1, "b": 2}, timeout=0.3))
    assert sorted((event.session_id, event.seq) for event in events) == [("a", 2), ("a", 3), ("b", 3)]
