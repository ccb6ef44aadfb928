"""The line for a lease: fair, with an end and a deadline; who holds what, and how an operator ends it."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    LeaseLost,
    SessionCache,
    SessionLocked,
)
from redis_sessions._sync.calls import Calls
from tests.leases.line import X, elsewhere, waiting


def test_fences_grow_with_every_grant(cache: SessionCache) -> None:
    """Also after a force-release and after one that ran out."""
    session = cache.create("a")
    fences = []
    for _ in range(3):
        with session.lease(ttl=5) as lease:
            fences.append(lease.fence)
    assert fences == [1, 2, 3]


def test_the_line_is_first_come_first_served(cache: SessionCache) -> None:
    """A release wakes the next one."""
    session = cache.create("a")
    with session.lease(ttl=10) as lease, waiting(cache, "a") as first, waiting(cache, "a") as second:
        info = lease.info()
        assert info is not None
        assert len(info.line) == 2
        began = time.monotonic()
        lease.release()
    assert (first, second) == ([2], [3])
    assert time.monotonic() - began < 3
    assert session.info().lease is None


def test_a_lease_that_runs_out_is_noticed_without_a_release(cache: SessionCache) -> None:
    """Its holder is not there to give it up; the next one is in soon after."""
    session = cache.create("a")
    dead = session.lease(ttl=0.5)
    elsewhere(dead.acquire)
    dead._stop_renewing()
    began = time.monotonic()
    with session.lease(ttl=5, wait=5) as lease:
        assert lease.fence == 2
    assert time.monotonic() - began < 0.8


def test_a_wait_has_a_deadline(cache: SessionCache) -> None:
    """Then who waited is out of the line."""
    session = cache.create("a")
    with session.lease(ttl=10) as held:
        for wait in (0, 0.3):
            began = time.monotonic()
            with pytest.raises(SessionLocked):
                elsewhere(cache.session("a").lease(5, wait).acquire)
            assert wait <= time.monotonic() - began < wait + 1
        info = held.info()
        assert info is not None
        assert info.line == []


def test_a_request_that_comes_after_its_release_gets_nothing(cache: SessionCache) -> None:
    """A late duplicate of an acquire cannot lock the session for nobody."""
    from redis_sessions._core import leases

    session = cache.create("a")
    lease = session.lease(ttl=5)
    with lease:
        nonce = lease._token.split()[1]
    with pytest.raises(LeaseLost):
        cache._calls.run(leases.acquire(session._keys, "", nonce, "me", 5000, 0, "channel", True))
    assert session.info().lease is None


def test_force_release_hands_the_lease_on(cache: SessionCache) -> None:
    """To the next in line; its holder is told by its next write."""
    session = cache.create("a")
    with pytest.raises(LeaseLost), session.lease(ttl=30), waiting(cache, "a") as next_fence:
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        session.append(X)
    assert next_fence == [2]


def test_a_line_has_an_end(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many may wait, then who comes is told."""
    from redis_sessions import LimitExceeded
    from redis_sessions._core import leases

    monkeypatch.setattr(leases, "LINE", 1)
    session = cache.create("a")
    with session.lease(ttl=30) as lease, waiting(cache, "a"):
        with pytest.raises(LimitExceeded, match="line"):
            elsewhere(lambda: cache.session("a").lease(5, 5).acquire())
        lease.release()


def test_a_force_release_can_name_its_fence(cache: SessionCache) -> None:
    """So that it ends no other's turn."""
    session = cache.create("a")
    with session.lease(ttl=5) as lease:
        with pytest.raises(LeaseLost):
            elsewhere(lambda: cache.session("a").lease().release(fence=lease.fence - 1))
        session.append(X)
        elsewhere(lambda: cache.session("a").lease().release(fence=lease.fence))
        with pytest.raises(LeaseLost):
            lease.release()


def test_dead_places_do_not_fill_the_line(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose wait is over make room."""
    from redis_sessions._core import leases

    monkeypatch.setattr(leases, "LINE", 2)
    session = cache.create("a")
    with session.lease(ttl=30) as lease:
        for number in range(2):
            cache._calls.run(leases.acquire(session._keys, "", f"dead{number}", "x", 5000, 100, "nobody", False))
        time.sleep(0.15)
        with waiting(cache, "a"):
            lease.release()


def test_held_leases_are_listed(cache: SessionCache) -> None:
    """By pages, each once; what is released or gone is not among them."""
    held = []
    for number in range(5):
        cache.create(f"s{number}")
        held.append(elsewhere(cache.session(f"s{number}").lease(ttl=10 + number, owner=f"w{number}").acquire))
    due = time.monotonic() + 5
    while len(cache.leases().items) < 5:
        assert time.monotonic() < due
        time.sleep(0.02)
    first = cache.leases(limit=2)
    second = cache.leases(2, first.cursor)
    third = cache.leases(2, second.cursor)
    listed = [lease for page in (first, second, third) for lease in page.items]
    assert [(lease.session_id, lease.owner, lease.fence) for lease in listed] == [
        (f"s{n}", f"w{n}", 1) for n in range(5)
    ]
    assert third.cursor is None
    held[0].release()
    cache.delete("s1")
    assert [lease.session_id for lease in cache.leases().items] == ["s2", "s3", "s4"]
    for lease in held[2:]:
        lease.release()
    assert cache.leases().items == []
    with pytest.raises(InvalidInput, match="cursor"):
        cache.leases(cursor="nonsense")
    with pytest.raises(InvalidInput, match="limit"):
        cache.leases(0)


def test_acquiring_and_releasing_survive_lost_replies(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sent twice: the same fence, one release."""
    attempt = Calls._attempt

    def twice(self: Calls, call: Any) -> Any:
        attempt(self, call)
        return attempt(self, call)

    session = cache.create("a")
    monkeypatch.setattr(Calls, "_attempt", twice)
    with session.lease(ttl=5) as lease:
        assert lease.fence == 1
        cache.session("b")
    with session.lease(ttl=5) as lease:
        assert lease.fence == 2
    assert session.info().lease is None


def test_a_lease_that_was_dropped_runs_out(cache: SessionCache) -> None:
    """With the thread that had it: nobody renews what nobody can use."""
    session = cache.create("a")
    elsewhere(lambda: cache.session("a").lease(ttl=0.3).acquire() and None)
    gc.collect()
    with session.lease(ttl=5, wait=5) as lease:
        assert lease.fence == 2
