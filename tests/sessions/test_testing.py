"""What users get for tests of their own."""

from __future__ import annotations

import asyncio

from redis_sessions.testing import fake_async_cache, fake_cache, server_cache

X = {"role": "user", "content": "x"}


def test_fake_caches_are_apart() -> None:
    """Each has a store of its own."""
    with fake_cache(max_messages=2) as one, fake_cache() as other:
        one.create("a").append(X, X, X)
        assert one.open("a").info().count == 2
        assert other.get("a") is None


def test_a_fake_cache_for_asyncio() -> None:
    """The same, awaited."""

    async def main() -> int:
        async with fake_async_cache() as cache:
            return (await (await cache.create()).append(X)).last_seq

    assert asyncio.run(main()) == 1


def test_a_real_server_for_a_block() -> None:
    """Private, gone at its end."""
    with server_cache(ttl=60) as cache:
        assert cache.create().append(X).last_seq == 1
