"""Handles by ID and incarnation, and the check that the server answers."""

from __future__ import annotations

import asyncio

import pytest

from redis_sessions import (
    AccessDenied,
    AsyncSessionCache,
    InvalidInput,
    SessionCache,
    SessionReplaced,
    StoreError,
    StoreUnavailable,
)
from tests.support.servers import Server

X = {"role": "user", "content": "x"}


def test_handle_of_an_incarnation_refuses_the_next(cache: SessionCache) -> None:
    """A handle with an incarnation from elsewhere works on that incarnation, and raises SessionReplaced for another one."""
    first = cache.create("a")
    assert first.incarnation
    handle = cache.session("a", incarnation=first.incarnation)
    assert handle.append(X).last_seq == 1
    cache.delete("a")
    cache.create("a")
    with pytest.raises(SessionReplaced):
        handle.append(X)
    with pytest.raises(SessionReplaced):
        cache.session("a", incarnation=first.incarnation).info()


def test_handle_by_id_learns_its_incarnation_with_the_first_append(cache: SessionCache) -> None:
    """A handle by ID alone has no incarnation before the first append, and the session's one after it."""
    incarnation = cache.create("a").incarnation
    handle = cache.session("a")
    assert handle.incarnation is None
    handle.append(X)
    assert handle.incarnation == incarnation == handle.info().incarnation


@pytest.mark.parametrize("incarnation", ["", "x", "0123456789AB", "0123456789abc", 7])
def test_wrong_incarnation_is_refused(incarnation: str) -> None:
    """Text other than 12 hex digits is InvalidInput."""
    with SessionCache.from_url("fake://") as cache, pytest.raises(InvalidInput, match="12 hex digits"):
        cache.session("a", incarnation=incarnation)


def test_ping_returns_when_every_node_answers(cache: SessionCache, url: str) -> None:
    """A server that answers makes `ping` return, from threads and tasks."""
    cache.ping()

    async def main() -> None:
        async with AsyncSessionCache.from_url(url) as other:
            await other.ping()

    if url != "fake://":
        asyncio.run(main())


def test_ping_without_a_server_raises_at_once() -> None:
    """A server that is not there is StoreUnavailable without a retry."""
    with (
        SessionCache.from_url("redis://127.0.0.1:1", retry_for=60, timeout=30) as cache,
        pytest.raises(StoreUnavailable),
    ):
        cache.ping()


def test_ping_with_a_wrong_password_is_denied(server: Server) -> None:
    """A refused user is AccessDenied, and a single server for a URL of a cluster StoreError."""
    with (
        SessionCache.from_url(server.url.replace("://", "://unknown:secret@")) as cache,
        pytest.raises(AccessDenied) as denied,
    ):
        cache.ping()
    assert "secret" not in str(denied.value)
    with (
        SessionCache.from_url(server.url.replace("redis://", "redis+cluster://"), retry_for=1) as cache,
        pytest.raises(StoreError, match="cluster"),
    ):
        cache.ping()
