"""Snapshots: a session with its state and messages as of one moment."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from redis_sessions import (
    AsyncSessionCache,
    ConcurrentModification,
    InvalidInput,
    InvalidState,
    SessionCache,
    SessionNotFound,
    SessionRegressed,
    SessionReplaced,
)
from redis_sessions._core.commands import snapshots as commands
from redis_sessions._core.protocol.call import Call


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


def test_snapshot_has_info_state_and_messages(cache: SessionCache) -> None:
    """A snapshot has what info, state.all and history return."""
    session = cache.create(user_id="mia", metadata={"a": 1}, system_prompt="be kind")
    session.append(*[user(str(number)) for number in range(5)])
    session.state.patch({"z": None, "a": {"deep": [1]}})
    session.variables.put("v", "text")
    found = session.load()
    assert found.messages == session.history()
    assert found.state == {"a": {"deep": [1]}, "z": None}
    assert list(found.state) == ["a", "z"]
    assert found.info.model_dump(exclude={"read_at", "expires_in"}) == session.info().model_dump(
        exclude={"read_at", "expires_in"}
    )
    assert found.shared == {}


def test_snapshot_of_empty_session_is_empty(cache: SessionCache) -> None:
    """A session without messages and state has a snapshot without them."""
    found = cache.create().load()
    assert (found.messages, found.state, found.info.count) == ([], {}, 0)


def test_limit_and_after_seq_select_newest_messages(cache: SessionCache) -> None:
    """The limit and `after_seq` select messages as in history, and leave the info and the state as they are."""
    session = cache.create()
    session.append(*[user(str(number)) for number in range(1, 11)])
    for limit, after in ((3, 0), (0, 0), (None, 7), (2, 7), (99, 0), (5, 10), (None, 99)):
        found = session.load(limit, after_seq=after)
        assert found.messages == session.history(limit, after_seq=after)
        assert found.info.count == 10


def test_kept_messages_are_in_snapshot(cache: SessionCache) -> None:
    """Pinned messages that the cap passed, and gaps of edits, are in a snapshot as in a history."""
    session = cache.create(max_messages=10)
    session.append(*[user(str(number)) for number in range(6)])
    session.pin(2)
    session.append(*[user(str(number)) for number in range(20)])
    session.replace(user("new"), after_seq=24)
    assert session.load().messages == session.history()
    assert session.load(3).messages == session.history(3)
    assert session.load().messages[0].seq == 2


def test_long_session_is_loaded_in_pages(cache: SessionCache) -> None:
    """A session of 2,500 messages is loaded whole, and in part, with one call for each 1,000 messages."""
    session = cache.create(max_messages=None)
    for first in (0, 1250):
        session.append(*[user(str(number)) for number in range(first, first + 1250)])
    session.load(0)
    calls = count_pages(cache)
    assert [message.seq for message in session.load().messages] == list(range(1, 2501))
    assert len(calls) == 3
    assert [message.seq for message in session.load(1500).messages] == list(range(1001, 2501))
    assert len(calls) == 5
    (found,) = cache.load([session.id], limit=2000, shared=[])
    assert found is not None
    assert [message.seq for message in found.messages] == list(range(501, 2501))


def count_pages(cache: SessionCache) -> list[str]:
    """Return a list that grows with each page that the cache reads from now on."""
    pages: list[str] = []
    executor = cache._context.executor
    run, run_many = executor.run, executor.run_many

    def counted(call: Any, *more: Any) -> Any:
        pages.append(getattr(call.script, "name", ""))
        return run(call, *more)

    def counted_many(calls: Any) -> Any:
        pages.extend(getattr(call.script, "name", "") for call in calls)
        return run_many(calls)

    executor.run, executor.run_many = counted, counted_many  # type: ignore[method-assign, assignment]
    return pages


def between_pages(monkeypatch: pytest.MonkeyPatch, edits: list[Any]) -> None:
    """Do one of some edits before each page that is not the first one, as long as there are edits left."""
    build = commands.load

    def load(*arguments: Any, **options: Any) -> Any:
        if options.get("with_fields", True) is False and edits:
            edits.pop(0)()
        return build(*arguments, **options)

    monkeypatch.setattr(commands, "load", load)


def long_session(cache: SessionCache, **options: Any) -> Any:
    """Return a session of 1,500 messages."""
    session = cache.create(**{"max_messages": None, **options})
    session.append(*[user(str(number)) for number in range(1500)])
    return session


def test_append_between_pages_is_not_in_snapshot(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that comes between two pages is not in the snapshot, nor does its info count it."""
    session = long_session(cache)
    between_pages(monkeypatch, [lambda: session.append(user("late"), state={"late": True})])
    found = session.load()
    assert [message.seq for message in found.messages] == list(range(1, 1501))
    assert (found.info.last_seq, found.info.count, found.state) == (1500, 1500, {})


@pytest.mark.parametrize("edit", ["pop", "redact", "replace", "compact", "clear"])
def test_edit_between_pages_makes_the_snapshot_begin_again(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    """After an edit between two pages the snapshot is as of a moment after the edit."""
    session = long_session(cache)
    edits = {
        "pop": lambda: session.pop(),
        "redact": lambda: session.replace(3, user("redacted")),
        "replace": lambda: session.replace(user("new"), after_seq=100),
        "compact": lambda: session.compact(300, "summary"),
        "clear": lambda: session.clear(),
    }
    between_pages(monkeypatch, [edits[edit]])
    found = session.load()
    assert found.messages == session.history()
    assert found.info.count == len(found.messages)


def test_trim_between_pages_brings_the_snapshot_to_a_later_moment(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the cap drops messages between two pages, the snapshot has the messages and the info of a moment after that."""
    session = long_session(cache, max_messages=1500)
    session.pin(5)
    between_pages(monkeypatch, [lambda: session.append(*[user("late")] * 20)])
    found = session.load()
    assert found.messages == session.history()
    assert (found.info.count, found.info.last_seq) == (1500, 1520)
    between_pages(monkeypatch, [lambda: session.append(*[user("late")] * 20)])
    assert session.load(1200).messages == session.history(1200)


def test_edits_between_all_pages_raise_concurrent_modification(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that is edited between the pages of each attempt raises ConcurrentModification."""
    session = long_session(cache)
    between_pages(monkeypatch, [lambda: session.replace(3, user("again"))] * 99)
    with pytest.raises(ConcurrentModification):
        session.load()


def test_writers_at_the_cap_leave_each_snapshot_whole(cache: SessionCache) -> None:
    """While a writer appends to a session at its cap, each snapshot has as many messages as its info says, without a gap."""
    session = long_session(cache, max_messages=1500)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            session.append(user("x"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            found = cache.session(session.id).load()
            seqs = [message.seq for message in found.messages]
            assert len(seqs) == found.info.count == 1500
            assert seqs == list(range(seqs[0], seqs[0] + 1500))
            assert seqs[-1] == found.info.last_seq
    finally:
        stop.set()
        writer.join()


def test_missing_sessions_are_none_in_their_places(cache: SessionCache) -> None:
    """Many sessions are loaded in the order of their IDs, with None for one that does not exist."""
    sessions = [cache.create() for _ in range(3)]
    for number, session in enumerate(sessions):
        session.append(*[user(str(number))] * (number + 1), state={"n": number})
    found = cache.load([sessions[2].id, "missing", sessions[0].id, sessions[2].id], limit=2)
    assert [one and one.state["n"] for one in found] == [2, None, 0, 2]
    assert [len(one.messages) for one in found if one] == [2, 1, 2]
    assert cache.load([]) == []


def test_gone_session_and_stale_handle_are_refused(cache: SessionCache) -> None:
    """A snapshot of a session that is gone, was created again, or lost messages is refused."""
    session = cache.create("a")
    session.append(user("1"))
    again = cache.session("a", incarnation=session.incarnation)
    session._seen = 5
    with pytest.raises(SessionRegressed):
        session.load()
    session.delete()
    with pytest.raises(SessionNotFound):
        again.load()
    cache.create("a")
    with pytest.raises(SessionReplaced):
        again.load()


def test_torn_session_has_no_snapshot(cache: SessionCache) -> None:
    """A session whose messages were evicted counts as gone."""
    session = cache.create()
    session.append(user("1"))
    cache._context.executor.run(Call(("DEL", session._keys.messages), session._keys, int))
    with pytest.raises(SessionNotFound):
        session.load()
    assert cache.load([session.id]) == [None]
    session.delete()


def test_damaged_value_is_named(cache: SessionCache) -> None:
    """A damaged value of the state is named by the error."""
    session = cache.create()
    session.state.put("fine", 1)
    cache._context.executor.run(Call(("HSET", session._keys.session, "state.bad", "{"), session._keys, int))
    with pytest.raises(InvalidState, match="bad"):
        session.load()
    with pytest.raises(InvalidState, match="bad"):
        cache.load([session.id])


def test_touch_on_read_extends_life(cache: SessionCache) -> None:
    """With `touch_on_read` a snapshot extends the life of its session, and its info says so."""
    reader = SessionCache(cache, touch_on_read=True)
    session = cache.create(ttl=60)
    for key in (session._keys.session, session._keys.messages):
        cache._context.executor.run(Call(("PEXPIRE", key, 30_000), session._keys, int))
    assert session.load().info.expires_in.total_seconds() < 31  # type: ignore[union-attr]
    assert reader.session(session.id).load().info.expires_in.total_seconds() > 50  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "arguments", [{"limit": -1}, {"limit": "1"}, {"after_seq": -1}, {"shared": "a"}, {"shared": [""]}]
)
def test_invalid_argument_is_refused(cache: SessionCache, arguments: dict[str, Any]) -> None:
    """An argument out of its bounds is refused before anything is sent."""
    with pytest.raises(InvalidInput):
        cache.session("a").load(**arguments)
    for ids in ("a", 5, None, [5]):
        with pytest.raises(InvalidInput, match="ids: must be a list of strings"):
            cache.load(ids)  # type: ignore[arg-type]


def test_async_snapshot_equals_sync_snapshot(cache: SessionCache) -> None:
    """Both kinds of caches return the same snapshot."""
    session = cache.create()
    session.append(user("1"), state={"a": 1})

    async def load() -> Any:
        async with AsyncSessionCache(cache) as other:
            return await other.session(session.id).load(), await other.load([session.id, "b"])

    one, many = asyncio.run(load())
    assert (one.state, one.messages) == (session.load().state, session.history())
    assert [found and found.messages for found in many] == [one.messages, None]
