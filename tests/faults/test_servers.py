"""Servers that are down, dying, full, locked, or of another schema: one clear error, or none at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from redis_sessions import (
    AccessDenied,
    InvalidInput,
    OutcomeUnknown,
    SchemaMismatch,
    SessionCache,
    StoreFull,
    StoreUnavailable,
)
from redis_sessions._core import leases
from tests.proxy import Losses, proxy
from tests.servers import Server, await_true, free_port

X = {"role": "user", "content": "x"}


def test_a_server_that_is_down_is_named_within_the_bound() -> None:
    """`retry_for` bounds the wait; nothing was written, so the outcome is known."""
    url = f"redis://:secret@127.0.0.1:{free_port()}"
    began = time.monotonic()
    with (
        SessionCache.from_url(url, retry_for=0.5) as cache,
        pytest.raises(StoreUnavailable, match="check that it runs") as told,
    ):
        cache.create()
    assert 0.3 < time.monotonic() - began < 3
    assert "secret" not in str(told.value)


def test_an_outcome_that_stays_unknown_carries_its_batch_id(server: Server, namespace: str) -> None:
    """All replies are lost: the append may have happened; asking again with the batch id settles it."""
    with SessionCache.from_url(server.url, namespace=namespace) as direct:
        session = direct.create("a")
        with proxy(server.port, Losses(0, 0)) as port:
            cache = SessionCache.from_url(f"redis://127.0.0.1:{port}", namespace=namespace, timeout=0.1, retry_for=0.5)
            cache.get("a")
            server.client.execute_command("CLIENT", "PAUSE", 1500, "WRITE")
            with pytest.raises(OutcomeUnknown) as unknown:
                cache.session("a").append(X)
            cache.close()
        time.sleep(1.6)
        batch_id = unknown.value.batch_id
        assert batch_id
        session.append(X, batch_id=batch_id)
        assert session.append(X, batch_id=batch_id).duplicate
        assert session.info().count == 1
    server.client.flushall()


def test_a_restart_is_ridden_out(own_server: Server, namespace: str) -> None:
    """kill -9 with an append-only file: connections and scripts are gone, messages are not."""
    with SessionCache.from_url(own_server.url, namespace=namespace, retry_for=20) as cache:
        session = cache.create("a")
        session.append(X)
        own_server.kill()
        own_server.start()
        assert session.append(X).last_seq == 2
        assert len(session.history()) == 2


def test_flushed_scripts_are_loaded_again(server: Server, namespace: str) -> None:
    """SCRIPT FLUSH between calls costs a round trip, never an error."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a")
        for _ in range(20):
            server.client.script_flush()
            session.append(X)
        assert session.info().count == 20
    server.client.flushall()


def test_killed_connections_are_replaced(server: Server, namespace: str) -> None:
    """CLIENT KILL of everything."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a")
        for number in range(20):
            server.client.client_kill_filter(_type="normal", skipme=True)
            assert session.append(X).last_seq == number + 1
    server.client.flushall()


def test_a_full_server_refuses_and_nothing_is_half_written(own_server: Server, namespace: str) -> None:
    """maxmemory reached: StoreFull, the session as it was; relieved, it goes on."""
    with SessionCache.from_url(own_server.url, namespace=namespace) as cache:
        session = cache.create("a")
        session.append(X)
        before = session.info()
        own_server.client.config_set("maxmemory", 1)
        for write in (
            lambda: session.append(X),
            lambda: cache.create("b"),
            lambda: session.state.put("a", 1),
            lambda: session.append(*[X] * 50),
        ):
            with pytest.raises(StoreFull, match="maxmemory"):
                write()
        assert len(session.history()) == 1
        own_server.client.config_set("maxmemory", 0)
        assert session.info().model_dump(exclude={"read_at", "expires_in"}) == before.model_dump(
            exclude={"read_at", "expires_in"}
        )
        assert cache.get("b") is None
        assert session.append(X).last_seq == 2


def test_a_wrong_password_is_access_denied(own_server: Server) -> None:
    """At once, without retries, and without showing it."""
    own_server.client.config_set("requirepass", "right")
    for url in (own_server.url, f"redis://:wrong@127.0.0.1:{own_server.port}"):
        began = time.monotonic()
        with SessionCache.from_url(url) as cache, pytest.raises(AccessDenied) as told:
            cache.create()
        assert time.monotonic() - began < 2
        assert "wrong" not in str(told.value).replace("WRONGPASS", "")
    with SessionCache.from_url(f"redis://:right@127.0.0.1:{own_server.port}") as cache:
        cache.create().append(X)


def test_another_schema_is_left_alone(server: Server, namespace: str) -> None:
    """Neither read nor written."""
    server.client.set(f"{namespace}:meta", "999")
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        with pytest.raises(SchemaMismatch, match="999"):
            cache.create()
        with pytest.raises(SchemaMismatch, match="999"):
            cache.get("a")
    server.client.flushall()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "http://localhost",
        "redis://localhost:port",
        "redis://u:secret@h:99999/0",
        "redis+cluster://h/3",
        "red is://x",
    ],
)
def test_a_wrong_url_is_refused_without_its_password(url: str) -> None:
    """Before anything is opened; the message lists what there is."""
    with pytest.raises(InvalidInput) as told:
        SessionCache.from_url(url)
    assert "secret" not in str(told.value)


def test_a_borrowed_client_is_neither_used_up_nor_closed(server: Server, namespace: str) -> None:
    """Whatever its settings: decoded responses, its own retries, one connection."""
    client: Any = redis.Redis(host="127.0.0.1", port=server.port, decode_responses=True, max_connections=1)
    with SessionCache(client, namespace=namespace, ttl=60) as cache:
        session = cache.create("a")
        session.append(X)
        assert session.history()[0].payload == X
        assert client.ping()
    assert client.ping()
    client.close()
    server.client.flushall()


def test_threads_wait_for_a_connection_and_share_them(server: Server, namespace: str) -> None:
    """16 threads, 2 connections: nobody fails."""
    with SessionCache.from_url(server.url, namespace=namespace, max_connections=2) as cache:
        session = cache.create("a", max_messages=None)
        threads = [threading.Thread(target=lambda: [session.append(X) for _ in range(50)]) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.info().last_seq == 800
    server.client.flushall()


def test_a_forked_process_makes_connections_of_its_own(server: Server, namespace: str) -> None:
    """Parent and child go on writing; nothing is mixed up."""
    import multiprocessing

    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a", max_messages=None)
        session.append(X)
        child = multiprocessing.get_context("fork").Process(target=lambda: [session.append(X) for _ in range(50)])
        child.start()
        for _ in range(50):
            session.append(X)
        child.join()
        assert child.exitcode == 0
        assert session.info().last_seq == 101
    server.client.flushall()


def test_a_full_server_hands_no_lease_to_anybody(own_server: Server, namespace: str) -> None:
    """The hand-over is refused before the next one in line is told; relieved, he has it."""
    with SessionCache.from_url(own_server.url, namespace=namespace) as cache:
        session = cache.create("a")
        holder = session.lease(0.3).acquire()
        holder._stop_renewing()
        in_line = leases.acquire(session._keys, "", "first", "first", 5000, 20_000, "channel", False)
        assert cache._calls.run(in_line).fence == 0
        own_server.client.config_set("maxmemory", 1)
        time.sleep(0.35)
        with pytest.raises(StoreFull):
            threaded(lambda: cache.session("a").lease(5, 0).acquire())
        own_server.client.config_set("maxmemory", 0)
        found = session.lease().info()
        assert found is not None
        assert (found.fence, found.line) == (1, ["first"])
        assert cache._calls.run(in_line).fence == 2


def test_a_user_without_channels_can_hold_but_not_wait(own_server: Server, namespace: str) -> None:
    """Told as AccessDenied; the lease is released all the same."""
    own_server.client.execute_command("ACL", "SETUSER", "deaf", "on", ">p", "~*", "resetchannels", "+@all")
    url = f"redis://deaf:p@127.0.0.1:{own_server.port}"
    with (
        SessionCache.from_url(url, namespace=namespace) as deaf,
        SessionCache.from_url(own_server.url, namespace=namespace) as cache,
    ):
        session = deaf.create("a")
        with cache.session("a").lease(5), pytest.raises(AccessDenied, match="channel"):
            session.lease(5, 2).acquire()
        waiter = threading.Thread(target=lambda: cache.session("a").lease(1, 10).acquire().release())
        with session.lease(1):
            waiter.start()
            await_true(lambda: bool(getattr(session.lease().info(), "line", None)))
        assert deaf.session("a").lease().info() is None
        waiter.join(10)
        assert not waiter.is_alive()


def threaded(function: Callable[[], Any]) -> Any:
    """What a function gives in a thread that knows of no lease."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(30)
