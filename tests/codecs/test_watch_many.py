"""A watch of many sessions of which one cannot be decrypted."""

from __future__ import annotations

import pytest

from redis_sessions import DecryptionError, SessionCache
from tests.codecs.conftest import OpenCache, cipher, user


def test_messages_of_a_key_that_is_missing_are_a_gap(cache: SessionCache, open_cache: OpenCache) -> None:
    """Only what cannot be decrypted is left out, and a watch of the one session raises."""
    session = open_cache(codecs=[cipher("k1", "k2", current="k2")]).create("s", user_id="mia")
    session.append(user("one"))
    open_cache(codecs=[cipher("k1")]).session("s").append(user("two"))
    reader = open_cache(codecs=[cipher("k1")])
    found = reader.watch(user="mia", after={"s": 0}, timeout=30)
    gap, message = next(found), next(found)
    assert (gap.kind, gap.first_seq, gap.seq) == ("gap", 1, 1)
    assert message.message is not None
    assert message.message.content == "two"
    found.close()
    with pytest.raises(DecryptionError):
        next(reader.session("s").watch(after_seq=0, timeout=30))
