"""Read everything that servers store, to look for traces."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import redis


def dump(clients: Iterable[redis.Redis]) -> dict[bytes, Any]:
    """Return each key with its value: all fields, members, scores and elements."""
    found: dict[bytes, Any] = {}
    for client in clients:
        keys = list(client.scan_iter(count=5000))
        readers: dict[bytes, Any] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"list": lambda key: client.lrange(key, 0, -1),  # noqa: B023
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),  # noqa: B023
        }
        for key in keys:
            with suppress(redis.exceptions.MovedError):
                kind = client.type(key)
                if kind in readers:
                    found[key] = readers[kind](key)
    return found


def traces(clients: Iterable[redis.Redis], text: str) -> list[bytes]:
    """Return the keys that have a text in their name, or in anything that they hold."""
    return [key for key, value in dump(clients).items() if text in repr((key, value))]
