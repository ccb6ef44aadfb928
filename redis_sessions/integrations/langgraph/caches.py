"""The two caches behind one object: one for threads, and one for event loops."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeAlias

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache

Lifetime: TypeAlias = float | str | timedelta | None
"""A duration: seconds, a timedelta, or text with a unit. None for ever."""
_MAX_VALUE_BYTES = 16 * 1024 * 1024
"""The bound of a state, a channel's value and an item, unless the user gives another. LangGraph has none."""
_BOUNDS = {"checkpoint_bytes": _MAX_VALUE_BYTES, "blob_bytes": _MAX_VALUE_BYTES}


class Caches:
    """A SessionCache and an AsyncSessionCache on one server, for any number of threads and event loops."""

    def __init__(self, url: str | None, cache: Any, client: Any, options: dict[str, Any]) -> None:
        """Open the caches from exactly one of a URL, a cache and a redis-py client. Nothing is sent yet."""
        given = [one for one in (url, cache, client) if one is not None]
        if len(given) != 1:
            raise InvalidInput(name="url", detail=f"give exactly one of url, cache and client, got {len(given)}")
        self._is_own = cache is None
        if cache is None:
            cache = _opened(url, client, options)
        elif not isinstance(cache, SessionCache | AsyncSessionCache):
            detail = f"must be a SessionCache or an AsyncSessionCache, got {type(cache).__name__}"
            raise InvalidInput(name="cache", detail=detail)
        elif options:
            raise InvalidInput(
                name="cache", detail=f"has its own options, so {', '.join(options)} cannot be given with it"
            )
        self._first = cache
        self.sync = cache if isinstance(cache, SessionCache) else SessionCache.of(cache)
        self.asynchronous = cache if isinstance(cache, AsyncSessionCache) else AsyncSessionCache.of(cache)

    def close(self) -> None:
        """Close the connections, from any thread. A cache that the user gave stays open."""
        if self._is_own or self._first is not self.sync:
            self.sync.close()

    async def aclose(self) -> None:
        """Close the connections, from any event loop. A cache that the user gave stays open."""
        if self._is_own or self._first is not self.asynchronous:
            await self.asynchronous.close()


def _opened(url: str | None, client: Any, options: dict[str, Any]) -> Any:
    options = {"bounds": _BOUNDS, "max_document_bytes": _MAX_VALUE_BYTES, **options}
    if url is not None:
        return SessionCache.from_url(url, **options)
    if type(client).__module__.startswith("redis.asyncio"):
        return AsyncSessionCache(client, **options)
    return SessionCache(client, **options)
