"""Values that a cache must not decode, or must not store: each is one clear error."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import (
    CodecMissing,
    DecryptionError,
    InvalidInput,
    Session,
    SessionCache,
)
from redis_sessions._core.protocol.chain import Chain
from redis_sessions.codecs import AesGcm, KeyRing, Zstd
from tests.codecs.conftest import SECRET, OpenCache, cipher, client_of, contents, user


def test_cache_without_codecs_names_the_codec(open_cache: OpenCache) -> None:
    """A cache that lacks a codec refuses to read, also with skip_damaged, and still lists the sessions."""
    open_cache(codecs=[Zstd()]).create("a").append(user())
    plain = open_cache(codecs=[])
    for skip_damaged in (False, True):
        with pytest.raises(CodecMissing, match="codec 'z'"):
            plain.session("a").history(skip_damaged=skip_damaged)
    last = plain.list().items[0].last_message
    assert last is not None
    assert (last.seq, last.text) == (1, None)


def test_unknown_key_and_wrong_key_are_decryption_errors(open_cache: OpenCache) -> None:
    """A key that the ring lacks, and another key with the same ID, raise DecryptionError, and skip no message."""
    open_cache().create("a").append(user())
    lacking = open_cache(codecs=[Zstd(), cipher("k2", current="k2")])
    with pytest.raises(DecryptionError, match=r"its key 'k1' is not in the ring \(k2\)"):
        lacking.session("a").history(skip_damaged=True)
    wrong = open_cache(codecs=[Zstd(), AesGcm(KeyRing({"k1": b"x" * 32}, current="k1"))])
    with pytest.raises(DecryptionError, match="belongs elsewhere, was changed, or has another key"):
        wrong.session("a").history(skip_damaged=True)


def stored_pair(session: Session, run: Any) -> list[bytes]:
    """Append two messages in a batch, and one of its own. Return them as they are stored."""
    session.append(user("one"), {"role": "assistant", "content": "two"}, batch_id="b-1")
    session.append(user("three"), batch_id="b-2")
    found: list[bytes] = run("LRANGE", session._keys.messages, 0, -1)
    return found


@pytest.mark.parametrize("tampering", ["payloads", "elements", "batches", "cut", "bit", "session", "origins"])
def test_tampered_ciphertext_is_refused(open_cache: OpenCache, cache: SessionCache, tampering: str) -> None:
    """Swapped payloads, swapped messages of a batch, a cut, a flipped bit, and a message of another session are refused."""
    opened = open_cache(codecs=[cipher()])
    session, other = opened.create("a"), opened.create("b")
    run = client_of(cache, session)
    one, two, three = stored_pair(session, run)

    def payload(element: bytes) -> bytes:
        return element[element.index(b"\1") :]

    def head(element: bytes) -> bytes:
        return element[: element.index(b"\1")]

    foreign = stored_pair(other, client_of(cache, other))[0]
    changed = {
        "payloads": [head(one) + payload(two), head(two) + payload(one), three],
        "elements": [two, one, three],
        "batches": [one, two, head(three) + payload(one)],
        "cut": [one[:-1], two, three],
        "bit": [one[:-1] + bytes([one[-1] ^ 1]), two, three],
        "session": [foreign, two, three],
        "origins": [foreign, two, three],
    }[tampering]
    for at, element in enumerate(changed):
        run("LSET", session._keys.messages, at, element)
    if tampering == "origins":
        run("HSET", session._keys.session, "origins", f"{opened.namespace} b")
    for skip_damaged in (False, True):
        with pytest.raises(DecryptionError):
            open_cache(codecs=[cipher()]).session("a").history(skip_damaged=skip_damaged)


def test_damaged_compression_is_a_damaged_message(open_cache: OpenCache, cache: SessionCache) -> None:
    """A compressed payload that was cut is damaged as any other: named by its seq, and skipped by choice."""
    session = open_cache(codecs=[Zstd()]).create("a")
    session.append(user())
    session.append(user("two"))
    run = client_of(cache, session)
    element = run("LINDEX", session._keys.messages, 0)
    run("LSET", session._keys.messages, 0, element[:-4])
    with pytest.raises(InvalidInput, match="message with seq 1"):
        session.history()
    assert contents(session, skip_damaged=True) == ["two"]


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


def test_documents_of_names_that_join_alike_are_apart(open_cache: OpenCache, cache: SessionCache) -> None:
    """A document of category "a b" named "c" is refused as "b c" of category "a"."""
    opened = open_cache()
    first, second = opened.documents("a b"), opened.documents("a")
    first.put("c", SECRET)
    run = client_of(cache, opened.create("s"))
    run("HSET", second._keys.documents, "b c.md", run("HGET", first._keys.documents, "c.md"))
    with pytest.raises(DecryptionError):
        second.get("b c")
    run("DEL", second._keys.documents)


def test_head_that_was_cut_is_never_skipped(open_cache: OpenCache, cache: SessionCache) -> None:
    """An encoded message whose head is not valid raises DecryptionError, also with skip_damaged."""
    session = open_cache().create("a")
    session.append(user())
    run = client_of(cache, session)
    element = run("LINDEX", session._keys.messages, 0)
    run("LSET", session._keys.messages, 0, element[: element.index(b"\1") + 3])
    with pytest.raises(DecryptionError):
        session.history(skip_damaged=True)


def test_text_that_decoding_would_refuse_is_not_stored() -> None:
    """A text of more than 64 MiB is refused before it is compressed, because it could not be read."""
    chain = Chain("n", [Zstd()], ["messages"])
    with pytest.raises(InvalidInput, match="before it is encoded"):
        chain.encode(bytes(64 * 1024 * 1024 + 1), "s", "message b")


@pytest.mark.parametrize("codecs", [[], [Zstd()]])
def test_import_of_another_namespace_without_codecs_is_refused(
    open_cache: OpenCache, namespace: str, codecs: list[Any]
) -> None:
    """A cache that lacks a codec cannot note for which namespace values were encoded, so it refuses them."""
    session = open_cache(encode={"messages"}).create("a")
    session.append(user())
    lines = list(session.export())
    with pytest.raises(CodecMissing):
        open_cache(namespace=f"{namespace}:b", codecs=codecs).import_sessions(iter(lines))
    client_of(open_cache(), session)("DEL", f"{namespace}:b:meta")  # the checks after a test know one namespace
