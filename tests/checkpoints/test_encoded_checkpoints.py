"""Checkpoints and documents with times, encoded and with another key."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from redis_sessions import CheckpointWrite, DecryptionError, SessionCache
from redis_sessions._core.protocol.keys import checkpoint_keys
from redis_sessions.codecs import AesGcm, KeyRing, Zstd
from redis_sessions.settings import Encodable
from tests.support.servers import Server

SECRET = b"the marker is zanzibar " * 20
KEYS = {"k1": b"1" * 32, "k2": b"2" * 32}


def opened(server: Server, namespace: str, current: str, *ids: str) -> SessionCache:
    """Return a cache that encodes checkpoints and documents."""
    ring = KeyRing({id: KEYS[id] for id in ids or (current,)}, current=current)
    encode: set[Encodable] = {"checkpoints", "documents"}
    return SessionCache.from_url(server.url, namespace=namespace, codecs=[Zstd(), AesGcm(ring)], encode=encode)


def values_of(server: Server, namespace: str, thread: str) -> dict[bytes, bytes]:
    """Return the hash of a thread."""
    client: redis.Redis = server.client
    found: Any = client.hgetall(checkpoint_keys(namespace, thread).values)
    return dict(found)


def test_checkpoints_are_encoded_and_change_their_key(server: Server, namespace: str) -> None:
    """Nothing that a checkpoint holds is readable, and after `reencrypt` the old key is not needed."""
    with opened(server, namespace, "k1") as first:
        thread = first.checkpoints("t")
        thread.put("1", state=SECRET, metadata=SECRET, versions={"c": "1"}, blobs={"c": SECRET})
        thread.write("1", [CheckpointWrite("task", 0, "c", SECRET)])
        first.documents("notes").put_bytes("d", SECRET, ttl=60)
        before = thread.get()
    stored = values_of(server, namespace, "t")
    assert not any(b"zanzibar" in value for value in stored.values())
    with opened(server, namespace, "k2", "k1", "k2") as rotated:
        assert sum(one.replaced for one in rotated.reencrypt()) == 4
        assert sum(one.replaced for one in rotated.reencrypt()) == 0
    with opened(server, namespace, "k2") as alone:
        assert alone.checkpoints("t").get() == before
        assert alone.checkpoints("t").copy("u") == 1
        assert alone.checkpoints("u").get() == before
        found = alone.documents("notes").get_many(["d"])["d"]
        assert (found.value, found.expires_at is not None) == (SECRET, True)
    with opened(server, namespace, "k1") as former, pytest.raises(DecryptionError):
        former.checkpoints("t").get()
    server.client.flushall()


@pytest.mark.parametrize("field", ["b\n\nc\n1", "c\n\n1", "w\n\n1\ntask\n0"])
def test_value_of_another_thread_is_refused(server: Server, namespace: str, field: str) -> None:
    """A value that was moved from another thread is not decoded."""
    with opened(server, namespace, "k1") as cache:
        for name in ("t", "u"):
            thread = cache.checkpoints(name)
            thread.put("1", state=SECRET, versions={"c": "1"}, blobs={"c": SECRET})
            thread.write("1", [CheckpointWrite("task", 0, "c", SECRET)])
        moved = values_of(server, namespace, "u")[field.encode()]
        server.client.hset(checkpoint_keys(namespace, "t").values, field, moved)
        with pytest.raises(DecryptionError):
            cache.checkpoints("t").get()
        assert cache.checkpoints("u").get() is not None
    server.client.flushall()
