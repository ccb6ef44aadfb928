"""Sessions whose payloads and values go through compression and encryption: reads, edits, forks, trees, watches, exports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from redis_sessions import AsyncSessionCache, CodecMissing, DecryptionError, InvalidInput, Session, SessionCache
from redis_sessions._core.protocol.call import Call
from redis_sessions.codecs import AesGcm, KeyRing, Zstd
from tests.codecs.conftest import OpenCache, cipher
from tests.conftest import REAL_ENGINES

SECRET = "the marker is zanzibar, and the text is long enough to be compressed: zanzibar zanzibar zanzibar"


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


def test_messages_are_read_as_they_were_written(open_cache: OpenCache, cache: SessionCache) -> None:
    """History, windows and turns hold the payloads, and the list on the server holds none of their text."""
    session = open_cache().create("a", system_prompt=SECRET)
    session.append(user("one " + SECRET), {"role": "assistant", "content": SECRET}, batch_id="b-1")
    session.append(user("two"), batch_id="b-2")
    again = open_cache().session("a")
    assert contents(again) == ["one " + SECRET, SECRET, "two"]
    window = again.context(1000)
    assert (window.system, len(window)) == (SECRET, 4)
    turn = again.turn(1)
    assert turn is not None
    assert len(turn.messages) == 2
    stored = client_of(cache, session)("LRANGE", session._keys.messages, 0, -1)
    assert all(b" \1" in element and b"zanzibar" not in element for element in stored)


def test_messages_of_several_codecs_are_mixed(open_cache: OpenCache) -> None:
    """Each message names its codecs, so a cache reads plain, compressed and encrypted messages of one session."""
    open_cache(codecs=[]).create("a").append(user("plain"))
    open_cache(codecs=[Zstd()]).session("a").append(user())
    session = open_cache().session("a")
    session.append(user("short"))
    assert contents(session) == ["plain", SECRET, "short"]


def test_text_that_begins_with_the_mark_is_kept(open_cache: OpenCache) -> None:
    """A text that looks like an encoded value is read as it was written, with and without codecs."""
    for codecs in ([Zstd()], []):
        session = open_cache(codecs=codecs).create()
        session.variables.put("a", "\1z 0 not zstd")
        assert session.variables.get("a") == "\1z 0 not zstd"


def test_values_are_encoded_by_choice(open_cache: OpenCache, cache: SessionCache) -> None:
    """State, variables, metadata, names, results, reasons and documents are read as given, and stored without their text."""
    opened = open_cache()
    session = opened.create("a", name=SECRET, metadata={"m": SECRET}, system_prompt=SECRET)
    session.state.put("plan", {"step": SECRET})
    session.state.add("visits", 3)
    session.variables.put("v", SECRET)
    opened.documents("notes").put("plan", SECRET)
    opened.documents("notes").put_json("plan", [SECRET])
    child = session.spawn("worker", task=SECRET).raise_if_refused()
    assert child.session_key is not None
    opened.session(child.session_key).complete({"found": SECRET}, reason=SECRET)
    info = session.info()
    assert (info.name, info.metadata, info.system_prompt) == (SECRET, {"m": SECRET}, SECRET)
    assert session.state.all() == {"plan": {"step": SECRET}, "visits": 3}
    assert (session.variables.get("v"), opened.documents("notes").get("plan")) == (SECRET, SECRET)
    assert opened.documents("notes").get_json("plan") == [SECRET]
    (found,) = session.children()
    assert (found.task, found.reason, found.result) == (SECRET, SECRET, {"found": SECRET})
    (message,) = session.history()
    facts = message.metadata["subagent"]
    assert (facts["reason"], facts["result"]) == (SECRET, {"found": SECRET})
    (listed,) = opened.list(kinds=["main"]).items
    assert (listed.name, listed.metadata) == (SECRET, {"m": SECRET})
    values = client_of(cache, session)("HGETALL", session._keys.session)
    assert not any(b"zanzibar" in value for value in values)


def test_result_of_deleted_child_is_decoded(open_cache: OpenCache) -> None:
    """The tree keeps the result of a child that is deleted with its end, and `join` returns it."""
    opened = open_cache()
    session = opened.create()
    child = session.spawn("worker", cleanup="delete").raise_if_refused()
    assert child.session_key is not None
    opened.session(child.session_key).complete(SECRET, reason="done")
    (found,) = session.join(timeout=1)
    assert (found.is_stored, found.reason, found.result) == (False, "done", SECRET)
    assert SECRET in str(session.history()[0].content)


def test_errors_of_attempts_are_decoded(open_cache: OpenCache) -> None:
    """The error of an attempt goes through the codecs, in the log of attempts and as the reason of the end."""
    opened = open_cache()
    child = opened.create().spawn("worker", max_attempts=1).raise_if_refused()
    run = opened.claim("worker", ttl=1)
    assert run is not None
    run._give_back("failed", problem="boom " + SECRET)
    assert child.session_key is not None
    info = opened.session(child.session_key).info()
    assert (info.attempts[0].error, info.reason) == ("boom " + SECRET, "boom " + SECRET)


def test_reason_of_a_cancellation_is_decoded_below(open_cache: OpenCache) -> None:
    """The sessions below a cancelled one get its reason, which each of them decodes."""
    opened = open_cache()
    root = opened.create()
    child = root.spawn("worker", mode="session").raise_if_refused()
    assert child.session_key is not None
    below = opened.session(child.session_key).spawn("worker", mode="session").raise_if_refused()
    assert below.session_key is not None
    root.cancel(reason=SECRET)
    found = [open_cache().session(id).info() for id in (root.id, child.session_key, below.session_key)]
    assert [(one.status, one.reason) for one in found] == [("cancelled", SECRET)] * 3


def test_worker_gets_task_and_returns_result(open_cache: OpenCache) -> None:
    """A worker sees the task and the state of its session, and its result reaches the parent."""
    opened = open_cache()
    root = opened.create()
    root.spawn("worker", task=SECRET).raise_if_refused()
    run = open_cache().claim("worker", wait=5)
    assert run is not None
    with run:
        assert run.task == SECRET
        run.append(user("working"))
        run.complete([SECRET])
    (child,) = root.join(timeout=5)
    assert child.result == [SECRET]


def test_turn_is_answered_with_encoded_messages(open_cache: OpenCache) -> None:
    """A turn gives its requests decoded, and its answer is encoded."""
    opened = open_cache()
    session = opened.create(answered_by="concierge")
    session.send(SECRET)
    run = open_cache().claim("concierge", wait=5)
    assert run is not None
    with run:
        assert [one.content for one in run.requests()] == [SECRET]
        run.finish({"role": "assistant", "content": "answer " + SECRET})
    assert contents(session) == [SECRET, "answer " + SECRET]


def test_if_state_compares_decoded_values(open_cache: OpenCache) -> None:
    """An append with `if_state` compares the value, whatever its ciphertext and the order of its keys."""
    session = open_cache().create()
    session.state.put("plan", {"a": 1, "b": 2})
    session.append(user("x"), if_state={"plan": {"b": 2, "a": 1}}, state={"plan": {"a": 2}})
    assert session.state.get("plan") == {"a": 2}
    with pytest.raises(Exception, match="another value than if_state"):
        session.append(user("y"), if_state={"plan": {"a": 1}})
    assert contents(session) == ["x"]


def test_edits_work_on_encoded_messages(open_cache: OpenCache) -> None:
    """Replacing, compacting, pinning and popping keep every message readable."""
    session = open_cache().create(max_messages=6)
    for n in range(5):
        session.append(user(f"{n} {SECRET}"), {"role": "assistant", "content": f"{n}"}, batch_id=f"b-{n}")
    session.replace(9, user("edited"))
    assert session.history(after_seq=8)[0].content == "edited"
    session.pin(7)
    session.compact(6, "the summary")
    assert contents(session)[0] == "the summary"
    assert [one.content for one in session.pop()] == ["4"]
    assert contents(session)[-1] == "edited"


def test_fork_and_its_fork_read_messages_of_the_first_session(open_cache: OpenCache) -> None:
    """A fork holds ciphertext of the sessions before it, and opens it with their IDs."""
    opened = open_cache()
    first = opened.create("a", system_prompt=SECRET, name="n")
    first.append(user())
    first.state.put("s", [SECRET])
    second = first.fork()
    second.append(user("two"))
    third = second.fork()
    third.append(user("three"))
    fresh = open_cache().session(third.id)
    assert contents(fresh) == [SECRET, "two", "three"]
    assert (fresh.state.get("s"), fresh.info().system_prompt, fresh.info().name) == ([SECRET], SECRET, "n")
    assert opened.list(kinds=["main"]).items[0].last_message is not None
    child = third.spawn("worker", context="fork").raise_if_refused()
    assert child.session_key is not None
    assert contents(open_cache().session(child.session_key)) == [SECRET, "two", "three"]


def test_export_enters_another_namespace(open_cache: OpenCache, namespace: str) -> None:
    """An export holds no plain text, and is read in another namespace by a cache with the same keys."""
    opened = open_cache()
    session = opened.create("a", name=SECRET, metadata={"m": 1})
    session.append(user(), batch_id="b")
    session.state.put("s", SECRET)
    child = session.spawn("worker", task=SECRET).raise_if_refused()
    assert child.session_key is not None
    opened.session(child.session_key).complete([SECRET], reason=SECRET)
    lines = list(session.export(tree=True))
    assert not any("zanzibar" in line for line in lines)
    other = open_cache(namespace=f"{namespace}:b")
    assert other.import_sessions(iter(lines)).imported == 2
    found = other.session("a")
    assert contents(found)[0] == SECRET
    assert found.history()[1].metadata["subagent"]["result"] == [SECRET]
    assert (found.state.get("s"), found.info().name, found.children()[0].result) == (SECRET, SECRET, [SECRET])
    again = list(found.export())
    third = open_cache(namespace=f"{namespace}:c")
    third.import_sessions(iter(again))
    fork = third.session("a").fork()
    assert contents(third.session("a"))[0] == fork.history()[0].content == SECRET
    for session in (fork, third.session("a"), found):  # the checks after a test know one namespace
        session.delete()
    for one in (other, third):
        client_of(one, found)("DEL", f"{one.namespace}:meta")


def test_import_messages_are_encoded(open_cache: OpenCache, cache: SessionCache) -> None:
    """A migrated transcript goes through the codecs, with its system prompt."""
    session = open_cache().create()
    session.import_messages([{"role": "system", "content": SECRET}, user(), user("two")])
    assert (contents(session), session.info().system_prompt) == ([SECRET, "two"], SECRET)
    values = client_of(cache, session)("HGETALL", session._keys.session)
    assert not any(b"zanzibar" in value for value in values)


def test_watch_yields_decoded_messages_and_deltas(open_cache: OpenCache) -> None:
    """A watcher gets payloads, and values that were published and not stored."""
    opened = open_cache()
    session = opened.create("a")
    session.append(user())
    watched = open_cache().session("a").watch(timeout=5)
    event = next(watched)
    assert event.message is not None
    assert event.message.content == SECRET
    session.publish({"text": SECRET})
    assert next(watched).data == {"text": SECRET}


def test_inbox_is_decoded(open_cache: OpenCache) -> None:
    """A message that waits in the inbox enters the transcript readable."""
    session = open_cache().create("a")
    other = open_cache().session("a")
    with session.lease() as lease:
        assert other.send(SECRET).seq is None
        assert [one.content for one in lease.receive()] == [SECRET]
    assert contents(other) == [SECRET]


@pytest.mark.parametrize("engine", [*REAL_ENGINES, "cluster"], indirect=True)  # a fake server belongs to one client
def test_async_cache_reads_what_the_sync_cache_wrote(open_cache: OpenCache, url: str, namespace: str) -> None:
    """Both clients share sessions that are encoded."""
    first = open_cache().create("a")
    first.append(user())
    second = first.fork()

    async def read_and_append() -> None:
        async with AsyncSessionCache.from_url(url, namespace=namespace, codecs=[Zstd(), cipher()]) as cache:
            assert [one.content for one in await cache.session(second.id).history()] == [SECRET]
            await cache.session("a").append(user("two"))
            assert [one.problem async for one in cache.reencrypt()] == [None, None]

    asyncio.run(read_and_append())
    assert contents(first) == [SECRET, "two"]


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
