"""Round trips and commands of each operation, counted by the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from redis_sessions import Lease, LeaseLost, Session, SessionCache, SessionNotFound
from redis_sessions._sync.transport import tasks
from tests.support.attempts import repeat_if_dearer
from tests.support.lease_waiters import FREE, elsewhere
from tests.support.servers import Server, await_true

X = {"role": "user", "content": "x"}
CALLS: dict[str, Callable[[Session], Any]] = {
    "append": lambda session: session.append(X),
    "append of ten": lambda session: session.append(*[X] * 10),
    "append with a known batch": lambda session: session.append(X, batch_id="b"),
    "history": lambda session: session.history(50),
    "history by role": lambda session: session.history(50, role="user"),
    "context": lambda session: session.context(100),
    "turn": lambda session: session.turn(3),
    "info": lambda session: session.info(),
    "state.get": lambda session: session.state.get("a"),
    "state.put": lambda session: session.state.put("a", 1),
    "touch": lambda session: session.touch(),
    "patch": lambda session: session.patch(name="n"),
    "complete": lambda session: session.complete(),
    "send": lambda session: session.send("x"),
    "lease.acquire": lambda session: session.lease().acquire(),
    "lease.info": lambda session: session.lease().info(),
    "spawn": lambda session: session.spawn("a"),
    "ledger": lambda session: session.ledger(),
    "usage": lambda session: session.loop("l").record_usage("s", {"total": 1}),
    "compact": lambda session: session.compact(10, "sum"),
    "append with state": lambda session: session.append(X, state={"a": 1}, if_state={"a": None}),
    "replace": lambda session: session.replace(X, after_seq=10),
    "replace one": lambda session: session.replace(10, X),
    "abandon_calls": lambda session: session.abandon_calls(),
    "clear": lambda session: session.clear(),
    "pop": lambda session: session.pop(),
    "pop group": lambda session: session.pop(group=True),
    "fork": lambda session: session.fork(10),
    "cancel": lambda session: session.cancel(),
}
INDEX_HINTS = {"spawn": 1, "fork": 1}
"""Scripts for the indexes that travel in front of an operation, in the same round trip."""
READS_FIRST = {"pop group": 1, "fork": 1, "compact": 0}
"""Scripts of the read that precedes an operation, in a round trip of its own. `compact` reads with a plain command."""

LEAVES_WORK = {"spawn", "complete", "cancel", "send"}
"""Operations that tell a queue in the background."""


def count_round_trips(server: Server) -> int:
    """Return the number of requests that clients sent since the last count."""
    total = int(server.client.info("stats")["total_reads_processed"])
    before, _READS[server.port] = _READS.get(server.port, 0), total
    return total - before - 1  # without the request of the count itself


_READS: dict[int, int] = {}


def count_scripts(server: Server) -> int:
    """Return the number of scripts that ran since the last `config_resetstat`."""
    return int(server.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def await_quiet(server: Server) -> None:
    """Return when no script ran for 0.2 s, because what runs in the background is done."""
    before = -1
    while before != (before := count_scripts(server)):
        time.sleep(0.2)


@contextmanager
def without_background() -> Iterator[None]:
    """Hold back what operations would do in the background, until the end of the block."""
    held: list[tuple[Any, ...]] = []
    later, spawn = tasks.later, tasks.spawn

    def hold(function: Callable[..., Any], *call: Any) -> tasks.Cancellable:
        held.append((function, *call))
        return tasks._Timer()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "later", partial(hold, later))
        patch.setattr(tasks, "spawn", partial(hold, spawn))
        yield
    for function, *call in held:
        function(*call)


@pytest.mark.parametrize("name", list(CALLS))
@repeat_if_dearer
def test_operation_on_a_new_handle_is_one_command(server: Server, namespace: str, name: str) -> None:
    """An operation of a new handle is one command in one round trip. `fork`, `compact` and a pop of a group read once before."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        for handle in (cache.create("warm", max_messages=None), cache.create("a", max_messages=None)):
            handle.append(*[X] * 60)
            handle.append(X, batch_id="b")
            handle.start_loop("l")
        CALLS[name](cache.session("warm"))
        cache._context.indexer.flush()
        if name in LEAVES_WORK:
            await_quiet(server)
        new_handle = cache.session("a")
        with without_background():
            server.client.config_resetstat()
            count_round_trips(server)
            CALLS[name](new_handle)
            round_trips = count_round_trips(server)
        stats = server.client.info("commandstats")
        sent = [command for command in ("evalsha", "script|load", "script") if f"cmdstat_{command}" in stats]
        scripts = 1 + INDEX_HINTS.get(name, 0) + READS_FIRST.get(name, 0)
        if name == "state.get":
            assert (sent, stats["cmdstat_hmget"]["calls"]) == ([], 1)
        else:
            assert (sent, stats["cmdstat_evalsha"]["calls"]) == (["evalsha"], scripts)
        assert round_trips == 1 + (name in READS_FIRST)
    server.client.flushall()


@repeat_if_dearer
def test_create_and_delete_outside_a_tree_are_one_round_trip_each(server: Server, namespace: str) -> None:
    """After the cache has checked the schema version once, a creation or a deletion is one round trip with its index entries."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.delete("warm")
        cache.create("warm")
        count_round_trips(server)
        cache.create("a")
        assert count_round_trips(server) == 1
        cache.delete("a")
        assert count_round_trips(server) == 1
    server.client.flushall()


@repeat_if_dearer
def test_first_write_of_ensured_handle_is_one_round_trip(server: Server, namespace: str) -> None:
    """A write that creates its session is one round trip, and so is one of a session that exists."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        for _ in range(2):  # both forms of the script
            cache.ensure("warm").append(X)
        cache._context.indexer.flush()
        with without_background():
            count_round_trips(server)
            cache.ensure("a").append(X)
            assert count_round_trips(server) == 1
            cache.ensure("a").append(X)
            assert count_round_trips(server) == 1
    with SessionCache.from_url(server.url, namespace=namespace) as other:
        other.ensure("warm").append(X)
        other._context.indexer.flush()
        with without_background():
            count_round_trips(server)
            other.ensure("a").append(X)
            assert count_round_trips(server) == 1
        assert other.session("a").info().count == 3
    server.client.flushall()


@repeat_if_dearer
def test_missing_sessions_take_no_further_round_trips(server: Server, namespace: str) -> None:
    """A load of many sessions is one round trip, whether all of them exist or one."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.create("a").append(X)
        missing = [f"missing-{number}" for number in range(50)]
        cache.load(["a"])
        with without_background():
            count_round_trips(server)
            assert [one is None for one in cache.load([*missing, "a"])] == [True] * 50 + [False]
            assert count_round_trips(server) == 1
            with pytest.raises(SessionNotFound):
                cache.session("missing").load()
            assert count_round_trips(server) == 1
    server.client.flushall()


@repeat_if_dearer
def test_delete_in_a_tree_is_three_round_trips(server: Server, namespace: str) -> None:
    """A deletion in a tree is a refusal, a cancellation and the deletion. Sessions below cost five more, or six if active."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:

        def create_tree(root: str) -> str:
            child = cache.create(root).spawn("agent", mode="session").session_key or ""
            cache._context.indexer.flush()
            return child

        create_tree("warm")
        cache.delete("warm")
        create_tree("active-child")
        cache.session(create_tree("ended-child")).complete()
        child = create_tree("leaf")
        for id, expected in (("active-child", 9), ("ended-child", 8), (child, 3)):
            await_quiet(server)
            with without_background():
                count_round_trips(server)
                cache.delete(id)
                assert (id, count_round_trips(server)) == (id, expected)
            assert cache.get(id) is None
        await_quiet(server)  # entries leave the indexes in the background
        assert [summary.id for summary in cache.iter_sessions()] == ["leaf"]
    server.client.flushall()


@repeat_if_dearer
def test_pause_is_one_round_trip_and_resume_two(server: Server, namespace: str) -> None:
    """A pause of a session with children is one round trip, and a resume is two, because its work is offered again."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        root = cache.create()
        root.spawn("a", mode="session").raise_if_refused()
        for _ in range(2):
            await_quiet(server)
            with without_background():
                count_round_trips(server)
                root.pause()
                paused = count_round_trips(server)
                root.resume()
                resumed = count_round_trips(server)
        assert (paused, resumed) == (1, 2)
    server.client.flushall()


@repeat_if_dearer
def test_forced_release_is_two_round_trips(server: Server, namespace: str) -> None:
    """A forced release takes the lease over and then releases it: two round trips, against one for the holder's release."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        for id, expected in (("warm", None), ("a", 2)):
            lease = cache.create(id).lease(3600).acquire()
            cache._context.indexer.flush()
            with without_background():
                count_round_trips(server)
                elsewhere(partial(cache.session(id).lease().release, force=True))
                assert expected in (None, count_round_trips(server))
            assert cache.session(id).lease().info() is None
            with pytest.raises(LeaseLost):
                lease.release()
    server.client.flushall()


@repeat_if_dearer
def test_first_hint_on_a_new_connection_is_one_more_round_trip(server: Server, namespace: str) -> None:
    """The script of a hint is loaded before its first use on a connection, so that no hint arrives behind its write."""
    with SessionCache.from_url(server.url, namespace=namespace) as first:
        first.create("a").append(X)
        first._context.indexer.flush()
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.open("a")
        session.append(X)
        cache._context.indexer.flush()
        for expected in (2, 1, 1):
            cache._context.indexer._known["a"].raise_at = 0.0
            server.client.config_resetstat()
            count_round_trips(server)
            session.append(X)
            assert (count_round_trips(server), count_scripts(server)) == (expected, 2)
    server.client.flushall()


@repeat_if_dearer
def test_turn_under_a_lease_is_two_more_commands(server: Server, namespace: str) -> None:
    """A lease costs one round trip to acquire and one to release, and an append under the lease is one as without."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.create("warm")
        session = cache.create("a")
        for count in (1, 3):
            for _ in range(2):
                server.client.config_resetstat()
                count_round_trips(server)
                with session.lease():
                    for _ in range(count):
                        session.append(X)
                sent = count_round_trips(server)
            assert sent == count + 2
            assert count_scripts(server) == count + 2
    server.client.flushall()


def test_lease_waiters_send_nothing(server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a holder keeps the lease for longer than its ttl, the only commands are the holder's renewals and index entries."""
    requests: list[float] = []
    request = Lease._request

    def counted_request(self: Lease[Any], nonce: str, wait_ms: int) -> Any:
        requests.append(time.monotonic())
        return request(self, nonce, wait_ms)

    monkeypatch.setattr(Lease, "_request", counted_request)
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a")
        with session.lease(ttl=0.6) as lease:
            fences: list[int] = []

            def wait() -> None:
                with cache.session("a").lease(ttl=0.6, wait=30) as own_lease:
                    fences.append(own_lease.fence)

            threads = [threading.Thread(target=wait) for _ in range(5)]
            for thread in threads:
                thread.start()
            await_true(lambda: len((lease.info() or FREE).waiters) == 5)
            cache._context.indexer.flush()
            server.client.config_resetstat()
            requests.clear()
            time.sleep(2.2)
            calls = count_scripts(server)
            assert requests == []
            assert calls <= 2 * (2.2 / 0.2 + 3)
        for thread in threads:
            thread.join()
        assert fences == [2, 3, 4, 5, 6]
    server.client.flushall()


@repeat_if_dearer
def test_write_of_a_child_is_one_command(server: Server, namespace: str) -> None:
    """A child's write or end is one command, and one more with a process that does not know the child's ancestors yet."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache, \
            SessionCache.from_url(server.url, namespace=namespace) as other:  # fmt: skip
        parent = cache.create()
        cache.session(parent.spawn("a", mode="session").session_key or "").complete("warm")
        cache._context.indexer.flush()
        ids = [parent.spawn("a", mode="session").session_key or "" for _ in range(3)]
        other.session(ids[2]).append(X)
        for handle, expected in ((cache.session(ids[0]), 1), (other.session(ids[1]), 2)):
            await_quiet(server)
            with without_background():
                server.client.config_resetstat()
                handle.append(X)
                assert count_scripts(server) == expected
        for id in ids:
            for known in cache._context.indexer._known.values():
                known.raise_at = time.monotonic() + 60  # no entry is raised, however slow the machine is
            await_quiet(server)
            with without_background():
                server.client.config_resetstat()
                count_round_trips(server)
                cache.session(id).complete("x" * 100)
                assert (count_round_trips(server), count_scripts(server)) == (1, 1)
        assert parent.info().count == 4
    server.client.flushall()


@repeat_if_dearer
def test_document_operation_is_one_command(server: Server, namespace: str) -> None:
    """A document operation is one round trip, the first write of a category two, and a page of categories two."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.documents("warm").put("n", "x")
        cache.documents("warm").get("n")
        cache.documents("warm").list()
        cache.documents("warm").delete("n")
        cache.documents("z").put("n", "x")
        assert cache.categories().items == ["z"]
        documents = cache.documents("a")
        calls: list[tuple[int, Callable[[], Any]]] = [
            (2, lambda: documents.put("n", "x")),
            (1, lambda: documents.put("n", "y")),
            (1, lambda: cache.documents("a").put_json("m", 1)),
            (1, lambda: documents.get("n")),
            (1, lambda: documents.get_json("m")),
            (1, lambda: documents.list()),
            (1, lambda: documents.delete("n")),
            # the names are read first, and then each category is checked for documents
            (2, lambda: cache.categories(cursor="warm")),
        ]
        for expected, call in calls:
            count_round_trips(server)
            call()
            assert count_round_trips(server) == expected
    server.client.flushall()
