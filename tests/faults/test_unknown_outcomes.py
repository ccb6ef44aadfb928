"""A write whose first attempt may have run ends with OutcomeUnknown, whatever ends its retries."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, OutcomeUnknown, SessionCache, StoreError
from redis_sessions._core.commands import documents, index_entries
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._core.protocol.transport_errors import ConnectionRejected
from tests.conftest import Engines
from tests.support.proxy import Losses, proxy
from tests.support.servers import Server, await_true

X = {"role": "user", "content": "x"}
_SETTINGS = {"full": ("maxmemory", "1mb", "0"), "denied": ("requirepass", "secret", "")}


def _outcome_of(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start a call in a thread. The list has its result or its error when the thread is over."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as problem:
            found.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, found


@pytest.mark.parametrize("state", _SETTINGS)
def test_refused_retry_of_a_write_that_ran_raises_outcome_unknown(plain: Server, state: str) -> None:
    """An append whose reply was lost was not refused, although the server is full, or refuses access, at the retry."""
    losses, (name, bad, good) = Losses(0, 0), _SETTINGS[state]
    with proxy(plain.port, losses) as port:
        url = f"redis://127.0.0.1:{port}"
        with SessionCache.from_url(url, namespace="acme", timeout=1, retry_for=10) as cache:
            session = cache.session("a")
            session.append(X)
            losses.replies = 1.0
            thread, found = _outcome_of(lambda: session.append(X))
            await_true(lambda: losses.lost_replies > 0)
            plain.client.config_set(name, bad)
            plain.client.client_kill_filter(_type="normal", skipme=True)  # open connections need no password
            losses.replies = 0.0
            thread.join(20)
            plain.client.config_set(name, good)
            if state == "full" and not isinstance(found[0], Exception):
                assert found[0].duplicate  # Redis 6.2 lets the repeated script run when memory is full
            else:
                assert isinstance(found[0], OutcomeUnknown), found
                assert found[0].batch_id is not None
                assert session.append(X, batch_id=found[0].batch_id).duplicate
            assert session.info().last_seq == 3


def test_close_during_a_write_of_a_thread_raises_outcome_unknown(plain: Server) -> None:
    """An append that was sent when another thread closed the cache may be carried out, so its outcome is unknown."""
    cache = SessionCache.from_url(plain.url, namespace="acme", timeout=1, retry_for=2)
    session = cache.session("a")
    session.append(X)
    plain.pause()
    thread, found = _outcome_of(lambda: session.append(X))
    time.sleep(0.3)
    cache.close()
    thread.join(20)
    plain.resume()
    assert isinstance(found[0], OutcomeUnknown), found


def test_close_during_a_write_of_a_task_raises_outcome_unknown(plain: Server) -> None:
    """The same holds for a task."""

    async def write() -> Any:
        cache = AsyncSessionCache.from_url(plain.url, namespace="acme", timeout=1, retry_for=2)
        session = cache.session("a")
        await session.append(X)
        plain.pause()
        task = asyncio.ensure_future(session.append(X))
        await asyncio.sleep(0.3)
        await cache.close()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    found = asyncio.run(write())
    plain.resume()
    assert isinstance(found, OutcomeUnknown), found


def _lose_first_batch(
    cache: SessionCache, losses: Losses, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]
) -> None:
    """Lose the replies to the next calls that travel together, and do something before any of them is tried again."""
    send_many = cache._context.router.send_many

    def send_and_lose(*arguments: Any) -> Any:
        monkeypatch.setattr(cache._context.router, "send_many", send_many)
        losses.replies = 1.0
        replies = send_many(*arguments)
        losses.replies = 0.0
        then()
        return replies

    monkeypatch.setattr(cache._context.router, "send_many", send_and_lose)


def test_lost_replies_to_many_writes_raise_outcome_unknown(plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents that may have been written are not called unwritten, although no retry reached the server."""
    losses = Losses(0, 0)
    with proxy(plain.port, losses) as port:
        url = f"redis://127.0.0.1:{port}"
        with SessionCache.from_url(url, namespace="acme", timeout=1, retry_for=3) as cache:
            cache.documents("d").put("known", "x")
            _lose_first_batch(cache, losses, monkeypatch, plain.kill)
            with pytest.raises(OutcomeUnknown):
                cache.documents("d").put_many({"a": "x"})


def test_lost_reply_to_many_calls_is_not_followed_by_an_unsafe_repetition(
    plain: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion that may have run, and that a repetition would make a second one, is not repeated in a batch either."""
    losses = Losses(0, 0)
    with proxy(plain.port, losses) as port:
        url = f"redis://127.0.0.1:{port}"
        with SessionCache.from_url(url, namespace="acme", timeout=1, retry_for=3) as cache:
            category = cache.documents("d")
            category.put("a", "x")
            category.put_json("a", "x")
            assert not category.delete("other")  # loads the script
            call = documents.delete(category._keys, "a")
            _lose_first_batch(cache, losses, monkeypatch, lambda: None)
            (found,) = cache._context.executor.run_many([call])
            assert isinstance(found, OutcomeUnknown), found
            assert [one.name for one in category.all()] == ["a"]


def test_node_that_rejects_connections_hides_no_reply_of_another_node(
    engines: Engines, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls to several nodes have the replies of the nodes that answered, whatever the other nodes do."""
    with SessionCache.from_url(engines.url("cluster"), namespace=namespace) as cache:
        for number in range(12):
            cache.create(f"s{number}")
        routes = [session_keys(namespace, f"s{number}") for number in range(12)]
        cluster = cache._context.router._cluster
        assert cluster is not None
        client_of = cluster.client_of
        rejecting = sorted(cluster.masters(time.monotonic() + 5))[0]

        class Rejecting:
            def send(self, *commands: Any, **options: Any) -> Any:
                raise ConnectionRejected("too many clients")

        monkeypatch.setattr(cluster, "client_of", lambda node: Rejecting() if node == rejecting else client_of(node))
        found = cache._context.executor.run_many([index_entries.exists(keys) for keys in routes])
        assert {type(one).__name__ for one in found} == {"bool", StoreError.__name__}
