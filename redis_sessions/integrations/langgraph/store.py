"""The store of LangGraph: items by namespace and key, without vectors."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from langgraph.store.base import BaseStore, Op, Result, TTLConfig

from ..._durations import Duration, milliseconds
from .._shared import Caches
from .items import Batch, Found

_PAGE = 100_000
_MAX_ITEM_BYTES = 16 * 1024 * 1024
_BOUNDS = {"categories": 100_000, "documents": 100_000}
"""The bounds of the namespaces and of the items of one namespace, because each user may have a namespace."""


class RedisSessionsStore(BaseStore):
    """Stores items as JSON documents. One object serves any number of event loops and threads.

    A batch reads first, then writes, with one round trip for all gets and one for all puts. There are no vectors: a search with a
    query returns what the filter finds, the item that was stored last first.
    """

    supports_ttl = True

    def __init__(
        self,
        url: str | None = None,
        *,
        cache: Any = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = None,
        refresh_on_read: bool = True,
        **options: Any,
    ) -> None:
        """Make a store from exactly one of `url`, `cache` and `client`. Nothing is sent yet.

        Args:
            url: a URL, as `SessionCache.from_url` takes it.
            cache: a SessionCache or an AsyncSessionCache. It stays open when the store is closed.
            client: a client of redis-py.
            namespace: the deployment or tenant. Default "sessions".
            ttl: the time after which an item expires, unless `put` gives another one. Default: never.
            refresh_on_read: let an item that is read live for its ttl from then, unless the caller says otherwise.
            **options: further options of `SessionCache.from_url`, such as `codecs`.

        Raises:
            InvalidInput: an argument is not valid.
        """
        if cache is None:
            options = {"max_document_bytes": _MAX_ITEM_BYTES, "bounds": _BOUNDS, **options}
        self._caches = Caches(url=url, cache=cache, client=client, namespace=namespace, ttl=None, **options)
        minutes = None if ttl is None else milliseconds(ttl, "ttl") / 60_000
        self.ttl_config = TTLConfig(default_ttl=minutes, refresh_on_read=refresh_on_read)

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations: all reads, then all writes. Return their results in order."""
        batch, cache = Batch(ops), self._caches.plain
        categories: list[str] = []
        for prefix in batch.listed:
            cursor, is_listing = None, True
            while is_listing:
                page = cache.categories(_PAGE, cursor, prefix=prefix)
                categories += page.items
                cursor = page.cursor
                is_listing = cursor is not None
        gets = {
            refresh: cache.get_documents(names, touch=refresh)
            for refresh in (True, False)
            if (names := batch.gets(refresh=refresh))
        }
        searched = batch.searched(categories)
        found = Found(categories, gets, cache.all_documents(searched) if searched else {})
        results = [found.result(op) for op in batch.ops]
        if refreshed := batch.refreshed(results):
            cache.get_documents(refreshed, touch=True)
        for minutes, values in batch.puts().items():
            cache.put_documents(values, ttl=None if minutes is None else minutes * 60)
        if deletes := batch.deletes():
            cache.delete_documents(deletes)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do operations: all reads, then all writes. Return their results in order."""
        batch, cache = Batch(ops), self._caches.asynchronous
        categories: list[str] = []
        for prefix in batch.listed:
            cursor, is_listing = None, True
            while is_listing:
                page = await cache.categories(_PAGE, cursor, prefix=prefix)
                categories += page.items
                cursor = page.cursor
                is_listing = cursor is not None
        gets = {
            refresh: await cache.get_documents(names, touch=refresh)
            for refresh in (True, False)
            if (names := batch.gets(refresh=refresh))
        }
        searched = batch.searched(categories)
        found = Found(categories, gets, await cache.all_documents(searched) if searched else {})
        results = [found.result(op) for op in batch.ops]
        if refreshed := batch.refreshed(results):
            await cache.get_documents(refreshed, touch=True)
        for minutes, values in batch.puts().items():
            await cache.put_documents(values, ttl=None if minutes is None else minutes * 60)
        if deletes := batch.deletes():
            await cache.delete_documents(deletes)
        return results

    def close(self) -> None:
        """Close the connections of threads. A cache that was given stays open."""
        self._caches.close()

    async def aclose(self) -> None:
        """Close the connections of event loops and threads. A cache that was given stays open."""
        await self._caches.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
