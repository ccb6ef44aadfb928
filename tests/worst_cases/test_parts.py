"""Long operations in parts: another writer between two parts changes nothing, and a caller may die between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from redis_sessions import (
    CompactionConflict,
    ConcurrentModification,
    EditConflict,
    LimitExceeded,
    Message,
    Session,
    SessionCache,
)
from redis_sessions._core.commands import messages
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.records import Counters
from redis_sessions._sync.transport.executor import Executor
from tests.leases.dead_holders import let_run_out, stop_renewing
from tests.support.lease_waiters import elsewhere

SIZE = 300_000
"""Bytes of a message: seven of them have more than a call reads at once."""


class Died(Exception):
    """The caller of an operation is gone."""


def big(number: int, role: str = "user") -> dict[str, Any]:
    """Return a message of 300 KB."""
    return {"role": role, "content": f"{number} " + "x" * SIZE}


def numbers(session: Session) -> list[str]:
    """Return the first words of the messages."""
    return [str(one.content).split()[0] for one in session.history()]


def filled(cache: SessionCache, count: int = 8, **options: Any) -> Session:
    """Return a session of messages of 300 KB, of the user and the assistant in turn."""
    session = cache.create(max_messages=None, **options)
    for number in range(1, count + 1):
        session.append(big(number, "user" if number % 2 else "assistant"))
    return session


def after_part(monkeypatch: pytest.MonkeyPatch, script: str, act: Callable[[], Any], *, times: int = 1) -> list[int]:
    """Do something after each of the first parts of an operation. Return a list that gets the number of each part."""
    original = Executor._send
    parts: list[int] = []
    is_acting = False

    def send(executor: Executor, call: Call[Any]) -> list[Any]:
        nonlocal is_acting
        replies = original(executor, call)
        if call.script is not None and call.script.name == script and not is_acting:
            parts.append(len(parts) + 1)
            if len(parts) <= times:
                is_acting = True
                try:
                    act()
                finally:
                    is_acting = False
        return replies

    monkeypatch.setattr(Executor, "_send", send)
    return parts


def die() -> None:
    """End the caller."""
    raise Died


def test_fork_is_of_one_moment_whoever_writes_between_parts(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy begins again when the session was written between two parts, and has the messages of the last moment."""
    session = filled(cache)
    other = cache.session(session.id)
    parts = after_part(monkeypatch, "messages/copy_part", lambda: other.append(big(9)))
    fork = session.fork()
    assert len(parts) > 3
    assert numbers(fork) == numbers(session) == [str(number) for number in range(1, 10)]
    assert fork.info().tokens == session.info().tokens


def test_fork_up_to_a_message_has_the_counts_of_its_messages(cache: SessionCache) -> None:
    """A fork of the beginning of a long session counts what it has."""
    session = filled(cache, 16)
    fork = session.fork(up_to_seq=4)
    found = fork.info()
    assert numbers(fork) == ["1", "2", "3", "4"]
    assert (found.user_messages, found.assistant_messages, found.turns, found.last_seq) == (2, 2, 2, 4)
    assert found.tokens == sum(one.tokens or 0 for one in fork.history())


def test_fork_gives_up_while_others_write(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is written between all parts cannot be copied, and the fork says so."""
    session = filled(cache)
    other = cache.session(session.id)
    after_part(monkeypatch, "messages/copy_part", lambda: other.state.put("n", 1), times=1000)
    with pytest.raises(ConcurrentModification):
        session.fork()


def test_fork_of_dead_caller_leaves_nothing_and_can_be_repeated(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of a caller that died expires, and the same fork again begins with the same copy."""
    session = filled(cache)
    with monkeypatch.context() as patched:
        after_part(patched, "messages/copy_part", die)
        with pytest.raises(Died):
            session.fork(batch_id="f")
    fork = session.fork(batch_id="f")
    assert numbers(fork) == numbers(session)
    assert session.fork(batch_id="f").id == fork.id


def test_spawned_fork_of_long_session_has_its_messages(cache: SessionCache) -> None:
    """A child that begins with the messages of a long session has all of them."""
    session = filled(cache)
    child = session.spawn("a", context="fork").raise_if_refused()
    assert child.session_key is not None
    assert numbers(cache.session(child.session_key)) == numbers(session)


def test_compaction_in_parts_leaves_the_summary_and_the_rest(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long range is replaced in parts, and messages that come between two parts stay."""
    session = filled(cache, 10)
    other = cache.session(session.id)
    parts = after_part(monkeypatch, "messages/compact", lambda: other.append(big(11)))
    assert session.compact(8, "summary", batch_id="c") == 1
    assert len(parts) > 1
    assert numbers(session) == ["summary", "9", "10", "11"]
    assert [one.seq for one in session.history()] == [8, 9, 10, 11]
    assert session.info().tokens == sum(one.tokens or 0 for one in session.history())
    assert session.compact(8, "summary", batch_id="c") == 1


def test_compaction_in_parts_ends_before_a_long_group(cache: SessionCache) -> None:
    """A compaction goes on behind the summary that a part left, also when the next group is longer than a part."""
    session = cache.create(max_messages=None)
    session.append(big(1))
    calls = [{"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(5)]
    session.append({"role": "assistant", "content": None, "tool_calls": calls})
    for call in calls:
        session.append({"role": "tool", "tool_call_id": call["id"], "content": "y" * SIZE})
    session.append({"role": "assistant", "content": "8 done"})
    assert session.compact(7, "summary") == 1
    assert numbers(session) == ["summary", "8"]


def test_compaction_of_dead_caller_is_finished_by_the_next(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the death of a caller between two parts, the summary stands before what is left of the range."""
    session = filled(cache, 10)
    session.pin(2)
    with monkeypatch.context() as patched:
        after_part(patched, "messages/compact", die)
        with pytest.raises(Died):
            session.compact(8, "summary", batch_id="c")
    left = numbers(session)
    assert left[:2] == ["2", "summary"]
    assert left[2:] == [str(number) for number in range(int(left[2]), 11)]
    assert len(left) > 4
    assert session.compact(8, "summary", batch_id="c") == 1
    assert numbers(session) == ["2", "summary", "9", "10"]
    assert session.compact(9, "other") == 8
    assert numbers(session) == ["2", "other", "10"]


def test_edit_counts_what_it_removes_whoever_writes_between_parts(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit that removes more than a call reads is planned in parts, for one revision, and carried out in one step."""
    session = filled(cache, 10)
    other = cache.session(session.id)
    parts = after_part(monkeypatch, "messages/edit", lambda: other.append(big(11)))
    session.replace(big(12), after_seq=2)
    assert len(parts) > 2
    found = session.info()
    assert numbers(session) == ["1", "2", "12"]
    assert (found.user_messages, found.assistant_messages, found.turns) == (2, 1, 1)
    assert found.tokens == sum(one.tokens or 0 for one in session.history())


def test_edit_of_dead_caller_changes_nothing(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that only plan an edit write nothing."""
    session = filled(cache, 10)
    rev = session.info().rev
    with monkeypatch.context() as patched:
        after_part(patched, "messages/edit", die)
        with pytest.raises(Died):
            session.replace(after_seq=1)
    assert (session.info().rev, len(numbers(session))) == (rev, 10)


@pytest.mark.parametrize("way", ["receive", "release", "cancel", "append", "send"])
def test_full_inbox_enters_in_order(cache: SessionCache, way: str) -> None:
    """A full inbox enters the transcript in order, before what is written behind it."""
    session = cache.create(max_messages=None)
    other = cache.session(session.id)
    lease = session.lease(ttl=60 if way in ("receive", "release") else 0.7)
    elsewhere(lease.acquire)
    if way in ("append", "send"):
        stop_renewing(lease)
    for number in range(1, 7):
        elsewhere(partial(other.send, big(number)))
    wanted = [str(number) for number in range(1, 7)]
    if way == "receive":
        assert [str(one.content).split()[0] for one in lease.receive()] == wanted
        assert lease.receive() == []
    elif way == "release":
        assert lease.release() == 6
    elif way == "cancel":
        other.cancel()
    else:
        time.sleep(0.75)
        getattr(other, way)(big(7))
        wanted.append("7")
    assert numbers(session) == wanted
    assert session.info().inbox_size == 0


def test_lowered_cap_is_reached_over_several_appends(cache: SessionCache) -> None:
    """After the cap was lowered, each append drops a part, says how many are left over, and the last one none."""
    session = filled(cache, 12)
    session.patch(max_messages=4)
    over = [session.append(big(number)).over_cap for number in range(13, 19)]
    assert over[0] > 0
    assert over == sorted(over, reverse=True)
    assert over[-1] == 0
    assert numbers(session)[-4:] == ["15", "16", "17", "18"]
    assert session.info().tokens == sum(one.tokens or 0 for one in session.history())


def test_turn_of_more_than_a_page_is_complete(cache: SessionCache) -> None:
    """A turn of many bytes is read in pages, and a turn far back is found."""
    session = cache.create(max_messages=None)
    session.append(Message("user", "first"), Message("assistant", "answer"))
    session.append(Message("user", "second"))
    for number in range(8):
        session.append(big(number, "assistant"))
    session.append(Message("user", "third"))
    turn, first, last = session.turn(2), session.turn(1), session.last_turn()
    assert turn is not None
    assert first is not None
    assert last is not None
    assert [str(one.content).split()[0] for one in turn.entries] == ["second", *map(str, range(8))]
    assert [one.content for one in first.entries] == ["first", "answer"]
    assert (last.number, len(last.entries), session.turn(4)) == (3, 1, None)


def test_published_value_is_bounded_by_the_watchers(cache: SessionCache) -> None:
    """A value that would reach all watchers with more than 2 MB is refused."""
    session = cache.create()
    for number in range(40):
        call = messages.subscribe(session._keys, "", f"{number:016x}", 60_000, "channel", False, "watch", 40)
        cache._executor.run(call)
    session.publish("x" * 10_000)
    with pytest.raises(LimitExceeded):
        session.publish("x" * 60_000)


def operations(session: Session) -> int:
    """Return how many operations the session had."""
    keys = session._keys
    text = session._executor.run(Call(("HGET", keys.session, "counters"), keys, lambda reply: reply, writes=False))
    return Counters.parse(text).operations


def test_compaction_in_parts_is_one_operation(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts of a compaction take one place among the recorded results, so that they push out no other."""
    session = filled(cache, 10)
    parts = after_part(monkeypatch, "messages/compact", lambda: None)
    before = operations(session)
    session.compact(8, "summary")
    assert len(parts) > 1
    assert operations(session) == before + 1


def test_compaction_that_is_forgotten_is_refused(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that died, and comes back after the window of results, gets an error and no wrong range."""
    session = filled(cache, 10)
    with monkeypatch.context() as patched:
        after_part(patched, "messages/compact", die)
        with pytest.raises(Died):
            session.compact(8, "summary", batch_id="c")
    for number in range(70):
        session.append(
            Message("user", "x"), Message("assistant", "y"), batch_id=f"{number:02}c.0"
        )  # in its field of results
    with pytest.raises(CompactionConflict):
        session.compact(8, "summary", batch_id="c")


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_same_copy_by_two_callers_makes_one_session(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The second of two callers of one operation gets the session that the first one made."""
    session = filled(cache)
    other = cache.session(session.id)

    def copy(of: Session) -> str | None:
        return of.fork(batch_id="f").id if way == "fork" else of.spawn("a", context="fork", batch_id="f").session_key

    made: list[str | None] = []
    after_part(monkeypatch, "messages/copy_part", lambda: made.append(copy(other)))
    assert [copy(session)] == made


def test_refused_fork_leaves_no_copy(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fork up to a message that is not there is refused before anything is copied."""
    session = filled(cache)
    parts = after_part(monkeypatch, "messages/copy_part", lambda: None)
    with pytest.raises(EditConflict):
        session.fork(up_to_seq=99)
    assert parts == []


def test_rest_of_dead_holders_inbox_precedes_writes_between_its_parts(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is appended between two parts of a dead holder's inbox stands behind all of the inbox."""
    session = cache.create(max_messages=None)
    lease = session.lease()
    elsewhere(lease.acquire)
    for number in range(1, 7):
        session.send(big(number))
    let_run_out(lease)
    parts = after_part(monkeypatch, "runs/advance", lambda: session.append(big(7)))
    cache._context.run_queues.advance(session._keys)
    assert parts
    assert session.info().inbox_size == 0
    assert numbers(session) == ["1", "2", "3", "4", "5", "6", "7"]
    session.append(big(8))
    with session.lease() as following:
        assert following.fence == lease.fence + 1
