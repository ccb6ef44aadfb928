"""Codecs apply to the messages of parts, and bind them to their part."""

from __future__ import annotations

import pytest

from redis_sessions import DecryptionError, SessionCache
from redis_sessions.codecs import Zstd
from tests.codecs.conftest import SECRET, OpenCache, cipher, client_of, user


def test_messages_of_parts_are_encoded(open_cache: OpenCache, cache: SessionCache) -> None:
    """Nothing at rest shows a message of a part, however it was written."""
    session = open_cache().create("a")
    part = session.part("notes of mia")
    part.append(user(), user("second " + SECRET))
    part.append(user(), ids=["x"])
    part.put(user("third " + SECRET), "x")
    part.replace(2, user("other " + SECRET))
    found = [one.content for one in part.history()]
    assert found == [SECRET, "other " + SECRET, "third " + SECRET]
    stored = client_of(cache, session)("HGETALL", session._keys.parts)
    assert not [value for value in stored if b"zanzibar" in value]


def test_message_of_another_part_is_refused(open_cache: OpenCache, cache: SessionCache) -> None:
    """A message that was copied to another part, or to another place, cannot be read."""
    opened = open_cache()
    session = opened.create("a")
    session.part("p").append(user())
    session.part("q").append(user())
    session.part("q").replace(1, user())
    session.part("q").append(user())
    run = client_of(cache, session)
    run("HSET", session._keys.parts, "message.2 2", run("HGET", session._keys.parts, "message.1 1"))
    with pytest.raises(DecryptionError):
        session.part("q").history(1)
    run("HSET", session._keys.parts, "message.2 2", run("HGET", session._keys.parts, "message.2 1"))
    with pytest.raises(DecryptionError):
        session.part("q").history(1)


def test_keys_of_parts_rotate(open_cache: OpenCache, cache: SessionCache) -> None:
    """After `reencrypt` with a new current key, a ring without the old key reads the parts, and a second run changes nothing."""
    session = open_cache().create("a")
    session.part("p").append(*[user(f"{number} {SECRET}") for number in range(60)])
    session.part("q").put(user(), "x")
    rotated = open_cache(codecs=[Zstd(), cipher("k1", "k2", current="k2")])
    assert sum(one.replaced for one in rotated.reencrypt()) >= 61
    assert sum(one.replaced for one in rotated.reencrypt()) == 0
    alone = open_cache(codecs=[Zstd(), cipher("k2", current="k2")]).session("a")
    assert [one.content for one in alone.part("p").history()] == [f"{number} {SECRET}" for number in range(60)]
    message = alone.part("q").get("x")
    assert message is not None
    assert message.content == SECRET
    info = alone.part("p").info()
    assert info is not None
    stored = client_of(cache, alone)("HGETALL", alone._keys.parts)
    pairs = zip(stored[::2], stored[1::2], strict=True)
    assert info.bytes == sum(len(value) for name, value in pairs if name.startswith(b"message.1 "))
