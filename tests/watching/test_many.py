"""Watching many sessions at once: of a user, of an agent, of a tree."""

from __future__ import annotations

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionNotFound
from tests.watching.watcher import Watcher, X, kinds


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redis_sessions._sync.fleets._FOUND", 0.2)


def begin(cache: SessionCache, **which: str) -> Watcher:
    """One that has begun to watch: it has seen what is in another session, which it was to begin with last."""
    cache.create("begun").append(X)
    watcher = Watcher(cache.watch(**which, after={"begun": 0}, timeout=30))
    watcher.until(lambda events: len(events) == 1)
    return watcher


def test_a_users_sessions_are_watched_together(cache: SessionCache) -> None:
    """Those that are there from now on, those that come from their beginning, also what began and ended unseen."""
    old = cache.create("old", user_id="mia")
    old.append(X)
    watcher = begin(cache, user="mia")
    old.append(X)
    new = cache.create("new", user_id="mia")
    new.append(X)
    new.complete()
    cache.create("other", user_id="bob").append(X)
    events = watcher.until(lambda events: any(event.status == "completed" for event in events))
    old.append(X)
    watcher.until(lambda events: [event.seq for event in events if event.session_id == "old"] == [2, 3])
    assert kinds([event for event in events if event.session_id == "new"]) == ["message 1", "status completed"]
    assert {event.session_id for event in events} == {"begun", "old", "new"}


def test_a_tree_is_watched_together(cache: SessionCache) -> None:
    """Its root and whoever is spawned below it, results included."""
    root = cache.create("root")
    watcher = begin(cache, tree="root")
    child = cache.session(root.spawn("a", mode="session").session_key or "")
    child.append(X)
    child.complete("done")
    events = watcher.until(lambda events: len(events) == 4)
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


def test_who_is_only_named_is_followed(cache: SessionCache) -> None:
    """One that has ended since, or belongs to another by now, as far as it came."""
    ended, moved = cache.create("ended", user_id="mia"), cache.create("moved", user_id="bob")
    ended.append(X, X)
    ended.complete()
    moved.append(X, X)
    events = list(cache.watch(user="mia", after={"ended": 1, "moved": 1}, timeout=0.3))
    assert kinds([event for event in events if event.session_id == "ended"]) == ["message 2", "status completed"]
    assert kinds([event for event in events if event.session_id == "moved"]) == ["message 2"]


def test_a_paused_session_is_followed(cache: SessionCache) -> None:
    """It may go on."""
    paused = cache.create("a", user_id="mia")
    paused.pause()
    watcher = begin(cache, user="mia")
    paused.resume()
    paused.append(X)
    events = watcher.until(lambda events: len(events) == 3)
    assert kinds(events[1:]) == ["status active", "message 1"]


def test_what_befalls_one_does_not_end_it(cache: SessionCache) -> None:
    """One whose history went back goes on from there; one that is deleted comes again under its name."""
    lost, kept = cache.create("lost", user_id="mia"), cache.create("kept", user_id="mia")
    lost.append(X)
    watcher = Watcher(cache.watch(user="mia", after={"lost": 7}, timeout=30))
    watcher.until(lambda events: kinds(events) == ["regressed 1"])
    lost.append(X)
    kept.append(X)
    watcher.until(lambda events: len(events) == 3)
    kept.delete()
    watcher.until(lambda events: events[-1].kind == "deleted")
    again = cache.create("kept", user_id="mia")
    again.append(X, X)
    watcher.until(lambda events: len(events) == 6)
    events = watcher.events
    assert kinds([event for event in events if event.session_id == "lost"]) == ["regressed 1", "message 2"]
    assert kinds([event for event in events if event.session_id == "kept"]) == [
        "message 1", "deleted 1", "message 1", "message 2",
    ]  # fmt: skip


def test_what_ended_before_is_not_told(cache: SessionCache) -> None:
    """Not even when those that are newer go."""
    for number in range(60):
        session = cache.create(f"old{number}", user_id="mia")
        session.append(X)
        session.complete()
    watcher = begin(cache, user="mia")
    for number in range(40, 60):
        cache.delete(f"old{number}")
    cache.create("new", user_id="mia").append(X)
    watcher.until(lambda events: len(events) == 2)
    cache.create("newer", user_id="mia").append(X)
    events = watcher.until(lambda events: len(events) == 3)
    assert [event.session_id for event in events] == ["begun", "new", "newer"]


def test_what_is_too_much_waits_or_is_refused(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come when it is full are followed from their beginning once others have ended."""
    monkeypatch.setattr("redis_sessions._sync.fleets.MOST", 3)
    first = cache.create("first", user_id="mia")
    watcher = begin(cache, user="mia")
    for name in ("second", "third", "fourth"):
        cache.create(name, user_id="mia").append(X)
    watcher.until(lambda events: len(events) == 2)
    first.complete()
    cache.session("second").complete()
    events = watcher.until(lambda events: len(events) == 6)
    assert sorted(event.session_id for event in events) == ["begun", "first", "fourth", "second", "second", "third"]
    cache.create("fifth", user_id="mia")
    with pytest.raises(InvalidInput, match="more than 3"):
        next(iter(cache.watch(user="mia", after={"begun": 0})))


def test_a_tree_that_is_deleted_ends_it(cache: SessionCache) -> None:
    """With `deleted`; an unknown root is refused, and so is what is no place in a session."""
    root = cache.create("root")
    root.append(X)
    watcher = Watcher(cache.watch(tree="root", after={"root": 0}, timeout=30))
    watcher.until(lambda events: len(events) == 1)
    root.delete()
    assert kinds(watcher.end()) == ["message 1", "deleted 1"]
    with pytest.raises(SessionNotFound):
        next(iter(cache.watch(tree="root")))
    for wrong in ({"x": "q"}, {"x": -7}, {"a b": 1}, {"x": (1, 2, 3)}):
        with pytest.raises(InvalidInput, match="after"):
            cache.watch(user="mia", after=wrong)  # type: ignore[arg-type]
