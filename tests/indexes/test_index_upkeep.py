"""Index upkeep: lists are complete wherever a process is killed, and entries of sessions that are gone are removed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import InvalidInput, RevisionConflict, Session, SessionCache, SessionExists
from redis_sessions._core.commands import index_entries
from redis_sessions._core.commands.index_entries import IndexRecord
from redis_sessions._core.protocol.keys import entry_keys, session_keys
from redis_sessions._sync.services import entry_repair
from redis_sessions._sync.transport import connections
from redis_sessions.cli.reindex import reindex
from tests.conftest import REAL_ENGINES, Engines
from tests.support.index_agreement import clients, disagreement, entries, exported_tree, sessions_by_index
from tests.support.servers import await_true

X = {"role": "user", "content": "x"}


EXPORT = exported_tree()
OPERATIONS: dict[str, Callable[[SessionCache], Any]] = {
    "create": lambda cache: cache.create("new", user_id="mia", agent_id="x", tags=["t"]),
    "create and end": lambda cache: cache.create("new", user_id="mia").complete(),
    "end": lambda cache: cache.session("old").fail(reason="why"),
    "delete": lambda cache: cache.delete("old"),
    "patch": lambda cache: cache.session("old").patch(user_id="bob", tags=["u"]),
    "spawn": lambda cache: cache.session("old").spawn("researcher", label="l"),
    "end of a tree": lambda cache: cache.session("root").cancel(),
    "delete of a tree": lambda cache: cache.delete("root"),
    "fork": lambda cache: cache.session("old").fork(),
    "import": lambda cache: cache.import_sessions(EXPORT),
    "delete and create": lambda cache: (cache.delete("old"), cache.create("old", user_id="bob")),
}


class Killed(BaseException):
    """The process is gone."""


def kill_after(monkeypatch: pytest.MonkeyPatch, commands: int) -> None:
    """Let this process send that number of commands and no more. It does not hear the replies of its last batch either."""
    send, left = connections.NodeClient.send, [commands]

    def cut(client: connections.NodeClient, *batch: Any, **_: Any) -> list[Any]:
        allowed = batch[: left[0]]
        left[0] -= len(allowed)
        replies = send(client, *allowed) if allowed else []
        if len(allowed) < len(batch):
            raise Killed
        return replies

    monkeypatch.setattr(connections.NodeClient, "send", cut)


def prepare_sessions(url: str, namespace: str) -> SessionCache:
    """Return a cache with two sessions and a tree, whose index entries are exact."""
    cache = SessionCache.from_url(url, namespace=namespace)
    cache.create("old", user_id="mia", agent_id="x", tags=["t", "u"])
    cache.create("ended", user_id="mia", answered_by="x").complete()
    root = cache.create("root")
    for _ in range(2):
        root.spawn("worker", mode="session")
    cache._context.indexer.flush()
    return cache


def listed(cache: SessionCache) -> dict[str, set[str]]:
    """Return the sessions that lists show, by the filter."""
    filters: dict[str, dict[str, Any]] = {
        "all": {},
        "active": {"active_only": True},
        **{f"user {value}": {"user_id": value} for value in ("mia", "bob")},
        **{f"agent {value}": {"agent_id": value} for value in ("x", "worker", "researcher")},
        **{f"tag {value}": {"tags": [value]} for value in ("t", "u")},
        "label l": {"label": "l"},
    }
    orders = ("updated", "created")
    found = {}
    for name, given in filters.items():
        by_order = [{one.id for one in cache.iter_sessions(order=order, **given)} for order in orders]  # type: ignore[arg-type]
        assert by_order[0] == by_order[1], name
        found[name] = by_order[0]
    return {name: ids for name, ids in found.items() if ids}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("operation", list(OPERATIONS))
@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake server ends with its process
def test_process_killed_between_two_commands_leaves_complete_lists(
    url: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    """Every list shows exactly the sessions that are there, and a reindex makes indexes and sessions agree."""
    servers = clients(SessionCache.from_url(url), engine, engines)
    for server in servers:
        server.flushall()
    for commands in range(80):
        namespace = f"killed{commands}"
        engines.restrict(namespace)
        cache = prepare_sessions(url, namespace)
        is_over = True
        with monkeypatch.context() as patch:
            kill_after(patch, commands)
            try:
                OPERATIONS[operation](cache)
                cache._context.indexer.flush()
            except Killed:
                is_over = False
        cache._context.indexer._pending.clear()
        other = SessionCache.from_url(url, namespace=namespace)
        assert listed(other) == sessions_by_index(servers, namespace), f"killed after {commands} commands"
        with monkeypatch.context() as patch:
            patch.setattr(entry_repair, "CREATION_GRACE_MS", 0)
            with SessionCache.from_url(engines.administrator_url(engine), namespace=namespace) as administrator:
                reindex(administrator, lambda _: None)
        assert disagreement(servers, namespace) == {}, f"killed after {commands} commands"
        cache.close()
        other.close()
        if is_over:
            break
    else:
        pytest.fail("the operation never ended")
    assert commands > 1
    for server in servers:
        server.flushall()


def test_refused_creation_leaves_session_listed_by_its_own_values(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """A session stays listed under its own values and times, not under those of a creation that was refused."""
    created = cache.create("a", user_id="mia")
    created.complete()
    cache.create("b", user_id="mia")
    with pytest.raises(SessionExists):
        cache.create("a", user_id="bob", tags=["t"])
    assert cache.get_or_create("a", user_id="bob") is not None
    assert cache.list(user="bob").items == []
    cache._context.indexer.flush()
    for order in ("updated", "created"):
        assert [summary.id for summary in cache.list(user="mia", order=order).items] == ["b", "a"]
    assert disagreement(clients(cache, engine, engines), namespace) == {}


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
@pytest.mark.parametrize("is_known", [True, False])
def test_write_raises_the_session_in_its_lists(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, change: Callable[[Session], Any], is_known: bool
) -> None:
    """A written session leads its list, although its entry was far behind, and whether or not the process knows the session."""
    cache.create("a", user_id="mia")
    cache.create("b", user_id="mia")
    cache._context.indexer.flush()
    for server in clients(cache, engine, engines):
        for zset in list(server.scan_iter(match=f"{namespace}:*:updated:*")):
            if server.zscore(zset, "a"):
                server.zadd(zset, {"a": 1_000_000})
    if is_known:
        cache._context.indexer._known["a"].raise_at = 0.0
    else:
        cache._context.indexer._known.clear()
    change(cache.session("a"))
    for _ in range(2):
        assert [summary.id for summary in cache.list(1, user="mia").items] == ["a"]
        cache._context.indexer.flush()


@pytest.mark.parametrize("engine", REAL_ENGINES, indirect=True)  # one server, and two processes
def test_write_and_raise_are_one_packet(cache: SessionCache, url: str, namespace: str, engine: str) -> None:
    """A process that ends right after a write to a session that it knows has left nothing to be done."""
    for name in ("a", "b"):
        cache.create(name, user_id="mia")
    cache._context.indexer._known["a"].raise_at = 0.0
    cache.session("a").append(X)
    assert cache._context.indexer._pending == {}
    with SessionCache.from_url(url, namespace=namespace) as other:
        assert [summary.id for summary in other.list(1, user="mia").items] == ["a"]


def test_refused_write_moves_no_session(cache: SessionCache, namespace: str, engine: str, engines: Engines) -> None:
    """A write that a script refused leaves the session at its place, after the repair that follows."""
    cache.create("a", user_id="mia").pause()
    cache.create("b", user_id="mia")
    cache._context.indexer.flush()
    cache._context.indexer._known["a"].raise_at = 0.0
    with pytest.raises(RevisionConflict):
        cache.session("a").patch(name="n", expected_rev=77)
    cache._context.indexer.flush()
    assert [summary.id for summary in cache.list(1, user="mia").items] == ["b"]


@pytest.mark.usefixtures("no_grace")
def test_lists_remove_the_entries_of_expired_sessions_that_they_meet(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """Lists omit expired sessions at once, and the indexes that were listed have the living sessions alone after that."""
    for number in range(60):
        dead = cache.create(f"dead{number}", user_id=f"u{number % 7}", tags=["t"], ttl=1)
        if number % 5 == 0:
            dead.append(X)
    for number in range(10):
        cache.create(f"alive{number}", user_id=f"u{number % 7}", tags=["t"])
    cache._context.indexer.flush()
    time.sleep(1.05)
    assert len(list(cache.iter_sessions())) == len(list(cache.iter_sessions(tags=["t"]))) == 10
    for number in range(7):
        cache.list(user=f"u{number}")
    servers = clients(cache, engine, engines)
    await_true(lambda: disagreement(servers, namespace) == {})
    assert sum(map(len, entries(servers, namespace).values())) == 10 * 3 * 2
    assert cache.count() == 10


@pytest.mark.usefixtures("no_grace")
def test_creations_remove_the_entries_of_expired_sessions(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """A fleet that creates sessions, and never lists, has not many more entries than living sessions."""
    cache.create("root", user_id="mia", ttl=None)
    for number in range(300):
        cache.create(f"dead{number}", user_id="mia", ttl=0.05)
    time.sleep(0.1)
    for number in range(100):
        cache.create(f"alive{number}", user_id="mia")
    index = entry_keys(namespace, "user", "main", "mia")

    def count() -> int:
        servers = clients(cache, engine, engines)
        return sum(len(ids) for zset, ids in entries(servers, namespace).items() if zset == index.active_updated)

    await_true(lambda: count() <= 202)


@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake server has one process
def test_child_that_is_spawned_again_after_its_end_is_listed_once(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines
) -> None:
    """A repeated spawn whose process dies at once leaves an ended child among the active ones, and a list repairs that."""
    root = cache.create("root")
    child = str(root.spawn("a", batch_id="b").session_key)
    run = cache.claim("a")
    assert run is not None
    run.complete()
    cache._context.indexer.flush()
    keys, servers = session_keys(namespace, child), clients(cache, engine, engines)
    places = IndexRecord("subagent", agent="a").entries(namespace, keys.tag)
    is_cluster = cache._context.run_queues.is_cluster
    executor = cache._context.executor
    executor.get_many(index_entries.announce(places, child, 0, is_cluster=is_cluster))
    executor.get_many([index_entries.raise_entries([place], child) for place in places])
    assert disagreement(servers, namespace)
    with SessionCache.from_url(url, namespace=namespace) as other:
        assert sorted(one.id for one in other.iter_sessions()) == sorted(["root", child])
        await_true(lambda: not disagreement(servers, namespace), 5)


def test_more_than_64_different_tags_are_refused(cache: SessionCache) -> None:
    """A session may have 64 different tags, because each tag is an index."""
    session = cache.create("a", tags=[f"t{number % 64}" for number in range(128)])
    assert len(set(session.info().tags)) == 64
    with pytest.raises(InvalidInput, match="at most 64 \\(tags\\), got 65"):
        cache.create("b", tags=[f"t{number}" for number in range(65)])
    with pytest.raises(InvalidInput, match="at most 64 \\(tags\\), got 65"):
        session.patch(tags=[f"t{number}" for number in range(65)])
