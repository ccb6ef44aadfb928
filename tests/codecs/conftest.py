"""Caches that encode all that they can, and what their tests store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from redis_sessions import Session, SessionCache
from redis_sessions._core.protocol.call import Call
from redis_sessions.codecs import EVERYTHING, AesGcm, KeyRing, Zstd

KEYS = {"k1": b"1" * 32, "k2": b"2" * 32}
SECRET = "the marker is zanzibar, and the text is long enough to be compressed: zanzibar zanzibar zanzibar"
OpenCache = Callable[..., SessionCache]


def cipher(*ids: str, current: str = "k1") -> AesGcm:
    """Return AES-GCM with some of the keys, the key `k1` alone by default."""
    return AesGcm(KeyRing({id: KEYS[id] for id in ids or ("k1",)}, current=current))


def user(text: str = SECRET) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def client_of(cache: SessionCache, session: Session) -> Any:
    """Return what runs commands on the node of a session."""

    def run(*command: Any) -> Any:
        return cache._context.executor.run(Call(command, session._keys, lambda reply: reply))

    return run


def contents(session: Session, **options: Any) -> list[Any]:
    """Return the contents of a session's messages."""
    return [message.content for message in session.history(**options)]


@pytest.fixture
def open_cache(cache: SessionCache) -> Iterator[OpenCache]:
    """Return a function that opens a cache on the same sessions, by default one that compresses and encrypts everything."""
    opened: list[SessionCache] = []

    def open_one(**options: Any) -> SessionCache:
        found = SessionCache(cache, **{"codecs": [Zstd(), cipher()], "encode": EVERYTHING, **options})
        opened.append(found)
        return found

    yield open_one
    for one in opened:
        one._context.hub.close()
