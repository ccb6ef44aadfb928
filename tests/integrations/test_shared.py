"""The parts that all integrations have in common."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache
from redis_sessions.integrations._shared import Caches, needs


@pytest.mark.parametrize(
    ("given", "found"), [({}, "none of them"), ({"url": "fake://", "client": object()}, "url and client")]
)
def test_caches_need_exactly_one_source(given: dict[str, Any], found: str) -> None:
    """Without a source, and with two, an adapter refuses and says which it got."""
    arguments: dict[str, Any] = {"url": None, "cache": None, "client": None, "namespace": None, "ttl": None, **given}
    with pytest.raises(InvalidInput, match=f"exactly one of url, cache and client, got {found}"):
        Caches(**arguments)


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


def test_missing_framework_error_says_what_to_install() -> None:
    """The error names the module, the package and the command."""
    with pytest.raises(ImportError, match=r"langgraph needs langgraph.*pip install 'redis-sessions\[langgraph\]'"):  # noqa: SIM117
        with needs("langgraph", "langgraph"):
            raise ImportError("no module")
