"""Sessions whose payloads and values go through compression and encryption: reads, edits, forks, trees, watches, exports."""

from __future__ import annotations

import asyncio
import logging

import pytest

from redis_sessions import (
    AsyncSessionCache,
    CodecMissing,
    DecryptionError,
    InvalidInput,
    SessionCache,
    SessionNotFound,
    StateConflict,
)
from redis_sessions._core.commands import stored_values
from redis_sessions._core.commands.state import state_checks, stored_state
from redis_sessions._core.transfer import damage
from redis_sessions._core.transfer.import_schema import Damaged, check_field
from redis_sessions.codecs import AesGcm, KeyRing, Zstd
from tests.codecs.conftest import SECRET, OpenCache, cipher, client_of, contents, user
from tests.conftest import REAL_ENGINES
from tests.support.log_events import events_of
from tests.support.servers import await_true


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


def test_ensured_session_is_created_by_an_append_with_if_state(open_cache: OpenCache) -> None:
    """An append with `if_state` creates an ensured session, and raises SessionNotFound for any other handle."""
    opened = open_cache()
    opened.ensure("new").append(user("x"), if_state={"plan": None}, state={"plan": 1})
    assert (contents(opened.session("new")), opened.session("new").state.get("plan")) == (["x"], 1)
    with pytest.raises(StateConflict):
        opened.ensure("other").append(user("x"), if_state={"plan": 1})
    with pytest.raises(SessionNotFound):
        opened.session("missing").append(user("x"), if_state={"plan": None})


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


@pytest.mark.parametrize("encode", [("messages",), ("deltas",)])
def test_deltas_are_stored_as_messages_are(open_cache: OpenCache, cache: SessionCache, encode: tuple[str, ...]) -> None:
    """Kept deltas of a published answer are encoded where messages are, and a watcher that comes later can read it."""
    session = open_cache(encode=encode).create("a")
    session.publish({"text": SECRET})
    (stored,) = client_of(cache, session)("LRANGE", session._keys.deltas, 0, -1)
    assert b"zanzibar" not in stored
    assert next(open_cache().session("a").watch(timeout=5)).data == {"text": SECRET}
    assert list(cache.session("a").watch(timeout=0.2)) == []


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


def test_list_decodes_the_state_that_it_names(open_cache: OpenCache) -> None:
    """A list shows encoded values of the state as they were given, and goes on without those that it cannot decode."""
    open_cache().create("a").state.patch({"plan": {"step": SECRET}, "n": 3})
    names = ["plan", "n"]
    assert open_cache().list(state=names).items[0].state == {"plan": {"step": SECRET}, "n": 3}
    assert open_cache(codecs=[]).list(state=names).items[0].state == {"n": 3}


def test_message_that_cannot_be_read_is_not_popped(open_cache: OpenCache, cache: SessionCache) -> None:
    """A pop without the codec or with the wrong key is refused and removes nothing, and a repeated pop is decoded, too."""
    session = open_cache().create("a")
    session.append(user("1"), user("2"))
    with pytest.raises(CodecMissing):
        cache.session("a").pop()
    with pytest.raises(DecryptionError):
        open_cache(codecs=[Zstd(), AesGcm(KeyRing({"k1": b"x" * 32}, current="k1"))]).session("a").pop()
    assert contents(session) == ["1", "2"]
    for _ in range(2):
        assert [one.content for one in session.pop(batch_id="p")] == ["2"]
    assert contents(session) == ["1"]


def test_fork_of_a_cache_that_does_not_encrypt_is_sound(open_cache: OpenCache, namespace: str) -> None:
    """The origins of a fork stay plain where no codec changes a short text: no repair moves them, and imports take them."""
    opened = open_cache(codecs=[Zstd()])
    session = opened.create("a")
    session.append(user())
    fork = session.fork()
    child = fork.spawn("worker", context="fork").raise_if_refused()
    for id in (fork.id, str(child.session_key)):
        keys = opened.session(id)._keys
        fields = opened._context.executor.run(stored_values.read_fields(keys))
        assert damage.check_fields(id, fields) == []
    assert opened.import_sessions(list(fork.export(tree=True)), on_conflict="replace").replaced == 2
    assert contents(opened.session(fork.id)) == [SECRET]


@pytest.mark.parametrize("value", ["a", "a b c", "a b  ", "a {b}", "a b\u2028 c"])
def test_origins_that_name_no_sessions_are_refused(value: str) -> None:
    """A plain value names a namespace and a session, each time."""
    with pytest.raises(Damaged, match="'origins' of session 's' is damaged"):
        check_field("s", "origins", value.encode())


def test_session_with_an_encrypted_attempt_error_is_imported(open_cache: OpenCache, namespace: str) -> None:
    """An import takes the log of attempts as it is, and the error is read there. A log that is damaged is refused."""
    opened = open_cache()
    root = opened.create("a")
    child = root.spawn("worker", max_attempts=2).raise_if_refused()
    run = opened.claim("worker", wait=5)
    assert run is not None
    run._give_back("failed", problem="boom " + SECRET)
    lines = list(root.export(tree=True))
    root.delete()
    assert opened.import_sessions(lines).imported == 2
    assert opened.session(str(child.session_key)).info().attempts[0].error == "boom " + SECRET
    with pytest.raises(InvalidInput, match="cannot be stored"):
        opened.import_sessions([line.replace("\\\\u0001", "\\\\u00") for line in lines], on_conflict="replace")


def test_worker_without_the_key_leaves_work_alone_for_a_time(
    open_cache: OpenCache, caplog: pytest.LogCaptureFixture
) -> None:
    """Work that a worker cannot decode is offered again later, so that the worker does not claim it without end."""
    child = open_cache().create().spawn("worker", task=SECRET).raise_if_refused()
    other = open_cache(codecs=[AesGcm(KeyRing({"k1": b"9" * 32}, current="k1"))])
    with caplog.at_level(logging.ERROR, "redis_sessions.worker"):
        assert other.claim("worker", wait=1) is None
    assert [one.event for one in events_of(caplog.records)] == ["work_set_aside"]
    session = open_cache().session(str(child.session_key))
    await_true(lambda: session.info().work == "delayed")
    assert session.info().attempt == 0


def test_server_sees_no_wanted_value_of_the_state(open_cache: OpenCache) -> None:
    """A wanted value that the state does not have is not sent, because the server would see its plain text."""
    session = open_cache().create()
    session.state.put("plan", {"a": 1})
    stored = session._run(stored_state(session._keys, ["plan"]))
    wanted = {"plan": f'"{SECRET}"', "other": f'"{SECRET}"', "gone": ""}
    found = state_checks(session._keys, wanted, stored)
    assert "zanzibar" not in str(found)
    assert found["state.gone"] == ""
    for name in ("plan", "other"):
        with pytest.raises(StateConflict, match=name):
            session.append(user("x"), if_state={name: SECRET})
