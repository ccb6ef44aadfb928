"""Statuses and lifetimes."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from redis_sessions import InvalidInput, InvalidTransition, Session, SessionCache, SessionNotActive, SessionNotFound

X = {"role": "user", "content": "x"}


def wait_until_gone(session: Session, seconds: float = 5.0) -> None:
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        try:
            session.info()
        except SessionNotFound:
            return
        time.sleep(0.01)
    raise AssertionError("it is still there")


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "time_out"])
def test_an_end_is_final(cache: SessionCache, end: str) -> None:
    """S1 0-33 decided on purpose: an ended session stays as it ended; the same end again is no change."""
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


def test_a_paused_session_takes_nothing_until_it_is_resumed(cache: SessionCache) -> None:
    """And can be ended."""
    session = cache.create()
    session.pause()
    with pytest.raises(SessionNotActive, match="paused"):
        session.append(X)
    session.resume()
    session.append(X)
    session.pause()
    session.complete({"answer": [42]})
    assert session.info().result == {"answer": [42]}


def test_an_idle_session_is_gone_when_due(cache: SessionCache) -> None:
    """No sweep: the server forgets it, with its messages and state."""
    session = cache.create("a", ttl=0.15)
    session.append(X)
    session.state.put("s", 1)
    wait_until_gone(session)
    assert cache.get("a") is None
    with pytest.raises(SessionNotFound):
        session.append(X)


def test_writes_extend_a_session_and_reads_do_not(cache: SessionCache) -> None:
    """S2 1-39."""
    session = cache.create(ttl=5)
    time.sleep(0.05)
    session.history()
    left = session.info().expires_in
    assert left is not None
    assert left < timedelta(seconds=4.96)
    for write in (lambda: session.append(X), lambda: session.state.put("a", 1), lambda: session.patch(name="n")):
        time.sleep(0.05)
        write()
        left = session.info().expires_in
        assert left is not None
        assert left > timedelta(seconds=4.9)


def test_reads_extend_it_when_asked(url: str, engine: str, cache: SessionCache, namespace: str) -> None:
    """`touch_on_read`."""
    if engine == "fake":
        reading, session = cache, cache.create(ttl=5)
        session._home = session._home._replace(touch_on_read=True)
    else:
        reading = SessionCache.from_url(url, namespace=namespace, touch_on_read=True)
        session = reading.create(ttl=5)
    time.sleep(0.1)
    session.history()
    left = session.info().expires_in
    assert left is not None
    assert left > timedelta(seconds=4.95)
    if reading is not cache:
        reading.close()


def test_max_lifetime_ends_a_busy_session(cache: SessionCache) -> None:
    """However often it is written to or touched."""
    session = cache.create(ttl=60, max_lifetime=0.3)
    began = time.monotonic()

    def keep_busy() -> None:
        while time.monotonic() - began < 5:
            session.append(X)
            session.touch(60)
            time.sleep(0.01)

    with pytest.raises(SessionNotFound):
        keep_busy()
    assert time.monotonic() - began < 2


def test_a_persistent_session_never_expires(cache: SessionCache) -> None:
    """ttl=None without max_lifetime; its keys have no TTL (the fixture looks)."""
    session = cache.create(ttl=None)
    session.append(X)
    info = session.info()
    assert (info.scope, info.expires_in, info.ttl) == ("persistent", None, None)
    assert session.touch() is None


def test_without_idle_ttl_the_lifetime_alone_counts(cache: SessionCache) -> None:
    """Writing does not move it."""
    session = cache.create(ttl=None, max_lifetime=0.3)
    session.append(X)
    assert session.info().scope == "ephemeral"
    wait_until_gone(session)


def test_touch_only_extends(cache: SessionCache) -> None:
    """Never shortens, changes nothing else."""
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


def test_an_expired_session_is_replaced_by_get_or_create(cache: SessionCache) -> None:
    """S2 1-49: a new, empty session under the same id."""
    session = cache.create("a", ttl=0.1)
    session.append(X)
    wait_until_gone(session)
    assert cache.get_or_create("a").info().count == 0


def test_settings_are_kept_with_the_session(cache: SessionCache) -> None:
    """Trap 1-52: whoever opens it gets its own settings, not the reader's defaults."""
    cache.create("a", ttl=7200, max_messages=3, cap_policy="turn", max_turns=9, max_duration=60, limit_action="ignore")
    info = cache.open("a").info()
    assert (info.ttl, info.max_messages, info.cap_policy) == (timedelta(hours=2), 3, "turn")
    assert (info.max_turns, info.max_duration, info.limit_action) == (9, timedelta(minutes=1), "ignore")


def test_runtime_stops_at_the_end(cache: SessionCache) -> None:
    """S5 4-16: whole seconds."""
    session = cache.create()
    session.complete()
    assert session.info().runtime == 0
    assert session.info().duration >= timedelta(0)
