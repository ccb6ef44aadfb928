"""The lease as a user meets it, on every engine: one holder, fenced writes."""

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
from tests.leases.line import FREE, X, elsewhere


def test_a_holder_writes_and_others_are_refused(cache: SessionCache) -> None:
    """With any handle in the block; the refusal names the holder and the time left."""
    session = cache.create("a")
    with session.lease(ttl=5, owner="worker-7") as lease:
        assert session.append(X).last_seq == 1
        assert cache.session("a").append(X).last_seq == 2
        session.state.put("a", 1)
        with pytest.raises(SessionLocked, match="held by worker-7 \\(fence 1\\)") as told:
            elsewhere(lambda: cache.session("a").append(X))
        assert (told.value.holder, told.value.fence) == ("worker-7", lease.fence)
        assert 3000 < told.value.left_ms <= 5000
    assert elsewhere(lambda: cache.session("a").append(X).last_seq) == 3


WRITES: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(X),
    "pin": lambda session: session.pin(1),
    "unpin": lambda session: session.unpin(1),
    "clear": lambda session: session.clear(),
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
def test_every_write_is_the_holders_alone(cache: SessionCache, name: str) -> None:
    """Another's is refused, one under a lost lease too; the holder's passes."""
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
def test_an_order_needs_no_lease_but_none_that_is_lost(cache: SessionCache, name: str) -> None:
    """A stuck holder cannot keep an operator from ending it; one that lost its lease gives no orders."""
    session = cache.create("a")
    session.append(X)
    with pytest.raises(LeaseLost), session.lease(ttl=5):
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        ORDERS[name](session)
    assert session.info().status == "active"
    with session.lease(ttl=5):
        elsewhere(lambda: ORDERS[name](cache.session("a")))


def test_a_lease_is_renewed_while_it_is_held(cache: SessionCache) -> None:
    """For longer than its ttl; the session lives as long."""
    session = cache.create("a", ttl=1)
    with session.lease(ttl=0.3) as lease:
        time.sleep(1.5)
        assert lease.is_held
        assert not lease.lost.is_set()
        session.append(X)
    assert session.info().lease is None


def test_a_lost_lease_is_told_by_flag_event_and_error(cache: SessionCache) -> None:
    """Within a third of the ttl, without a write."""
    session = cache.create("a")
    with pytest.raises(LeaseLost, match="released or ran out"), session.lease(ttl=0.6) as lease:
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        assert lease.lost.wait(2)
        assert not lease.is_held
        with pytest.raises(LeaseLost):
            session.append(X)
        with pytest.raises(LeaseLost):
            lease.receive()
        with pytest.raises(LeaseLost):
            lease.renew()
    assert session.info().count == 0


def test_a_holder_past_its_deadline_writes_until_another_does(cache: SessionCache) -> None:
    """Not the clock decides but who came next: another's lease, or another's plain write."""
    for take_over in (lambda: cache.session("a").append(X), lambda: cache.session("a").lease(5).acquire()):
        session = cache.create("a")
        lease = session.lease(ttl=0.1)
        lease.acquire()
        lease._stop_renewing()
        time.sleep(0.15)
        session.append(X)
        elsewhere(take_over)
        with pytest.raises(LeaseLost):
            session.append(X)
        with pytest.raises(LeaseLost):
            lease.release()
        cache.delete("a")


def test_a_refused_write_takes_nothing_over(cache: SessionCache) -> None:
    """A lease that ran out goes on when the other's write is refused for another reason."""
    session = cache.create("a")
    lease = session.lease(ttl=0.1)
    lease.acquire()
    lease._stop_renewing()
    time.sleep(0.15)
    with pytest.raises(Exception, match="revision"):
        elsewhere(lambda: cache.session("a").append(X, expected_rev=9))
    session.append(X)
    lease.release()


def test_in_other_threads_the_leases_own_handle_writes(cache: SessionCache) -> None:
    """`lease.session`; after the release it writes nothing."""
    session = cache.create("a")
    with session.lease(ttl=5) as lease:
        handle = lease.session
        assert elsewhere(lambda: handle.append(X).last_seq) == 1
    with pytest.raises(LeaseLost):
        handle.append(X)
    with pytest.raises(LeaseLost):
        _ = lease.session
    assert session.append(X).last_seq == 2


def test_a_lease_can_be_used_again(cache: SessionCache) -> None:
    """With a new fence; twice at once it cannot."""
    session = cache.create("a")
    lease = session.lease(ttl=5)
    for fence in (1, 2):
        with lease:
            assert lease.fence == fence
            with pytest.raises(InvalidInput, match="already holds"):
                lease.acquire()
            with pytest.raises(InvalidInput, match="already holds"):
                session.lease(wait=0).acquire()
    with pytest.raises(LeaseLost, match="is released"):
        lease.release()
    with pytest.raises(LeaseLost, match="never acquired"):
        session.lease().release()


def test_a_deleted_session_is_told(cache: SessionCache) -> None:
    """To the holder that renews, and at once to who stands in line. A holder may delete it itself."""
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
        while not (lease.info() or FREE).line:
            time.sleep(0.01)
        session.delete()
        thread.join(2)
        assert problems
        with pytest.raises(SessionNotFound):
            lease.renew()
        assert lease.lost.is_set()


def test_a_session_made_anew_is_none_of_the_holders(cache: SessionCache) -> None:
    """Deleted and created again under a held lease: refused, nothing written, with light handles too."""
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


@pytest.mark.parametrize("bad", [{"ttl": 0.05}, {"ttl": 86_401}, {"ttl": 0}, {"ttl": "1"}, {"wait": -1}, {"wait": 1e9},
                                 {"wait": True}, {"wait": float("nan")}, {"owner": "a b"}, {"owner": ""}])  # fmt: skip
def test_bad_input_is_refused_before_anything_is_sent(bad: dict[str, Any]) -> None:
    """By name."""
    with SessionCache.from_url("redis://127.0.0.1:1") as cache, pytest.raises(InvalidInput, match=next(iter(bad))):
        cache.session("a").lease(**bad)


def test_a_lease_on_no_session_is_refused(cache: SessionCache) -> None:
    """And makes none."""
    with pytest.raises(SessionNotFound):
        cache.session("a").lease().acquire()
    assert cache.get("a") is None


def test_a_refused_write_tells_at_once_and_a_new_lease_can_be_had(cache: SessionCache) -> None:
    """The flag is set with the first LeaseLost; the same task can stand in line again."""
    session = cache.create("a")
    with pytest.raises(LeaseLost), session.lease(ttl=60) as lease:
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        with pytest.raises(LeaseLost):
            session.append(X)
        assert lease.lost.is_set()
        assert not lease.is_held
        with session.lease(ttl=5) as second:
            assert second.fence == 2
            assert session.append(X).last_seq == 1


def test_what_a_lost_block_started_writes_nothing_later(cache: SessionCache) -> None:
    """Also when another's lease came and went; what a released one started writes plainly."""
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
def test_a_holder_is_called_what_it_says(cache: SessionCache, owner: str) -> None:
    """Whatever it looks like."""
    session = cache.create("a")
    with session.lease(ttl=5, owner=owner), pytest.raises(SessionLocked) as told:
        elsewhere(lambda: cache.session("a").append(X))
    assert told.value.holder == owner


def test_one_lease_object_is_not_two_turns(cache: SessionCache) -> None:
    """What the first block started does not write under the second."""
    session = cache.create("a")
    lease = session.lease(ttl=5)
    with lease:
        first = contextvars.copy_context()
    with lease, pytest.raises(SessionLocked):
        first.run(session.append, X)
