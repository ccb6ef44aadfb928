"""Imports: all sessions or none, what happens to existing sessions, and how work continues in the imported ones."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any

import pytest

from redis_sessions import (
    ImportResult,
    InvalidInput,
    LeaseLost,
    LoopConflict,
    SessionCache,
    SessionExists,
)
from redis_sessions._sync.transport.executor import Executor
from tests.support.exports import X, create_full_session, staged_keys, stored_keys, stored_session
from tests.support.lease_waiters import elsewhere


def test_imported_session_continues_where_it_was(cache: SessionCache, other: SessionCache) -> None:
    """An imported session recognises batch IDs, and continues its seqs, fences, state, ledger, inbox and cap."""
    session = create_full_session(cache)
    before = session.info()
    other.import_sessions(session.export())
    imported = other.open("root")
    info = imported.info()
    assert (info.rev, info.last_seq, info.incarnation) == (before.rev, before.last_seq, before.incarnation)
    assert imported.append(X, batch_id="job-7").duplicate
    assert imported.state.add("visits", 3, batch_id="visit") == 3
    assert imported.spawn("researcher", batch_id="spawn-1").session_key == session.children()[0].id
    assert imported.append(X).last_seq == session.append(X).last_seq
    assert [(message.seq, message.payload) for message in imported.history()] == [
        (message.seq, message.payload) for message in session.history()
    ]
    assert (imported.state.get("plan"), imported.variables.get("language")) == ({"step": 2}, "de")
    with pytest.raises(LoopConflict):
        imported.start_loop("l1")
    imported.loop("l1").record_usage("s1", {"total": 7, "cost": 0.5})
    assert (imported.ledger().usage.total, imported.info().spent_tokens) == (7, 7)
    with imported.lease() as imported_lease, session.lease() as lease:
        assert imported_lease.fence == lease.fence


def test_runs_of_imported_tree_are_claimed_again(cache: SessionCache, other: SessionCache) -> None:
    """A run that a worker held is claimed again after the import, its result reaches the root, and spawns are allowed."""
    session = create_full_session(cache)
    run = cache.claim("researcher")
    assert run is not None
    other.import_sessions(session.export())
    claimed = other.claim("researcher", wait=10)
    assert claimed is not None
    assert (claimed.id, claimed.task, claimed.attempt, claimed.held.fence) == (run.id, "find it", 1, 2)
    assert other.claim("reader") is None
    claimed.append({"role": "assistant", "content": "Looking."})
    claimed.complete("On belt 4.")
    root = other.open("root")
    assert [child.result for child in root.join(timeout=10)] == ["On belt 4."]
    assert root.history(1)[0].content == "[bags completed] On belt 4."
    assert root.spawn("researcher", label="bags").accepted
    run.release()


def test_child_missing_from_export_frees_its_slot_after_import(cache: SessionCache, other: SessionCache) -> None:
    """A child that had expired before the export leaves the imported tree, so that its parent may spawn again."""
    root = cache.create("root", max_active=1)
    expired = root.spawn("a", max_lifetime=0.3).session_key
    assert expired is not None
    while cache.get(expired) is not None:
        time.sleep(0.02)
    other.import_sessions(root.export())
    imported = other.open("root")
    due = time.monotonic() + 20
    while not imported.spawn("a").accepted:
        assert time.monotonic() < due
        other.recover()
        time.sleep(0.1)


def test_lines_may_be_text_or_bytes_with_or_without_newlines(cache: SessionCache, other: SessionCache) -> None:
    """Lines may be text or bytes, with or without newlines, but one text or another type is refused as lines."""
    session = cache.create("a", ttl=60)
    session.append(X)
    lines = list(session.export())
    assert other.import_sessions([f"{line}\r\n".encode() for line in lines]).imported == 1
    assert other.import_sessions([*lines, ""], on_conflict="replace").replaced == 1
    for invalid in ("\n".join(lines), b"x", 7, None):
        with pytest.raises(InvalidInput, match="iterable of lines"):
            other.import_sessions(invalid)  # type: ignore[arg-type]


def test_existing_session_is_refused_skipped_or_replaced(cache: SessionCache, other: SessionCache, client: Any) -> None:
    """An import is refused, skipped or made as a whole, also when only a child exists. A replaced tree loses later spawns."""
    session = create_full_session(cache)
    lines = list(session.export())
    messages = json.loads(lines[-1])["end"]["messages"]
    before = stored_session(client, cache.namespace, "root")
    spawned_later = session.spawn("late").session_key
    assert spawned_later is not None
    session.append(X)
    with pytest.raises(SessionExists, match="root"):
        cache.import_sessions(lines)
    with pytest.raises(SessionExists, match="root"):
        cache.import_sessions(lines, on_conflict="error")
    assert cache.import_sessions(lines, on_conflict="skip") == ImportResult(0, 3, 0, 0)
    assert cache.session("root").info().last_seq == session.info().last_seq
    assert cache.get(spawned_later) is not None
    assert cache.import_sessions(lines, on_conflict="replace") == ImportResult(0, 0, 3, messages)
    assert stored_session(client, cache.namespace, "root") == before
    assert cache.get(spawned_later) is None
    child = session.children()[0].id
    other._get_or_create(child, {})
    with pytest.raises(SessionExists, match="researcher"):
        other.import_sessions(lines)
    assert other.import_sessions(lines, on_conflict="skip") == ImportResult(0, 3, 0, 0)
    assert other.get("root") is None
    assert other.import_sessions(lines, on_conflict="replace") == ImportResult(2, 0, 1, messages)


@pytest.mark.parametrize("on_conflict", ["error", "skip", "replace"])
def test_import_without_conflict_creates_all_sessions(
    cache: SessionCache, other: SessionCache, client: Any, on_conflict: Any
) -> None:
    """Every value of `on_conflict` imports all sessions when none of them exists."""
    lines = list(create_full_session(cache).export())
    messages = json.loads(lines[-1])["end"]["messages"]
    assert other.import_sessions(lines, on_conflict=on_conflict) == ImportResult(3, 0, 0, messages)
    assert stored_session(client, other.namespace, "root") == stored_session(client, cache.namespace, "root")
    assert staged_keys(client, other.namespace) == []


@pytest.mark.parametrize("on_conflict", ["merge", "refuse", "ERROR", "", None, True])
def test_unknown_on_conflict_is_refused_with_valid_values(
    cache: SessionCache, other: SessionCache, client: Any, on_conflict: Any
) -> None:
    """An unknown value of `on_conflict` is refused before a line is read, and the error lists the valid values."""
    lines = iter(list(cache.create("a", ttl=60).export()))
    with pytest.raises(InvalidInput, match="on_conflict: must be one of error, skip, replace, got") as refused:
        other.import_sessions(lines, on_conflict=on_conflict)
    assert repr(on_conflict) in str(refused.value)
    assert len(list(lines)) == 3
    assert stored_keys(client, other.namespace) == []


def test_fence_does_not_decrease_when_session_is_replaced(cache: SessionCache) -> None:
    """The holder of the lease of a replaced session loses the lease, and the next fence is higher."""
    session = cache.create("a", ttl=60)
    lines = list(session.export())
    with session.lease():
        pass
    with pytest.raises(LeaseLost), session.lease() as lease:
        assert lease.fence == 2
        assert elsewhere(lambda: cache.import_sessions(lines, on_conflict="replace")).replaced == 1
        session.append(X)
    with cache.open("a").lease() as lease:
        assert lease.fence == 3


def test_imported_session_lives_for_its_idle_ttl_within_its_deadline(cache: SessionCache, other: SessionCache) -> None:
    """An imported session lives for its ttl from now, not past its deadline, and is refused after the deadline."""
    cache.create("a", ttl=60, max_lifetime=2)
    cache.create("forever", ttl=None)
    lines = list(cache.session("a").export())
    cache.session("a").touch()
    other.import_sessions(lines)
    left = other.session("a").info().expires_in
    assert left is not None
    assert timedelta(0) < left < timedelta(seconds=2)
    other.import_sessions(cache.session("forever").export())
    assert other.session("forever").info().expires_in is None
    other.delete("forever")
    cache.delete("forever")
    time.sleep(2.1)
    with pytest.raises(InvalidInput, match=r"session 'a' .*is over"):
        other.import_sessions(lines)


class Killed(BaseException):
    """The process is gone."""


def test_killed_import_leaves_no_visible_session(
    cache: SessionCache, other: SessionCache, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import that is killed between two commands leaves staged keys with a TTL, and the next import succeeds."""
    lines = list(create_full_session(cache).export())
    other._context.run_queues._reserved_ms = 1000
    run, left = Executor.run, 0

    def run_until_killed(self: Executor, call: Any) -> Any:
        nonlocal left
        if self is other._executor:
            left -= 1
            if left < 0:
                raise Killed
        return run(self, call)

    with monkeypatch.context() as patched:
        patched.setattr(Executor, "run", run_until_killed)
        for steps in range(100):
            left = steps
            try:
                other.import_sessions(lines)
                break
            except Killed:
                pass
            visible = [name for name in stored_keys(client, other.namespace) if ":import-" not in name]
            if visible:  # all sessions were moved, and their runs were not confirmed
                assert len([name for name in visible if ":session:" in name]) == 3
                break
            assert all(0 < client.pttl(name) <= 3_600_000 for name in stored_keys(client, other.namespace))
    assert steps > 5
    assert other.claim("researcher", wait=40) is not None


def test_lost_replies_do_not_repeat_an_import(
    cache: SessionCache, other: SessionCache, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call that is sent twice has one effect, and a repeated move returns its first reply."""
    session = create_full_session(cache)
    run = Executor.run

    def run_twice(self: Executor, call: Any) -> Any:
        run(self, call)
        return run(self, call)

    lines = list(session.export())
    with monkeypatch.context() as patched:
        patched.setattr(Executor, "run", run_twice)
        assert other.import_sessions(lines).imported == 3
        assert other.import_sessions(lines, on_conflict="replace").replaced == 3
    assert stored_session(client, other.namespace, "root") == stored_session(client, cache.namespace, "root")
    assert staged_keys(client, other.namespace) == []
