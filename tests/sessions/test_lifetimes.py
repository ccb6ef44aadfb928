"""Statuses and lifetimes."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from redis_sessions import InvalidInput, InvalidTransition, Session, SessionCache, SessionNotActive, SessionNotFound

X = {"role": "user", "content": "x"}


def wait_until_gone(session: Session, seconds: float = 30.0) -> None:
    """Wait until a session has expired."""
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        try:
            session.info()
        except SessionNotFound:
            return
        time.sleep(0.01)
    raise AssertionError(f"session {session.id} has not expired")


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "time_out"])
def test_ended_session_keeps_its_status(cache: SessionCache, end: str) -> None:
    """An ended session stays as it ended, and the same end again changes nothing (S1 0-33)."""
    session = cache.create()
    rev = getattr(session, end)(reason="because")
    info = session.info()
    assert (
        info.status == {"complete": "completed", "fail": "failed", "cancel": "cancelled", "time_out": "timed_out"}[end]
    )
    assert (info.reason, info.finished_at is not None) == ("because", True)
    assert getattr(session, end)() == rev
    for other in {"complete", "fail", "cancel", "time_out", "pause", "resume"} - {end}:
        with pytest.raises(InvalidTransition):
            getattr(session, other)()
    with pytest.raises(SessionNotActive):
        session.append(X)
    assert session.info().rev == rev


def test_reason_of_pause_is_shown_until_resume(cache: SessionCache) -> None:
    """A paused session says why, a resumed one does not, and an end without a reason has none of the pause."""
    session = cache.create()
    session.pause(reason="waits for mia")
    assert (session.info().status, session.info().reason) == ("paused", "waits for mia")
    session.resume()
    assert session.info().reason is None
    session.pause(reason="waits again")
    session.complete()
    assert (session.info().status, session.info().reason) == ("completed", None)


def test_paused_session_takes_messages_only_after_resume(cache: SessionCache) -> None:
    """A paused session takes no messages until it is resumed, and can be ended."""
    session = cache.create()
    session.pause()
    with pytest.raises(SessionNotActive, match="paused"):
        session.append(X)
    session.resume()
    session.append(X)
    session.pause()
    session.complete({"answer": [42]})
    assert session.info().result == {"answer": [42]}


def test_idle_session_expires_after_ttl(cache: SessionCache) -> None:
    """An idle session expires with its messages and state, without a call of any client."""
    session = cache.create("a", ttl=1)
    session.append(X)
    session.state.put("s", 1)
    wait_until_gone(session)
    assert cache.get("a") is None
    with pytest.raises(SessionNotFound):
        session.append(X)


def test_writes_extend_life_and_reads_do_not(cache: SessionCache) -> None:
    """A write extends the life of a session, and a read does not (S2 1-39)."""
    session = cache.create(ttl=60)
    for write in (lambda: session.append(X), lambda: session.state.put("a", 1), lambda: session.patch(name="n")):
        time.sleep(1)
        session.history()
        left = session.info().expires_in
        assert left is not None
        assert left <= timedelta(seconds=59)
        write()
        left = session.info().expires_in
        assert left is not None
        assert left > timedelta(seconds=59)


def test_reads_extend_life_with_touch_on_read(url: str, engine: str, cache: SessionCache, namespace: str) -> None:
    """A read extends the life of a session when the cache has `touch_on_read`."""
    if engine == "fake":
        reading, session = cache, cache.create(ttl=60)
        session._context.touch_on_read = True
    else:
        reading = SessionCache.from_url(url, namespace=namespace, touch_on_read=True)
        session = reading.create(ttl=60)
    time.sleep(1)
    session.history()
    left = session.info().expires_in
    assert left is not None
    assert left > timedelta(seconds=59)
    if reading is not cache:
        reading.close()


def test_busy_session_is_gone_after_max_lifetime(cache: SessionCache) -> None:
    """A session is gone after `max_lifetime`, even while it is written and touched."""
    session = cache.create(ttl=60, max_lifetime=0.3)
    began = time.monotonic()

    def keep_busy() -> None:
        while time.monotonic() - began < 20:
            session.append(X)
            session.touch(60)
            time.sleep(0.01)

    with pytest.raises(SessionNotFound):
        keep_busy()
    assert time.monotonic() - began < 5


def test_session_without_ttl_and_lifetime_never_expires(cache: SessionCache) -> None:
    """A session with ttl=None and without `max_lifetime` has no expiry (the fixture checks its keys)."""
    session = cache.create(ttl=None)
    session.append(X)
    info = session.info()
    assert (info.scope, info.expires_in, info.ttl) == ("persistent", None, None)
    assert session.touch() is None


def test_session_without_ttl_expires_after_max_lifetime(cache: SessionCache) -> None:
    """A session with ttl=None expires after `max_lifetime`, and writing does not extend its life."""
    session = cache.create(ttl=None, max_lifetime=1)
    session.append(X)
    assert session.info().scope == "ephemeral"
    wait_until_gone(session)


def test_touch_extends_life_and_changes_nothing_else(cache: SessionCache) -> None:
    """A touch never shortens the life of a session, and leaves rev and updated time."""
    session = cache.create(ttl=100)
    before = session.info()
    left = session.touch(1)
    assert left is not None
    assert left > timedelta(seconds=99)
    left = session.touch(500)
    assert left is not None
    assert left > timedelta(seconds=499)
    after = session.info()
    assert (after.rev, after.updated_at) == (before.rev, before.updated_at)
    with pytest.raises(InvalidInput):
        session.touch(-1)


def test_get_or_create_replaces_expired_session(cache: SessionCache) -> None:
    """An expired session is replaced by a new and empty one with the same ID (S2 1-49)."""
    session = cache.create("a", ttl=1)
    session.append(X)
    wait_until_gone(session)
    assert cache.get_or_create("a").info().count == 0


def test_settings_are_stored_with_session(cache: SessionCache) -> None:
    """A session keeps its own settings, whatever the defaults of the reading cache are (trap 1-52)."""
    cache.create("a", ttl=7200, max_messages=3, cap_policy="turn", max_turns=9, max_duration=60, limit_action="ignore")
    info = cache.open("a").info()
    assert (info.ttl, info.max_messages, info.cap_policy) == (timedelta(hours=2), 3, "turn")
    assert (info.max_turns, info.max_duration, info.limit_action) == (9, timedelta(minutes=1), "ignore")


def test_runtime_of_ended_session_is_whole_seconds(cache: SessionCache) -> None:
    """The runtime of an ended session is the whole seconds up to its end (S5 4-16)."""
    session = cache.create()
    session.complete()
    assert session.info().runtime == 0
    assert session.info().duration >= timedelta(0)
