"""The helpers that users have for tests of their own."""

from __future__ import annotations

import asyncio

from redis_sessions.testing import fake_async_cache, fake_cache, server_cache

X = {"role": "user", "content": "x"}


def test_fake_caches_have_separate_stores() -> None:
    """Each fake cache has a store of its own."""
    with fake_cache(max_messages=2) as one, fake_cache() as other:
        one.create("a").append(X, X, X)
        assert one.open("a").info().count == 2
        assert other.get("a") is None


def test_fake_async_cache_is_awaited() -> None:
    """The fake cache for asyncio has the same methods, awaited."""

    async def main() -> int:
        async with fake_async_cache() as cache:
            return (await (await cache.create()).append(X)).last_seq

    assert asyncio.run(main()) == 1


def test_server_cache_runs_private_server_for_block() -> None:
    """The server cache runs a private server until its block ends."""
    with server_cache(ttl=60) as cache:
        assert cache.create().append(X).last_seq == 1
