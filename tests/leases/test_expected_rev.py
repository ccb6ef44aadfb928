"""Compare-and-set: a write that was decided on an old revision is refused, and decided again."""

from __future__ import annotations

import threading

import pytest

from redis_sessions import InvalidInput, RevisionConflict, Session, SessionCache, SessionInfo

X = {"role": "user", "content": "x"}


def increment(session: Session, info: SessionInfo) -> int:
    """Add 1 by a read and a write that depends on the revision of the read."""
    value = session.state.get("n", 0)
    return session.state.put("n", value + 1, expected_rev=info.rev)


def test_conflicting_increments_are_all_counted(cache: SessionCache) -> None:
    """Eight threads that each add 10 by a read and a conditional write reach 80."""
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


def test_retries_end_with_revision_conflict(cache: SessionCache) -> None:
    """The last of the bounded attempts raises RevisionConflict with the current rev."""
    session = cache.create("a")
    calls: list[int] = []

    def lose(info: SessionInfo) -> int:
        calls.append(info.rev)
        session.append(X)
        return session.append(X, expected_rev=info.rev).rev

    with pytest.raises(RevisionConflict) as refused:
        session.retry_on_conflict(lose, attempts=3)
    assert calls == [0, 1, 2]
    assert refused.value.rev == 3
    with pytest.raises(InvalidInput, match="attempts"):
        session.retry_on_conflict(lose, attempts=0)


def test_error_of_function_is_not_retried(cache: SessionCache) -> None:
    """An error of the function itself is raised at once."""
    session = cache.create("a")

    def fail(info: SessionInfo) -> int:
        raise KeyError(info.id)

    with pytest.raises(KeyError):
        session.retry_on_conflict(fail)
