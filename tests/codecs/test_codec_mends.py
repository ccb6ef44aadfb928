"""Sessions with codecs in rare states: batch IDs that are used again, children that cannot be read, copies without codecs."""

from __future__ import annotations

import pytest

from redis_sessions import DecryptionError
from redis_sessions.codecs import AesGcm, KeyRing, Zstd
from tests.codecs.conftest import OpenCache, cipher
from tests.codecs.test_encoded_sessions import SECRET, contents, user


@pytest.mark.parametrize("binds", [False, True])
def test_batch_id_that_was_forgotten_is_used_again(open_cache: OpenCache, binds: bool) -> None:
    """A batch ID that is used again after many other operations begins a batch, which is read as any other."""
    session = open_cache(codecs=[Zstd(), cipher()] if binds else [Zstd()]).create("a")
    pair = [user("one " + SECRET), user("two " + SECRET)]
    session.append(*pair, batch_id="b")
    for n in range(70):
        session.state.add("n", batch_id=f"other-{n}")
    session.append(*pair, batch_id="b")
    assert contents(session) == ["one " + SECRET, "two " + SECRET] * 2


def test_child_that_cannot_be_decoded_is_an_error(open_cache: OpenCache) -> None:
    """`join` and `children` raise for a result that has another key, and never show the child as gone."""
    session = open_cache().create("a")
    child = session.spawn("worker").raise_if_refused()
    assert child.session_key is not None
    open_cache().session(child.session_key).complete(SECRET)
    wrong = open_cache(codecs=[Zstd(), AesGcm(KeyRing({"k1": b"x" * 32}, current="k1"))]).session("a")
    with pytest.raises(DecryptionError):
        wrong.join(timeout=1)
    with pytest.raises(DecryptionError):
        wrong.children()
