"""Retries by an operator: what begins again, what is refused, and what a retry leaves behind of the attempts before."""

from __future__ import annotations

import time
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    InvalidTransition,
    LimitExceeded,
    RunParked,
    SessionCache,
    SessionNotActive,
)
from redis_sessions._core.protocol.call import Call
from tests.support.servers import await_true
from tests.trees.children import X, key_of
from tests.trees.runs import DEADLINE_SECONDS, claim_run, spawn_runs
from tests.trees.workers import raising, working


def test_failed_run_can_be_retried(cache: SessionCache) -> None:
    """A retry makes a failed run active with new attempts, and its next result is another message to its parent."""
    parent = cache.create(max_active=1)
    (id,) = spawn_runs(parent, "t", max_attempts=1, label="x")
    with working(cache, raising(ValueError("no luck"))):
        parent.join(timeout=DEADLINE_SECONDS)
    child = cache.session(id)
    child.retry()
    found = child.info()
    assert (found.status, found.work, found.attempt, found.reason) == ("active", "queued", 0, None)
    assert parent.spawn("a").reason == "max_active"
    run = claim_run(cache)
    assert (run.id, run.attempt) == (id, 1)
    run.append(X)
    run.complete("done")
    assert [str(message.content) for message in parent.history()] == [
        "[x failed] ValueError", "[x completed] done",
    ]  # fmt: skip
    assert parent.children()[0].result == "done"
    with pytest.raises(InvalidTransition):
        child.retry()


def test_retry_without_room_is_refused(cache: SessionCache) -> None:
    """A retry that the tree has no room for is refused, also when the process spawned many other children since."""
    parent = cache.create(max_active=1)
    (id,) = spawn_runs(parent, "t", max_attempts=1)
    with working(cache, raising(ValueError("no luck"))):
        parent.join(timeout=DEADLINE_SECONDS)
    parent.spawn("a").raise_if_refused()
    child = cache.session(id)
    cache._context.executor._ancestors.clear()
    for _ in range(2):
        with pytest.raises(LimitExceeded, match="max_active"):
            child.retry()


def test_retried_run_can_spawn_as_many_children_as_before(cache: SessionCache) -> None:
    """A retry counts only the children that go on: those which the end of the run cancelled take no place."""
    parent = cache.create(max_active=None, max_children=5)
    (id,) = spawn_runs(parent, "t", max_attempts=1)
    run = claim_run(cache)
    kept = run.spawn("b", on_parent_end="detach").raise_if_refused().session_key
    for _ in range(4):
        run.spawn("b").raise_if_refused()
    run.fail()
    session = cache.session(id)
    await_true(lambda: [one.status for one in session.children()] == ["active", *["cancelled"] * 4])
    session.retry()
    again = claim_run(cache)
    assert [again.spawn("b").accepted for _ in range(5)] == [True] * 4 + [False]
    cache.session(str(kept)).cancel()
    assert again.spawn("b").accepted


def test_retried_run_does_not_wait_for_earlier_children(cache: SessionCache) -> None:
    """A run that was parked, timed out and is retried begins again, and does not resume an earlier wait."""
    parent = cache.create(max_active=None)
    (id,) = spawn_runs(parent, "t")
    run = claim_run(cache)
    run.spawn("b").raise_if_refused()
    with pytest.raises(RunParked) as parked:
        run.can_park = True
        run.wait_for(timeout=DEADLINE_SECONDS)
    run._park(parked.value)
    session = cache.session(id)
    session.time_out()
    session.retry()
    again = claim_run(cache)
    assert (again.id, again.attempt, again.is_resumed) == (id, 1, False)


def test_timed_out_run_can_be_retried(cache: SessionCache) -> None:
    """A run that timed out can be retried, and its time begins with its next claim."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", run_timeout=2)
    run = claim_run(cache)
    await_true(lambda: cache.recover() >= 0 and run.info().status == "timed_out", DEADLINE_SECONDS)
    cache.session(id).retry()
    time.sleep(2.1)
    claim_run(cache).complete("in time")
    assert [one.status for one in parent.join(timeout=DEADLINE_SECONDS)] == ["completed"]


def test_retry_of_what_did_not_fail_is_refused(cache: SessionCache) -> None:
    """A run that is open, completed or cancelled cannot be retried, nor one whose parent ended, nor a plain session."""
    parent = cache.create()
    opened, completed, cancelled, orphan = (cache.session(key_of(parent.spawn("a", task=str(n)))) for n in range(4))
    completed.complete()
    cancelled.cancel()
    orphan.fail()
    for session, error in (
        (opened, InvalidInput), (completed, InvalidTransition), (cancelled, InvalidTransition), (parent, InvalidInput),
    ):  # fmt: skip
        before = session.info().rev
        with pytest.raises(error):
            session.retry()
        assert session.info().rev == before
    parent.complete()
    with pytest.raises(SessionNotActive):
        orphan.retry()
    with pytest.raises(InvalidTransition):
        completed.retry()


@pytest.mark.parametrize("limit", ["max_active", "max_children"])
def test_retry_needs_a_place_in_the_tree(cache: SessionCache, limit: str) -> None:
    """A run whose place another run took cannot be retried until that one has ended, or its session is gone."""
    options: Any = {limit: 1}
    parent = cache.create(**options)
    failed = cache.session(spawn_runs(parent, "t", label="x")[0])
    failed.fail()
    for leave in ("complete", "expire"):
        other = cache.session(spawn_runs(parent, "t")[0])
        with pytest.raises(LimitExceeded, match=f"{limit}: 2, at most 1") as refused:
            failed.retry()
        assert (refused.value.limit, refused.value.action) == (limit, "error")
        assert failed.info().status == "failed"
        if leave == "complete":
            other.complete()
        else:
            cache._executor.run(Call(("UNLINK", other._keys.session, other._keys.messages), other._keys, int))
        failed.retry()
        assert failed.info().status == "active"
        assert parent.spawn("a").reason == limit
        failed.fail()


def test_retry_does_not_share_a_label(cache: SessionCache) -> None:
    """A run whose label another active session has cannot be retried until that one has ended. Then the label is its own."""
    parent = cache.create()
    (id,) = spawn_runs(parent, "t", label="x")
    failed = cache.session(id)
    failed.fail()
    (other,) = spawn_runs(parent, "t", label="x")
    with pytest.raises(InvalidInput, match="label"):
        failed.retry()
    assert failed.info().status == "failed"
    cache.session(other).complete()
    failed.retry()
    assert failed.info().status == "active"
    assert parent.spawn("a", label="x").reason == "label_in_use"
