"""Indexes and sessions agree, whoever is killed between which commands; and what expired leaves the indexes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, Session, SessionCache, SessionExists
from redis_sessions._core import indexes
from redis_sessions._core.calls import Call
from redis_sessions._core.faults import Unreachable
from redis_sessions._core.keys import session_keys, shard_keys, shard_of
from redis_sessions._sync import io
from tests.conftest import Engines
from tests.indexes.agreement import clients, disagreement, entries

X = {"role": "user", "content": "x"}
WAYS: dict[str, Callable[[SessionCache], Any]] = {
    "create": lambda cache: cache.create("new", user_id="mia", agent_id="x", tags=["t"]),
    "create and end": lambda cache: cache.create("new", user_id="mia").complete(),
    "end": lambda cache: cache.session("old").fail(reason="why"),
    "delete": lambda cache: cache.delete("old"),
    "patch": lambda cache: cache.session("old").patch(user_id="bob", tags=["u"]),
    "spawn": lambda cache: cache.session("old").spawn("researcher", label="l"),
    "end of a tree": lambda cache: cache.session("root").cancel(),
    "delete of a tree": lambda cache: cache.delete("root"),
    "delete and create": lambda cache: (cache.delete("old"), cache.create("old", user_id="bob")),
}


class Killed(BaseException):
    """The process is gone."""


def kill_after(monkeypatch: pytest.MonkeyPatch, commands: int) -> None:
    """From now on this process sends so many commands, and not one more; nor does it hear an answer of the last batch."""
    send, left = io.Link.send, [commands]

    def cut(link: io.Link, *batch: Any, wait: Any = None) -> list[Any]:
        allowed = batch[: left[0]]
        left[0] -= len(allowed)
        answers = send(link, *allowed) if allowed else []
        if len(allowed) < len(batch):
            raise Killed
        return answers

    monkeypatch.setattr(io.Link, "send", cut)


def prepared(url: str, namespace: str) -> SessionCache:
    cache = SessionCache.from_url(url, namespace=namespace)
    cache.create("old", user_id="mia", agent_id="x", tags=["t", "u"])
    root = cache.create("root")
    for _ in range(2):
        root.spawn("worker", mode="session")
    cache._home.indexes.catch_up()
    return cache


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("repair", ["sweep", "touch"])
def test_a_process_killed_between_any_two_commands(
    url: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch, way: str, repair: str
) -> None:
    """After one sweep, or one touch of what is left, indexes and sessions agree."""
    if engine == "fake":
        pytest.skip("nothing is left of a process that has the server in it")
    monkeypatch.setattr(indexes, "GRACE_MS", 0)
    servers = clients(SessionCache.from_url(url), engine, engines)
    for server in servers:
        server.flushall()
    for commands in range(60):
        namespace = f"killed{commands}"
        cache = prepared(url, namespace)
        is_over = True
        with monkeypatch.context() as patch:
            kill_after(patch, commands)
            try:
                WAYS[way](cache)
                cache._home.indexes.catch_up()
            except Killed:
                is_over = False
        cache._home.indexes._behind.clear()
        cache._home.queues._enlisted.clear()
        other = SessionCache.from_url(url, namespace=namespace)
        if repair == "sweep":
            other._home.indexes.sweep(grace_ms=0)
        else:
            for id in ("old", "new", "root"):
                if other.get(id) is not None:
                    other.session(id).touch()
            other._home.indexes.catch_up()
            other._home.indexes.sweep(grace_ms=0)  # for what is not there, and so cannot be touched
        assert disagreement(servers, namespace) == {}, f"killed after {commands} commands"
        cache.close()
        other.close()
        if is_over:
            break
    else:
        pytest.fail("it never ended")
    assert commands > 2
    for server in servers:
        server.flushall()


def test_a_creation_that_is_refused_leaves_the_session_where_it_was(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """Under what it is, not under what somebody wanted to create."""
    cache.create("a", user_id="mia").complete()
    with pytest.raises(SessionExists):
        cache.create("a", user_id="bob", tags=["t"])
    assert cache.get_or_create("a", user_id="bob") is not None
    assert [one.id for one in cache.list(user="bob").items] == []
    cache._home.indexes.catch_up()
    cache._home.indexes.sweep(grace_ms=0)
    assert [one.id for one in cache.list(user="mia").items] == ["a"]
    wrong = {
        zset for zset, (has, should) in disagreement(clients(cache, engine, engines), namespace).items() if should - has
    }
    assert wrong == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.append(X),
        lambda session: session.state.put("n", 1),
        lambda session: session.send("x"),
        lambda session: session.patch(name="n"),
        lambda session: session.pause(),
        lambda session: session.start_loop("l"),
    ],
)
def test_whatever_moves_the_updated_time_is_marked_first(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, change: Callable[[Session], Any]
) -> None:
    """So it is listed in its place at once, though its entry is far behind."""
    cache.create("a", user_id="mia")
    cache.create("b", user_id="mia")
    cache._home.indexes.catch_up()
    for server in clients(cache, engine, engines):
        for zset in list(server.scan_iter(match=f"{namespace}:*:updated:*")):
            if server.zscore(zset, "a"):
                server.zadd(zset, {"a": 1_000_000})
    cache._home.indexes._fresh.clear()
    change(cache.session("a"))
    assert [one.id for one in cache.list(1, user="mia").items] == ["a"]
    cache._home.indexes.catch_up()
    assert [one.id for one in cache.list(user="mia").items] == ["a", "b"]


def test_what_expired_leaves_the_indexes(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """No list shows it from then on; two sweeps later no index has it, and what lives is still there."""
    for number in range(60):
        cache.create(f"dead{number}", user_id=f"u{number % 7}", tags=["t"], ttl=1)
    for number in range(10):
        cache.create(f"alive{number}", user_id=f"u{number % 7}", tags=["t"])
    for number in range(0, 60, 5):
        cache.session(f"dead{number}").append(X)
    cache._home.indexes.catch_up()
    time.sleep(1.05)
    assert len(list(cache.sessions())) == 10
    for _ in range(2):
        cache._home.indexes.sweep(grace_ms=0)
    servers = clients(cache, engine, engines)
    assert disagreement(servers, namespace) == {}
    assert sum(map(len, entries(servers, namespace).values())) == 10 * 3 * 2
    assert cache.count() == 10


def test_who_writes_cleans_up_a_little(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """Without anybody who sweeps, entries of what expired go as others are written."""
    for number in range(20):
        cache.create(f"dead{number}", ttl=0.05)
    cache._home.indexes.catch_up()
    time.sleep(1.2)
    for server in clients(cache, engine, engines):
        for due in list(server.scan_iter(match=f"{namespace}:*:due")):
            for id in server.zrange(due, 0, -1):
                server.zadd(due, {id: 1})
    for number in range(60):
        cache.create(f"alive{number}").touch()
        if number % 10 == 0:
            cache._home.indexes.catch_up()
    for _ in range(3):
        cache._home.indexes.catch_up()
    assert cache.count() <= 62


def test_a_sweep_forgets_announcements_that_came_to_nothing(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """A refused spawn's, at once; a dead creator's, after the grace."""
    root = cache.create("root", max_children=0)
    assert root.spawn("a", label="l").status == "forbidden"
    cache._home.indexes.catch_up()
    assert disagreement(clients(cache, engine, engines), namespace) == {}


def marks(servers: list[Any], namespace: str, id: str) -> list[bytes]:
    """Those of a session."""
    key = shard_keys(namespace, shard_of(session_keys(namespace, id).tag)).marks
    holders = [server for server in servers for _ in server.scan_iter(match=key)]
    return [one for server in holders for one in server.zrange(key, 0, -1) if one.split()[0] == id.encode()]


def test_a_mark_stays_while_a_write_is_under_way(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who puts the session right meanwhile may have read it before it was written."""
    session, servers = cache.create("a"), clients(cache, engine, engines)
    cache._home.indexes.catch_up()
    assert marks(servers, namespace, "a") == []
    attempt, faults = cache._home.calls._attempt, [Unreachable("the network is gone")]

    def pause(call: Any) -> Any:
        if call.script is not None and call.script.writes_session:
            cache._home.indexes.catch_up()
            if faults:
                raise faults.pop()
            assert len(marks(servers, namespace, "a")) == 1
        return attempt(call)

    session.append(X)
    monkeypatch.setattr(cache._home.calls, "_attempt", pause)
    session.append(X)  # is not marked again, and is repeated
    monkeypatch.undo()
    assert len(marks(servers, namespace, "a")) == 1
    cache._home.indexes.catch_up()
    assert marks(servers, namespace, "a") == []
    assert disagreement(servers, namespace) == {}


def test_who_is_late_puts_nothing_back(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who read a session, and puts it where it was then, after others wrote, ended and settled it."""
    if engine == "fake":
        pytest.skip("another process is needed")
    session, servers = cache.create("a", user_id="mia"), clients(cache, engine, engines)
    session.append(X)
    run, others = cache._home.calls.try_many, [SessionCache.from_url(url, namespace=namespace)]

    def pause(calls: Any) -> Any:
        found = run(calls)
        if others:
            with others.pop() as other:
                other.session("a").complete()
        return found

    monkeypatch.setattr(cache._home.calls, "try_many", pause)
    cache._home.indexes.catch_up()
    assert others == []
    assert disagreement(servers, namespace) == {}
    assert marks(servers, namespace, "a") == []


def test_a_process_ends_its_own_mark_alone(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines
) -> None:
    """Another's stays until that one has put the session right, or is dead."""
    if engine == "fake":
        pytest.skip("another process is needed")
    session, servers = cache.create("a"), clients(cache, engine, engines)
    with SessionCache.from_url(url, namespace=namespace) as other:
        other.session("a").append(X)
        session.append(X)
        assert len(marks(servers, namespace, "a")) == 2
        cache._home.indexes.catch_up()
        assert len(marks(servers, namespace, "a")) == 1
    assert marks(servers, namespace, "a") == []


def test_a_creation_that_is_refused_moves_nothing(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there stays at its place, in case its process is gone before it can look; it is marked, so that another does."""
    cache.create("a", user_id="mia")
    cache._home.indexes.catch_up()
    servers = clients(cache, engine, engines)

    def places() -> dict[bytes, float]:
        keys = [(one, key) for one in servers for key in one.scan_iter(match=f"{namespace}:*:user:main:*:mia")]
        return {key: server.zscore(key, "a") for server, key in keys}

    before = places()
    monkeypatch.setattr(cache._home.indexes, "later", lambda ids: None)
    with pytest.raises(SessionExists):
        cache.create("a", user_id="mia")
    assert len(before) == 2
    assert places() == before
    assert len(marks(servers, namespace, "a")) == 1


@pytest.mark.parametrize("by", ["list", "write"])
def test_marks_of_who_is_gone_are_seen_to(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, by: str
) -> None:
    """By whoever lists, and by whoever writes in the same shard, without anybody who sweeps."""
    a, servers = session_keys(namespace, "a"), clients(cache, engine, engines)
    cache.create("a")
    cache._home.indexes.catch_up()
    cache._home.calls.run(indexes.mark(namespace, a.tag, ["a"], "dead"))
    shard = shard_keys(namespace, shard_of(a.tag))
    cache._home.calls.run(Call(("ZADD", shard.marks, 1000, "a dead"), shard, lambda reply: None))
    assert marks(servers, namespace, "a") == [b"a dead"]
    if by == "list":
        cache.list()
    else:
        others = (f"b{number}" for number in range(1000))
        cache.create(next(b for b in others if shard_of(session_keys(namespace, b).tag) == shard_of(a.tag))).touch()
    for _ in range(2):
        cache._home.indexes.catch_up()
    assert marks(servers, namespace, "a") == []


def test_a_damaged_session_stops_nobody(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """It stays where it is, and a sweep goes on to the others; lists leave it out."""
    servers = clients(cache, engine, engines)
    cache.create("damaged")
    cache.create("a")
    for server in servers:
        for key in server.scan_iter(match=f"{namespace}:*:session:damaged"):
            server.hset(key, "tags", "5")
    cache._home.indexes.catch_up()
    cache.sweep()
    assert [one.id for one in cache.list().items] == ["a"]
    assert marks(servers, namespace, "a") == []


def test_tags_are_bounded(cache: SessionCache) -> None:
    """Each is an index; 64 different ones are room enough."""
    session = cache.create("a", tags=[f"t{number % 64}" for number in range(128)])
    assert len(set(session.info().tags)) == 64
    with pytest.raises(InvalidInput, match="65 different ones"):
        cache.create("b", tags=[f"t{number}" for number in range(65)])
    with pytest.raises(InvalidInput, match="65 different ones"):
        session.patch(tags=[f"t{number}" for number in range(65)])
