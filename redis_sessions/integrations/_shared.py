"""The parts that all integrations have in common: opening a cache, and the error for a framework that is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import AsyncSessionCache, InvalidInput, SessionCache
from .._durations import Duration


@contextmanager
def needs(package: str, extra: str) -> Iterator[None]:
    """Turn the ImportError of a framework's import into one that says what to install."""
    try:
        yield
    except ImportError as problem:
        raise ImportError(
            f"redis_sessions.integrations.{extra.replace('-', '_')} needs {package}, which cannot be imported ({problem}):"
            f" pip install 'redis-sessions[{extra}]'"
        ) from problem


class Caches:
    """The cache of an adapter, for threads and for asyncio, over one server. Each is made when it is first used.

    An adapter closes what it made, and nothing that it was given.
    """

    def __init__(
        self,
        *,
        url: str | None,
        cache: SessionCache | AsyncSessionCache | None,
        client: Any,
        namespace: str | None,
        ttl: Duration | None,
        max_messages: int | None = None,
        **options: Any,
    ) -> None:
        """Take exactly one of a URL, a cache and a redis-py client.

        Args:
            url: see `SessionCache.from_url`.
            cache: a cache of either kind. Its options count, except for the life and the cap of sessions.
            client: a client of redis or of redis.asyncio.
            namespace: the namespace. Default: that of the cache, else "sessions".
            ttl: idle life of sessions. None for no end.
            max_messages: cap of sessions. None for none.
            **options: further options of `SessionCache.from_url`.

        Raises:
            InvalidInput: not exactly one of them is given, or an argument is not valid.
        """
        given = {"url": url, "cache": cache, "client": client}
        named = [name for name, value in given.items() if value is not None]
        if len(named) != 1:
            detail = f"give exactly one of url, cache and client, got {' and '.join(named) or 'none of them'}"
            raise InvalidInput(name="url", detail=detail)
        options |= {"ttl": ttl, "max_messages": max_messages}
        if namespace is not None:
            options["namespace"] = namespace
        source = cache if cache is not None else client
        self._first: SessionCache | AsyncSessionCache = (
            SessionCache.from_url(url, **options) if url is not None else SessionCache(source, **options)
        )
        self._second: AsyncSessionCache | None = None

    @property
    def plain(self) -> SessionCache:
        """The cache for threads."""
        assert isinstance(self._first, SessionCache)
        return self._first

    @property
    def asynchronous(self) -> AsyncSessionCache:
        """The cache for asyncio. It serves any number of event loops."""
        if self._second is None:
            self._second = AsyncSessionCache(self._first)
        return self._second

    def close(self) -> None:
        """Close the connections. For code without an event loop."""
        self.plain.close()

    async def aclose(self) -> None:
        """Close the connections of both caches."""
        await self.asynchronous.close()
        self.plain.close()
