"""Sessions with codecs in rare states: batch IDs that are used again, children that cannot be read, copies without codecs."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import CodecMissing, DecryptionError, InvalidInput, SessionCache
from redis_sessions._core.protocol.chain import Chain
from redis_sessions.codecs import AesGcm, Binding, KeyRing, Zstd, train_dictionary
from tests.codecs.conftest import OpenCache, cipher
from tests.codecs.test_codecs import samples
from tests.codecs.test_encoded_sessions import SECRET, client_of, contents, user


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


class Reverse:
    """A codec that turns data around, behind encryption or before it."""

    letter = "r"

    def encode(self, data: bytes, binding: Binding) -> bytes | None:
        """Return the data turned around."""
        return data[::-1]

    def decode(self, data: bytes, binding: Binding) -> bytes:
        """Return the data as it was."""
        return data[::-1]


OLD, NEW = train_dictionary(samples(), 2048), train_dictionary(samples(600)[200:], 1024)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([Reverse()], [cipher(), Reverse()]),
        ([Zstd(), cipher(), Reverse()], [Zstd(), cipher("k1", "k2", current="k2"), Reverse()]),
        ([Zstd(OLD), cipher()], [Zstd(NEW, older=[OLD]), cipher()]),
        ([], [cipher(), Zstd()]),
        ([Zstd(), cipher()], [cipher(), Zstd()]),
    ],
)
def test_reencrypt_compares_each_codec(open_cache: OpenCache, before: list[Any], after: list[Any]) -> None:
    """A value is stored again when it lacks any codec, or has an old key or dictionary in any, and then no more."""
    opened = open_cache(codecs=before)
    session = opened.create("a", metadata={"m": SECRET})
    session.append(*[{"role": "user", "content": f"Your flight {n} leaves at 7. {SECRET}"} for n in range(90)])
    opened.documents("notes").put("d", SECRET)
    renewed = open_cache(codecs=after)
    assert {one.name: one.replaced for one in renewed.reencrypt()} == {"a": 91, "documents/notes": 1}
    assert {one.replaced for one in renewed.reencrypt()} == {0}
    assert len(open_cache(codecs=after).session("a").history()) == 90
    assert renewed.documents("notes").get("d") == SECRET


def test_reencrypt_keeps_the_sizes_of_values(open_cache: OpenCache, cache: SessionCache) -> None:
    """The bytes of metadata, state and variables are those of what is stored afterwards."""
    session = open_cache(codecs=[]).create("a", metadata={"m": SECRET * 9})
    session.state.put("s", SECRET * 9)
    session.variables.put("v", SECRET * 9)
    assert open_cache(codecs=[Zstd()]).session("a").reencrypt() == 3
    run = client_of(cache, session)
    fields = run("HGETALL", session._keys.session)
    stored = dict(zip(fields[::2], fields[1::2], strict=True))
    sizes = [int(one) for one in stored[b"value_bytes"].split()]
    names = (b"meta.m", b"state.s", b"var.v")
    assert sizes[:3] == [len(name.partition(b".")[2]) + len(stored[name]) for name in names]


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"member.1", b"zz"), (b"member.1", b"\xff"), (b"", b"x"), (b"kept.x", b"y"), (b"origins", b"\1za 0 a"),
     (b"member_result.1", b"zz"), (b"attempt_log", b"zz"), (b"counters", b"junk")],
)  # fmt: skip
def test_damaged_session_is_a_row_with_its_problem(
    open_cache: OpenCache, cache: SessionCache, name: bytes, value: bytes
) -> None:
    """A field that is damaged does not stop the other sessions, and the outcome names the session."""
    session = open_cache().create("a")
    session.append(user())
    open_cache().create("b").append(user())
    client_of(cache, session)("HSET", session._keys.session, name, value)
    rotated = open_cache(codecs=[Zstd(), cipher("k1", "k2", current="k2")])
    found = {one.name: one for one in rotated.reencrypt()}
    assert (found["b"].replaced, found["b"].problem) == (1, None)
    assert found["a"].problem is not None or name == b""
    client_of(cache, session)("DEL", session._keys.session, session._keys.messages)


def test_document_that_is_damaged_does_not_stop_the_others(open_cache: OpenCache, cache: SessionCache) -> None:
    """Documents are stored again around one that cannot be decoded, which the problem names."""
    notes = open_cache().documents("notes")
    for n in range(25):
        notes.put(f"d{n}", SECRET)
    session = open_cache().create("a")
    client_of(cache, session)("HSET", notes._keys.documents, "d3.md", b"\1za 0 zzz")
    client_of(cache, session)("HSET", notes._keys.documents, b"\xff.md", b"plain")
    rotated = open_cache(codecs=[Zstd(), cipher("k1", "k2", current="k2")])
    (found,) = [one for one in rotated.reencrypt() if one.name == "documents/notes"]
    assert found.replaced >= 24
    assert found.problem is not None
    assert "d3.md" in found.problem


def test_session_that_no_index_lists_is_stored_again(open_cache: OpenCache, cache: SessionCache) -> None:
    """Sessions are found by their keys, so one that is in no list has the new key, too."""
    session = open_cache().create("a")
    session.append(user())
    run = client_of(cache, session)
    indexes = run("KEYS", f"{cache.namespace}:*:all:*")
    assert indexes
    for index in indexes:
        run("DEL", index)
    rotated = open_cache(codecs=[Zstd(), cipher("k1", "k2", current="k2")])
    assert [(one.name, one.replaced) for one in rotated.reencrypt()] == [("a", 1)]


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
