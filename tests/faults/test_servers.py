"""Servers that are down, killed, full, locked, or of another schema: a call succeeds, or raises one clear error."""

from __future__ import annotations

import multiprocessing
import threading
import time
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
from redis_sessions._core.commands import leases
from redis_sessions._core.protocol.records import LeaseRecord, Waiter
from redis_sessions._core.protocol.scripts import HINT_SCRIPTS, script
from tests.leases.dead_holders import let_run_out
from tests.support.lease_waiters import FREE, elsewhere
from tests.support.machine_load import measured_load
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server, await_true
from tests.support.sockets import closed_port

X = {"role": "user", "content": "x"}
AT_ONCE_SECONDS = 10
"""Far below the default `retry_for`."""


def test_server_that_is_down_raises_within_retry_for() -> None:
    """A call to a server that is down raises StoreUnavailable within the bound, names the URL and hides the password."""
    with closed_port() as port, measured_load() as load:
        url = f"redis://:secret@127.0.0.1:{port}"
        began = time.monotonic()
        with (
            SessionCache.from_url(url, retry_for=0.5) as cache,
            pytest.raises(StoreUnavailable, match="Check that it runs") as refused,
        ):
            cache.create()
        assert 0.3 < time.monotonic() - began < load.allow(3)
    assert "secret" not in str(refused.value)


def test_unknown_outcome_carries_its_batch_id(server: Server, namespace: str) -> None:
    """If no reply arrives, the error carries the batch ID, and a repeat with the batch ID appends the message once."""
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


def test_restart_of_the_server_is_retried(own_server: Server, namespace: str) -> None:
    """A call succeeds after SIGKILL and a restart, because the client connects and loads scripts again."""
    with SessionCache.from_url(own_server.url, namespace=namespace, retry_for=20) as cache:
        session = cache.create("a")
        session.append(X)
        own_server.kill()
        own_server.start()
        assert session.append(X).last_seq == 2
        assert len(session.history()) == 2


def test_flushed_script_is_loaded_again(server: Server, namespace: str) -> None:
    """A SCRIPT FLUSH between two calls costs a round trip and no error."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a")
        for _ in range(20):
            server.client.script_flush()
            session.append(X)
        assert session.info().count == 20
    server.client.flushall()


def test_scripts_of_hints_are_known_with_any_write(server: Server, namespace: str) -> None:
    """After a SCRIPT FLUSH the first write loads the scripts of hints, too, so no other client's hint runs behind its write."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a")
        session.append(X)
        server.client.script_flush()
        session.append(X)
        assert server.client.script_exists(*[script(name).sha for name in HINT_SCRIPTS]) == [True] * len(HINT_SCRIPTS)
    server.client.flushall()


def test_killed_connection_is_replaced(server: Server, namespace: str) -> None:
    """A call succeeds after CLIENT KILL closed all connections."""
    with SessionCache.from_url(server.url, namespace=namespace) as cache:
        session = cache.create("a")
        for number in range(20):
            server.client.client_kill_filter(_type="normal", skipme=True)
            assert session.append(X).last_seq == number + 1
    server.client.flushall()


def test_full_server_refuses_the_whole_write(own_server: Server, namespace: str) -> None:
    """A server at maxmemory refuses writes with StoreFull, leaves the session as it was, and takes writes again afterwards."""
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


def test_wrong_password_raises_access_denied(own_server: Server) -> None:
    """A wrong password raises AccessDenied at once, without retries, and the error hides the password."""
    own_server.client.config_set("requirepass", "right")
    for url in (own_server.url, f"redis://:wrong@127.0.0.1:{own_server.port}"):
        began = time.monotonic()
        with SessionCache.from_url(url) as cache, pytest.raises(AccessDenied) as refused:
            cache.create()
        assert time.monotonic() - began < AT_ONCE_SECONDS
        assert "wrong" not in str(refused.value).replace("WRONGPASS", "")
    with SessionCache.from_url(f"redis://:right@127.0.0.1:{own_server.port}") as cache:
        cache.create().append(X)


def test_namespace_of_another_schema_is_refused(server: Server, namespace: str) -> None:
    """A namespace of another schema version is neither read nor written."""
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
def test_wrong_url_is_refused_without_its_password(url: str) -> None:
    """A wrong URL is refused before a connection is opened, and the error hides the password."""
    with pytest.raises(InvalidInput) as refused:
        SessionCache.from_url(url)
    assert "secret" not in str(refused.value)


def test_borrowed_client_stays_usable(server: Server, namespace: str) -> None:
    """A cache neither occupies nor closes a given client, whatever the client's settings are."""
    client: Any = redis.Redis(host="127.0.0.1", port=server.port, decode_responses=True, max_connections=1)
    with SessionCache(client, namespace=namespace, ttl=60) as cache:
        session = cache.create("a")
        session.append(X)
        assert session.history()[0].payload == X
        assert client.ping()
    assert client.ping()
    client.close()
    server.client.flushall()


def test_threads_share_few_connections(server: Server, namespace: str) -> None:
    """Sixteen threads share two connections, and no call fails."""
    with SessionCache.from_url(server.url, namespace=namespace, max_connections=2) as cache:
        session = cache.create("a", max_messages=None)
        threads = [threading.Thread(target=lambda: [session.append(X) for _ in range(50)]) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.info().last_seq == 800
    server.client.flushall()


def test_forked_process_opens_its_own_connections(server: Server, namespace: str) -> None:
    """Parent and child process write with the same cache, and no reply reaches the wrong process."""
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


def test_full_server_grants_no_lease(own_server: Server, namespace: str) -> None:
    """A full server refuses the grant before the next waiter is notified, and the waiter gets the lease afterwards."""
    with SessionCache.from_url(own_server.url, namespace=namespace) as cache:
        session = cache.create("a")
        holder = session.lease(60).acquire()
        waiter = leases.acquire(session._keys, "", "first", "first", 5000, 20_000, "channel", False)
        assert cache._executor.run(waiter).fence == 0
        let_run_out(holder)
        own_server.client.config_set("maxmemory", 1)
        with pytest.raises(StoreFull):
            elsewhere(lambda: cache.session("a").lease(5, 0).acquire())
        own_server.client.config_set("maxmemory", 0)
        stored: Any = own_server.client.hmget(session._keys.session, "lease", "lease_waiters")
        assert LeaseRecord.parse(stored[0]).fence == 1
        assert [waiter.nonce for waiter in Waiter.parse_all(stored[1])] == ["first"]
        assert cache._executor.run(waiter).fence == 2


def test_user_without_channels_waits_for_a_lease_by_polling(own_server: Server, namespace: str) -> None:
    """A user whom the ACL forbids channels waits by polling, and still acquires and releases leases."""
    own_server.client.execute_command("ACL", "SETUSER", "deaf", "on", ">p", "~*", "resetchannels", "+@all")
    url = f"redis://deaf:p@127.0.0.1:{own_server.port}"
    with (
        SessionCache.from_url(url, namespace=namespace) as deaf,
        SessionCache.from_url(own_server.url, namespace=namespace) as cache,
    ):
        session = deaf.create("a")
        held = cache.session("a").lease(5).acquire()
        threading.Timer(0.3, held.release).start()
        with session.lease(5, 10):
            assert not held.is_held
        waiter = threading.Thread(target=lambda: cache.session("a").lease(1, 10).acquire().release())
        with session.lease(1):
            waiter.start()
            await_true(lambda: bool((session.lease().info() or FREE).waiters))
        assert deaf.session("a").lease().info() is None
        waiter.join(10)
        assert not waiter.is_alive()
