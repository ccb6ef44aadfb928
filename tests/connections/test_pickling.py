"""Caches that are pickled by their URL, and handles that say what to do instead."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import Any

import pytest
import redis

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache
from redis_sessions.testing import fake_async_cache, fake_cache
from tests.support.servers import Server

X = {"role": "user", "content": "x"}


def append(cache: SessionCache) -> None:
    """Append to the session 'a' in another process."""
    with cache:
        cache.session("a").append(X)


def test_cache_is_pickled_by_its_url(server: Server, namespace: str) -> None:
    """A cache reaches another process with its options, and opens its own connections there."""
    with SessionCache.from_url(server.url, namespace=namespace, ttl="7d", max_messages=5, timeout=4) as cache:
        cache.create("a").append(X)
        process = multiprocessing.get_context("spawn").Process(target=append, args=(cache,))
        process.start()
        process.join(60)
        assert process.exitcode == 0
        assert cache.session("a").info().count == 2
        for other in (pickle.loads(pickle.dumps(cache)), copy.deepcopy(cache)):
            with other:
                assert (other.namespace, other.settings) == (namespace, cache.settings)
                assert other._context.router.timeout == 4
                assert other._context.router is not cache._context.router
                assert other.session("a").info().count == 2
    server.client.flushall()


def test_asyncio_cache_is_pickled_by_its_url() -> None:
    """An asyncio cache is pickled as a plain one is, with the secrets of its URL."""
    cache = AsyncSessionCache.from_url("redis://:hidden@h:1/2?timeout=3", namespace="n")
    other = pickle.loads(pickle.dumps(cache))
    assert type(other) is AsyncSessionCache
    assert other.engine.options == cache.engine.options
    assert (other.namespace, other._context.router.timeout) == ("n", 3.0)


@pytest.mark.parametrize("call", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", ["client", "fake", "embedded"])
def test_cache_without_a_shared_url_is_refused(call: Any, kind: str) -> None:
    """A cache that no other process can make again is refused with a TypeError that says why."""
    caches = {
        "client": lambda: SessionCache(redis.Redis(password="hidden")),
        "fake": lambda: SessionCache.from_url("fake://"),
        "embedded": lambda: SessionCache.from_url("embedded://"),
    }
    with caches[kind]() as cache, pytest.raises(TypeError, match="Use from_url with a server") as refused:
        call(cache)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("call", [pickle.dumps, copy.copy, copy.deepcopy])
def test_handles_are_refused(call: Any) -> None:
    """Each handle is refused with a TypeError that names its class and what to do instead."""
    with fake_cache() as cache:
        session = cache.create("a")
        session.spawn("worker", task="x").raise_if_refused()
        run = cache.claim("worker")
        assert run is not None
        with run:
            handles = [
                session, session.lease(), session.state, session.variables, session.loop("l"), cache.documents("c"), run,
                cache.monitor(),
            ]  # fmt: skip
            for handle in handles:
                with pytest.raises(TypeError, match=rf"a {type(handle).__name__} cannot be pickled .*: \w+"):
                    call(handle)


def test_asyncio_handle_is_refused() -> None:
    """A handle of an asyncio cache is refused by its own name."""
    with pytest.raises(TypeError, match="a AsyncSession cannot be pickled"):
        pickle.dumps(fake_async_cache().session("a"))


def test_errors_survive_pickling() -> None:
    """An error of this package reaches another process with its facts."""
    with pytest.raises(InvalidInput) as refused:
        SessionCache.from_url("redis://h?db=x")
    other = pickle.loads(pickle.dumps(refused.value))
    assert (str(other), other.facts) == (str(refused.value), refused.value.facts)
