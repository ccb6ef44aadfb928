"""The storage: bytes by key."""

from __future__ import annotations

import builtins
import copy
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from ... import AsyncPart, SessionNotFound, SessionsError
from ..._durations import Duration
from ...bounds import MAX_WIRE_BYTES
from .._shared import Caches, needs
from ._names import quoted, session_id_of

with needs("strands-agents", "strands"):
    from strands.storage.search.keyword import KeywordSearchStrategy
    from strands.storage.storage import _NAMESPACED, StorageSearchResult, _normalize_key, _normalize_prefix
    from strands.types.exceptions import StorageError

_VALUE = "value"


class RedisSessionsStorage:
    """A storage of bytes by key, for `Agent(storage=…)` and whatever else of Strands takes a Storage."""

    def __init__(
        self,
        *,
        url: str | None = None,
        cache: Any = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        name: str = "strands-storage",
        search_strategy: Any = None,
    ) -> None:
        """Open the storage on exactly one of a URL, a cache and a redis-py client.

        Args:
            url: the URL of a server, see `SessionCache.from_url`.
            cache: a SessionCache or an AsyncSessionCache.
            client: a client of redis or redis.asyncio.
            namespace: the prefix of all keys of the server. Default: that of the cache, else "sessions".
            ttl: the life of the whole storage after its last write. Default: no end.
            name: the session that holds the values, each in a part of its own.
            search_strategy: searches, and indexes each write. Default: a search by keywords.

        Raises:
            InvalidInput: not exactly one source is given, or an argument is not valid.
        """
        self._caches = Caches(
            url=url, cache=cache, client=client, namespace=namespace, ttl=ttl, max_message_bytes=MAX_WIRE_BYTES
        )
        self._id = session_id_of(name, "name")
        self._prefix = ""
        self._search_strategy = search_strategy

    async def write(self, key: str, data: bytes) -> None:
        """Store bytes under a key. They replace the present ones. One round trip."""
        normalized = _normalize_key(key)
        with _as_storage_errors("write", key):
            payload = {"data": b64encode(bytes(memoryview(data))).decode()}
            await self._part(normalized).put(payload, _VALUE)
        if self._search_strategy is not None:
            try:
                await self._search_strategy.index(self, normalized, data)
            except Exception as problem:
                raise StorageError(f"Wrote '{key}' but indexing failed") from problem

    async def read(self, key: str) -> bytes | None:
        """Return the bytes of a key, or None. One round trip."""
        with _as_storage_errors("read", key):
            try:
                found = await self._part(_normalize_key(key)).get(_VALUE)
            except SessionNotFound:
                return None
        return None if found is None else b64decode(found.payload["data"])

    async def delete(self, key: str) -> None:
        """Delete the bytes of a key, if there are some. One round trip."""
        with _as_storage_errors("delete", key):
            try:
                await self._part(_normalize_key(key)).delete()
            except SessionNotFound:
                return

    async def list(self, query: str = "") -> builtins.list[str]:
        """Return the keys that begin with a prefix, ascending. One round trip for each 1,000."""
        prefix, found, cursor = f"{self._prefix}{_normalize_prefix(query)}", [], None
        with _as_storage_errors("list", query):
            session = self._caches.asynchronous.session(self._id)
            try:
                while True:
                    page = await session.parts(quoted(prefix), limit=1000, cursor=cursor)
                    found += [unquote(one.name, errors="surrogatepass") for one in page.items]
                    cursor = page.cursor
                    if cursor is None:
                        break
            except SessionNotFound:
                return []
        return sorted(one.removeprefix(self._prefix) for one in found)

    async def search(self, query: str) -> builtins.list[StorageSearchResult]:
        """Return what matches a query, the best first, by the search strategy."""
        strategy = self._search_strategy if self._search_strategy is not None else KeywordSearchStrategy()
        found: builtins.list[StorageSearchResult] = await strategy.search(self, query)
        return found

    def namespace(self, prefix: str) -> RedisSessionsStorage:
        """Return this storage with a prefix before all keys."""
        normalized, scoped = _normalize_prefix(prefix).rstrip("/"), copy.copy(self)
        scoped._prefix = f"{self._prefix}{normalized}/" if normalized else self._prefix
        scoped._namespaced = _NAMESPACED  # type: ignore[attr-defined]
        return scoped

    async def close(self) -> None:
        """Close the connections that this storage opened."""
        await self._caches.aclose()

    def _part(self, normalized: str) -> AsyncPart:
        return self._caches.asynchronous.ensure(self._id).part(quoted(f"{self._prefix}{normalized}"))


@contextmanager
def _as_storage_errors(action: str, key: str) -> Iterator[None]:
    """Turn the errors of the library, and values that are not bytes, into StorageError."""
    try:
        yield
    except (SessionsError, TypeError) as problem:
        raise StorageError(f"Failed to {action} '{key}': {problem}") from problem
