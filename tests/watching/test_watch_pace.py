"""Heartbeats, stops and cursors of a watch."""

from __future__ import annotations

import pickle
import threading
import time

import pytest

from redis_sessions import InvalidInput, SessionCache, SessionNotFound

X = {"role": "user", "content": "x"}


def test_heartbeat_comes_in_silence_and_carries_the_place(cache: SessionCache) -> None:
    """A silent watch yields heartbeats, with the cursor of the last event, and still ends after its timeout."""
    session = cache.create("a")
    session.append(X)
    events = list(session.watch(heartbeat=0.2, timeout=1.5))
    kinds = [event.kind for event in events]
    assert kinds[0] == "message"
    assert set(kinds[1:]) == {"heartbeat"}
    assert 2 <= len(kinds) - 1 <= 8
    assert {event.cursor for event in events} == {"1-0"}


def test_watch_says_why_it_ended(cache: SessionCache) -> None:
    """A watch has no reason as long as it goes on, then that of its end: session ended or gone, silence, or stop."""
    session = cache.create("a", user_id="mia")
    session.append(X)
    watch = session.watch(timeout=0.2)
    next(watch)
    before = watch.end_reason
    assert (before, list(watch), watch.end_reason) == (None, [], "timeout")
    assert list(watch) == []
    stop = threading.Event()
    stop.set()
    watch, many = session.watch(stop=stop), cache.watch(user="mia", stop=stop)
    assert (list(watch), watch.end_reason, list(many), many.end_reason) == ([], "stopped", [], "stopped")
    closed = session.watch()
    next(closed)
    closed.close()
    assert (list(closed), closed.end_reason) == ([], None)
    gone, tree = session.watch(), cache.watch(tree="a")
    next(gone)
    threading.Timer(0.5, session.delete).start()
    assert [event.kind for event in tree] == ["deleted"]
    assert ([event.kind for event in gone], gone.end_reason, tree.end_reason) == (["deleted"], "deleted", "deleted")
    missing = cache.session("missing").watch()
    with pytest.raises(SessionNotFound):
        next(missing)
    assert (list(missing), missing.end_reason) == ([], None)
    other = cache.create("b")
    other.complete()
    watch = other.watch()
    assert (len(list(watch)), watch.end_reason) == (1, "ended")
    with pytest.raises(TypeError, match="cursor"):
        pickle.dumps(watch)


def test_stop_ends_watch_of_a_silent_session(cache: SessionCache) -> None:
    """A watch without a timeout ends when its event is set."""
    cache.create("a", user_id="mia").append(X)
    for watch in (cache.session("a").watch, lambda **options: cache.watch(user_id="mia", **options)):
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        began = time.monotonic()
        list(watch(stop=stop))
        assert 0.2 < time.monotonic() - began < 10


def test_watch_of_many_yields_heartbeats_and_takes_cursors(cache: SessionCache) -> None:
    """A heartbeat of many sessions names none of them. A cursor says where a session begins."""
    session = cache.create("a", user_id="mia")
    for _ in range(3):
        session.append(X)
    events = list(cache.watch(user_id="mia", after={"a": "2-0"}, heartbeat=0.2, timeout=1.5))
    assert [(event.kind, event.cursor) for event in events if event.kind == "message"] == [("message", "3-0")]
    assert {event.session_id for event in events if event.kind == "heartbeat"} == {""}


def test_cursor_resumes_behind_its_event(cache: SessionCache) -> None:
    """A watch from the cursor of each event yields exactly the events behind it."""
    session = cache.create("a")
    session.append(X)
    session.pause()
    session.resume()
    session.append(X)
    session.complete()
    events = list(session.watch())
    assert [event.is_final for event in events] == [False] * (len(events) - 1) + [True]
    for at, event in enumerate(events):
        assert list(session.watch(cursor=event.cursor)) == events[at + 1 :]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"heartbeat": 0}, "heartbeat"),
        ({"heartbeat": "2d"}, "heartbeat"),
        ({"cursor": "17"}, "cursor"),
        ({"cursor": "17-"}, "cursor"),
        ({"cursor": "a-b"}, "cursor"),
        ({"cursor": "9" * 500}, "cursor"),
        ({"cursor": "1-0", "after_seq": 3}, "cursor"),
        ({"cursor": 17}, "cursor"),
    ],
)
def test_bad_argument_of_a_watch_is_refused(cache: SessionCache, given: dict[str, object], name: str) -> None:
    """A cursor that was cut, and a heartbeat of 0, are refused at once, with the name of the argument."""
    session = cache.create("a")
    with pytest.raises(InvalidInput, match=f"^{name}:"):
        session.watch(**given)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="after"):
        cache.watch(user_id="mia", after={"a": "17"})
