"""Watches of many sessions: of a user, of an agent, or of a tree."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionNotFound
from redis_sessions._core.protocol.call import Call
from tests.support.watcher import Watcher, X, kinds


@pytest.fixture(autouse=True)
def short_search_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search for new sessions every 0.2 s."""
    monkeypatch.setattr("redis_sessions._sync.services.watch_many._SEARCH_SECONDS", 0.2)


def begin_watch(cache: SessionCache, **which: Any) -> Watcher:
    """Return a watcher that has begun: it has yielded the message of a session that it begins with last."""
    cache.create("begun").append(X)
    watcher = Watcher(cache.watch(**which, after={"begun": 0}, timeout=30))
    watcher.until(lambda events: len(events) == 1)
    return watcher


def test_watch_of_user_yields_present_and_new_sessions(cache: SessionCache) -> None:
    """Present sessions are yielded from now on, and new sessions from their beginning, also those that ended unseen."""
    old = cache.create("old", user_id="mia")
    old.append(X)
    watcher = begin_watch(cache, user="mia")
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


def test_watch_of_tree_yields_root_and_members(cache: SessionCache) -> None:
    """A watch of a tree yields the events of its root and of all sessions below the root, results included."""
    root = cache.create("root")
    watcher = begin_watch(cache, tree="root")
    child = cache.session(root.spawn("a", mode="session").session_key or "")
    child.append(X)
    child.complete("done")
    events = watcher.until(lambda events: len(events) == 4)
    assert kinds([event for event in events if event.session_id == child.id]) == ["message 1", "status completed"]
    assert kinds([event for event in events if event.session_id == "root"]) == ["message 1"]
    with pytest.raises(InvalidInput):
        cache.watch(user="mia", tree="root")


def test_watch_of_many_resumes_each_session_behind_its_seq(cache: SessionCache) -> None:
    """Each session resumes behind the seq that `after` names for it."""
    for name in ("a", "b"):
        cache.create(name, user_id="mia").append(X, X, X)
    events = list(cache.watch(user="mia", after={"a": 1, "b": 2}, timeout=0.3))
    assert sorted((event.session_id, event.seq) for event in events) == [("a", 2), ("a", 3), ("b", 3)]


def test_sessions_named_in_after_are_watched_too(cache: SessionCache) -> None:
    """A session in `after` is watched, although it has ended or belongs to another user."""
    ended, moved = cache.create("ended", user_id="mia"), cache.create("moved", user_id="bob")
    ended.append(X, X)
    ended.complete()
    moved.append(X, X)
    events = list(cache.watch(user="mia", after={"ended": 1, "moved": 1}, timeout=0.3))
    assert kinds([event for event in events if event.session_id == "ended"]) == ["message 2", "status completed"]
    assert kinds([event for event in events if event.session_id == "moved"]) == ["message 2"]


def test_paused_session_is_watched(cache: SessionCache) -> None:
    """A paused session is watched, because it may be resumed."""
    paused = cache.create("a", user_id="mia")
    paused.pause()
    watcher = begin_watch(cache, user="mia")
    paused.resume()
    paused.append(X)
    events = watcher.until(lambda events: len(events) == 3)
    assert kinds(events[1:]) == ["status active", "message 1"]


def test_regressed_or_deleted_session_does_not_end_watch_of_many(cache: SessionCache) -> None:
    """A regressed session continues from its last message, and a deleted one is watched again when its ID is created again."""
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


def test_damaged_message_is_a_gap_in_watch_of_many(cache: SessionCache) -> None:
    """A message that cannot be read does not end the watch: it is a gap, and messages behind it follow."""
    torn = cache.create("torn", user_id="mia")
    watcher = begin_watch(cache, user="mia")
    torn.append(X)
    watcher.until(lambda events: len(events) == 2)
    torn._executor.run(Call(("LSET", torn._keys.messages, 0, "junk"), torn._keys, bool))
    found = cache.watch(user="mia", after={"torn": 0, "begun": 1}, timeout=30)
    torn.append(X)
    assert kinds([next(found), next(found)]) == ["gap 1", "message 2"]
    found.close()


def test_damaged_session_is_left_out_of_watch_of_many(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    """A session whose record is damaged does not end the watch of the others, and the log names it."""
    torn = cache.create("torn", user_id="mia")
    watcher = begin_watch(cache, user="mia")
    torn._executor.run(Call(("HSET", torn._keys.session, "counters", "junk"), torn._keys, int))
    cache.session("begun").append(X)
    watcher.until(lambda events: len(events) == 2)
    found = cache.watch(user="mia", after={"torn": 0, "begun": 0}, timeout=30)
    assert kinds([next(found), next(found)]) == ["message 1", "message 2"]
    found.close()
    assert [facts["session_id"] for facts in map(vars, caplog.records) if facts.get("event") == "watch_left_out"] == [
        torn.id
    ]


def test_sessions_that_ended_before_are_not_yielded(cache: SessionCache) -> None:
    """Sessions that ended before the watch are not yielded, also when newer ones are deleted."""
    for number in range(60):
        session = cache.create(f"old{number}", user_id="mia")
        session.append(X)
        session.complete()
    watcher = begin_watch(cache, user="mia")
    for number in range(40, 60):
        cache.delete(f"old{number}")
    cache.create("new", user_id="mia").append(X)
    watcher.until(lambda events: len(events) == 2)
    cache.create("newer", user_id="mia").append(X)
    events = watcher.until(lambda events: len(events) == 3)
    assert [event.session_id for event in events] == ["begun", "new", "newer"]


def test_sessions_beyond_the_maximum_wait_or_are_refused(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """New sessions beyond the maximum wait until others have ended, and more active ones at the beginning are refused."""
    monkeypatch.setattr("redis_sessions._sync.services.watch_many.MAX_WATCHED", 3)
    first = cache.create("first", user_id="mia")
    watcher = begin_watch(cache, user="mia")
    for name in ("second", "third", "fourth"):
        cache.create(name, user_id="mia").append(X)
    watcher.until(lambda events: len(events) == 2)
    first.complete()
    cache.session("second").complete()
    events = watcher.until(lambda events: len(events) == 6)
    assert sorted(event.session_id for event in events) == ["begun", "first", "fourth", "second", "second", "third"]
    cache.create("fifth", user_id="mia")
    with pytest.raises(InvalidInput, match="at most 3 "):
        next(iter(cache.watch(user="mia", after={"begun": 0})))


def test_deleted_root_ends_watch_of_tree(cache: SessionCache) -> None:
    """A watch of a tree ends with `deleted` when its root is deleted, and an unknown root or position is refused."""
    root = cache.create("root")
    root.append(X)
    watcher = Watcher(cache.watch(tree="root", after={"root": 0}, timeout=30))
    watcher.until(lambda events: len(events) == 1)
    root.delete()
    assert kinds(watcher.end()) == ["message 1", "deleted 1"]
    with pytest.raises(SessionNotFound):
        next(iter(cache.watch(tree="root")))
    for invalid in ({"x": "q"}, {"x": -7}, {"a b": 1}, {"x": (1, 2, 3)}):
        with pytest.raises(InvalidInput, match="after"):
            cache.watch(user="mia", after=invalid)  # type: ignore[arg-type]


def test_watch_takes_long_and_short_filter_names(cache: SessionCache) -> None:
    """The filters user_id and user watch the same sessions, and so do agent_id and agent."""
    cache.create("a", user_id="mia", agent_id="x").append(X, X)
    cache.create("b", user_id="bob", agent_id="y").append(X)
    wanted: list[dict[str, Any]] = [{"user_id": "mia"}, {"user": "mia"}, {"agent_id": "x"}, {"agent": "x"}]
    for filters in wanted:
        watcher = Watcher(cache.watch(**filters, after={"a": 1}, timeout=0.3))
        assert [(event.session_id, event.seq) for event in watcher.end()] == [("a", 2)]


@pytest.mark.parametrize("name", ["agent_id", "agent"])
def test_watch_of_agent_yields_new_sessions(cache: SessionCache, name: str) -> None:
    """A watch of an agent yields the sessions that are created for the agent, and no others."""
    watcher = begin_watch(cache, **{name: "x"})
    cache.create("other", agent_id="y").append(X)
    cache.create("new", agent_id="x").append(X)
    events = watcher.until(lambda events: len(events) == 2)
    assert [event.session_id for event in events] == ["begun", "new"]


def test_watch_needs_exactly_one_subject(cache: SessionCache) -> None:
    """A watch without a user, an agent and a tree is refused, and so is a watch of two of them."""
    two: list[dict[str, Any]] = [
        {"user_id": "mia", "agent_id": "x"},
        {"user": "mia", "agent": "x"},
        {"user_id": "mia", "tree": "root"},
        {"agent": "x", "tree": "root"},
    ]
    for which in ({}, *two):
        with pytest.raises(InvalidInput, match="exactly one of user_id, agent_id and tree"):
            cache.watch(**which)
