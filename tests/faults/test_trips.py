"""Round trips and commands, counted by the server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import Lease, Session, SessionCache
from tests.servers import Server

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
    "cancel": lambda session: session.cancel(),
}


def trips(server: Server) -> int:
    """Commands that clients sent since the last question, but for this one."""
    total = int(server.client.info("stats")["total_reads_processed"])
    before, _READS[server.port] = _READS.get(server.port, 0), total
    return total - before - 1


_READS: dict[int, int] = {}


@pytest.mark.parametrize("name", list(CALLS))
def test_a_call_is_one_command(server: Server, namespace: str, name: str) -> None:
    """Whatever it checks: one command, so one round trip; also with a handle that knows nothing yet."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        for handle in (cache.create("warm", max_messages=None), cache.create("a", max_messages=None)):
            handle.append(*[X] * 60)
            handle.append(X, batch_id="b")
            handle.start_loop("l")
        CALLS[name](cache.session("warm"))
        light = cache.session("a")
        server.client.config_resetstat()
        trips(server)
        CALLS[name](light)
        sent_trips = trips(server)
        stats = server.client.info("commandstats")
        sent = [command for command in ("evalsha", "script|load", "script") if f"cmdstat_{command}" in stats]
        if name == "state.get":
            assert (sent, stats["cmdstat_hmget"]["calls"]) == ([], 1)
        else:
            hints = {"spawn": 2, "touch": 1, "complete": 1, "cancel": 1}  # of indexes, which go out with it
            assert (sent, stats["cmdstat_evalsha"]["calls"]) == (["evalsha"], 1 + hints.get(name, 0))
        assert sent_trips == 1
    server.client.flushall()


def test_creating_and_deleting_are_one_trip_each(server: Server, namespace: str) -> None:
    """After the cache's first call, which looks at the schema version once; entries in the indexes go out with them."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.delete("warm")
        cache.create("warm")
        trips(server)
        cache.create("a")
        assert trips(server) == 1
        cache.delete("a")
        assert trips(server) == 1
    server.client.flushall()


def test_a_turn_is_two_commands_more(server: Server, namespace: str) -> None:
    """Acquire and release, one round trip each; an append under the lease is one as ever."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.create("warm")
        session = cache.create("a")
        for count in (1, 3):
            for _ in range(2):
                server.client.config_resetstat()
                trips(server)
                with session.lease():
                    for _ in range(count):
                        session.append(X)
                sent = trips(server)
            assert sent == count + 2
            assert server.client.info("commandstats")["cmdstat_evalsha"]["calls"] == count + 2
    server.client.flushall()


def test_who_waits_sends_nothing(server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another holds the lease for longer than its ttl: the holder's renewals, and their notes, are all there is."""
    asked: list[float] = []
    ask = Lease._ask

    def counted(self: Lease, nonce: str, wait_ms: int) -> Any:
        asked.append(time.monotonic())
        return ask(self, nonce, wait_ms)

    monkeypatch.setattr(Lease, "_ask", counted)
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a")
        with session.lease(ttl=0.6) as lease:
            fences: list[int] = []

            def wait() -> None:
                with cache.session("a").lease(ttl=0.6, wait=30) as mine:
                    fences.append(mine.fence)

            threads = [threading.Thread(target=wait) for _ in range(5)]
            for thread in threads:
                thread.start()
            while len(getattr(lease.info(), "line", ())) < 5:
                time.sleep(0.01)
            cache._home.indexes.catch_up()
            server.client.config_resetstat()
            asked.clear()
            time.sleep(2.2)
            calls = server.client.info("commandstats")["cmdstat_evalsha"]["calls"]
            assert asked == []
            assert calls <= 2 * (2.2 / 0.2 + 2)
        for thread in threads:
            thread.join()
        assert fences == [2, 3, 4, 5, 6]
    server.client.flushall()


def test_what_a_child_does_is_one_command(server: Server, namespace: str) -> None:
    """Its writes and its end with a result, in a process that has met it; one that has not asks once who is above it.

    Beside a mark for the indexes, which goes out with the first.
    """
    with SessionCache.from_url(server.url, namespace=namespace) as cache, \
            SessionCache.from_url(server.url, namespace=namespace) as other:  # fmt: skip
        parent = cache.create()
        cache.session(parent.spawn("a", mode="session").session_key or "").complete("warm")
        time.sleep(0.1)
        cache._home.indexes.catch_up()
        ids = [parent.spawn("a", mode="session").session_key or "" for _ in range(3)]
        other.session(ids[2]).append(X)
        for handle, expected in ((cache.session(ids[0]), 1), (other.session(ids[1]), 3)):
            server.client.config_resetstat()
            handle.append(X)
            assert server.client.info("commandstats")["cmdstat_evalsha"]["calls"] == expected
        for id in ids:
            server.client.config_resetstat()
            trips(server)
            cache.session(id).complete("x" * 100)
            assert (trips(server), server.client.info("commandstats")["cmdstat_evalsha"]["calls"]) == (1, 2)
            time.sleep(0.1)  # until its queue is told, in the background
            cache._home.indexes.catch_up()
        assert parent.info().count == 4
    server.client.flushall()


def test_what_is_done_to_a_document_is_one_command(server: Server, namespace: str) -> None:
    """One more when a process first writes a category, and two for a page of categories."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        cache.documents("warm").put("n", "x")
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
            (2, lambda: cache.categories(cursor="warm")),  # of one: commands that travel together may be read apart
        ]
        for expected, call in calls:
            trips(server)
            call()
            assert trips(server) == expected
    server.client.flushall()
