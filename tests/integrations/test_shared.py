"""The parts that all integrations have in common."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import ref

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache, compose_id
from redis_sessions.integrations._shared import Caches, id_of, needs
from redis_sessions.integrations._source import CacheSource
from redis_sessions.integrations.agent_framework import RedisSessionsHistoryProvider
from redis_sessions.integrations.openai_agents import RedisSessionsSession
from redis_sessions.integrations.pydantic_ai import RedisSessionsConversationStore


@pytest.mark.parametrize(
    ("given", "found"), [({}, "none of them"), ({"url": "fake://", "client": object()}, "url and client")]
)
def test_caches_need_exactly_one_source(given: dict[str, Any], found: str) -> None:
    """Without a source, and with two, an adapter refuses and says which it got."""
    arguments: dict[str, Any] = {"url": None, "cache": None, "client": None, "namespace": None, "ttl": None, **given}
    with pytest.raises(InvalidInput, match=f"exactly one of url, cache and client, got {found}"):
        Caches(**arguments)


@pytest.mark.parametrize("source", ["url", "cache"])
@pytest.mark.parametrize(
    "make", [partial(RedisSessionsSession, "s"), RedisSessionsHistoryProvider, RedisSessionsConversationStore]
)
def test_option_that_is_not_valid_is_refused_at_construction(make: Callable[..., Any], source: str) -> None:
    """An adapter checks the options of its sessions before its first write."""
    url = "redis://127.0.0.1:1"
    given: dict[str, Any] = {source: url if source == "url" else SessionCache.from_url(url)}
    make(**given, ttl="1h", user_id="mia")
    for name, value in {"ttl": -1, "nonsense": 1, "codecs": [], "user_id": "", "tags": "a"}.items():
        with pytest.raises(InvalidInput, match=name):
            make(**given, **{name: value})


def test_id_that_is_empty_is_refused_by_its_name() -> None:
    """An empty ID, which callers would share without knowing it, and None are refused."""
    for wrong in ("", None, 5):
        with pytest.raises(InvalidInput, match=r"session_id: must be text of at least one character"):
            RedisSessionsSession(wrong, url="fake://")  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="source_id"):
            RedisSessionsHistoryProvider(wrong, url="fake://")  # type: ignore[arg-type]


def test_names_of_any_length_make_ids_that_are_apart() -> None:
    """Long names are hashed, all names together, and no other number of names makes the same ID."""
    texts = ["", "a", "a/b", "\ud800", "x" * 300, "x" * 301, "💥" * 80, "会議" * 40]
    names = [(one,) for one in texts] + [(one, other) for one in texts for other in texts]
    ids = [id_of(*one) for one in names]
    assert len(set(ids)) == len(names)
    assert all(len(id) <= 256 and id_of(id) != id for id in ids if "/" in id)
    assert id_of("a", "b") == compose_id("a", "b")
    for wrong in (None, 5, b"a"):
        with pytest.raises(InvalidInput, match="must be text"):
            id_of("x" * 300, wrong)  # type: ignore[arg-type]


def test_caches_share_server_and_leave_given_cache_open() -> None:
    """Both caches of an adapter see the data of the cache that it was given, which stays open."""

    async def use(given: AsyncSessionCache) -> None:
        caches = Caches(url=None, cache=given, client=None, namespace=None, ttl=None)
        caches.plain.create("a")
        assert await caches.asynchronous.get("a") is not None
        await caches.aclose()
        assert (await (await given.open("a")).info()).max_messages is None

    async def main() -> None:
        async with AsyncSessionCache.from_url("fake://") as given:
            await use(given)

    asyncio.run(main())
    with SessionCache.from_url("fake://", namespace="mine") as plain:
        assert Caches(url=None, cache=plain, client=None, namespace=None, ttl=5).plain.namespace == "mine"


def test_embedded_server_ends_with_the_given_cache(tmp_path: Path) -> None:
    """An adapter over a given cache does not keep an embedded server alive, whether it was closed, dropped or forgotten."""

    def attached(cache: SessionCache) -> bool:
        return cache.engine.release.__self__._users is not None  # type: ignore[attr-defined]

    for number in range(3):
        cache = SessionCache.from_url(f"embedded://{tmp_path}")
        caches = Caches(url=None, cache=cache, client=None, namespace=None, ttl=None)
        source = CacheSource("adapter", url=None, cache=cache, client=None, namespace=None)
        asyncio.run(source.cache.ping())
        caches.plain.ping()
        asyncio.run(caches.asynchronous.ping())
        if number == 0:
            caches.close()
        elif number == 1:
            del caches, source
        assert attached(cache)
        cache.ping()
        cache.close()
        assert not attached(cache)


def test_adapter_keeps_the_cache_that_it_was_given() -> None:
    """A private server lives as long as an adapter over its cache, also when the user keeps the adapter only."""
    caches = Caches(url=None, cache=SessionCache.from_url("embedded://"), client=None, namespace=None, ttl=None)
    given = SessionCache.from_url("embedded://")
    source = CacheSource("adapter", url=None, cache=given, client=None, namespace=None)
    ended = ref(given)
    del given
    gc.collect()
    caches.plain.create("a")
    assert caches.plain.get("a") is not None
    assert ended() is not None
    del source
    gc.collect()
    assert ended() is None


def test_missing_framework_error_says_what_to_install() -> None:
    """The error names the module, the package and the command."""
    with pytest.raises(ImportError, match=r"langgraph needs langgraph.*pip install 'redis-sessions\[langgraph\]'"):  # noqa: SIM117
        with needs("langgraph", "langgraph"):
            raise ImportError("no module")
