"""Exports: exact, of one moment, one session alone or with its tree, and in lines of a bounded size."""

from __future__ import annotations

import json
from typing import Any

import pytest

from redis_sessions import (
    ConcurrentModification,
    ImportResult,
    SessionCache,
    SessionNotFound,
    SessionReplaced,
)
from redis_sessions._core.protocol.keys import session_keys
from redis_sessions._core.transfer import import_staging
from redis_sessions._core.transfer.export_format import VERSION
from tests.support.exports import X, create_full_session, stored_session
from tests.support.lease_waiters import elsewhere


def test_imported_sessions_equal_exported_sessions(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """Every field and message is imported byte for byte, also values that are not UTF-8."""
    session = create_full_session(cache)
    keys = session_keys(cache.namespace, "root")
    client.hset(keys.session, "var.raw", b"\xff\x00")
    client.hset(keys.session, "value_bytes", "4 21 15 5")
    client.lset(keys.messages, 0, client.lindex(keys.messages, 0) + b"\xfe")
    lines = list(session.export())
    assert all("\n" not in line and len(line.splitlines()) == 1 for line in lines)
    result = other.import_sessions(lines)
    assert result == ImportResult(imported=3, skipped=0, replaced=0, messages=json.loads(lines[-1])["end"]["messages"])
    for id in ["root", *[child.id for child in session.children(recursive=True)]]:
        assert stored_session(client, other.namespace, id) == stored_session(client, cache.namespace, id)
    client.lset(session_keys(other.namespace, "root").messages, 0, client.lindex(keys.messages, 0)[:-1])


def test_header_names_format_version_and_root(cache: SessionCache) -> None:
    """The first line of an export names its format, its version, the root and the server's time."""
    session = create_full_session(cache)
    header = json.loads(next(iter(session.export())))
    assert (header["format"], header["version"], header["root"]) == ("redis-sessions", VERSION, "root")
    assert abs(header["exported_at"] - session.history()[-1].timestamp_ms) < 60_000


def test_held_lease_is_exported_free_with_its_inbox(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """An export keeps the fence of a held lease alone, and the inbox precedes the next message that is sent."""
    session = cache.create("root", ttl=60)
    with session.lease():
        elsewhere(lambda: cache.session("root").send("waits"))
        assert other.import_sessions(session.export()).imported == 1
        fields, elements, ledger = stored_session(client, cache.namespace, "root")
        expected = {**fields, b"lease": b"1 - 0 0 0 - -"}, elements, ledger
        assert stored_session(client, other.namespace, "root") == expected
    imported = other.open("root")
    assert (imported.info().inbox_size, imported.info().lease) == (1, None)
    imported.send("x")
    assert [message.content for message in imported.history()] == ["waits", "x"]


def test_session_is_exported_alone_or_with_its_tree(cache: SessionCache, other: SessionCache) -> None:
    """With `tree=False` an export omits the sessions below, and the export of a child omits the sessions above."""
    session = create_full_session(cache)
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


CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
}


@pytest.mark.parametrize("change", ["append", "clear", "compact", "pin", "drop", "abandon", "pop", "replace"])
def test_session_written_during_export_is_exported_as_of_one_moment(
    cache: SessionCache, other: SessionCache, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later messages are omitted, and the session is exported again when unread messages have left or changed."""
    monkeypatch.setattr(import_staging, "PAGE", 100)
    session = cache.create("root", max_messages=300, cap_policy="oldest")
    session.append(*[{"role": "user", "content": str(n)} for n in range(299)], CALL)
    lines, is_changed = [], False
    for line in session.export():
        lines.append(line)
        if '"messages"' in line and not is_changed:
            is_changed = True
            if change == "append":
                session.append(X)
            elif change == "clear":
                session.clear()
            elif change == "compact":
                session.compact(101, "sum")
            elif change == "pin":
                session.pin(150)
                session.pin(250)
            elif change == "abandon":
                session.abandon_calls()
            elif change == "pop":
                session.pop()
            elif change == "replace":
                session.replace(200, X)
            else:
                session.append(*[X] * 150)
    attempts = len([line for line in lines if '"fields"' in line])
    assert attempts == (1 if change == "append" else 2)
    other.import_sessions(lines)
    imported, now = other.open("root"), session.info()
    if change == "append":
        assert [message.content for message in imported.history()] == [*map(str, range(299)), None]
        assert [message.facts[:1] for message in imported.history(1)] == ["+"]
    else:
        info = imported.info()
        assert (info.rev, info.count, info.bytes) == (now.rev, now.count, now.bytes)
        assert [(message.seq, message.payload, message.pinned, message.facts) for message in imported.history()] == [
            (message.seq, message.payload, message.pinned, message.facts) for message in session.history()
        ]


def test_session_replaced_during_export_is_refused(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export ends with an error when its session was deleted and another one was created with the ID."""
    monkeypatch.setattr(import_staging, "PAGE", 100)
    session = cache.create("root", max_messages=300, cap_policy="oldest")
    session.append(*[{"role": "user", "content": str(n)} for n in range(300)])
    lines = session.export()
    next(lines)
    cache.delete("root")
    cache.create("root", max_messages=300).append(X)
    with pytest.raises(SessionReplaced):
        list(lines)


def test_tree_changed_during_export_is_exported_again(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """The members of a tree are exported as of one moment, and a tree that never rests is refused with advice."""
    root = cache.create("root", max_active=None, max_children=None)
    child = root.spawn("a").session_key
    assert child is not None
    lines, is_changed = [], False
    for line in root.export():
        lines.append(line)
        if not is_changed and '"fields"' in line:
            is_changed = True
            cache.session(child).complete("x")
            root.spawn("b").raise_if_refused()
    assert other.import_sessions(lines).imported == 3
    assert stored_session(client, other.namespace, "root") == stored_session(client, cache.namespace, "root")
    with pytest.raises(ConcurrentModification, match="pause"):
        for line in root.export():
            if '"fields"' in line and '"session":"root"' in line:
                root.spawn("c").raise_if_refused()


def test_session_larger_than_a_page_is_exported_in_bounded_lines(
    cache: SessionCache, other: SessionCache, client: Any
) -> None:
    """A line holds at most 100 messages or 1 MiB, and all messages of a large session are imported."""
    session = cache.create("a", max_messages=None, ttl=60)
    for first in (0, 1050):
        session.append(*[{"role": "user", "content": str(n)} for n in range(first, first + 1050)])
    for _ in range(12):
        session.append({"role": "user", "content": "x" * 600_000})
    lines = list(session.export())
    assert len(lines) == 3 + 21 + 12
    assert other.import_sessions(iter(lines)).messages == 2112
    assert stored_session(client, other.namespace, "a") == stored_session(client, cache.namespace, "a")
