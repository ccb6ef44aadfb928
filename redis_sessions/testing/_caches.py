"""Caches for tests: on an in-process fake, or on a private real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Unpack

from .._async.api.cache import AsyncSessionCache
from .._sync.api.cache import SessionCache
from ..settings import CacheOptions
from ._clock import watch_cache


def fake_cache(**options: Unpack[CacheOptions]) -> SessionCache:
    """A cache on an in-process fake: quick, alone, gone with the process. Needs the extra `fake`.

    `AsyncSessionCache(cache)` is a cache for asyncio on the same store.
    """
    return watch_cache(SessionCache.from_url("fake://", **options))


def fake_async_cache(**options: Unpack[CacheOptions]) -> AsyncSessionCache:
    """Like `fake_cache`, for asyncio. `SessionCache(cache)` is a blocking cache on the same store."""
    return watch_cache(AsyncSessionCache.from_url("fake://", **options))


@contextmanager
def server_cache(**options: Unpack[CacheOptions]) -> Iterator[SessionCache]:
    """A cache on a private real server, gone at the end of the block. Needs the extra `embedded`."""
    with SessionCache.from_url("embedded://", **options) as cache:
        yield cache
