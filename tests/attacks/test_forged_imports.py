"""Forged imports, with any byte or field changed. The import is refused by its line, or what it made works like any session."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from redis_sessions import (
    EditConflict,
    InvalidInput,
    InvalidTransition,
    LimitExceeded,
    MessageTooLarge,
    Session,
    SessionCache,
    SessionLocked,
    SessionNotActive,
    SessionNotFound,
    SessionsError,
)
from redis_sessions._core.protocol.keys import session_keys
from tests.conftest import Engines
from tests.support.exports import X, create_full_session, staged_keys, with_checksum, with_fields
from tests.support.lease_waiters import elsewhere
from tests.support.machine_load import measured_load
from tests.transfer.test_transcripts import with_everything

IS_SOAK = bool(os.environ.get("REDIS_SESSIONS_SOAK"))
EXAMPLES = 2000 if IS_SOAK else 45
BUSY_SECONDS = 0.05
"""The longest time for which a hostile import may keep the server from others, on an idle machine."""
ENGINE = "valkey-9"
STRANGER = "agent:a:subagent:00000000-0000-8000-8000-000000000000"
REFUSALS = (
    EditConflict, InvalidTransition, LimitExceeded, MessageTooLarge, SessionLocked, SessionNotActive, SessionNotFound,
)  # fmt: skip
"""Refusals that an operation on a valid session may meet."""
HOSTILE = [
    "", "-", "0", "-1", "1", "2", "1 20000000", "999999999 0", "0 999999999", "1 20000000 0", "9" * 13, "9" * 16, "1e9", "nan",
    "1.5", "\u0663", "a b", "{}", "[]", "null", "NaN", '"x"', "x" * 300, "[" * 300 + "]" * 300, "\n", "a\nb", "\0", "victim",
    "1 aaaaaaaaaaaa /0/1/ victim victim", "victim 0 active c aaaaaaaaaaaa -", f"{STRANGER} 0 active c aaaaaaaaaaaa -",
    "4294967296", "4999999999999999", "completed", "paused", "oldest", "\u2028", "\U0001f600",
]  # fmt: skip
NAMES = [
    "inbox", "tree", "children", "pruned", "counters", "settings", "layout", "kept_seqs", "lineage", "run", "parked", "recent",
    "results.0", "results.16", "loops", "loop.l1", "event.l1 9", "step.l1 x", "member.1", "member.99", "member_result.1", "usage",
    "spent", "budget", "limits", "tree_limits", "cancelled", "requested", "label.x", "waits.1", "waiting", "idle_ttl", "lease",
    "status_log", "attempt_log", "report", "formation", "format", "pins", "cleared", "created", "finished", "inbox.7", "kept.3",
    "value_bytes", "has_ledger",
    "state.a", "var.a", "meta.a", "unknown", "lease_waiters", "type", "tags", "spawned_by", "result", "max_inbox", "max_tokens",
]  # fmt: skip


def full_exports(cache: SessionCache) -> dict[str, list[str]]:
    """Return exports of sessions with trees, an inbox, loops, runs, turns, pins, labels, and every shape of transcript."""
    root = create_full_session(cache)
    run = cache.claim("researcher")
    assert run is not None
    run.release()
    root.loop("l1").complete()
    cache.session(root.children()[0].id).pause()
    chat = cache.create("chat", ttl=600, answered_by="concierge", tags=["vip"], max_turns=9, token_budget=10**6)
    chat.send("Which gate?")
    with chat.lease():
        elsewhere(lambda: cache.session("chat").send("waits"))
        lines = {"chat": list(chat.export())}
    shapes = cache.create("shapes", max_messages=8, parent_id="other")
    with_everything(shapes)
    plain = cache.create("plain", max_messages=None)
    for n in range(9):
        plain.append(X, batch_id=f"b{n}")
    return lines | {session.id: list(session.export()) for session in (root, shapes, plain)}


@pytest.fixture(scope="module")
def exports() -> dict[str, list[str]]:
    """Return the lines of valid exports by the ID of their root."""
    with SessionCache.from_url("fake://", namespace="source") as cache:
        return full_exports(cache)


class Target:
    """A server with a stranger, into which imports go. The stranger must stay as it is."""

    def __init__(self, cache: SessionCache, client: redis.Redis) -> None:
        self.cache = cache
        self.client = client
        cache.create("victim").append(X)
        self._stranger = self._stored()

    def _stored(self) -> Any:
        keys = session_keys(self.cache.namespace, "victim")
        return self.client.hgetall(keys.session), self.client.lrange(keys.messages, 0, -1)

    def keys(self) -> list[str]:
        """Return the keys of all sessions but the stranger's."""
        found = [key.decode() for key in self.client.scan_iter(match=f"{self.cache.namespace}:*")]
        return [
            name for name in found if re.search(":(session|messages|import-[a-z]+):", name) and ":victim" not in name
        ]

    def check_refused(self, problem: SessionsError) -> None:
        """Fail unless a refusal names a line, and left nothing."""
        assert isinstance(problem, InvalidInput), problem
        assert re.match(r"lines: line \d+ |lines: the max_lifetime of ", str(problem)), problem
        assert self.keys() == []

    def clear(self) -> None:
        """Remove what a failure left."""
        for name in self.keys():
            self.client.delete(name)

    def check_works(self, lines: list[str]) -> None:
        """Fail unless what was imported exports to the same lines, and every operation works."""
        head = json.loads(lines[0])
        root = self.cache.session(head["root"])
        wanted = normal(lines)
        with suppress(SessionNotFound):  # a forged ttl can be that short
            found = normal(list(root.export()))
            gone = {id for id in wanted if self.cache.get(id) is None}
            assert {id: found.get(id) for id in wanted if id not in gone} == {
                id: one for id, one in wanted.items() if id not in gone
            }
        ids = list(dict.fromkeys(json.loads(line)["session"] for line in lines if line.startswith('{"session"')))
        for id in ids:
            use(self.cache.session(id))
        assert len(self.cache.list(limit=100).items) >= 1
        self.cache.prune(max_age="1000d")
        self.cache.recover()
        for id in [root.id, *ids]:
            self.cache.delete(id)
        assert self.keys() == []
        assert self._stored() == self._stranger


def use(session: Session) -> None:
    """Use a session in every way. An answer that any session may give does not count as a failure."""
    for operation in OPERATIONS:
        try:
            operation(session)
        except REFUSALS:
            continue


OPERATIONS: list[Callable[[Session], Any]] = [
    lambda session: session.info(),
    lambda session: session.history(),
    lambda session: session.context(1000),
    lambda session: session.append(X),
    lambda session: session.append(X, X, batch_id="b3"),
    lambda session: session.children(recursive=True),
    lambda session: session.ledger(),
    lambda session: session.state.all(),
    lambda session: session.send("hello"),
    lambda session: session.pop(),
    lambda session: session.abandon_calls(),
    lambda session: session.spawn("a", task="t"),
    lambda session: session.clear(),
]


def normal(lines: list[str]) -> dict[str, Any]:
    """Return what lines of an export say, without what an import works out again: waits, and the ttl that follows."""
    found: dict[str, Any] = {}
    for line in map(json.loads, lines):
        if "fields" in line:
            fields = {
                name: value
                for name, value in line["fields"].items()
                if name not in ("waiting", "idle_ttl", "settings") and not name.startswith("waits.")
            }
            found[line["session"]] = (fields, [])
        elif "messages" in line:
            found[line["session"]][1].extend(line["messages"])
    return found


@pytest.fixture(scope="module")
def target(engines: Engines) -> Iterator[Target]:
    """Yield a target on a real server."""
    url = engines.url(ENGINE)
    client = engines.nodes[ENGINE][0].client
    client.flushall()
    with SessionCache.from_url(url, namespace="attacked") as cache:
        yield Target(cache, client)
    client.flushall()


@st.composite
def forged(draw: st.DrawFn, exports: dict[str, list[str]]) -> list[str]:
    """Return the lines of an export of which one byte or one field is another, with the checksum that fits."""
    lines = list(exports[draw(st.sampled_from(sorted(exports)))])
    sessions = [at for at, line in enumerate(lines) if '"fields"' in line]
    way = draw(st.sampled_from(["byte", "word", "field", "new", "gone", "char"]))
    if way in ("byte", "char"):
        at = draw(st.integers(0, len(lines) - 2))
        data = bytearray(lines[at].encode())
        place = draw(st.integers(0, len(data) - 1))
        data[place] = draw(st.integers(0, 255) if way == "byte" else st.sampled_from(list(b'0129- "{}[],:aZ~')))
        lines[at] = data.decode("utf-8", "surrogateescape").replace("\n", " ")
        return with_checksum_of_bytes(lines)
    at = draw(st.sampled_from(sessions))
    fields = json.loads(lines[at])["fields"]
    name = draw(st.sampled_from(sorted(fields) if way != "new" else NAMES))
    if way == "gone":
        return with_fields(lines, at, **{name: None})
    value = draw(st.sampled_from(HOSTILE) | st.text(max_size=30))
    if way == "word" and isinstance(fields[name], str):
        words = fields[name].split(" ")
        words[draw(st.integers(0, len(words) - 1))] = value
        value = " ".join(words)
    return with_fields(lines, at, **{name: value})


def with_checksum_of_bytes(lines: list[str]) -> list[str]:
    """Return lines with the checksum that fits them, also when a line is not text."""
    try:
        return with_checksum(lines)
    except UnicodeEncodeError:
        return lines


def test_forged_import_is_refused_by_its_line_or_works(target: Target, exports: dict[str, list[str]]) -> None:
    """An export with any byte changed, or any field replaced, is refused with its line, or makes sessions that work."""
    target.client.config_set("slowlog-log-slower-than", round(BUSY_SECONDS * 1_000_000))
    target.client.slowlog_reset()
    outcomes = {"refused": 0, "imported": 0}

    @settings(
        max_examples=EXAMPLES, database=None, derandomize=not IS_SOAK, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if IS_SOAK else [])],
    )  # fmt: skip
    @given(lines=forged(exports))
    def attack(lines: list[str]) -> None:
        target.clear()
        data = [line.encode("utf-8", "surrogateescape") for line in lines]
        try:
            target.cache.import_sessions(data)
        except SessionsError as problem:
            target.check_refused(problem)
            outcomes["refused"] += 1
        else:
            target.check_works(lines)
            outcomes["imported"] += 1

    with measured_load() as load:
        attack()
    slow = [entry["duration"] / 1_000_000 for entry in target.client.slowlog_get(100)]
    assert max(slow, default=0) <= load.allow(BUSY_SECONDS)
    assert min(outcomes.values()) >= 3, outcomes


@pytest.mark.parametrize("root", ["root", "chat", "shapes", "plain"])
def test_unchanged_export_is_imported_and_works(target: Target, exports: dict[str, list[str]], root: str) -> None:
    """Every export that the attacks change is valid before, and what was imported works."""
    target.clear()
    target.cache.import_sessions(exports[root])
    target.check_works(exports[root])


@pytest.fixture
def unreachable() -> Iterator[SessionCache]:
    """Yield a cache without a server, on which an import fails with another error as soon as it sends a command."""
    with SessionCache.from_url("redis://127.0.0.1:1", retry_for=0.1) as cache:
        yield cache


NEXT_YEAR_MS = round(time.time() * 1000) + 366 * 86_400_000
CHILD = "agent:researcher:subagent:"


@pytest.mark.parametrize(
    ("root", "at", "fields", "reason"),
    [
        ("root", 1, {"inbox": "1 20000000"}, "'inbox' .*expected '<first> <last> <results>', found '1 20000000'"),
        ("root", 1, {"inbox": "1 20000000 0"}, "'inbox' .*expected the numbers of the 0 messages.*found '1 20000000 0'"),
        ("chat", 1, {"inbox": "1 2 0"}, "'inbox' .*the 1 messages that wait, found '1 2 0'"),
        ("root", 1, {"tree": "999999999 0"}, "'tree' .*expected 2 members.*found '999999999 0'"),
        ("root", 1, {"tree": "2 9"}, "'tree' .*found '2 9'"),
        ("root", 1, {"pruned": "2-999999999", "tree": "999999999 2"}, "'pruned' .*no number of a member that is recorded"),
        ("root", 1, {"pruned": "3-9999", "tree": "999999999 2"}, "'tree' .*found '999999999 2'"),
        ("root", 1, {"children": "0 0"}, "'children' .*found '0 0'"),
        ("root", 1, {"member.3": "victim 0 completed c aaaaaaaaaaaa -", "tree": "3 2"}, "'member.3' .*found 'victim'"),
        ("root", 1, {"member.1": "victim 0 active c aaaaaaaaaaaa -"}, "'member.1' .*found 'victim'"),
        ("root", 1, {"lineage": "1 aaaaaaaaaaaa /0/1/ root victim", "run": "0 - - - 0 0 0 - 0 0"}, "'lineage'|'tree'|'member"),
        ("root", 1, {"label.x": "77"}, "'label.x' .*found '77'"),
        ("root", 1, {"cancelled": " 77"}, "'cancelled' .*found ' 77'"),
        ("root", 1, {"loop.l1": f"running 1 1 - 1000000 0 1 {'0 ' * 6}0"}, "'event.l1 0' .*the next page of 1000000 lines"),
        ("root", 1, {"loop.l1": f"running {NEXT_YEAR_MS} - - 1 0 1 {'0 ' * 6}0"}, "'loop.l1' .*no time later than now"),
        ("root", 1, {"created": f"{NEXT_YEAR_MS}000"}, "'created' .*no time later than now"),
        ("root", 1, {"settings": "9 oldest 1048576 99999999999999 -"}, "'settings' .*found '9 oldest"),
        ("root", 1, {"settings": "9 oldest 99999999999 0 -"}, "'settings' .*within the bounds"),
        ("root", 1, {"settings": "9 oldest 1048576 0 9999999999999"}, "'settings' .*100 years"),
        ("root", 1, {"max_inbox": "1000000"}, "'max_inbox' .*expected a number from 1 to 1000, found '1000000'"),
        ("root", 1, {"results.0": "\nab 99999 1"}, "'results.0'"),
        ("root", 1, {"results.2": "\nb 1 spawned 9 victim aaaaaaaaaaaa"}, "'results.2' .*found 'victim'"),
        ("root", 1, {"results.2": "\nb 1 spawned victim"}, "'results.2'"),
        ("root", 1, {"recent": "\x01"}, "'recent'"),
        ("root", 1, {"pins": "5"}, "'pins' .*expected 1"),
        ("root", 1, {"answered_by": ":inbox", "run": "0 3 - - 0 0 0 0 0 0"}, "'answered_by'"),
        ("root", 1, {"lease": "99999999999999999 - 0 0 0 - -"}, "'lease'"),
        ("root", 1, {"unheard_of": "1"}, "'unheard_of' .*not known"),
        ("root", 1, {"meta.a": "[" * 300 + "]" * 300}, "'meta.a'"),
        ("root", 1, {"state.a": "NaN"}, "'state.a'"),
        ("root", 1, {"fairness_key": "x" * 200}, "'fairness_key'"),
        ("plain", 1, {"counters": "9 9 0 0 9 0 0 1 0 5 0 0 0"}, "'counters' .*expected bytes and tokens"),
        ("plain", 1, {"layout": "- 0 - 0 0 1-99999999"}, "'layout'"),
        ("plain", 1, {"layout": "aaaaaaaa:5 5 - 0 0 -"}, "'layout' .*open calls that the messages make"),
        ("plain", 1, {"layout": "aaaaaaaa:99 1 - 0 0 -"}, "'layout'"),
    ],
)  # fmt: skip
def test_forged_field_is_refused_before_anything_is_sent(
    unreachable: SessionCache, exports: dict[str, list[str]], root: str, at: int, fields: dict[str, Any], reason: str
) -> None:
    """A field that lies about the rest of the file is refused with its line, its name, what was expected and what was found."""
    with pytest.raises(InvalidInput, match=rf"^lines: line \d+ (?s:.*)(?:{reason})"):
        unreachable.import_sessions(with_fields(exports[root], at, **fields))


def test_ancestor_outside_of_the_file_is_refused(unreachable: SessionCache, exports: dict[str, list[str]]) -> None:
    """A child that names another session as its ancestor is refused, and so is one that its root does not record."""
    lines = exports["root"]
    at = next(number for number, line in enumerate(lines) if '"lineage"' in line)
    lineage = json.loads(lines[at])["fields"]["lineage"]
    for value in (lineage + " victim", lineage.replace(" root", " victim root"), lineage.replace("1 ", "9 ", 1)):
        with pytest.raises(InvalidInput, match=rf"line {at + 1} .*(lineage|not below)"):
            unreachable.import_sessions(with_fields(lines, at, lineage=value))
    with pytest.raises(InvalidInput, match=rf"line {at + 1} .*'lineage' .*a member that 'root' records"):
        unreachable.import_sessions(with_fields(with_fields(lines, at, incarnation="a" * 12), 1, pins="1"))


def test_member_that_is_a_stranger_on_the_server_is_refused(target: Target) -> None:
    """A root that records a session of another tree as its member is refused, so that its deletion deletes no stranger."""
    target.clear()
    other = target.cache.create("other")
    stranger = other.spawn("a").raise_if_refused().session_key
    assert stranger is not None
    tag = stranger.rpartition(":")[2][:8]
    root = target.cache.create(f"{tag}-0000-8000-8000-000000000001")
    lines = list(root.export())
    root.delete()
    incarnation = target.cache.session(stranger).info().incarnation
    for known in ("a" * 12, incarnation):
        member = f"{stranger} 0 active c {known} -"
        forged = with_fields(lines, 1, **{"member.1": member, "tree": "1 1", "children": "1 1"})
        with pytest.raises(InvalidInput, match="line 2 names another session"):
            target.cache.import_sessions(forged)
    child = list(target.cache.session(stranger).export())
    target.cache.session(stranger).delete()
    later = other.spawn("a").raise_if_refused().session_key
    moved = with_fields(child, 1, incarnation="b" * 12)
    with pytest.raises(InvalidInput, match="line 2 names another session"):
        target.cache.import_sessions(moved)
    assert later is not None
    target.cache.delete("other")
    assert target.keys() == []


def test_other_client_is_answered_during_a_hostile_import(target: Target) -> None:
    """While an import of many large values and messages runs, a PING of another client is answered within 50 ms."""
    bounds = {"state_bytes": 64 * 1024 * 1024, "batch_bytes": 8 * 1024 * 1024, "batch_messages": 3000}
    with SessionCache.from_url("fake://", bounds=bounds, timeout=60) as source:
        session = source.create("big", max_messages=None, max_message_bytes=8 * 1024 * 1024)
        for n in range(40):
            session.state.put(f"v{n}", "x" * 700_000)
        session.append(*[{"role": "user", "content": "y" * 900_000}] * 8)
        session.append(*[{"role": "user", "content": str(n)} for n in range(3000)])
        lines = list(session.export())
    stop, longest = threading.Event(), [0.0]

    def ping() -> None:
        with redis.Redis(port=target.client.connection_pool.connection_kwargs["port"]) as other:
            while not stop.is_set():
                began = time.monotonic()
                other.ping()
                longest[0] = max(longest[0], time.monotonic() - began)

    thread = threading.Thread(target=ping)
    target.client.slowlog_reset()
    target.client.config_set("slowlog-log-slower-than", 1000)
    with (
        SessionCache.from_url(target.cache.where, namespace=target.cache.namespace, bounds=bounds) as cache,
        measured_load() as load,
    ):
        thread.start()
        cache.import_sessions(lines)
        with pytest.raises(InvalidInput, match="line 1 has"):
            cache.import_sessions([lines[0].replace('"version":7', '"version":4')])
        stop.set()
        thread.join()
    slow = [entry["duration"] / 1_000_000 for entry in target.client.slowlog_get(100)]
    assert max(slow, default=0) <= load.allow(BUSY_SECONDS)
    assert longest[0] <= load.allow(BUSY_SECONDS, wakeups=4)
    assert staged_keys(target.client, target.cache.namespace) == []
    target.cache.delete("big")
