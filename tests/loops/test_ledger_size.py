"""The cost of a ledger: events are stored apart from their session, in pages, and change the cost of nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from redis_sessions import BoundExceeded, Session, SessionCache, SessionDamaged
from redis_sessions._core.commands.loops import LEDGER_EXTRA_TTL_MS
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import session_keys
from tests.support.attempts import repeat_if_dearer
from tests.support.servers import Server

X = {"role": "user", "content": "x"}
FEW, MANY = 1000, 1_000_000


def fill(client: redis.Redis, session: Session, count: int) -> None:
    """Store events of a loop as its calls store them, without a call for each."""
    session.start_loop("l").add_event(0)
    pipe = client.pipeline(transaction=False)
    for page in range(math.ceil(count / 16)):
        lines = "".join(f"1 {at}\n" for at in range(page * 16, min(page * 16 + 16, count)))
        pipe.hset(session._keys.ledger, f"event.l {page}", lines)
        if page % 5000 == 0:
            pipe.execute()
    record = client.hget(session._keys.session, "loop.l")
    assert isinstance(record, bytes)
    words = record.split(b" ")
    words[4] = str(count).encode()
    pipe.hset(session._keys.session, "loop.l", b" ".join(words))
    pipe.execute()


def server_time(client: redis.Redis, call: Callable[[], object], times: int) -> float:
    """Return the least time in µs that the server worked for a call."""
    least = math.inf
    for _ in range(times):
        client.config_resetstat()
        call()
        stats: Any = client.info("commandstats")
        work = [
            found["usec"] for name, found in stats.items() if not name.startswith(("cmdstat_config", "cmdstat_info"))
        ]
        least = min(least, sum(work))
    return least


@pytest.mark.parametrize("server", ["valkey-9"], indirect=True)
@repeat_if_dearer
def test_many_events_change_the_cost_of_nothing_else(server: Server, namespace: str) -> None:
    """With a million events every other call takes the server as long as with a thousand, and so does the next event."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        sessions = {}
        for count in (FEW, MANY):
            sessions[count] = cache.create(f"s{count}", metadata={"a": 1})
            fill(server.client, sessions[count], count)

        def calls(session: Session) -> dict[str, Callable[[], object]]:
            loop = session.loop("l")
            return {
                "append": lambda: session.append(X),
                "history": session.history,
                "info": session.info,
                "state": lambda: session.state.put("k", 1),
                "all state": session.state.all,
                "patch": lambda: session.patch(metadata={"a": 2}),
                "ledger": session.ledger,
                "usage": lambda: loop.record_usage("s", {"total": 1}),
                "event": lambda: loop.add_event(1),
                "newest events": lambda: loop.events(20, str(session.ledger().loops[0].events - 10)),
                "first lines of an export": lambda: [line for line, _ in zip(session.export(), range(2), strict=False)],
                "fork": session.fork,
            }

        taken = {
            count: {name: server_time(server.client, call, 10) for name, call in calls(session).items()}
            for count, session in sessions.items()
        }
        for count, session in sessions.items():
            copies = [cache.create(f"copy{n}-of-{count}") for n in range(3)]
            for copy in copies:
                copy.start_loop("l")
                server.client.copy(session._keys.ledger, copy._keys.ledger, replace=True)
            left = iter(copies)
            taken[count]["delete"] = server_time(server.client, lambda left=left: next(left).delete(), 3)  # type: ignore[misc]
        for name, few in taken[FEW].items():
            spare = 3000 if name == "delete" else 150  # three calls only, and the memory is freed at the same time
            assert taken[MANY][name] <= 3 * few + spare, (name, few, taken[MANY][name])
        assert not server.client.exists(*[copy._keys.ledger for copy in copies])


def test_session_with_many_records_takes_everything_else(cache: SessionCache) -> None:
    """A session takes events, turns and steps without end, and state, metadata and usage, too, and all are read in pages."""
    session = cache.create()
    loop = session.start_loop("l")
    for n in range(100):
        loop.add_event({"n": n})
        loop.record_usage(f"s{n}", {"total": 1})
    for n in range(35):
        loop.add_turn("user", index=n)
    assert loop.record_usage("s7", {"total": 1}).total == 100
    session.state.put("a", 1)
    session.patch(metadata={"b": 2})
    found, cursor = [], None
    for _ in range(50):
        page = loop.events(7, cursor)
        found += [(one.seq, one.payload["n"]) for one in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == [(n + 1, n) for n in range(100)]
    assert [one.index for one in loop.turns(1000).items] == list(range(35))


def test_page_of_events_ends_at_a_megabyte(cache: SessionCache) -> None:
    """A page of large events ends early, and its cursor leads to the rest."""
    loop = cache.create().start_loop("l")
    for n in range(40):
        loop.add_event(f"{n} " + "x" * 60_000)
    first = loop.events(1000)
    assert 16 <= len(first.items) < 40
    rest = loop.events(1000, first.cursor)
    assert [one.payload.split()[0] for one in [*first.items, *rest.items]] == [str(n) for n in range(40)]


def test_ledger_of_many_loops_is_read_whole(cache: SessionCache) -> None:
    """A ledger whose loops exceed a page is read whole, with the loops in the order of their starts."""
    session = cache.create()
    for n in range(90):
        session.start_loop(f"l{n}", continuation="x" * 16_000, metadata={"m": "x" * 16_000})
    ledger = session.ledger()
    assert [loop.id for loop in ledger.loops] == [f"l{n}" for n in range(90)]
    assert {len(loop.metadata["m"]) for loop in ledger.loops} == {16_000}


@pytest.mark.parametrize("bound", ["loops", "loop_records"])
def test_ledger_at_its_bound_is_refused(url: str, namespace: str, bound: str) -> None:
    """A loop, an event, a turn and a step beyond their bound are refused, and everything else goes on."""
    with SessionCache.from_url(url, namespace=namespace, bounds={bound: 2}) as cache:
        session = cache.create("s")
        loop = session.start_loop("l0")
        session.start_loop("l1")
        for n in range(2):
            loop.add_event(n)
            loop.add_turn("user")
            loop.record_usage(f"s{n}", {"total": 1})
        calls: list[Callable[[], object]] = [lambda: session.start_loop("l2")]
        if bound == "loop_records":
            calls = [
                lambda: loop.add_event(3), lambda: loop.add_turn("user"), lambda: loop.record_usage("s3", {"total": 1})
            ]  # fmt: skip
        before = session.info().rev
        for call in calls:
            with pytest.raises(BoundExceeded, match=f"{bound} of 's' would be 3"):
                call()
        assert session.info().rev == before
        assert loop.record_usage("s1", {"total": 1}).total == 2
        session.state.put("a", 1)


def test_ledger_is_removed_with_its_session(server: Server, namespace: str) -> None:
    """A deleted session, a child that is deleted with its parent, and an expired session leave no ledger."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        root = cache.create("a")
        child = cache.session(root.spawn("x", mode="session").raise_if_refused().session_key or "")
        for session in (root, child):
            session.start_loop("l").add_event(1)
        root.delete()
        assert not server.client.exists(root._keys.ledger)
        due = time.monotonic() + 10
        while server.client.exists(child._keys.ledger):
            assert time.monotonic() < due
            time.sleep(0.05)
        again = cache.create("a")
        assert again.ledger().loops == []
        again.start_loop("l")
        assert again.loop("l").events().items == []


def test_ledger_outlives_what_a_session_may_live(server: Server, namespace: str) -> None:
    """A ledger lives a month longer than its session. It is extended after writes that are none of its loops."""
    with SessionCache.from_url(server.url, namespace=namespace, ttl=60) as cache:
        session = cache.create("a")
        session.start_loop("l")
        client, ledger = server.client, session._keys.ledger
        assert 0 < client.pttl(ledger) - LEDGER_EXTRA_TTL_MS <= 60_000
        session.patch(ttl="90d")
        due = time.monotonic() + 10
        while client.pttl(ledger) < 90 * 24 * 3600 * 1000:
            assert time.monotonic() < due
            time.sleep(0.02)
        session.patch(ttl=None)
        while client.pttl(ledger) != -1:
            assert time.monotonic() < due
            time.sleep(0.02)


def test_old_ledger_is_not_seen_by_a_new_session(server: Server, namespace: str) -> None:
    """A ledger that an expired session left is removed by the first loop of the next session with the ID."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        keys = session_keys(namespace, "a")
        server.client.hset(keys.ledger, mapping={"event.l 0": "1 9\n", "steps.l 0": "s\n", "step.l s": "0 0 0 0 0 9 0"})
        loop = cache.create("a").start_loop("l")
        assert loop.record_usage("s", {"total": 1}).total == 1
        loop.add_event(5)
        assert [one.payload for one in loop.events().items] == [5]


def test_missing_ledger_is_damage(cache: SessionCache) -> None:
    """Events, the ledger and an export of a session whose ledger was evicted raise SessionDamaged."""
    session = cache.create("a")
    session.start_loop("l").add_event(1)
    cache._executor.run(Call(("UNLINK", session._keys.ledger), session._keys, int))
    for call in (session.loop("l").events, session.ledger, lambda: list(session.export())):
        with pytest.raises(SessionDamaged):
            call()
    session.append(X)
    assert session.info().count == 1
