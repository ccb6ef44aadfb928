"""The cache of an adapter for asyncio, of which there may be one object for each conversation."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from .. import AsyncSessionCache, InvalidInput, SessionCache
from ._shared import borrowed, check_source

MAX_BYTES = 64 * 1024 * 1024
_BOUNDS = {
    "batch_messages": 100_000, "batch_calls": 100_000, "batch_bytes": MAX_BYTES, "state_bytes": 16 * 1024 * 1024
}  # fmt: skip
"""The bounds of a cache that an adapter makes: frameworks write whole transcripts at once."""
_made: WeakKeyDictionary[Any, dict[str | None, AsyncSessionCache]] = WeakKeyDictionary()
"""The caches for clients and caches that were given, so that all adapters over one of them share their connections."""


class CacheSource:
    """A cache from a URL, which the adapter closes, or over a cache or a client that is the caller's."""

    def __init__(self, owner: str, *, url: str | None, cache: Any, client: Any, namespace: str | None) -> None:
        """Take exactly one of a URL, a cache of either kind, and a redis-py client. Nothing is sent.

        Raises:
            InvalidInput: not exactly one of them is given, or it is not valid.
        """
        check_source(url, cache, client)
        self._owner = owner
        self._is_own = url is not None
        self._given = client if cache is None else cache  # it stays alive as long as the adapter
        options: dict[str, Any] = {} if namespace is None else {"namespace": namespace}
        if url is not None:
            self._cache: AsyncSessionCache | None = AsyncSessionCache.from_url(url, **{"bounds": _BOUNDS, **options})
        elif isinstance(cache, AsyncSessionCache) and namespace in (None, cache.namespace):
            self._cache = cache
        elif cache is not None and not isinstance(cache, AsyncSessionCache | SessionCache):
            raise InvalidInput(name="cache", detail=f"must be a cache of redis_sessions, got a {type(cache).__name__}")
        else:
            if cache is None:
                options["bounds"] = _BOUNDS
            self._cache = _over(client if cache is None else cache, namespace, options)

    @property
    def cache(self) -> AsyncSessionCache:
        """The cache. Raises InvalidInput after `close`, as a cache itself does."""
        if self._cache is None:
            raise InvalidInput(name="cache", detail=f"the {self._owner} is closed")
        return self._cache

    async def close(self) -> None:
        """Close the cache of a URL. A cache over what was given stays open."""
        if self._is_own and self._cache is not None:
            cache, self._cache = self._cache, None
            await cache.close()


def _over(source: Any, namespace: str | None, options: dict[str, Any]) -> AsyncSessionCache:
    """Return the cache over a client or another cache, always the same for one namespace."""
    try:
        return _made[source][namespace]
    except (KeyError, TypeError):
        cache = borrowed(AsyncSessionCache(source, **options), source)
        return _made.setdefault(source, {}).setdefault(namespace, cache)
