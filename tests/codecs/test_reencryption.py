"""`reencrypt` brings what is stored to the present codecs and the current key."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import (
    InvalidInput,
    SessionCache,
)
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.keys import checkpoint_keys
from redis_sessions._core.transfer import import_staging
from redis_sessions.codecs import Binding, Zstd, train_dictionary
from tests.codecs.conftest import SECRET, OpenCache, cipher, client_of, contents, user
from tests.codecs.test_codecs import samples


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


def test_keys_rotate(open_cache: OpenCache, cache: SessionCache) -> None:
    """After `reencrypt` with a new current key, a ring without the old key reads everything."""
    opened = open_cache(codecs=[])
    session = opened.create("a", name=SECRET, system_prompt=SECRET, metadata={"m": SECRET})
    session.append(user("plain " + SECRET))
    first = open_cache()
    session = first.session("a")
    session.append(user(), {"role": "assistant", "content": SECRET}, batch_id="b-1")
    session.state.put("s", SECRET)
    first.documents("notes").put("d", SECRET)
    for cleanup in ("keep", "delete"):
        child = session.spawn("worker", task=SECRET, cleanup=cleanup).raise_if_refused()
        assert child.session_key is not None
        run = first.claim("worker")
        assert run is not None
        run._give_back("failed", problem=SECRET)
        first.session(child.session_key).complete([SECRET], reason=SECRET)
    fork = session.fork()
    with session.lease():
        first.session("a").send("waits " + SECRET)
        rotated = open_cache(codecs=[Zstd(), cipher("k1", "k2", current="k2")])
        assert sum(one.replaced for one in rotated.reencrypt()) > 10
        assert {one.problem for one in rotated.reencrypt()} == {None}
        assert sum(one.replaced for one in rotated.reencrypt()) == 0
    alone = open_cache(codecs=[Zstd(), cipher("k2", current="k2")])
    found = alone.session("a")
    assert contents(found)[:3] == ["plain " + SECRET, SECRET, SECRET]
    assert contents(found)[-1] == "waits " + SECRET
    assert (found.state.get("s"), found.info().name, found.info().system_prompt) == (SECRET, SECRET, SECRET)
    assert [one.result for one in found.children()] == [[SECRET], [SECRET]]
    kept = found.children()[0].id
    assert alone.session(kept).info().attempts[0].error == SECRET
    assert contents(alone.session(fork.id))[:2] == ["plain " + SECRET, SECRET]
    assert alone.documents("notes").get("d") == SECRET
    values = client_of(cache, session)("HGETALL", session._keys.session)
    elements = client_of(cache, session)("LRANGE", session._keys.messages, 0, -1)
    assert not any(b"zanzibar" in value or b"\x02k1" in value for value in [*values, *elements])
    lengths = sum(map(len, elements)) + sum(
        len(value) for name, value in zip(values[::2], values[1::2], strict=True) if name.startswith(b"kept.")
    )
    assert found.info().bytes == lengths


def test_reencrypt_tells_of_what_it_cannot_decode(open_cache: OpenCache) -> None:
    """A session without a key in the ring keeps its values, is named with the problem, and does not stop the others."""
    open_cache().create("a").append(user())
    open_cache(codecs=[Zstd()]).create("b").append(user())
    rotated = open_cache(codecs=[Zstd(), cipher("k2", current="k2")])
    found = {one.name: one for one in rotated.reencrypt()}
    assert found["a"].problem is not None
    assert "'k1' is not in the ring" in found["a"].problem
    assert (found["b"].replaced, found["b"].problem) == (1, None)
    assert contents(open_cache().session("a")) == [SECRET]


def test_session_without_chosen_kinds_becomes_plain(open_cache: OpenCache) -> None:
    """With `encode=()` a cache reads what is encoded, and `reencrypt` stores it plain."""
    open_cache().create("a").append(user())
    leaving = open_cache(encode=())
    assert leaving.session("a").reencrypt() == 1
    assert contents(open_cache(codecs=[]).session("a")) == [SECRET]


def test_reencrypt_without_codecs_is_refused(cache: SessionCache) -> None:
    """A cache without codecs has nothing to store values with."""
    with pytest.raises(InvalidInput, match="codecs: must be codecs of the cache"):
        cache.create("a").reencrypt()
    with pytest.raises(InvalidInput, match="codecs: must be codecs of the cache"):
        list(cache.reencrypt())


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


def test_values_of_names_that_no_index_lists_are_stored_again(open_cache: OpenCache) -> None:
    """Documents and shared values that came back after a `forget` are found by their keys."""
    first = open_cache()
    for text in (SECRET, "again " + SECRET):
        first.documents("users/mia").put("d", text)
        first.shared("user/mia").put("v", text)
        if text == SECRET:
            open_cache().forget("mia")
    rotated = open_cache(codecs=[Zstd(), cipher("k1", "k2", current="k2")])
    assert [(one.name, one.replaced) for one in rotated.reencrypt()] == [
        ("documents/users/mia", 1),
        ("shared/user/mia", 1),
    ]
    assert sum(one.replaced for one in rotated.reencrypt()) == 0
    alone = open_cache(codecs=[Zstd(), cipher("k2", current="k2")])
    assert (alone.documents("users/mia").get("d"), alone.shared("user/mia").get("v")) == ("again " + SECRET,) * 2


@pytest.mark.parametrize("kind", ["session", "documents", "checkpoints", "shared"])
def test_key_of_another_type_is_a_row_with_its_problem(open_cache: OpenCache, cache: SessionCache, kind: str) -> None:
    """A key that another program made does not stop `reencrypt`, and the outcome names it."""
    opened = open_cache()
    for name in ("a", "b"):
        opened.create(name).append(user())
        opened.documents(name).put("d", SECRET)
        opened.checkpoints(name).put("1", state=SECRET.encode())
        opened.shared(f"app/{name}").put("v", SECRET)
    places: dict[str, tuple[Any, str]] = {
        "session": ((one := opened.session("a")._keys), one.session),
        "documents": ((two := opened.documents("a")._keys), two.documents),
        "checkpoints": ((three := checkpoint_keys(cache.namespace, "a")), three.values),
        "shared": ((four := opened.shared("app/a")._keys), four.values),
    }
    keys, key = places[kind]

    def run(*command: Any) -> None:
        cache._context.executor.run(Call(command, keys, lambda reply: None))

    if kind == "session":
        opened.session("a").delete()
    run("DEL", key)
    run("SET", key, "junk", "EX", 3600)
    rotated = open_cache(codecs=[Zstd(), cipher("k1", "k2", current="k2")])
    found = list(rotated.reencrypt())
    assert len(found) == 8
    assert sum(one.replaced > 0 for one in found) == 7
    (bad,) = [one for one in found if one.problem is not None]
    assert "WRONGTYPE" in str(bad.problem)
    listed = {"documents": rotated.categories(), "shared": rotated.scopes()}.get(kind)
    assert listed is None or [name.rpartition("/")[2] for name in listed.items] == ["b"]
    run("DEL", key)


def test_plain_attempt_errors_are_encrypted(open_cache: OpenCache, cache: SessionCache) -> None:
    """`reencrypt` encrypts the errors of attempts that were stored before there were codecs."""
    plain = open_cache(codecs=[])
    child = plain.create().spawn("worker", max_attempts=2).raise_if_refused()
    run = plain.claim("worker", wait=5)
    assert run is not None
    run._give_back("failed", problem="boom " + SECRET)
    session = open_cache().session(str(child.session_key))
    assert session.reencrypt() == 1
    assert session.reencrypt() == 0
    assert b"zanzibar" not in client_of(cache, session)("HGET", session._keys.session, "attempt_log")
    assert session.info().attempts[0].error == "boom " + SECRET


@pytest.mark.parametrize("appends", [False, True])
def test_export_of_a_session_that_is_stored_again_in_between_is_imported(
    open_cache: OpenCache, monkeypatch: pytest.MonkeyPatch, appends: bool
) -> None:
    """An export begins again when messages got another size between its pages, so its counts are right."""
    monkeypatch.setattr(import_staging, "PAGE", 20)
    session = open_cache(codecs=[]).create("a", max_messages=None)
    session.append(*[user(f"{number} {SECRET}") for number in range(100)])
    opened = open_cache(codecs=[Zstd(), cipher()])
    lines = []
    for number, line in enumerate(opened.session("a").export()):
        if number == 2:
            assert sum(one.replaced for one in opened.reencrypt()) >= 100
            if appends:
                session.append(user("later"))
        lines.append(line)
    opened.import_sessions(lines, on_conflict="replace")
    assert contents(opened.session("a"))[:100] == [f"{number} {SECRET}" for number in range(100)]
