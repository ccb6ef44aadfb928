"""Caches that encode all that they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redis_sessions import SessionCache
from redis_sessions.codecs import EVERYTHING, AesGcm, KeyRing, Zstd

KEYS = {"k1": b"1" * 32, "k2": b"2" * 32}
OpenCache = Callable[..., SessionCache]


def cipher(*ids: str, current: str = "k1") -> AesGcm:
    """Return AES-GCM with some of the keys, the key `k1` alone by default."""
    return AesGcm(KeyRing({id: KEYS[id] for id in ids or ("k1",)}, current=current))


@pytest.fixture
def open_cache(cache: SessionCache) -> Iterator[OpenCache]:
    """Return a function that opens a cache on the same sessions, by default one that compresses and encrypts everything."""
    opened: list[SessionCache] = []

    def open_one(**options: Any) -> SessionCache:
        found = SessionCache.__new__(SessionCache)
        defaults: dict[str, Any] = {"codecs": [Zstd(), cipher()], "encode": EVERYTHING, "namespace": cache.namespace}
        found._set_up(cache.engine, **{**defaults, **options})
        opened.append(found)
        return found

    yield open_one
    for one in opened:
        one._context.hub.close()
