"""The waiters for a lease: their order, number and deadlines, the list of held leases, and the forced release."""

from __future__ import annotations

import gc
import time
import weakref
from functools import partial
from typing import Any

import pytest

from redis_sessions import BoundExceeded, InvalidInput, LeaseLost, SessionCache, SessionLocked
from redis_sessions._core.commands import leases
from redis_sessions._core.protocol.keys import wake_channel
from redis_sessions._sync.transport.executor import Executor
from tests.leases.dead_holders import stop_renewing
from tests.support.lease_waiters import X, elsewhere, waiting
from tests.support.machine_load import measured_load
from tests.support.servers import Server, await_true


def test_each_grant_has_a_higher_fence(cache: SessionCache) -> None:
    """Each grant of a session's lease has a higher fence than the grant before."""
    session = cache.create("a")
    fences = []
    for _ in range(3):
        with session.lease(ttl=5) as lease:
            fences.append(lease.fence)
    assert fences == [1, 2, 3]


def test_released_lease_is_granted_to_first_waiter(cache: SessionCache) -> None:
    """A release grants the lease to the first waiter, whose release grants it to the second."""
    session = cache.create("a")
    with session.lease(ttl=10) as lease, waiting(cache, "a") as first, waiting(cache, "a") as second:
        info = lease.info()
        assert info is not None
        assert len(info.waiters) == 2
        began = time.monotonic()
        lease.release()
    assert (first, second) == ([2], [3])
    assert time.monotonic() - began < 9  # before the lease would have run out
    assert session.info().lease is None


def test_expired_lease_is_granted_to_next_waiter(cache: SessionCache) -> None:
    """A waiter is granted the lease soon after its holder died."""
    session = cache.create("a")
    dead = session.lease(ttl=0.5)
    elsewhere(dead.acquire)
    stop_renewing(dead)
    with measured_load() as load:
        began = time.monotonic()
        with session.lease(ttl=5, wait=30) as lease:
            assert lease.fence == 2
            assert time.monotonic() - began < load.allow(0.8, wakeups=4)


def test_waiter_past_its_wait_leaves(cache: SessionCache) -> None:
    """A waiter raises SessionLocked after its wait and is not a waiter any more."""
    session = cache.create("a")
    with session.lease(ttl=10) as held:
        for wait in (0, 0.3):
            with measured_load() as load:
                began = time.monotonic()
                with pytest.raises(SessionLocked):
                    elsewhere(cache.session("a").lease(5, wait).acquire)
                assert wait <= time.monotonic() - began < load.allow(wait + 1, wakeups=4)
        info = held.info()
        assert info is not None
        assert info.waiters == []


def test_repeated_acquire_after_release_is_refused(cache: SessionCache) -> None:
    """A late duplicate of an acquire raises LeaseLost, so that the session is not locked for a worker that is gone."""
    session = cache.create("a")
    lease = session.lease(ttl=5)
    with lease:
        nonce = lease._require().token.split()[1]
    with pytest.raises(LeaseLost):
        cache._executor.run(leases.acquire(session._keys, "", nonce, "me", 5000, 0, "channel", True))
    assert session.info().lease is None


def test_repeated_take_over_after_release_is_refused(cache: SessionCache, namespace: str) -> None:
    """A late duplicate of a takeover raises LeaseLost, so that the lease stays with the waiter that was granted it."""
    session, channel = cache.create("a"), wake_channel(namespace, "0" * 12)
    cache._executor.run(leases.acquire(session._keys, "", "first", "holder", 5000, 0, channel, False))
    cache._executor.run(leases.acquire(session._keys, "", "second", "waiter", 5000, 5000, channel, False))
    take_over = leases.take_over(session._keys, "", "operator", "me", 0)
    cache._executor.run(leases.release(session._keys, "", cache._executor.run(take_over)))
    with pytest.raises(LeaseLost):
        cache._executor.run(take_over)
    info = session.info().lease
    assert info is not None
    assert info.owner == "waiter"


def test_force_release_grants_lease_to_next_waiter(cache: SessionCache) -> None:
    """A forced release grants the lease to the next waiter, and the next write of the former holder raises LeaseLost."""
    session = cache.create("a")
    with pytest.raises(LeaseLost), session.lease(ttl=30), waiting(cache, "a") as next_fence:
        elsewhere(lambda: cache.session("a").lease().release(force=True))
        session.append(X)
    assert next_fence == [3]  # the operator held the lease with fence 2


def test_acquire_beyond_max_waiters_is_refused(url: str, namespace: str) -> None:
    """A worker that would exceed the number of waiters raises BoundExceeded."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"waiters": 1}) as cache:
        session = cache.create("a")
        with session.lease(ttl=30) as lease, waiting(cache, "a"):
            with pytest.raises(BoundExceeded, match="waiters of 'a' would be 2"):
                elsewhere(lambda: cache.session("a").lease(5, 5).acquire())
            lease.release()


def test_force_release_with_other_fence_is_refused(cache: SessionCache) -> None:
    """A forced release with a fence ends only the grant that has this fence."""
    session = cache.create("a")
    with session.lease(ttl=5):
        pass
    with session.lease(ttl=5) as lease:
        for fence in (lease.fence - 1, lease.fence + 1):
            with pytest.raises(LeaseLost):
                elsewhere(partial(cache.session("a").lease().release, fence=fence))
        with pytest.raises(InvalidInput, match="fence"):
            cache.session("a").lease().release(fence=0)
        session.append(X)
        elsewhere(lambda: cache.session("a").lease().release(fence=lease.fence))
        with pytest.raises(LeaseLost):
            lease.release()


def test_expired_waiters_make_room_for_others(url: str, namespace: str) -> None:
    """Waiters whose wait is over do not count against the number of waiters."""
    with SessionCache.from_url(url, namespace=namespace, bounds={"waiters": 2}) as cache:
        session = cache.create("a")
        with session.lease(ttl=30) as lease:
            for number in range(2):
                call = leases.acquire(session._keys, "", f"dead{number}", "x", 5000, 100, "no-such-channel", False, 2)
                cache._executor.run(call)
            time.sleep(0.15)
            with waiting(cache, "a"):
                lease.release()


def test_held_leases_are_listed_once_in_pages(cache: SessionCache) -> None:
    """The pages of leases list each held lease once, and leave out released leases and deleted sessions."""
    held = []
    for number in range(5):
        cache.create(f"s{number}")
        held.append(elsewhere(cache.session(f"s{number}").lease(ttl=10 + number, owner=f"w{number}").acquire))
    await_true(lambda: len(cache.leases().items) == 5)
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


def test_repeated_acquire_and_release_grant_once(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """An acquire and a release that are each sent twice are one grant and one release."""
    attempt = Executor._attempt

    def twice(self: Executor, call: Any) -> Any:
        attempt(self, call)
        return attempt(self, call)

    session = cache.create("a")
    monkeypatch.setattr(Executor, "_attempt", twice)
    with session.lease(ttl=5) as lease:
        assert lease.fence == 1
        cache.session("b")
    with session.lease(ttl=5) as lease:
        assert lease.fence == 2
    assert session.info().lease is None


def test_dropped_lease_is_not_renewed(cache: SessionCache) -> None:
    """A lease whose handle was dropped is not renewed, so the lease expires."""
    session = cache.create("a")
    elsewhere(lambda: cache.session("a").lease(ttl=0.3).acquire() and None)
    gc.collect()
    with session.lease(ttl=5, wait=5) as lease:
        assert lease.fence == 2


def test_error_of_the_server_does_not_delay_the_drop_of_a_handle(server: Server, namespace: str) -> None:
    """A handle is dropped at once, although its acquisition met NOSCRIPT and no garbage is collected."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.create("a")
        server.client.script_flush()
        gc.disable()
        try:
            handle = weakref.ref(cache.session("a").lease(60).acquire())
            assert handle() is None
        finally:
            gc.enable()
