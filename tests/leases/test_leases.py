"""The lease on every engine: one holder, fenced writes."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    LeaseLost,
    Session,
    SessionCache,
    SessionLocked,
    SessionNotFound,
    SessionReplaced,
)
from tests.leases.dead_holders import let_run_out
from tests.support.lease_waiters import FREE, X, elsewhere


def test_write_without_held_lease_raises_session_locked(cache: SessionCache) -> None:
    """The holder writes with any handle in the block, and another write raises SessionLocked with holder and time left."""
    session = cache.create("a")
    with session.lease(ttl=5, owner="worker-7") as lease:
        assert session.append(X).last_seq == 1
        assert cache.session("a").append(X).last_seq == 2
        session.state.put("a", 1)
        with pytest.raises(SessionLocked, match="worker-7 holds the lease \\(fence 1\\)") as refused:
            elsewhere(lambda: cache.session("a").append(X))
        assert (refused.value.holder, refused.value.fence) == ("worker-7", lease.fence)
        assert 3000 < refused.value.left_ms <= 5000
    assert elsewhere(lambda: cache.session("a").append(X).last_seq) == 3


WRITES: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(X),
    "pin": lambda session: session.pin(1),
    "unpin": lambda session: session.unpin(1),
    "clear": lambda session: session.clear(),
    "pop": lambda session: session.pop(),
    "replace": lambda session: session.replace(X, after_seq=1),
    "replace one": lambda session: session.replace(1, X),
    "abandon_calls": lambda session: session.abandon_calls(),
    "compact": lambda session: session.compact(1, "sum"),
    "append with state": lambda session: session.append(X, state={"a": 1}),
    "patch": lambda session: session.patch(name="n"),
    "state.put": lambda session: session.state.put("a", 1),
    "state.add": lambda session: session.state.add("n"),
    "state.delete": lambda session: session.state.delete("a"),
    "state.clear": lambda session: session.state.clear(),
    "variables.put": lambda session: session.variables.put("a", "b"),
    "complete": lambda session: session.complete(),
    "fail": lambda session: session.fail(),
}
ORDERS: dict[str, Callable[[Session], Any]] = {
    "pause": lambda session: session.pause(),
    "cancel": lambda session: session.cancel(),
    "time_out": lambda session: session.time_out(),
    "delete": lambda session: session.delete(),
}


@pytest.mark.parametrize("name", list(WRITES))
def test_write_under_lost_lease_is_refused(cache: SessionCache, name: str) -> None:
    """A write of another worker or under a lost lease is refused, and the write of the holder passes."""
    session = cache.create("a")
    session.append(X, X)
    with session.lease(ttl=5) as lease:
        with pytest.raises(SessionLocked):
            elsewhere(lambda: WRITES[name](cache.session("a")))
        before = session.info()
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        with pytest.raises(LeaseLost):
            WRITES[name](session)
        after = session.info()
        assert (after.rev, after.status, after.count) == (before.rev, before.status, before.count)
        with pytest.raises(LeaseLost):
            lease.release()
    with session.lease(ttl=5):
        WRITES[name](session)


@pytest.mark.parametrize("name", list(ORDERS))
def test_order_without_lease_passes_and_under_lost_lease_is_refused(cache: SessionCache, name: str) -> None:
    """An order needs no lease, and raises LeaseLost in a block whose lease was lost."""
    session = cache.create("a")
    session.append(X)
    with pytest.raises(LeaseLost), session.lease(ttl=5):
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        ORDERS[name](session)
    assert session.info().status == "active"
    with session.lease(ttl=5):
        elsewhere(lambda: ORDERS[name](cache.session("a")))


def test_held_lease_is_renewed_beyond_its_ttl(cache: SessionCache) -> None:
    """A held lease is renewed beyond its ttl, and the session lives as long as the lease."""
    session = cache.create("a", ttl=1)
    with session.lease(ttl=1) as lease:
        time.sleep(2)
        assert lease.is_held
        assert not lease.lost.is_set()
        session.append(X)
    assert session.info().lease is None


def test_lost_lease_sets_event_and_raises_lease_lost(cache: SessionCache) -> None:
    """The holder of a lost lease finds `lost` set within a third of the ttl, and all its calls raise LeaseLost."""
    session = cache.create("a")
    with pytest.raises(LeaseLost, match="released or ran out"), session.lease(ttl=0.6) as lease:
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        assert lease.lost.wait(20)
        assert not lease.is_held
        with pytest.raises(LeaseLost):
            session.append(X)
        with pytest.raises(LeaseLost):
            lease.receive()
        with pytest.raises(LeaseLost):
            lease.renew()
    assert session.info().count == 0


def test_holder_of_expired_lease_writes_until_another_worker_does(cache: SessionCache) -> None:
    """A holder past its deadline writes until another worker acquires the lease or writes."""
    for take_over in (lambda: cache.session("a").append(X), lambda: cache.session("a").lease(5).acquire()):
        session = cache.create("a")
        lease = session.lease(ttl=60)
        lease.acquire()
        let_run_out(lease)
        session.append(X)
        elsewhere(take_over)
        with pytest.raises(LeaseLost):
            session.append(X)
        with pytest.raises(LeaseLost):
            lease.release()
        cache.delete("a")


def test_refused_write_does_not_end_expired_lease(cache: SessionCache) -> None:
    """An expired lease goes on when another worker's write is refused for another reason."""
    session = cache.create("a")
    lease = session.lease(ttl=60)
    lease.acquire()
    let_run_out(lease)
    with pytest.raises(Exception, match="revision"):
        elsewhere(lambda: cache.session("a").append(X, expected_rev=9))
    session.append(X)
    lease.release()


def test_handle_of_lease_writes_in_other_threads(cache: SessionCache) -> None:
    """The handle `lease.session` writes in other threads until the lease is released."""
    session = cache.create("a")
    with session.lease(ttl=5) as lease:
        handle = lease.session
        assert elsewhere(lambda: handle.append(X).last_seq) == 1
    with pytest.raises(LeaseLost):
        handle.append(X)
    with pytest.raises(LeaseLost):
        _ = lease.session
    assert session.append(X).last_seq == 2


def test_released_lease_can_be_acquired_again(cache: SessionCache) -> None:
    """A released lease can be acquired again with a new fence, and a held lease cannot."""
    session = cache.create("a")
    lease = session.lease(ttl=5)
    for fence in (1, 2):
        with lease:
            assert lease.fence == fence
            with pytest.raises(InvalidInput, match="already holds"):
                lease.acquire()
            with pytest.raises(InvalidInput, match="already holds"):
                session.lease(wait=0).acquire()
    with pytest.raises(LeaseLost, match="was released"):
        lease.release()
    with pytest.raises(LeaseLost, match="never acquired"):
        session.lease().release()


def test_deleted_session_refuses_holder_and_waiters(cache: SessionCache) -> None:
    """A deleted session raises SessionNotFound for its waiters at once, and for its holder at the renewal."""
    session = cache.create("a")
    with session.lease(ttl=30) as lease:
        problems: list[BaseException] = []

        def wait() -> None:
            try:
                cache.session("a").lease(5, 20).acquire()
            except SessionNotFound as problem:
                problems.append(problem)

        thread = threading.Thread(target=wait)
        thread.start()
        while not (lease.info() or FREE).waiters:
            time.sleep(0.01)
        session.delete()
        thread.join(20)
        assert problems
        with pytest.raises(SessionNotFound):
            lease.renew()
        assert lease.lost.is_set()


def test_holder_of_replaced_session_is_refused(cache: SessionCache) -> None:
    """The holder of a lease on a former incarnation is refused in the new one, and nothing is written."""
    light = cache.session("a")
    cache.create("a")
    with light.lease(ttl=5) as lease:
        elsewhere(lambda: (cache.delete("a"), cache.create("a")))
        for write in (lambda: light.append(X), lease.receive, lease.renew):
            with pytest.raises(SessionReplaced):
                write()
        with pytest.raises(LeaseLost):
            cache.session("a").append(X)
    assert cache.session("a").info().count == 0


@pytest.mark.parametrize(
    "bad",
    [
        *({"ttl": ttl} for ttl in (0.05, 86_401, 0, "50ms", "2d", "1 hour")),
        *({"wait": wait} for wait in (-1, 1e9, True, float("nan"), "soon")),
        *({"owner": owner} for owner in ("a b", "")),
    ],
)
def test_invalid_lease_argument_is_refused_by_name(bad: dict[str, Any]) -> None:
    """An invalid argument of a lease raises InvalidInput with its name before anything is sent."""
    with SessionCache.from_url("redis://127.0.0.1:1") as cache, pytest.raises(InvalidInput, match=next(iter(bad))):
        cache.session("a").lease(**bad)


def test_lease_on_missing_session_raises_session_not_found(cache: SessionCache) -> None:
    """A lease on a missing session raises SessionNotFound and does not create the session."""
    with pytest.raises(SessionNotFound):
        cache.session("a").lease().acquire()
    assert cache.get("a") is None


def test_refused_write_sets_lost_and_new_lease_can_be_acquired(cache: SessionCache) -> None:
    """The first LeaseLost sets `lost`, and the same task can acquire another lease."""
    session = cache.create("a")
    with pytest.raises(LeaseLost), session.lease(ttl=60) as lease:
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        with pytest.raises(LeaseLost):
            session.append(X)
        assert lease.lost.is_set()
        assert not lease.is_held
        with session.lease(ttl=5) as second:
            assert second.fence == 3  # the operator held the lease with fence 2
            assert session.append(X).last_seq == 1


def test_task_of_lost_block_stays_refused(cache: SessionCache) -> None:
    """A task that a block with a lost lease started stays refused, and a task of a released block writes plainly."""
    session = cache.create("a")
    lost = None
    with pytest.raises(LeaseLost), session.lease(ttl=60):
        lost = contextvars.copy_context()
        elsewhere(lambda: cache.session("a").lease().release(force=True))
    with session.lease(ttl=5):
        released = contextvars.copy_context()
        session.append(X)
    assert lost is not None
    with pytest.raises(LeaseLost):
        lost.run(session.append, X)
    assert released.run(session.append, X).last_seq == 2


@pytest.mark.parametrize("owner", ["007", "--5", "²", "a%d-é"])
def test_holder_name_is_returned_unchanged(cache: SessionCache, owner: str) -> None:
    """A refusal names the holder as given, whatever the name looks like."""
    session = cache.create("a")
    with session.lease(ttl=5, owner=owner), pytest.raises(SessionLocked) as refused:
        elsewhere(lambda: cache.session("a").append(X))
    assert refused.value.holder == owner


def test_task_of_first_block_does_not_write_under_second(cache: SessionCache) -> None:
    """A task that the first block of a lease object started does not write under the second block."""
    session = cache.create("a")
    lease = session.lease(ttl=5)
    with lease:
        first = contextvars.copy_context()
    with lease, pytest.raises(SessionLocked):
        first.run(session.append, X)
