"""The renewal of leases: how long it goes on, and what ends it."""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest

from redis_sessions import InvalidInput, LeaseLost, SessionCache, SessionNotActive
from tests.leases.dead_holders import stop_renewing
from tests.support.lease_waiters import X, elsewhere
from tests.support.machine_load import measured_load
from tests.support.servers import await_true
from tests.trees.runs import claim_run, spawn_runs

RENEWED_TTL = 2.0
"""The seconds of a lease that is renewed three times in them: a machine that stalls for one second loses none."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Switch the garbage collector off, so that only reference counts end objects."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_handles_end_without_garbage_collector(cache: SessionCache, no_collector: None) -> None:
    """A session, a lease and a run that nothing refers to are gone at once, though they were used and renewed."""
    session = cache.create("a")
    lease = session.lease(ttl=RENEWED_TTL).acquire()
    session.append(X, state={"x": 1})
    session.state["y"] = 2
    session.variables["z"] = "3"
    spawn_runs(cache.create(), "t")
    run = claim_run(cache, ttl=RENEWED_TTL)
    run.append(X)
    run.state.put("y", 2)
    time.sleep(0.5 * RENEWED_TTL)
    handles: list[ref[Any]] = [ref(run), ref(run.held), ref(lease), ref(session)]
    del run, lease, session
    await_true(lambda: [handle() for handle in handles] == [None] * 4)  # a renewal may be under way


def test_lease_of_dropped_handle_runs_out(cache: SessionCache, no_collector: None) -> None:
    """A lease and a run whose handles were dropped go to other workers within their ttl and a second."""
    session = cache.create("a")
    lease = elsewhere(session.lease(ttl=1).acquire)
    (id,) = spawn_runs(cache.create(), "t")
    run = claim_run(cache, ttl=1)
    time.sleep(0.5)
    assert lease.is_held
    assert run.held.is_held
    with measured_load() as load:
        del lease, run
        began = time.monotonic()
        with session.lease(wait=20) as other:
            assert other.fence == 2
            assert time.monotonic() - began < load.allow(2, wakeups=4)
        taken = claim_run(cache)
        assert time.monotonic() - began < load.allow(2, wakeups=8)
    assert taken.id == id


def test_lease_of_dropped_handle_lapses(cache: SessionCache) -> None:
    """A thread whose lease was dropped waits for the lease as every other worker does."""
    session = cache.create("a")
    lease = session.lease(ttl=0.5).acquire()
    lost = lease.lost
    del lease
    assert lost.is_set()
    with session.lease(wait=5) as lease:
        assert lease.fence == 2


def test_listening_holder_hears_of_loss_at_once(cache: SessionCache) -> None:
    """A holder whose process listens finds `lost` set long before the next renewal."""
    session = cache.create("a")
    assert cache.claim("nothing", wait=0.1) is None  # opens the subscription
    lease = session.lease(ttl=30)
    elsewhere(lease.acquire)
    cache.session("a").lease().release(force=True)
    assert lease.lost.wait(8)  # the next renewal is after 10 s
    assert not lease.is_held


def test_released_lease_hears_nothing_more(cache: SessionCache) -> None:
    """The process forgets the nonce of a lease that was released or dropped."""
    session, hub = cache.create("a"), cache._context.hub
    before = len(hub._listeners)
    with session.lease():
        assert len(hub._listeners) == before + 1
    lease = elsewhere(session.lease().acquire)
    assert len(hub._listeners) == before + 1
    del lease
    assert len(hub._listeners) == before


def test_lease_of_ended_session_is_not_renewed(cache: SessionCache) -> None:
    """A renewal of the lease on a session that another worker cancelled is refused, and sets `lost`."""
    session = cache.create("a")
    with session.lease(ttl=0.6) as lease:
        elsewhere(cache.session("a").cancel)
        assert lease.lost.wait(20)
        with pytest.raises(SessionNotActive):
            lease.renew()


def test_lease_of_paused_session_is_renewed(cache: SessionCache) -> None:
    """A holder keeps its lease while the session is paused."""
    session = cache.create("a")
    with session.lease(ttl=RENEWED_TTL) as lease:
        elsewhere(cache.session("a").pause)
        time.sleep(1.2 * RENEWED_TTL)
        assert lease.is_held
        elsewhere(cache.session("a").resume)
        session.append(X)


def test_max_hold_ends_lease(cache: SessionCache, caplog: pytest.LogCaptureFixture) -> None:
    """A lease is renewed until `max_hold` is over: `lost` is set, a warning is logged, and another worker gets the lease."""
    session = cache.create("a")
    began = time.monotonic()
    lease = session.lease(ttl=RENEWED_TTL, max_hold=4)
    with caplog.at_level(logging.WARNING, "redis_sessions"):
        lease.acquire()
        time.sleep(1.2 * RENEWED_TTL)
        assert lease.is_held
        assert lease.lost.wait(20)
    assert time.monotonic() - began > 3.9
    assert "the lease on session a ends, because it was held for max_hold, 4 s" in caplog.messages
    assert elsewhere(cache.session("a").lease(5, wait=10).acquire).is_held
    with pytest.raises(LeaseLost, match="max_hold"):
        lease.renew()


def test_max_hold_bounds_ttl_of_grant(cache: SessionCache) -> None:
    """A lease whose `max_hold` is shorter than its ttl ends with `max_hold` even if its holder died."""
    session = cache.create("a")
    lease = session.lease(ttl=30, max_hold="300ms")
    elsewhere(lease.acquire)
    stop_renewing(lease)
    time.sleep(0.35)
    assert session.lease().info() is None
    session.append(X)


@pytest.mark.parametrize("max_hold", [0, 0.05, -1, "soon", True])
def test_invalid_max_hold_is_refused(max_hold: object) -> None:
    """A bound of less than 0.1 s, or text that says no time, raises InvalidInput with its name."""
    with SessionCache.from_url("redis://127.0.0.1:1") as cache, pytest.raises(InvalidInput, match="max_hold"):
        cache.session("a").lease(max_hold=max_hold)  # type: ignore[arg-type]


def test_lease_keeps_short_lived_session_alive(cache: SessionCache) -> None:
    """A lease of 30 s keeps a session of 1 s alive, though each append of its holder sets the short life again."""
    session = cache.create("a", ttl=2)
    with session.lease(ttl=30):
        time.sleep(0.5)
        session.append(X)
        time.sleep(3.5)
        assert session.append(X).last_seq == 2
    life = session.info().expires_in
    assert life is not None
    assert life.total_seconds() <= 2


def test_claim_keeps_short_lived_run_alive(cache: SessionCache) -> None:
    """A run whose session lives for 1 s lives as long as its worker holds it."""
    spawn_runs(cache.create(), "t", ttl=1)
    run = claim_run(cache, ttl=30)
    run.append(X)
    time.sleep(2.5)
    assert run.append(X).last_seq == 2
    run.complete()


def test_info_says_since_when_lease_is_held(cache: SessionCache) -> None:
    """The time of the grant stays the same over renewals, and a new grant has a later one."""
    session = cache.create("a")
    times = []
    for _ in range(2):
        with session.lease(ttl=RENEWED_TTL) as lease:
            for pause in (0, 0.8):
                time.sleep(pause)
                info = lease.info()
                assert info is not None
                times.append(info.held_since)
    assert times[0] == times[1] < times[2] == times[3]


def test_renewal_needs_no_thread_of_a_short_lease(cache: SessionCache) -> None:
    """Leases that are released before their first renewal start no thread but the first."""
    session = cache.create("a")
    with session.lease():
        pass
    time.sleep(0.3)
    before = {*threading.enumerate()}
    for _ in range(20):
        with session.lease():
            pass
    assert len({*threading.enumerate()} - before) < 5  # a timer of another test can begin in this time
