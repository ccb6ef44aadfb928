"""Repairs of index entries: after refusals, deletions, retries and cancellations, and in races with other processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from redis_sessions import Session, SessionCache, SessionExists, StoreUnavailable
from redis_sessions._core.protocol.transport_errors import ConnectFailed
from redis_sessions._sync.services import indexer
from tests.conftest import REAL_ENGINES, Engines
from tests.support.index_agreement import clients, disagreement, entries, exported_tree
from tests.support.servers import Server, await_true

X = {"role": "user", "content": "x"}
EXPORT = exported_tree()


def test_refused_spawn_leaves_no_index_entry(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """The entries of a refused spawn are removed with the next repair."""
    root = cache.create("root", max_children=0)
    assert root.spawn("a", label="l").status == "forbidden"
    cache._context.indexer.flush()
    assert disagreement(clients(cache, engine, engines), namespace) == {}


@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake server has one process
def test_deleted_tree_leaves_no_index_entry(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines
) -> None:
    """A process that did not create a tree removes the entries of all its sessions when it deletes or prunes the tree."""
    for name in ("deleted", "pruned"):
        root = cache.create(name, user_id="mia", tags=["t"])
        child = root.spawn("worker", label="l", mode="session").session_key
        cache.session(child or "").complete()
    cache._context.indexer.flush()
    with SessionCache.from_url(url, namespace=namespace) as other:
        other.delete("deleted")
        assert other.prune(max_sessions=1, max_age=0, cooldown=0) == 0
        cache.create("new", user_id="mia")
        assert other.prune(max_sessions=1, max_age=0, cooldown=0) == 1
    assert [summary.id for summary in cache.list().items] == ["new"]
    assert disagreement(clients(cache, engine, engines), namespace) == {}


@pytest.mark.usefixtures("no_grace")
def test_list_during_a_creation_keeps_its_entries(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A creation whose entries were removed, because it took longer than any creation should, enters them again."""
    monkeypatch.setattr(indexer, "CREATION_GRACE_MS", 100)
    attempt, waits = cache._context.executor._attempt, [0.1]

    def attempt_after_removal(call: Any) -> Any:
        if call.script is not None and call.script.name == "sessions/create" and waits:
            hints, call.hints = call.hints, []
            cache._context.executor.try_many(hints)
            time.sleep(waits.pop())
            cache.list(user="mia")
            await_true(lambda: not any(entries(clients(cache, engine, engines), namespace).values()) or not no_user())
        return attempt(call)

    def no_user() -> bool:
        found = entries(clients(cache, engine, engines), namespace)
        return any(ids for zset, ids in found.items() if ":user:" in zset)

    monkeypatch.setattr(cache._context.executor, "_attempt", attempt_after_removal)
    cache.create("a", user_id="mia")
    monkeypatch.undo()
    assert waits == []
    cache._context.indexer.flush()
    assert [summary.id for summary in cache.list(user="mia").items] == ["a"]
    assert disagreement(clients(cache, engine, engines), namespace) == {}


def test_repair_after_a_retry_sees_the_write(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that was retried is followed by a repair, because its raise may not have arrived."""
    session = cache.create("a")
    cache._context.indexer.flush()
    attempt, faults = cache._context.executor._attempt, [ConnectFailed("the network is gone")]

    def attempt_with_fault(call: Any) -> Any:
        if faults:
            raise faults.pop()
        return attempt(call)

    monkeypatch.setattr(cache._context.executor, "_attempt", attempt_with_fault)
    session.append(X)
    monkeypatch.undo()
    assert "a" in cache._context.indexer._pending
    cache._context.indexer.flush()
    assert disagreement(clients(cache, engine, engines), namespace) == {}


def test_repair_during_a_deletion_does_not_hide_its_entries(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair that finds the session gone, before the deletion has returned, leaves its young entries to the deletion."""
    cache.create("a", user_id="mia", tags=["t"])
    indexer, attempt = cache._context.indexer, cache._context.executor._attempt
    repaired: list[Any] = []

    def attempt_and_repair(call: Any) -> Any:
        reply = attempt(call)
        if call.script is not None and call.script.name == "sessions/delete" and not repaired:
            repaired.append(call)
            indexer.repair_later(["a"])
            indexer.flush()
        return reply

    monkeypatch.setattr(cache._context.executor, "_attempt", attempt_and_repair)
    cache.delete("a")
    monkeypatch.undo()
    assert repaired
    indexer.flush()
    assert disagreement(clients(cache, engine, engines), namespace) == {}


def test_repeated_append_moves_no_session(cache: SessionCache) -> None:
    """A repetition of an append, which changes nothing, leaves the session at its place after the repair that follows."""
    cache.create("a", user_id="mia").append(X, batch_id="q")
    cache.create("b", user_id="mia")
    cache._context.indexer.flush()
    cache._context.indexer._known["a"].raise_at = 0.0
    assert cache.session("a").append(X, batch_id="q").duplicate
    cache._context.indexer.flush()
    assert [summary.id for summary in cache.list(1, user="mia").items] == ["b"]


def test_refused_import_moves_no_session(cache: SessionCache) -> None:
    """An import that is refused leaves the sessions that it would replace at their places after the repair that follows."""
    cache.create("imported", user_id="mia")
    cache.create("b", user_id="mia")
    with pytest.raises(SessionExists):
        cache.import_sessions(EXPORT)
    cache._context.indexer.flush()
    for order in ("updated", "created"):
        assert [summary.id for summary in cache.list(1, user="mia", order=order).items] == ["b"]
    assert cache.list(user="bob").items == []


def test_entry_that_was_refused_is_repaired(own_server: Server, namespace: str) -> None:
    """A creation whose entries the server refused is listed as soon as the server takes them."""
    own_server.client.execute_command("ACL", "SETUSER", "few", "on", ">pass", "~*", "&*", "+@all")
    with SessionCache.from_url(f"redis://few:pass@127.0.0.1:{own_server.port}", namespace=namespace) as cache:
        cache.create()
        own_server.client.execute_command("ACL", "SETUSER", "few", "-zadd")
        cache.create("a", user_id="mia")
        assert "a" in cache._context.indexer._pending
        assert cache.list(user="mia").items == []
        own_server.client.execute_command("ACL", "SETUSER", "few", "+zadd")
        await_true(lambda: [summary.id for summary in cache.list(user="mia").items] == ["a"])


def test_entries_are_written_where_scripts_cannot_be_loaded(own_server: Server, namespace: str) -> None:
    """A user without SCRIPT LOAD, whose scripts are sent with EVAL, finds its sessions in lists."""
    own_server.client.execute_command("ACL", "SETUSER", "few", "on", ">pass", "~*", "&*", "+@all", "-script")
    with SessionCache.from_url(f"redis://few:pass@127.0.0.1:{own_server.port}", namespace=namespace) as cache:
        cache.create("a", user_id="mia")
        await_true(lambda: [summary.id for summary in cache.list(user="mia").items] == ["a"])


def test_list_of_a_server_that_takes_no_writes_does_not_wait(own_server: Server, namespace: str) -> None:
    """A list right after own writes takes no longer on a server that refuses writes for now."""
    with SessionCache.from_url(own_server.url, namespace=namespace, retry_for=30) as cache:
        session = cache.create("a", user_id="mia")
        session.append(X)
        own_server.client.config_set("min-replicas-to-write", 1)
        began = time.monotonic()
        assert [summary.id for summary in cache.list(user="mia").items] == ["a"]
        assert time.monotonic() - began < 10
        own_server.client.config_set("min-replicas-to-write", 0)


@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)
def test_repair_whose_removals_failed_removes_the_old_entries_later(
    cache: SessionCache, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries under the old values of a session are removed, although the node of their index failed at the first repair."""
    cache.create("moved", user_id="mia")
    cache._context.indexer.flush()
    send_once = cache._context.executor.send_once
    failed: list[Any] = []

    def fail_once(calls: Any, due: float | None = None) -> Any:
        if failed or not any(call.script is not None and "remove" in call.script.name for call in calls):
            return send_once(calls, due)
        failed.append(calls)
        return [StoreUnavailable(where="a node", waited=0.0, detail="silent") for _ in calls]

    monkeypatch.setattr(cache._context.executor, "send_once", fail_once)
    cache.session("moved").patch(user_id="bob")
    cache._context.indexer.repair_later(["moved"])
    with suppress(StoreUnavailable):  # the background may have made the repair
        cache._context.indexer.flush()
    await_true(lambda: bool(failed) and "moved" in cache._context.indexer._pending)
    cache._context.indexer.flush()
    assert disagreement(clients(cache, engine, engines), namespace) == {}


def test_cancelled_repair_waits_on(own_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repair that was cut off by a cancellation, or an exception of a signal handler, is made later."""
    with SessionCache.from_url(own_server.url, namespace=namespace) as cache:
        cache.create("a", user_id="mia")
        cache._context.indexer.repair_later(["a"])
        with monkeypatch.context() as patch:

            def interrupted(calls: Any) -> Any:
                raise KeyboardInterrupt

            patch.setattr(cache._context.executor, "send_once", interrupted)
            with pytest.raises(KeyboardInterrupt):
                cache._context.indexer.flush()
        assert "a" in cache._context.indexer._pending


def change_during_repair(
    cache: SessionCache, url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, change: Callable[[Session], object]
) -> None:
    """Repair session "a", and let another process change the session after the repair read it."""
    run, others = cache._context.executor.send_once, [SessionCache.from_url(url, namespace=namespace)]

    def run_and_change(calls: Any) -> Any:
        found = run(calls)
        if others:
            with others.pop() as other:
                change(other.session("a"))
        return found

    cache._context.indexer.repair_later(["a"])
    monkeypatch.setattr(cache._context.executor, "send_once", run_and_change)
    cache._context.indexer.flush()
    assert others == []


@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake server has one process
def test_late_repair_does_not_undo_newer_entries(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repair that read a session before another process ended it does not restore the older entries."""
    session, servers = cache.create("a", user_id="mia"), clients(cache, engine, engines)
    session.append(X)
    change_during_repair(cache, url, namespace, monkeypatch, lambda other: other.complete())
    assert disagreement(servers, namespace) == {}


@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake server has one process
def test_late_repair_leaves_a_relisted_session_complete(
    cache: SessionCache, url: str, namespace: str, engine: str, engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entries that a late repair restores are not shown, and the session is listed under its new values."""
    cache.create("a", user_id="mia")
    change_during_repair(cache, url, namespace, monkeypatch, lambda other: other.patch(user_id="bob"))
    assert cache.list(user="mia").items == []
    assert [summary.id for summary in cache.list(user="bob").items] == ["a"]


def test_damaged_session_does_not_stop_a_repair(
    cache: SessionCache, namespace: str, engine: str, engines: Engines
) -> None:
    """The repair goes on to the other sessions, and lists omit the damaged session."""
    cache.create("damaged")
    cache.create("a")
    for server in clients(cache, engine, engines):
        for key in server.scan_iter(match=f"{namespace}:*:session:damaged"):
            server.hset(key, "tags", "5")
        for key in server.scan_iter(match=f"{namespace}:*:all:*"):
            if server.zscore(key, "a"):
                server.delete(key)
    cache._context.indexer.repairs.repair(["damaged", "a"])
    assert [summary.id for summary in cache.list().items] == ["a"]
