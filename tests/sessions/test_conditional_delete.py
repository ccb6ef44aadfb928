"""Deletions that expect a revision."""

from __future__ import annotations

import pytest

from redis_sessions import RevisionConflict, SessionCache, SessionDamaged, SessionReplaced
from redis_sessions._core.protocol.call import Call

X = {"role": "user", "content": "x"}


def test_deletion_at_another_revision_is_refused(cache: SessionCache) -> None:
    """A session that changed since its revision was read stays, and is deleted at its present revision."""
    session = cache.create("a")
    rev = session.info().rev
    session.append(X)
    with pytest.raises(RevisionConflict):
        session.delete(expected_rev=rev)
    with pytest.raises(RevisionConflict):
        cache.delete("a", expected_rev=rev)
    assert len(session.history()) == 1
    assert cache.delete("a", expected_rev=rev + 1)
    assert cache.get("a") is None
    assert not cache.delete("a", expected_rev=rev + 1)


def test_deletion_of_another_incarnation_is_refused(cache: SessionCache) -> None:
    """A repeated deletion does not delete a session with the same ID and revision that was created in between."""
    session = cache.create("a")
    rev = session.info().rev
    assert session.delete(expected_rev=rev)
    assert cache.create("a").info().rev == rev
    with pytest.raises(SessionReplaced):
        session.delete(expected_rev=rev)
    assert cache.get("a") is not None


def test_tree_at_another_revision_is_neither_cancelled_nor_deleted(cache: SessionCache) -> None:
    """A session with children at another revision goes on, and at its revision it is deleted with all below it."""
    root = cache.create("a")
    child = root.spawn("r", task="look").raise_if_refused().session_key or ""
    rev = root.info().rev
    with pytest.raises(RevisionConflict):
        root.delete(expected_rev=rev + 1)
    assert root.info().status == cache.session(child).info().status == "active"
    assert root.delete(expected_rev=rev)
    assert cache.get("a") is None
    assert cache.get(child) is None


def test_ended_session_that_changed_is_kept(cache: SessionCache) -> None:
    """A session that has ended is deleted at its revision only."""
    session = cache.create("a")
    session.spawn("r", task="look")
    session.complete()
    rev = session.info().rev
    session.patch(name="kept")
    with pytest.raises(RevisionConflict):
        session.delete(expected_rev=rev)
    assert session.info().name == "kept"
    assert session.delete(expected_rev=rev + 1)


def test_damaged_session_is_not_deleted_by_revision(cache: SessionCache) -> None:
    """A session whose revision cannot be read is deleted without one only."""
    session = cache.create("a")
    keys = session._keys
    cache._context.executor.run(Call(("HSET", keys.session, "counters", "broken"), keys, lambda reply: reply))
    with pytest.raises(SessionDamaged):
        session.delete(expected_rev=1)
    assert cache.get("a") is not None
    assert session.delete()
