"""Compare-and-set: what was decided on an old state is refused, and decided again."""

from __future__ import annotations

import threading

import pytest

from redis_sessions import InvalidInput, RevisionConflict, Session, SessionCache, SessionInfo

X = {"role": "user", "content": "x"}


def increment(session: Session, info: SessionInfo) -> int:
    """A read and a write that must not be torn apart."""
    value = session.state.get("n", 0)
    return session.state.put("n", value + 1, expected_rev=info.rev)


def test_a_function_is_retried_on_what_is_there_now(cache: SessionCache) -> None:
    """8 threads add 10 each by reading and writing: 80."""
    cache.create("a")

    def run() -> None:
        session = cache.session("a")
        for _ in range(10):
            session.retry_on_conflict(lambda info: increment(session, info), attempts=500)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.session("a").state.get("n") == 80


def test_the_retries_are_bounded(cache: SessionCache) -> None:
    """Then the conflict itself is raised, with the current rev."""
    session = cache.create("a")
    calls: list[int] = []

    def lose(info: SessionInfo) -> int:
        calls.append(info.rev)
        session.append(X)
        return session.append(X, expected_rev=info.rev).rev

    with pytest.raises(RevisionConflict) as told:
        session.retry_on_conflict(lose, attempts=3)
    assert calls == [0, 1, 2]
    assert told.value.rev == 3
    with pytest.raises(InvalidInput, match="attempts"):
        session.retry_on_conflict(lose, attempts=0)


def test_other_errors_pass(cache: SessionCache) -> None:
    """The function's own are not retried."""
    session = cache.create("a")

    def fail(info: SessionInfo) -> int:
        raise KeyError(info.id)

    with pytest.raises(KeyError):
        session.retry_on_conflict(fail)
