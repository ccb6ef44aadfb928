"""The lease as a user meets it, on every engine: one holder, fenced writes, a fair line."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from redis_sessions._sync.calls import Calls

X = {"role": "user", "content": "x"}


def elsewhere(function: Callable[[], Any]) -> Any:
    """What a function gives in a thread that knows of no lease."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.Context().run, function).result(30)


@contextmanager
def waiting(cache: SessionCache, id: str, ttl: float = 5, wait: float = 20) -> Iterator[list[int]]:
    """A thread that stands in line; when it had the lease, its fence is in the list."""
    fences: list[int] = []

    def run() -> None:
        with cache.session(id).lease(ttl, wait) as lease:
            fences.append(lease.fence)

    thread = threading.Thread(target=run)
    line = len((cache.session(id).lease().info() or _FREE).line)
    thread.start()
    due = time.monotonic() + 10
    while len((cache.session(id).lease().info() or _FREE).line) == line and not fences:
        assert time.monotonic() < due
        time.sleep(0.01)
    try:
        yield fences
    finally:
        thread.join(30)
    assert not thread.is_alive()


class _Free:
    line: tuple[str, ...] = ()


_FREE = _Free()


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
        while not (lease.info() or _FREE).line:
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


def test_a_lease_that_was_dropped_runs_out(cache: SessionCache) -> None:
    """With the thread that had it: nobody renews what nobody can use."""
    session = cache.create("a")
    elsewhere(lambda: cache.session("a").lease(ttl=0.3).acquire() and None)
    gc.collect()
    with session.lease(ttl=5, wait=5) as lease:
        assert lease.fence == 2


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
