"""Damaged data: each call names the damaged session with an error of this package, and what others do goes on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from redis_sessions import (
    InvalidState,
    Session,
    SessionCache,
    SessionDamaged,
    SessionExists,
    SessionNotFound,
    SessionsError,
)
from redis_sessions._core.protocol.keys import agent_keys, entry_keys, session_keys, shard_of
from tests.support.lease_waiters import elsewhere
from tests.support.servers import Server, binaries

X = {"role": "user", "content": "x"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
}
GARBAGE = (b"x", b"\xff\xfe 1 2", b"", b"9" * 400)


@pytest.fixture
def own() -> Iterator[Server]:
    """Yield a server of one test alone."""
    server = Server(binaries()["valkey-9"])
    yield server
    server.stop()


@pytest.fixture
def cache(own: Server, namespace: str) -> Iterator[SessionCache]:
    """Yield a cache on this server."""
    with SessionCache.from_url(own.url, namespace=namespace, max_children=None, timeout=5, retry_for=5) as cache:
        yield cache


def fill(cache: SessionCache) -> str:
    """Make a session with each kind of field, a child, and a sound session. Return the ID of the child."""
    root = cache.create(
        "root", user_id="mia", agent_id="a", tags=["t"], metadata={"k": 1}, system_prompt="p", max_turns=100,
        token_budget=1000, budget_enforcement="append", answered_by="support",
    )  # fmt: skip
    root.append(X, X, X, X)
    root.append(CALL)
    root.pin(2)
    root.state.put("s", {"a": 1})
    root.variables.put("v", "x")
    root.start_loop("l")
    root.send("hello")
    child = root.spawn("worker", task="t", label="b").raise_if_refused()
    with root.lease():
        cache.session("root").lease(5)
    cache.create("sound", agent_id="a").append(X)
    return str(child.session_key)


def operations(cache: SessionCache, child: str) -> dict[str, Callable[[], Any]]:
    """Return calls that read or write the damaged sessions."""

    def root() -> Session:
        return cache.session("root")

    return {
        "info": lambda: root().info(),
        "history": lambda: root().history(),
        "filtered": lambda: root().history(role="user"),
        "context": lambda: root().context(max_tokens=100),
        "append": lambda: root().append(X),
        "batch": lambda: root().append(X, X),
        "send": lambda: root().send("y"),
        "state": lambda: root().state.all(),
        "add": lambda: root().state.add("n", 1),
        "variables": lambda: root().variables.all(),
        "pin": lambda: root().pin(3),
        "compact": lambda: root().compact(3, "summary"),
        "pop": lambda: root().pop(),
        "replace": lambda: root().replace(1, X),
        "patch": lambda: root().patch(name="n"),
        "children": lambda: root().children(recursive=True),
        "spawn": lambda: root().spawn("other"),
        "fork": lambda: root().fork(),
        "lease": lambda: root().lease(1).acquire().release(),
        "ledger": lambda: root().ledger(),
        "turn": lambda: cache.claim("support"),
        "run": lambda: cache.claim("worker"),
        "child": lambda: cache.session(child).info(),
        "end": lambda: cache.session(child).complete("done"),
        "get_or_create": lambda: cache.get_or_create("root"),
        "export": lambda: list(root().export()),
        "pause": lambda: root().pause(),
        "cancel": lambda: root().cancel(),
        "delete": lambda: root().delete(),
    }


@pytest.mark.parametrize("is_removed", [False, True])
def test_damaged_fields_are_named_and_stop_nothing_else(cache: SessionCache, own: Server, is_removed: bool) -> None:
    """Each field replaced by garbage, or removed: each call returns or raises an error of this package, and lists go on."""
    child, client = fill(cache), own.client
    namespace = cache.namespace
    stored = {key: client.dump(key) for key in client.keys("*")}
    damaged = [session_keys(namespace, id).session for id in ("root", child)]
    texts: set[str] = set()
    at = 0
    for key in damaged:
        for field in sorted(client.hkeys(key)):
            at += 1
            for name, operation in operations(cache, child).items():
                pipe = client.pipeline(transaction=False)
                for other, data in stored.items():
                    pipe.restore(other, 3_600_000, data or b"", replace=True)
                if is_removed:
                    pipe.hdel(key, field)
                else:
                    pipe.hset(key, field, GARBAGE[at % len(GARBAGE)])
                pipe.execute()
                try:
                    operation()
                except SessionsError as problem:
                    texts.add(str(problem))
                except Exception as problem:
                    pytest.fail(f"{name} with a damaged {field!r}: {problem!r}")
            assert "sound" in {row.id for row in cache.list(agent_id="a").items}, field
            assert cache.session("sound").append(X).count > 1
    assert not [text for text in texts if "user_script" in text]


@pytest.mark.parametrize("how", ["delete", "forget"])
def test_damaged_session_is_deleted(cache: SessionCache, own: Server, how: str) -> None:
    """A session with any damaged field can be deleted and forgotten, with the sessions below it that its tree still names."""
    child, client = fill(cache), own.client
    cache._context.indexer.flush()
    stored = {key: client.dump(key) for key in client.keys("*")}
    keys = [session_keys(cache.namespace, id) for id in ("root", child)]
    places = [(one, field) for one in keys for field in sorted(client.hkeys(one.session))]
    for at, (one, field) in enumerate(places):
        if field == b"user" and how == "forget":
            continue
        cache._context.indexer.flush()  # else what it knows of the deletion before removes the entries that come back
        pipe = client.pipeline(transaction=False)
        for other, data in stored.items():
            pipe.restore(other, 3_600_000, data or b"", replace=True)
        pipe.hset(one.session, field, GARBAGE[at % 3])
        pipe.execute()
        if how == "forget":
            assert cache.forget("mia").sessions >= 1, field
            gone = keys
        else:
            assert cache.session(one.id).delete(), field
            gone = keys if one is keys[0] else keys[1:]
        if field == b"member.1":
            gone = [one]  # the tree does not say any more which session that was
        assert not client.exists(*[key for one in gone for key in (one.session, one.messages)]), field


def test_session_of_another_type_is_deleted(cache: SessionCache, own: Server) -> None:
    """A session key of another type, or a list without its hash, does not stay."""
    for name, kind in (("a", "session"), ("b", "messages")):
        session = cache.create(name)
        session.append(X)
        keys = session_keys(cache.namespace, name)
        own.client.set(getattr(keys, kind), "x")
        assert session.delete()
        assert not own.client.exists(keys.session, keys.messages)
    cache.create("c").append(X)
    keys = session_keys(cache.namespace, "c")
    own.client.delete(keys.session)
    assert not cache.delete("c")
    assert not own.client.exists(keys.messages)


def test_damaged_session_is_pruned(cache: SessionCache, own: Server) -> None:
    """A damaged session that is old is pruned like any other, and a new one stays."""
    for name in ("old", "new"):
        cache.create(name).append(X)
        own.client.hset(session_keys(cache.namespace, name).session, "counters", "x")
    cache.create("sound")
    cache._context.indexer.flush()
    for kind in ("active_created", "active_updated"):
        index = entry_keys(
            cache.namespace, "all", "main", "", f"index-{shard_of(session_keys(cache.namespace, 'old').tag)}"
        )
        own.client.zadd(getattr(index, kind), {"old": 1_000_000})
    assert cache.prune(max_age="1h", dry_run=True) == 1
    assert cache.prune(max_age="1h") == 1
    assert not own.client.exists(session_keys(cache.namespace, "old").session)
    assert own.client.exists(session_keys(cache.namespace, "new").session)


def test_foreign_element_is_reported_and_removes_nothing(cache: SessionCache, own: Server) -> None:
    """A list of messages with a foreign element raises SessionDamaged on each call, and the session stays as it was."""
    session = cache.create("a")
    session.append(X, X)
    keys = session_keys(cache.namespace, "a")
    own.client.rpush(keys.messages, "foreign")
    for call in (
        session.info, session.history, session.context, session.pop, lambda: session.append(X),
        lambda: session.append(X, X), lambda: session.send("x"), lambda: session.replace(X),
    ):  # fmt: skip
        with pytest.raises(SessionDamaged, match="its list has 3 messages, and its counters say 2"):
            call()
    with pytest.raises(SessionExists):
        cache.create("a")
    assert cache.get_or_create("a").state.all() == {}
    own.client.rpop(keys.messages)
    assert session.append(X).count == 3


@pytest.mark.parametrize("number", [1, 2, 3])
def test_removed_inbox_message_is_replaced(cache: SessionCache, own: Server, number: int) -> None:
    """A message that another program removed from an inbox has a placeholder, and the others come in, each in its place."""
    session, sent = cache.create("a"), ["1", "2", "3"]
    lease = session.lease(30).acquire()
    for text in sent:
        elsewhere(partial(cache.session("a").send, text))  # this thread writes under the lease
    own.client.hdel(session_keys(cache.namespace, "a").session, f"inbox.{number}")
    expected = ["[damaged message]" if text == str(number) else text for text in sent]
    assert [message.content for message in lease.receive()] == expected
    lease.release()
    assert [message.content for message in session.history()] == expected
    assert session.append(X).count == 4


def test_evicted_messages_are_told_by_each_call(cache: SessionCache, own: Server) -> None:
    """A session whose messages the server evicted does not exist any more: for reads, for writes, and for `create`."""
    session = cache.create("a")
    session.append(X, X)
    own.client.delete(session_keys(cache.namespace, "a").messages)
    for call in (
        session.info,
        session.history,
        session.context,
        lambda: session.append(X),
        lambda: session.append(X, X),
    ):
        with pytest.raises(SessionNotFound):
            call()
    assert cache.create("a").history() == []


def test_damaged_values_are_named(cache: SessionCache, own: Server) -> None:
    """A damaged value of the state or of the variables is named, and other values are returned."""
    session = cache.create("a")
    session.state.patch({"good": 1, "bad": 2})
    session.variables.put("bad", "x")
    key = session_keys(cache.namespace, "a").session
    own.client.hset(key, mapping={"state.bad": b"{", "var.bad": b"\xff"})
    assert session.state.get("good") == 1
    for call in (lambda: session.state.get("bad"), session.state.all, session.variables.all):
        with pytest.raises(InvalidState, match="bad: the stored value is damaged"):
            call()


@pytest.mark.parametrize("cap_policy", ["tool_safe", "turn", "oldest"])
@pytest.mark.parametrize("damaged", [*GARBAGE, b"9!R*Y!60u@x ~b {}", b"9!R*Y!60uz1 ~b {}"])
def test_cap_passes_a_damaged_message(cache: SessionCache, own: Server, damaged: bytes, cap_policy: Any) -> None:
    """A damaged message is named by the reads that meet it, and leaves like any other: appends, exports and forks go on."""
    for batch, place in itertools.product((1, 3), (0, 1, 3)):
        session = cache.create(max_messages=4, cap_policy=cap_policy)
        session.append(X, X, X, X)
        messages = session_keys(cache.namespace, session.id).messages
        own.client.execute_command("LSET", messages, place, damaged)
        for read in (session.context, session.history):
            with pytest.raises(InvalidState, match=f"message with seq {place + 1}"):
                read()
        assert len(session.history(skip_damaged=True)) == 3
        assert len(list(session.export())) > 1
        assert len(session.fork().history(skip_damaged=True)) == 3
        for _ in range(6):
            session.append(*[X] * batch)
        kept = session.history(skip_damaged=True)
        assert session.info().count - len(kept) <= 1  # damage can look like a pin
        assert len(kept) >= 3
        session.clear()
        assert session.append(X).count == 1


@pytest.mark.parametrize("member", [b"\xff\xfe", b"@", b"@x/y", b"a{b}", b"@1/k \xff", b"x" * 10_000])
def test_damaged_member_of_a_queue_stops_no_worker(cache: SessionCache, own: Server, member: bytes) -> None:
    """A queue with a member that names no session hands out the runs behind it, and recovery goes on."""
    parent = cache.create()
    keys = agent_keys(cache.namespace, "worker")
    parent.spawn("worker", task="first")
    own.client.zadd(keys.queue, {member: 0})
    own.client.zadd(keys.check_at, {member: 0})
    parent.spawn("worker", task="second")
    tasks = []
    for _ in range(4):
        run = cache.claim("worker")
        if run is not None:
            tasks.append(str(run.task))
            run.complete()
    assert sorted(tasks) == ["first", "second"]
    cache.recover()


def test_run_of_a_damaged_session_is_set_aside(cache: SessionCache, own: Server) -> None:
    """A worker that meets the run of a damaged session takes the next one."""
    parent = cache.create()
    first = parent.spawn("worker", task="first").raise_if_refused()
    parent.spawn("worker", task="second")
    own.client.hset(session_keys(cache.namespace, str(first.session_key)).session, "settings", b"x")
    run = cache.claim("worker", wait=2)
    assert run is not None
    assert run.task == "second"


def test_texts_like_names_of_fields_damage_nothing(cache: SessionCache) -> None:
    """A session whose texts equal names that scripts use is read as any other."""
    session = cache.create("a", name="count", user_id="now", agent_id="left", tags=["count"])
    assert (session.info().name, session.info().count) == ("count", 0)


@pytest.mark.parametrize("id", ["@me", "@1/x", "@"])
def test_id_like_a_place_in_a_queue_is_claimed(cache: SessionCache, id: str) -> None:
    """A session whose ID looks like the prefix of a place in a queue is handed out like any other."""
    cache.create(id, answered_by="support").send("hi")
    run = cache.claim("support", wait=5)
    assert run is not None
    assert run.id == id


def test_damaged_records_of_documents_and_parts_are_named(cache: SessionCache, own: Server) -> None:
    """The record of a document, and the sums of a session's parts: errors of this package."""
    session, notes = cache.create("a"), cache.documents("notes")
    session.part("p").append(X)
    notes.put("n", "text")
    for key in own.client.scan_iter(f"{cache.namespace}:*"):
        if b":parts:" in key:
            own.client.hset(key, "totals", b"\xff 1")
        elif b":documents:" in key:
            for field in own.client.hkeys(key):
                own.client.hset(key, field, b"\xff 1")
    with pytest.raises(SessionDamaged):
        list(session.export())
    with pytest.raises(InvalidState, match="the stored document is damaged"):
        notes.get_many(["n"])
