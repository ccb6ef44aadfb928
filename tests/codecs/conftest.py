"""Caches that encode all that they can."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
def open_cache(cache: SessionCache, url: str, namespace: str) -> Iterator[OpenCache]:
    """Return a function that opens a cache on the same sessions, by default one that compresses and encrypts everything."""
    with ExitStack() as stack:

        def open_one(**options: Any) -> SessionCache:
            defaults: dict[str, Any] = {"codecs": [Zstd(), cipher()], "encode": EVERYTHING, "namespace": namespace}
            return stack.enter_context(SessionCache.from_url(url, **{**defaults, **options}))

        yield open_one
