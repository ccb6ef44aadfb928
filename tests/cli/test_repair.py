"""`doctor --repair`: damaged data goes to the quarantine, what is sound stays, and everything works again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from redis_sessions import AuditRecord, SessionCache, SessionsError
from redis_sessions._core.commands import stored_values
from redis_sessions._core.protocol.keys import (
    agent_keys,
    channel_keys,
    entry_keys,
    quarantine_index,
    quarantine_keys,
    session_keys,
)
from redis_sessions._core.transfer import damage
from redis_sessions._core.transfer.import_schema import REQUIRED
from redis_sessions.cli.repair import Repair, Repairer
from tests.attacks import test_damage
from tests.support.command_line import run
from tests.support.dump import traces
from tests.support.servers import Server, binaries

X = {"role": "user", "content": "hello"}


@pytest.fixture
def own() -> Iterator[Server]:
    """Yield a server of one test alone."""
    server = Server(binaries()["valkey-9"])
    yield server
    server.stop()


@pytest.fixture
def cache(own: Server, namespace: str) -> Iterator[SessionCache]:
    """Yield a cache on this server."""
    with SessionCache.from_url(own.url, namespace=namespace, max_children=None) as cache:
        yield cache


def repair(cache: SessionCache, *, dry_run: bool = False) -> list[Repair]:
    """Repair in this process."""
    return list(Repairer(cache, dry_run).run(lambda checked: None))


def test_sound_data_has_no_damage(cache: SessionCache) -> None:
    """Sessions with every kind of field, a held lease, waiting messages and a channel are left alone."""
    test_damage.fill(cache)
    cache.conversation("channel").append(X)
    lease = cache.create("held").lease(60)
    lease.acquire()
    cache.session("held").send("hi")
    run = cache.claim("worker")
    assert run is not None
    run.fail(reason="no luck")
    capped = cache.create("capped", max_messages=3)
    for _ in range(5):
        capped.append(X)
    capped.pin(capped.info().last_seq)
    for _ in range(5):
        capped.append(X)
    assert repair(cache) == []
    lease.release()


def test_each_kind_of_damage_is_moved_and_told(cache: SessionCache, own: Server) -> None:
    """The command names each damaged thing and the key that holds it, and a second run finds nothing."""
    client, namespace = own.client, cache.namespace
    keys = {
        name: session_keys(namespace, name)
        for name in ("value", "message", "foreign", "torn", "counters", "type", "list")
    }
    for name in keys:
        cache.create(name).append(X, X, X)
    cache.conversation("channel")
    cache.session("value").state.put("good", 1)
    cache.session("value").spawn("worker")
    client.hset(keys["value"].session, mapping={"state.bad": b"{", "var.bad": b"\xff", "type": b"x"})
    broken: Any = client.lindex(keys["message"].messages, 1)
    client.lset(keys["message"].messages, 1, broken[:-3])
    client.lset(keys["message"].messages, 2, "junk")
    client.rpush(keys["foreign"].messages, "f1", "f2")
    client.delete(keys["torn"].messages)
    client.hset(keys["counters"].session, "counters", "x")
    client.set(keys["type"].session, "x")
    client.delete(keys["list"].session)
    queue = agent_keys(namespace, "worker")
    client.zadd(queue.ready, {b"\xff": 1})
    client.set(channel_keys(namespace, "channel").channel, b"\xff")
    options = ("--url", own.url, "--namespace", namespace)
    looked = repair(cache, dry_run=True)
    assert {one.is_repaired for one in looked} == {False}
    done = run("doctor", "--repair", "--json", *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["damaged"]
    assert sorted((one["kind"], one["name"], one["problem"]) for one in found) == sorted(one[:3] for one in looked)
    assert done.stderr.count(" audit: repair by ") == len(found)
    for one in found:
        assert client.exists(one["key"]), one
        assert 0 < client.pttl(one["key"]) <= 30 * 24 * 3600 * 1000
    kinds = sorted((one["kind"], one["name"]) for one in found)
    assert kinds == [
        ("channel", "channel"), ("member", "queue of worker"), ("message", "foreign"), ("message", "foreign"),
        ("message", "message"), ("session", "counters"), ("session", "list"), ("session", "torn"), ("session", "type"),
        ("value", "value"), ("value", "value"),
    ]  # fmt: skip
    again = run("doctor", "--repair", "--dry-run", "--json", *options)
    assert (again.returncode, json.loads(again.stdout)) == (0, {"checked": 5, "damaged": []})
    check_that_all_works(cache)


def check_that_all_works(cache: SessionCache) -> None:
    """Check that the sessions that stayed work, and that the others can be created again."""
    assert cache.session("value").state.all() == {"good": 1}
    assert cache.session("foreign").append(X).count == 4
    message = cache.session("message")
    assert [str(one.content) for one in message.history()] == ["hello", "[damaged message]", "[damaged message]"]
    assert message.append(X).count == 4
    assert cache.import_sessions(list(message.export()), on_conflict="replace").messages == 4
    for name in ("torn", "counters", "type", "list"):
        assert cache.create(name).append(X).count == 1
    assert cache.conversation("channel").append(X).count == 1
    assert cache.claim("worker") is not None


def test_quarantined_data_of_a_user_is_forgotten(cache: SessionCache, own: Server) -> None:
    """`forget` also deletes what a repair moved out of the way."""
    for name in ("whole-mia7", "part-mia7"):
        cache.create(name, user_id="mia7").append({"role": "user", "content": "mia7"})
    own.client.hset(session_keys(cache.namespace, "whole-mia7").session, "counters", "x")
    own.client.hset(session_keys(cache.namespace, "part-mia7").session, "state.x", b"{mia7")
    assert len(repair(cache)) == 2
    assert cache.forget("mia7").quarantined == 3
    cache._context.indexer.flush()
    assert traces([own.client], "mia7") == []


@pytest.mark.parametrize("lost", ["list", "counters"])
def test_session_created_since_the_diagnosis_stays(
    cache: SessionCache, own: Server, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    """A healthy session that took the place of a damaged one is neither moved nor told."""
    cache.create("a").append(X)
    key = session_keys(cache.namespace, "a").session
    if lost == "list":
        own.client.delete(key)
    else:
        own.client.hset(key, "counters", "x")
    real = stored_values.set_aside

    def after_a_creation(*arguments: Any) -> Any:
        if arguments[3:]:  # the repair, and not the deletion
            cache.delete("a")
            cache.create("a").append(X)
        return real(*arguments)

    monkeypatch.setattr(stored_values, "set_aside", after_a_creation)
    assert repair(cache) == []
    assert cache.session("a").history()[0].content == "hello"
    assert own.client.keys("*quarantine*") == []


def test_quarantine_keeps_each_repair_and_its_owner(cache: SessionCache, own: Server) -> None:
    """A second repair of an ID overwrites nothing, and `forget` finds what is the user's, also without the session."""
    key = session_keys(cache.namespace, "a").session
    for user in ("mia7", "bob"):
        cache.create("a", user_id=user).append({"role": "user", "content": user})
        cache.session("a").state.put("x", user)
        own.client.hset(key, "state.x", b"{" + user.encode())
        (value,) = repair(cache)
        own.client.hset(key, "counters", "x")
        (whole,) = repair(cache)
        assert len(own.client.keys("*quarantine-*")) == (3 if user == "mia7" else 6)
    assert cache.forget("mia7").quarantined == 3
    assert traces([own.client], "mia7") == []
    assert own.client.hgetall(value.key) == {b"user": b"bob", b".state.x": b"{bob"}
    assert own.client.hget(whole.key, "user") == b"bob"


def test_quarantine_of_more_than_a_page_is_read(cache: SessionCache, own: Server) -> None:
    """`forget` finds a moved session behind thousands of newer ones."""
    cache.create("a", user_id="mia7")
    own.client.hset(session_keys(cache.namespace, "a").session, "counters", "x")
    repair(cache)
    for first in range(0, 12_000, 4_000):
        later = [
            quarantine_keys(cache.namespace, session_keys(cache.namespace, f"s{n}"), 1)
            for n in range(first, first + 4000)
        ]
        own.client.zadd(quarantine_index(cache.namespace).ids, {keys.session: 2e12 for keys in later})
    assert cache.forget("mia7").quarantined == 1


def test_key_of_another_type_is_moved_and_told(cache: SessionCache, own: Server) -> None:
    """A repair goes on behind an index, a queue or a channel of another type, and each order is recorded."""
    client, records = own.client, list[AuditRecord]()
    with SessionCache.from_url(own.url, namespace=cache.namespace, audit=records.append) as cache:
        cache.create("a", agent_id="ag").append(X)
        cache.session("a").spawn("worker")
        cache.conversation("channel")
        cache.create("b")
        cache._context.indexer.flush()
        index = entry_keys(cache.namespace, "agent", "main", "ag")
        queue = agent_keys(cache.namespace, "worker")
        channel = channel_keys(cache.namespace, "channel")
        for key in (index.active_created, index.active_updated, queue.ready):
            client.set(key, "x", keepttl=True)
        client.delete(channel.channel)
        client.hset(channel.channel, "x", "y")
        client.hset(session_keys(cache.namespace, "b").session, "counters", "x")
        found = repair(cache)
        assert repair(cache) == []
    assert sorted(one.kind for one in found) == ["key"] * 4 + ["session"]
    assert len({one.key for one in found}) == 5
    assert all(client.exists(one.key) and client.pttl(one.key) > 0 for one in found)
    assert [(one.action, one.session_id) for one in records if one.session_id] == [("repair", "b")]
    assert len(records) == 5


@pytest.mark.parametrize("at", range(3))
def test_every_damaged_field_is_repaired(cache: SessionCache, own: Server, at: int) -> None:
    """After a repair each call on a session with any damaged field works, or says that the session is gone."""
    child, client = test_damage.fill(cache), own.client
    stored = {key: client.dump(key) for key in client.keys("*")}
    damaged = [session_keys(cache.namespace, id).session for id in ("root", child)]
    places = [(key, field) for key in damaged for field in sorted(client.hkeys(key))]
    for key, field in places[at::3]:
        pipe = client.pipeline(transaction=False)
        pipe.flushall()
        for other, data in stored.items():
            pipe.restore(other, 3_600_000, data or b"", replace=True)
        pipe.hset(key, field, b"\xff\xfe {")
        pipe.execute()
        repair(cache)
        for name in ("info", "append", "state", "ledger", "export"):
            try:
                test_damage.operations(cache, child)[name]()
            except SessionsError as problem:
                if "damaged" in str(problem):
                    pytest.fail(f"{name} with a damaged {field!r}: {problem}")
        assert repair(cache) == [], field


def test_fields_of_later_versions_are_left_alone() -> None:
    """A field that this version does not know is not damage."""
    fields = dict.fromkeys((name.encode() for name in REQUIRED), b"")
    assert not [one for one in damage.check_fields("a", {**fields, b"later": b"\xff"}) if "later" in one.place]
