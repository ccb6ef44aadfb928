"""Index upkeep: indexes and sessions agree wherever a process is killed, and expired sessions leave the indexes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, Session, SessionCache, SessionExists
from redis_sessions._core.commands import index_entries
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import session_keys, shard_keys, shard_of
from redis_sessions._core.protocol.transport_errors import ConnectFailed
from redis_sessions._sync.transport import primitives
from tests.conftest import REAL_ENGINES, Engines
from tests.support.index_agreement import clients, dirty_marks, disagreement, entries

X = {"role": "user", "content": "x"}
OPERATIONS: dict[str, Callable[[SessionCache], Any]] = {
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
    """Let this process send that number of commands and no more. It does not hear the replies of its last batch either."""
    send, left = primitives.NodeClient.send, [commands]

    def cut(client: primitives.NodeClient, *batch: Any, wait: Any = None) -> list[Any]:
        allowed = batch[: left[0]]
        left[0] -= len(allowed)
        replies = send(client, *allowed) if allowed else []
        if len(allowed) < len(batch):
            raise Killed
        return replies

    monkeypatch.setattr(primitives.NodeClient, "send", cut)


def prepare_sessions(url: str, namespace: str) -> SessionCache:
    """Return a cache with a session and a tree, whose index entries are exact."""
    cache = SessionCache.from_url(url, namespace=namespace)
    cache.create("old", user_id="mia", agent_id="x", tags=["t", "u"])
    root = cache.create("root")
    for _ in range(2):
        root.spawn("worker", mode="session")
    cache._context.indexer.flush()
    return cache


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("operation", list(OPERATIONS))
@pytest.mark.parametrize("repair", ["recover", "touch"])
@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake server ends with its process
def test_process_killed_between_two_commands_leaves_repairable_indexes(
    url: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch, operation: str, repair: str
) -> None:
    """After one recovery, or one touch of the sessions that are left, indexes and sessions agree."""
    monkeypatch.setattr(index_entries, "WRITER_GRACE_MS", 0)
    servers = clients(SessionCache.from_url(url), engine, engines)
    for server in servers:
        server.flushall()
    for commands in range(60):
        namespace = f"killed{commands}"
        cache = prepare_sessions(url, namespace)
        is_over = True
        with monkeypatch.context() as patch:
            kill_after(patch, commands)
            try:
                OPERATIONS[operation](cache)
                cache._context.indexer.flush()
            except Killed:
                is_over = False
        cache._context.indexer._repair_at.clear()
        cache._context.run_queues._registered.clear()
        other = SessionCache.from_url(url, namespace=namespace)
        if repair == "recover":
            other._context.indexer.recover(grace_ms=0)
        else:
            for id in ("old", "new", "root"):
                if other.get(id) is not None:
                    other.session(id).touch()
            other._context.indexer.flush()
            other._context.indexer.recover(grace_ms=0)  # because a session that does not exist cannot be touched
        assert disagreement(servers, namespace) == {}, f"killed after {commands} commands"
        cache.close()
        other.close()
        if is_over:
            break
    else:
        pytest.fail("the operation never ended")
    assert commands > 2
    for server in servers:
        server.flushall()


def test_refused_creation_leaves_session_listed_by_its_own_values(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """A session stays listed under its own values, not under the values of a creation that was refused."""
    cache.create("a", user_id="mia").complete()
    with pytest.raises(SessionExists):
        cache.create("a", user_id="bob", tags=["t"])
    assert cache.get_or_create("a", user_id="bob") is not None
    assert [summary.id for summary in cache.list(user="bob").items] == []
    cache._context.indexer.flush()
    cache._context.indexer.recover(grace_ms=0)
    assert [summary.id for summary in cache.list(user="mia").items] == ["a"]
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
def test_write_that_moves_updated_time_marks_session_dirty_first(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, change: Callable[[Session], Any]
) -> None:
    """A written session is listed in its place at once, although its index entry is far behind."""
    cache.create("a", user_id="mia")
    cache.create("b", user_id="mia")
    cache._context.indexer.flush()
    for server in clients(cache, engine, engines):
        for zset in list(server.scan_iter(match=f"{namespace}:*:updated:*")):
            if server.zscore(zset, "a"):
                server.zadd(zset, {"a": 1_000_000})
    cache._context.indexer._marked_until.clear()
    change(cache.session("a"))
    assert [summary.id for summary in cache.list(1, user="mia").items] == ["a"]
    cache._context.indexer.flush()
    assert [summary.id for summary in cache.list(user="mia").items] == ["a", "b"]


def test_expired_sessions_leave_lists_at_once_and_indexes_by_recovery(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """Lists omit expired sessions at once, and after two recoveries the indexes have the living sessions alone."""
    for number in range(60):
        dead = cache.create(f"dead{number}", user_id=f"u{number % 7}", tags=["t"], ttl=1)
        if number % 5 == 0:
            dead.append(X)
    for number in range(10):
        cache.create(f"alive{number}", user_id=f"u{number % 7}", tags=["t"])
    cache._context.indexer.flush()
    time.sleep(1.05)
    assert len(list(cache.iter_sessions())) == 10
    for _ in range(2):
        cache._context.indexer.recover(grace_ms=0)
    servers = clients(cache, engine, engines)
    assert disagreement(servers, namespace) == {}
    assert sum(map(len, entries(servers, namespace).values())) == 10 * 3 * 2
    assert cache.count() == 10


def test_writers_remove_entries_of_expired_sessions(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """Writes of other sessions remove the entries of expired ones, without any recovery."""
    for number in range(20):
        cache.create(f"dead{number}", ttl=0.05)
    cache._context.indexer.flush()
    time.sleep(1.2)
    is_due = False
    for server in clients(cache, engine, engines):
        for check_at in list(server.scan_iter(match=f"{namespace}:{{index-*}}:check_at")):
            for id in server.zrange(check_at, 0, -1):
                server.zadd(check_at, {id: 1})
                is_due = True
    assert is_due
    for number in range(60):
        cache.create(f"alive{number}").touch()
        if number % 10 == 0:
            cache._context.indexer.flush()
    for _ in range(3):
        cache._context.indexer.flush()
    assert cache.count() <= 62


def test_refused_spawn_leaves_no_index_entry(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """The announcement of a refused spawn is removed with the next repair."""
    root = cache.create("root", max_children=0)
    assert root.spawn("a", label="l").status == "forbidden"
    cache._context.indexer.flush()
    assert disagreement(clients(cache, engine, engines), namespace) == {}


def test_dirty_mark_stays_while_write_is_under_way(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair keeps the mark of a session that is being written, because the repair may have read the older state."""
    session, servers = cache.create("a"), clients(cache, engine, engines)
    cache._context.indexer.flush()
    assert dirty_marks(servers, namespace, "a") == []
    attempt, faults = cache._context.executor._attempt, [ConnectFailed("the network is gone")]

    def attempt_with_repair(call: Any) -> Any:
        if call.script is not None and call.script.index != "none":
            cache._context.indexer.flush()
            if faults:
                raise faults.pop()
            assert len(dirty_marks(servers, namespace, "a")) == 1
        return attempt(call)

    session.append(X)
    monkeypatch.setattr(cache._context.executor, "_attempt", attempt_with_repair)
    session.append(X)  # this write adds no mark of its own, and is retried
    monkeypatch.undo()
    assert faults == []
    assert len(dirty_marks(servers, namespace, "a")) == 1
    cache._context.indexer.flush()
    assert dirty_marks(servers, namespace, "a") == []
    assert disagreement(servers, namespace) == {}


def test_repair_keeps_the_announcement_of_a_creation_under_way(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair that comes between the announcement and the creation leaves the entries, the record and the mark."""
    cache.create("first")
    cache._context.indexer.flush()
    router, repairs = cache._context.executor._router, [cache._context.indexer.flush]
    send = router.send

    def send_after_repair(*arguments: Any) -> Any:
        if repairs:
            repairs.pop()()
        return send(*arguments)

    monkeypatch.setattr(router, "send", send_after_repair)
    cache.create("a", user_id="mia")
    monkeypatch.undo()
    assert repairs == []
    servers = clients(cache, engine, engines)
    assert len(dirty_marks(servers, namespace, "a")) == 1
    assert disagreement(servers, namespace) == {}
    assert [summary.id for summary in cache.list(user="mia").items] == ["a"]


def change_during_repair(
    cache: SessionCache, url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, change: Callable[[Session], object]
) -> None:
    """Repair session "a", and let another process change the session after the repair read it."""
    run, others = cache._context.executor.try_many, [SessionCache.from_url(url, namespace=namespace)]

    def run_and_change(calls: Any) -> Any:
        found = run(calls)
        if others:
            with others.pop() as other:
                change(other.session("a"))
        return found

    monkeypatch.setattr(cache._context.executor, "try_many", run_and_change)
    cache._context.indexer.flush()
    assert others == []


def test_late_repair_does_not_undo_newer_entries(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair that read a session before another process ended it does not restore the older entries."""
    if engine == "fake":
        pytest.skip("another process is needed")
    session, servers = cache.create("a", user_id="mia"), clients(cache, engine, engines)
    session.append(X)
    change_during_repair(cache, url, namespace, monkeypatch, lambda other: other.complete())
    assert disagreement(servers, namespace) == {}
    assert dirty_marks(servers, namespace, "a") == []


def test_late_repair_is_checked_again_after_another_process_relisted_the_session(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries that a late repair restores are removed by the next repair, and not only when a list meets them."""
    if engine == "fake":
        pytest.skip("another process is needed")
    session, servers = cache.create("a", user_id="mia"), clients(cache, engine, engines)
    session.append(X)
    change_during_repair(cache, url, namespace, monkeypatch, lambda other: other.patch(user_id="bob"))
    assert dirty_marks(servers, namespace, "a") != []
    cache._context.indexer.flush()
    assert disagreement(servers, namespace) == {}
    assert dirty_marks(servers, namespace, "a") == []
    assert cache.count(user="mia") == 0


def test_repair_removes_dirty_marks_of_its_own_process_alone(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines
) -> None:
    """The mark of another process stays until that process has repaired the session."""
    if engine == "fake":
        pytest.skip("another process is needed")
    session, servers = cache.create("a"), clients(cache, engine, engines)
    with SessionCache.from_url(url, namespace=namespace) as other:
        other.session("a").append(X)
        session.append(X)
        assert len(dirty_marks(servers, namespace, "a")) == 2
        cache._context.indexer.flush()
        assert len(dirty_marks(servers, namespace, "a")) == 1
    assert dirty_marks(servers, namespace, "a") == []


def test_refused_creation_moves_no_entry_and_leaves_dirty_mark(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries of the existing session stay, and its mark lets another process check it if the creator dies."""
    cache.create("a", user_id="mia")
    cache._context.indexer.flush()
    servers = clients(cache, engine, engines)

    def scores() -> dict[bytes, float]:
        keys = [(server, key) for server in servers for key in server.scan_iter(match=f"{namespace}:*:user:main:*:mia")]
        return {key: server.zscore(key, "a") for server, key in keys}

    before = scores()
    monkeypatch.setattr(cache._context.indexer, "check_later", lambda ids: None)
    with pytest.raises(SessionExists):
        cache.create("a", user_id="mia")
    assert len(before) == 2
    assert scores() == before
    assert len(dirty_marks(servers, namespace, "a")) == 1


@pytest.mark.parametrize("by", ["list", "write"])
def test_dirty_mark_of_dead_writer_is_removed_without_recovery(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, by: str
) -> None:
    """A list, or a write in the same shard, has the session of a dead writer repaired."""
    a, servers = session_keys(namespace, "a"), clients(cache, engine, engines)
    cache.create("a")
    cache._context.indexer.flush()
    cache._context.executor.run(index_entries.mark_dirty(namespace, a.tag, ["a"], "dead"))
    shard = shard_keys(namespace, shard_of(a.tag))
    cache._context.executor.run(Call(("ZADD", shard.dirty, 1000, "a dead"), shard, lambda reply: None))
    assert dirty_marks(servers, namespace, "a") == [b"a dead"]
    if by == "list":
        cache.list()
    else:
        others = (f"b{number}" for number in range(1000))
        cache.create(next(b for b in others if shard_of(session_keys(namespace, b).tag) == shard_of(a.tag))).touch()
    for _ in range(2):
        cache._context.indexer.flush()
    assert dirty_marks(servers, namespace, "a") == []


def test_damaged_session_does_not_stop_recovery(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """Recovery goes on to the other sessions, and lists omit the damaged session."""
    servers = clients(cache, engine, engines)
    cache.create("damaged")
    cache.create("a")
    for server in servers:
        for key in server.scan_iter(match=f"{namespace}:*:session:damaged"):
            server.hset(key, "tags", "5")
    cache._context.indexer.flush()
    cache.recover()
    assert [summary.id for summary in cache.list().items] == ["a"]
    assert dirty_marks(servers, namespace, "a") == []


def test_more_than_64_different_tags_are_refused(cache: SessionCache) -> None:
    """A session may have 64 different tags, because each tag is an index."""
    session = cache.create("a", tags=[f"t{number % 64}" for number in range(128)])
    assert len(set(session.info().tags)) == 64
    with pytest.raises(InvalidInput, match="at most 64 different tags, got 65"):
        cache.create("b", tags=[f"t{number}" for number in range(65)])
    with pytest.raises(InvalidInput, match="at most 64 different tags, got 65"):
        session.patch(tags=[f"t{number}" for number in range(65)])
