"""Export and import as a user meets them, on every engine: exact, all or nothing, and work goes on where they came."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest
import redis

from redis_sessions import (
    ImportResult,
    InvalidInput,
    LeaseLost,
    LoopConflict,
    Message,
    Session,
    SessionCache,
    SessionChanged,
    SessionExists,
    SessionNotFound,
)
from redis_sessions._core import transfer
from redis_sessions._core.keys import session_keys
from redis_sessions._sync.calls import Calls
from tests.conftest import Engines, check_lifetimes, fake_client
from tests.leases.line import elsewhere

X = {"role": "user", "content": "x"}
OF_NOW = {b"line", b"joiners", b"readers"}


@pytest.fixture
def other(cache: SessionCache, engines: Engines, engine: str) -> Iterator[SessionCache]:
    """Another namespace of the same engine, checked like the first."""
    found = SessionCache.__new__(SessionCache)
    found._set_up(cache.engine, namespace=cache.namespace.replace("test", "test900"))
    yield found
    found._wakes.close()
    for client in [node.client for node in engines.nodes[engine]] or [fake_client(cache)]:
        check_lifetimes(client, found.namespace)


def client_of(cache: SessionCache, engines: Engines, engine: str) -> Any:
    nodes = engines.nodes[engine]
    if engine == "cluster":
        return redis.RedisCluster(host="127.0.0.1", port=nodes[0].port, protocol=2)
    return nodes[0].client if nodes else fake_client(cache)


@pytest.fixture
def client(cache: SessionCache, engines: Engines, engine: str) -> Iterator[Any]:
    found = client_of(cache, engines, engine)
    yield found
    if engine == "cluster":
        found.close()


def stored(client: Any, namespace: str, id: str) -> tuple[dict[bytes, bytes], list[bytes]]:
    keys = session_keys(namespace, id)
    fields = {name: value for name, value in client.hgetall(keys.session).items() if name not in OF_NOW}
    return fields, client.lrange(keys.messages, 0, -1)


def names(client: Any, namespace: str) -> list[str]:
    """Keys that an import made, but for its answer and the hints of runs."""
    found = [key.decode() for key in client.scan_iter(match=f"{namespace}:*")]
    return sorted(name for name in found if ":session:" in name or ":messages:" in name or ":import-" in name)


def signed(lines: list[str]) -> list[str]:
    """Lines that were changed on purpose, with the checksum that they have now."""
    end = json.loads(lines[-1])["end"]
    end["sha256"] = sha256("".join(f"{line}\n" for line in lines[:-1]).encode()).hexdigest()
    return [*lines[:-1], json.dumps({"end": end})]


def changed(lines: list[str], at: int, **fields: Any) -> list[str]:
    """With other fields of the session that begins on a line; None takes one out."""
    line = json.loads(lines[at])
    line["fields"] = {name: value for name, value in {**line["fields"], **fields}.items() if value is not None}
    return signed([*lines[:at], json.dumps(line), *lines[at + 1 :]])


def furnish(cache: SessionCache) -> Session:
    """A session with something of everything."""
    session = cache.create("root", user_id="mia", system_prompt="Be brief.", max_messages=6, metadata={"a": [1]})
    for n in range(5):
        session.append({"role": "user", "content": f"q{n} é\u2028\x85"}, {"role": "assistant", "content": f"a{n}"})
        if n == 0:
            session.pin(1)
    session.state.put("plan", {"step": 2})
    session.variables.put("language", "de")
    session.state.add("visits", 3, batch_id="visit")
    loop = session.start_loop("l1", config={"model": "m", "provider": "p"})
    loop.record_usage("s1", {"total": 7, "cost": 0.5})
    loop.add_event({"type": "x"})
    child = session.spawn("researcher", task="find it", label="bags", batch_id="spawn-1").raise_if_refused()
    assert child.session_key is not None
    cache.session(child.session_key).spawn("reader", mode="session").raise_if_refused()
    session.append(X, batch_id="job-7")
    with session.lease():
        pass
    return session


def test_what_comes_is_what_went(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """Every field and every message, byte for byte, also those that are no text."""
    session = furnish(cache)
    keys = session_keys(cache.namespace, "root")
    client.hset(keys.session, "var.raw", b"\xff\x00")
    client.lset(keys.messages, 0, client.lindex(keys.messages, 0) + b"\xfe")
    lines = list(session.export())
    assert all("\n" not in line and len(line.splitlines()) == 1 for line in lines)
    result = other.import_sessions(lines)
    assert result == ImportResult(imported=3, skipped=0, replaced=0, messages=json.loads(lines[-1])["end"]["messages"])
    for id in ["root", *[child.id for child in session.children(below=True)]]:
        assert stored(client, other.namespace, id) == stored(client, cache.namespace, id)
    client.lset(session_keys(other.namespace, "root").messages, 0, client.lindex(keys.messages, 0)[:-1])


def test_a_lease_comes_free_and_an_inbox_comes_along(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """Only the fence is kept; what waited for the holder comes in before what is sent next."""
    session = cache.create("root", ttl=60)
    with session.lease():
        elsewhere(lambda: cache.session("root").send("waits"))
        assert other.import_sessions(session.export()).imported == 1
        fields, elements = stored(client, cache.namespace, "root")
        assert stored(client, other.namespace, "root") == ({**fields, b"lease": b"1 - 0 -"}, elements)
    there = other.open("root")
    assert (there.info().inbox, there.info().lease) == (1, None)
    there.send("x")
    assert [m.content for m in there.history()] == ["waits", "x"]


def test_a_session_goes_on(cache: SessionCache, other: SessionCache) -> None:
    """Batch ids are still recognised, seqs and fences go on, state, ledger, inbox and cap are as they were."""
    session = furnish(cache)
    before = session.info()
    other.import_sessions(session.export())
    there = other.open("root")
    assert (there.info().rev, there.info().last_seq, there.info().life) == (before.rev, before.last_seq, before.life)
    assert there.append(X, batch_id="job-7").duplicate
    assert there.state.add("visits", 3, batch_id="visit") == 3
    assert there.spawn("researcher", batch_id="spawn-1").session_key == session.children()[0].id
    assert there.append(X).last_seq == session.append(X).last_seq
    assert [(m.seq, m.payload) for m in there.history()] == [(m.seq, m.payload) for m in session.history()]
    assert (there.state.get("plan"), there.variables.get("language")) == ({"step": 2}, "de")
    with pytest.raises(LoopConflict):
        there.start_loop("l1")
    there.loop("l1").record_usage("s1", {"total": 7, "cost": 0.5})
    assert (there.ledger().usage.total, there.info().spent_tokens) == (7, 7)
    with there.lease() as mine, session.lease() as its:
        assert mine.fence == its.fence


def test_a_tree_goes_on(cache: SessionCache, other: SessionCache) -> None:
    """Its runs are claimed, for the attempt that is next; results come up; there is room for the next one."""
    session = furnish(cache)
    run = cache.claim("researcher")
    assert run is not None
    other.import_sessions(session.export())
    claimed = other.claim("researcher", wait=10)
    assert claimed is not None
    assert (claimed.id, claimed.task, claimed.attempt, claimed.held.fence) == (run.id, "find it", 2, 2)
    assert other.claim("reader") is None
    claimed.append({"role": "assistant", "content": "Looking."})
    claimed.complete("On belt 4.")
    root = other.open("root")
    assert [child.result for child in root.join(timeout=10)] == ["On belt 4."]
    assert root.history(1)[0].content == "[bags completed] On belt 4."
    assert root.spawn("researcher", label="bags").accepted
    run.release()


def test_runs_that_nobody_is_to_claim_are_looked_after(cache: SessionCache, other: SessionCache) -> None:
    """A child that is gone where it came from leaves its tree where it comes to, too."""
    root = cache.create("root", max_concurrent=1)
    gone = root.spawn("a", ttl=0.3).session_key
    assert gone is not None
    while cache.get(gone) is not None:
        time.sleep(0.02)
    other.import_sessions(root.export())
    there = other.open("root")
    due = time.monotonic() + 20
    while not there.spawn("a").accepted:
        assert time.monotonic() < due
        other.sweep()
        time.sleep(0.1)


def test_one_session_alone(cache: SessionCache, other: SessionCache) -> None:
    """Without what is below it, and a child without what is above it."""
    session = furnish(cache)
    lines = list(session.export(tree=False))
    assert json.loads(lines[-1])["end"]["sessions"] == 1
    child = session.children()[0]
    assert json.loads(list(cache.session(child.id).export())[-1])["end"]["sessions"] == 2
    assert other.import_sessions(cache.session(child.id).export()).imported == 2
    assert other.session(child.id).info().root_id == "root"
    other.import_sessions(lines)
    other.session(child.id).append(X)
    with pytest.raises(SessionNotFound):
        list(cache.session("none").export())


def test_lines_are_text_or_bytes_with_or_without_newlines(cache: SessionCache, other: SessionCache) -> None:
    """As files give them; a text is no lines."""
    session = cache.create("a", ttl=60)
    session.append(X)
    lines = list(session.export())
    assert other.import_sessions([f"{line}\r\n".encode() for line in lines]).imported == 1
    assert other.import_sessions([*lines, ""], existing="replace").replaced == 1
    for bad in ("\n".join(lines), b"x", 7, None):
        with pytest.raises(InvalidInput, match="iterable of lines"):
            other.import_sessions(bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="existing"):
        other.import_sessions(lines, existing="merge")  # type: ignore[arg-type]


def test_what_is_there_is_refused_skipped_or_replaced(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """As a whole: also when it is only a child that is there, and what was spawned since goes with a replaced tree."""
    session = furnish(cache)
    lines = list(session.export())
    before = stored(client, cache.namespace, "root")
    since = session.spawn("late").session_key
    session.append(X)
    with pytest.raises(SessionExists, match="root"):
        cache.import_sessions(lines)
    assert cache.import_sessions(lines, existing="skip") == ImportResult(0, 3, 0, 0)
    assert cache.session("root").info().last_seq == session.info().last_seq
    assert since is not None
    assert cache.import_sessions(lines, existing="replace").replaced == 3
    assert stored(client, cache.namespace, "root") == before
    assert cache.get(since) is None
    child = session.children()[0].id
    other.create(child)
    with pytest.raises(SessionExists, match="researcher"):
        other.import_sessions(lines)
    assert other.get("root") is None
    assert other.import_sessions(lines, existing="replace") == ImportResult(
        2, 0, 1, json.loads(lines[-1])["end"]["messages"]
    )


def test_a_fence_never_goes_back(cache: SessionCache) -> None:
    """Who held the lease of a session that was replaced writes nothing more."""
    session = cache.create("a", ttl=60)
    lines = list(session.export())
    with session.lease():
        pass
    with pytest.raises(LeaseLost), session.lease() as lease:
        assert lease.fence == 2
        assert elsewhere(lambda: cache.import_sessions(lines, existing="replace")).replaced == 1
        session.append(X)
    with cache.open("a").lease() as lease:
        assert lease.fence == 3


def test_lives(cache: SessionCache, other: SessionCache) -> None:
    """The idle ttl from now, never past the deadline; a persistent one has none; one whose life is over is refused."""
    cache.create("a", ttl=60, max_lifetime=0.5)
    cache.create("forever", ttl=None)
    lines = list(cache.session("a").export())
    cache.session("a").touch()
    other.import_sessions(lines)
    left = other.session("a").info().expires_in
    assert left is not None
    assert timedelta(0) < left < timedelta(seconds=0.5)
    other.import_sessions(cache.session("forever").export())
    assert other.session("forever").info().expires_in is None
    other.delete("forever")
    cache.delete("forever")
    time.sleep(0.6)
    with pytest.raises(InvalidInput, match=r"session 'a' .* is over"):
        other.import_sessions(lines)


def test_a_cut_file_is_refused_at_every_line(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """And leaves nothing; neither does one with a changed byte, or with lines that are doubled or missing."""
    lines = list(furnish(cache).export())
    for kept in range(len(lines)):
        with pytest.raises(InvalidInput, match=f"line {kept + 1}: "):
            other.import_sessions(lines[:kept])
    with pytest.raises(InvalidInput, match="line 2: "):
        other.import_sessions([lines[0], lines[1][:-20]])
    for at in range(1, len(lines) - 1):
        line = lines[at].replace("q", "p").replace('"ttl":', '"ttl":1')
        for bad in ([line], [lines[at]] * 2, []):
            if bad != [lines[at]]:
                with pytest.raises(InvalidInput, match=r"lines: line \d+: "):
                    other.import_sessions([*lines[:at], *bad, *lines[at + 1 :]])
    with pytest.raises(InvalidInput, match="after the end"):
        other.import_sessions([*lines, lines[1]])
    assert names(client, other.namespace) == []


@pytest.mark.parametrize(
    ("at", "fields", "told"),
    [
        (1, {"life": None}, "'life'"),
        (1, {"status": "asleep"}, "'status'"),
        (1, {"counts": "1 2"}, "'counts'"),
        (1, {"counts": "1 99 0 0 0 0 0 0 0 0 5"}, "counts say 99"),
        (1, {"rules": "1 2 3"}, "'rules'"),
        (1, {"created": {"base64": "//8="}}, "'created'"),
        (1, {"var.x": 7}, "no text"),
        (1, {"var.x": "\ud800"}, "no text"),
        (1, {"var.x": {"base64": "?"}}, "no text"),
        (1, {"lease": "7 n 99 me"}, "lease"),
        (1, {"line": "x"}, "waits"),
        (3, {"place": None}, "not below"),
        (3, {"place": "1 000000000000 /0/1/ other root"}, "place"),
        (3, {"run": "x"}, "'run'"),
        (1, {"tags": "5"}, "tags"),
        (1, {"tags": '[["a"]]'}, "tags"),
        (1, {"tags": json.dumps([str(n) for n in range(65)])}, "tags"),
        (1, {"user": "a b}c{"}, "user_id"),
        (1, {"kind": "zzz"}, "kind"),
        (1, {"place": ""}, "damaged"),
        (1, {"finished": "never"}, "damaged"),
    ],
)
def test_bad_fields_are_refused(at: int, fields: dict[str, Any], told: str) -> None:
    """By the line of the session, with nothing sent."""
    with (
        SessionCache.from_url("fake://") as cache,
        SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as other,
    ):
        root = cache.create("root")
        root.append(X)
        root.spawn("a").raise_if_refused()
        lines = list(root.export())
        with pytest.raises(InvalidInput, match=r"line \d+: ") as refused:
            other.import_sessions(changed(lines, at, **fields))
        assert told in str(refused.value)


def test_bad_lines_are_refused() -> None:
    """Other formats and versions, wrong ids and slots, two lives, messages without a header: each with its line."""
    with (
        SessionCache.from_url("fake://") as cache,
        SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as other,
    ):
        root = cache.create("root")
        root.append(X, Message("assistant", "y"))
        head, session, messages, end = root.export()
        for lines, told in (
            ([], "line 1: there is nothing"),
            ([""], "line 1: is no JSON"),
            (["[]"], "line 1: is no header"),
            ([session], "line 1: is no header"),
            ([head.replace('"version":1', '"version":2')], "line 1: is of version 2"),
            ([head.replace('"root":"root"', '"root":"a b"')], "line 1: the id"),
            ([head, messages], "line 2: has messages of another session"),
            ([head, head], "line 2: is neither"),
            ([head, "[" * 100_000], "line 2: is no JSON"),
            (["\ud800"], "line 1: is no JSON"),
            ([7], "line 1: is no JSON"),
            ([head, session.replace('"root"', '"elsewhere"', 1)], "line 2: session 'elsewhere' comes before the root"),
            ([head, session, session.replace('"root"', '"elsewhere"', 1)], "has 0 messages; its counts say 2"),
            ([head, session, messages, session.replace('"root"', '"elsewhere"', 1)], "has another slot"),
            ([head, session, session.replace(root.info().life, "0" * 12)], "two lives"),
            ([head, session, messages.replace('"1', '"x', 1)], "line 3: a message"),
            ([head, session, '{"session":"root","messages":[]}'], "line 3: has no messages"),
            ([head, '{"end":{}}'], "checksum"),
            (signed([head, end]), "counts"),
        ):
            with pytest.raises(InvalidInput) as refused:
                other.import_sessions(lines)  # type: ignore[arg-type]
            assert told in str(refused.value)


class Killed(BaseException):
    """The process dies."""


def test_a_killed_import_leaves_nothing_that_can_be_seen(
    cache: SessionCache, other: SessionCache, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two commands: staging keys with a TTL; the next import does it all."""
    lines = list(furnish(cache).export())
    other._home.queues._hint_ms = 1000
    run, left = Calls.run, 0

    def dying(self: Calls, call: Any) -> Any:
        nonlocal left
        left -= self is other._calls
        if left < 0 and self is other._calls:
            raise Killed
        return run(self, call)

    with monkeypatch.context() as patched:
        patched.setattr(Calls, "run", dying)
        for steps in range(100):
            left = steps
            try:
                other.import_sessions(lines)
                break
            except Killed:
                pass
            seen = [name for name in names(client, other.namespace) if ":import-" not in name]
            if seen:  # it died after all was in place, before the runs were told to be there
                assert len([name for name in seen if ":session:" in name]) == 3
                break
            assert all(0 < client.pttl(name) <= 3_600_000 for name in names(client, other.namespace))
    assert steps > 5
    claimed = other.claim("researcher", wait=40)
    assert claimed is not None


def test_a_lost_reply_is_one_import(
    cache: SessionCache, other: SessionCache, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call that is sent again is carried out once; asked again, the move answers what it answered."""
    session = furnish(cache)
    run = Calls.run

    def twice(self: Calls, call: Any) -> Any:
        run(self, call)
        return run(self, call)

    lines = list(session.export())
    with monkeypatch.context() as patched:
        patched.setattr(Calls, "run", twice)
        assert other.import_sessions(lines).imported == 3
        assert other.import_sessions(lines, existing="replace").replaced == 3
    assert stored(client, other.namespace, "root") == stored(client, cache.namespace, "root")
    assert [name for name in names(client, other.namespace) if ":import-" in name] == []


@pytest.mark.parametrize("disturb", ["append", "clear", "compact", "pin", "replace", "drop"])
def test_a_session_that_is_written_meanwhile_is_as_of_one_moment(
    cache: SessionCache, other: SessionCache, disturb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was appended later is left out; what left or changed before it was read begins it again."""
    monkeypatch.setattr(transfer, "PAGE", 100)
    session = cache.create("root", max_messages=300, cap_policy="oldest")
    session.append(*[{"role": "user", "content": str(n)} for n in range(300)])
    lines, done = [], False
    for line in session.export():
        lines.append(line)
        if '"messages"' in line and not done:
            done = True
            if disturb == "append":
                session.append(X)
            elif disturb == "clear":
                session.clear()
            elif disturb == "compact":
                session.compact(101, "sum")
            elif disturb == "pin":
                session.pin(150)
                session.pin(250)
            elif disturb == "drop":
                session.append(*[X] * 150)
            else:
                lines.clear()
                break
    if disturb == "replace":
        rest = session.export()
        next(rest)
        cache.delete("root")
        cache.create("root", max_messages=300).append(X)
        with pytest.raises(SessionNotFound):
            [list(rest) for _ in range(2)]
        return
    begun = len([line for line in lines if '"fields"' in line])
    assert begun == (1 if disturb == "append" else 2)
    other.import_sessions(lines)
    got, now = other.open("root"), session.info()
    if disturb == "append":
        assert [m.content for m in got.history()] == [str(n) for n in range(300)]
    else:
        assert (got.info().rev, got.info().count, got.info().bytes) == (now.rev, now.count, now.bytes)
        assert [(m.seq, m.payload, m.pinned) for m in got.history()] == [
            (m.seq, m.payload, m.pinned) for m in session.history()
        ]


def test_a_tree_that_changes_meanwhile_begins_again(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """Who is in it and who has ended is as of one moment; one that never stands still is to be paused."""
    root = cache.create("root", max_concurrent=None, max_children=None)
    child = root.spawn("a").session_key
    assert child is not None
    lines, done = [], False
    for line in root.export():
        lines.append(line)
        if not done and '"fields"' in line:
            done = True
            cache.session(child).complete("x")
            root.spawn("b").raise_if_refused()
    assert other.import_sessions(lines).imported == 3
    assert stored(client, other.namespace, "root") == stored(client, cache.namespace, "root")
    with pytest.raises(SessionChanged, match="pause"):
        for line in root.export():
            if '"fields"' in line and '"session":"root"' in line:
                root.spawn("c").raise_if_refused()


def test_a_session_that_is_larger_than_a_page(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """By messages and by bytes; at most 100 or so much a line."""
    session = cache.create("a", max_messages=None, ttl=60)
    session.append(*[{"role": "user", "content": str(n)} for n in range(2100)])
    session.append(*[{"role": "user", "content": "x" * 600_000}] * 12)
    lines = list(session.export())
    assert len(lines) == 3 + 21 + 12
    assert other.import_sessions(iter(lines)).messages == 2112
    assert stored(client, other.namespace, "a") == stored(client, cache.namespace, "a")
