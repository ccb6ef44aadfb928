"""Parts: transcripts inside one session, by name."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import (
    BoundExceeded,
    InvalidInput,
    LeaseLost,
    LimitExceeded,
    MessageTooLarge,
    Session,
    SessionCache,
    SessionLocked,
    SessionNotActive,
    SessionNotFound,
    SessionReplaced,
)
from redis_sessions._core.commands import parts
from redis_sessions._core.commands.loops import LEDGER_EXTRA_TTL_MS
from redis_sessions._core.protocol.call import Call
from tests.leases.dead_holders import stop_renewing
from tests.support.lease_waiters import elsewhere
from tests.support.servers import Server, await_true


def texts(messages: list[Any]) -> list[Any]:
    """Return the contents of messages."""
    return [message.content for message in messages]


def user(text: str) -> dict[str, str]:
    """Return a user message."""
    return {"role": "user", "content": text}


def test_part_has_messages_of_its_own(cache: SessionCache) -> None:
    """A part keeps messages in order, apart from the session and from other parts."""
    session = cache.create("s")
    session.append(user("main"))
    first = session.part("subagents/agent 1").append(user("a"), user("b"))
    second = session.part("subagents/agent 1").append(user("c"))
    session.part("other").append(user("x"))
    assert (first.first_seq, first.last_seq, first.count) == (1, 2, 2)
    assert (second.first_seq, second.last_seq, second.count) == (3, 3, 3)
    found = session.part("subagents/agent 1").history()
    assert texts(found) == ["a", "b", "c"]
    assert [one.seq for one in found] == [1, 2, 3]
    assert found[0].role == "user"
    assert found[0].timestamp_ms > 0
    assert texts(session.part("other").history()) == ["x"]
    assert texts(session.history()) == ["main"]


def test_write_to_a_part_leaves_the_revision_and_moves_the_updated_time(cache: SessionCache) -> None:
    """An append to a part changes no counter of the session but its updated time."""
    session = cache.create("s")
    session.append(user("main"))
    before = session.info()

    def has_moved() -> bool:
        session.part("p").append(user("a"))
        return session.info().updated_at > before.updated_at

    await_true(has_moved, seconds=5)
    after = session.info()
    assert (after.rev, after.last_seq, after.bytes, after.turns) == (before.rev, 1, before.bytes, before.turns)
    session.part("p").replace(1, user("b"))
    assert session.info().updated_at == after.updated_at


def test_ranges_of_history(cache: SessionCache) -> None:
    """The newest messages of a range are returned, oldest first, whatever the pages are."""
    part = cache.create("s").part("p")
    for number in range(0, 1100, 550):
        part.append(*[user(str(one)) for one in range(number, number + 550)])
    everything = [str(number) for number in range(1100)]
    assert texts(part.history()) == everything
    assert texts(part.history(3)) == everything[-3:]
    assert texts(part.history(after_seq=1098)) == everything[-2:]
    assert texts(part.history(2, before_seq=4)) == ["1", "2"]
    assert texts(part.history(after_seq=3, before_seq=6)) == ["3", "4"]
    assert part.history(0) == part.history(before_seq=1) == part.history(after_seq=5000) == []
    assert cache.session("s").part("none").history() == []


def test_repeated_batch_is_stored_once(cache: SessionCache) -> None:
    """A batch ID among the last 64 appends to a part returns the first result."""
    part = cache.create("s").part("p")
    first = part.append(user("a"), batch_id="job")
    for number in range(63):
        part.append(user(str(number)))
    again = part.append(user("a"), batch_id="job")
    assert again.duplicate
    assert (again.first_seq, again.count) == (first.first_seq, 1)
    part.append(user("y"))
    assert not part.append(user("a"), batch_id="job").duplicate
    other = cache.session("s").part("other").append(user("a"), batch_id="job")
    assert not other.duplicate


def test_retry_finds_its_batch_whose_result_left_the_window(cache: SessionCache) -> None:
    """The retry of a call finds its messages, although 64 other appends came since its first attempt."""
    session = cache.create("s")
    call = parts.append(
        session._keys, "", "", "p", [user("a"), user("b")], session._counter, batch_id="job", ids=None,
        bounds=cache._context.bounds,
    )  # fmt: skip
    executor = cache._context.executor
    executor.run(call)
    for number in range(70):
        session.part("p").append(user(str(number)))
    call.mark_retry(1000)
    found = executor.run(call)
    assert found.duplicate
    assert (found.first_seq, found.last_seq) == (1, 2)


def test_message_with_a_known_id_is_left_out(cache: SessionCache) -> None:
    """An ID is stored once, whatever came since, also twice in one batch, until the part is cleared."""
    part = cache.create("s").part("p")
    part.append(user("a"), user("title"), ids=["a", None])
    for number in range(70):
        part.append(user(str(number)))
    found = part.append(user("a"), user("b"), user("b"), user("title"), ids=["a", "b", "b", None])
    assert (found.left_out, found.count) == (2, 74)
    assert texts(part.history(2)) == ["b", "title"]
    again = part.append(user("a"), ids=["a"])
    assert (again.first_seq, again.last_seq, again.left_out) == (0, 0, 1)
    message = part.get("b")
    assert message is not None
    assert message.content == "b"
    assert part.get("c") is None
    part.clear()
    assert part.append(user("a"), ids=["a"]).left_out == 0


def test_put_replaces_the_message_with_its_id(cache: SessionCache, url: str) -> None:
    """A message that was put again stands in the place of the former one, of which nothing stays."""
    part = cache.create("s").part("p")
    assert part.put(user("old secret"), "a") == 1
    part.append(user("b"))
    assert part.put(user("new"), "a") == 1
    assert texts(part.history()) == ["new", "b"]
    assert part.put(user("none"), "b", create=False) == 0
    assert part.replace(2, user("c"))
    assert not part.replace(3, user("d"))
    assert texts(part.history()) == ["new", "c"]
    info = part.info()
    assert info is not None
    assert info.bytes == sum(map(len, stored(cache, part)))
    assert part.append(user("x"), ids=["a"]).left_out == 1


def stored(cache: SessionCache, part: object) -> list[bytes]:
    """Return the stored messages of a part."""
    from redis_sessions._core.protocol.call import Call

    keys = part._session._keys  # type: ignore[attr-defined]
    reply = cache._context.executor.run(Call(("HGETALL", keys.parts), keys, list, writes=False))
    return [value for name, value in zip(reply[::2], reply[1::2], strict=True) if name.startswith(b"message.")]


def test_cleared_and_deleted_parts_leave_nothing(cache: SessionCache) -> None:
    """Messages and IDs of parts that were cleared or deleted are removed, in more calls than one."""
    session = cache.create("s")
    part = session.part("p")
    for first in range(0, 2400, 1200):
        numbers = range(first, first + 1200)
        part.append(*[user(str(number)) for number in numbers], ids=[str(number) for number in numbers])
    assert part.clear() == 2400
    assert part.history() == []
    assert stored(cache, part) == []
    info = part.info()
    assert info is not None
    assert (info.count, info.bytes, info.last_seq) == (0, 0, 2400)
    assert part.append(user("next")).first_seq == 2401
    assert part.delete()
    assert not part.delete()
    assert part.info() is None
    assert stored(cache, part) == []
    assert part.append(user("again")).first_seq == 1
    assert session.parts().items[0].count == 1
    assert session.part("none").clear() == 0


def test_message_behind_a_clear_is_not_taken_for_a_cleared_one(cache: SessionCache) -> None:
    """A part that is being cleared takes the IDs of cleared messages again, and keeps them."""
    session = cache.create("s")
    part = session.part("p")
    for first in range(0, 2400, 1200):
        numbers = range(first, first + 1200)
        part.append(*[user(str(number)) for number in numbers], ids=[str(number) for number in numbers])
    keys, guard = session._keys, session._guard()
    cache._context.executor.run(parts.remove(keys, *guard, "p", "clear"))  # the process dies before the rest is removed
    assert part.append(user("again"), ids=["2000"]).left_out == 0
    assert part.put(user("put"), "2001") == 2402
    cache._context.executor.run(parts.remove(keys, *guard, "p", "rest"))
    found = part.get("2001")
    assert found is not None
    assert found.content == "put"
    assert [message.content for message in part.history()] == ["again", "put"]


def test_page_of_parts_with_a_name_that_is_the_prefix_goes_on(cache: SessionCache) -> None:
    """Pages of one part each list all parts with a prefix, also when the first name is the prefix."""
    session = cache.create("s")
    for name in ("a", "ab", "b"):
        session.part(name).append(user(name))
    found, cursor = [], None
    for _ in range(5):
        page = session.parts("a", limit=1, cursor=cursor)
        found += [one.name for one in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == ["a", "ab"]


def test_parts_are_listed_by_name_with_a_prefix(cache: SessionCache) -> None:
    """Pages list the parts in the order of their names."""
    session = cache.create("s")
    assert session.parts().items == []
    names = [f"a/{number:03}" for number in range(120)] + ["b", "ü", "a", "a/", "A"]
    for name in names:
        session.part(name).append(user(name))
    found, cursor = [], None
    while True:
        page = session.parts(limit=50, cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert [one.name for one in found] == sorted(names)
    assert all(one.count == 1 and one.bytes > 0 and one.last_seq == 1 for one in found)
    assert [one.name for one in session.parts("a/").items][:2] == ["a/", "a/000"]
    assert [one.name for one in session.parts("a/", cursor="a/118").items] == ["a/119"]
    assert [one.name for one in session.parts("b").items] == ["b"]
    assert session.parts("c").items == []


def test_parts_die_with_their_session(cache: SessionCache) -> None:
    """A session that has the ID of another one has none of its parts."""
    session = cache.create("s")
    session.part("p").append(user("a"), ids=["a"])
    session.delete()
    with pytest.raises(SessionNotFound):
        session.part("p").append(user("a"))
    with pytest.raises(SessionNotFound):
        session.part("p").history()
    again = cache.create("s")
    assert again.parts().items == []
    assert again.part("p").history() == []
    assert again.part("p").info() is None
    assert again.part("p").append(user("a"), ids=["a"]).first_seq == 1
    with pytest.raises(SessionReplaced):
        session.part("p").append(user("a"))


def test_parts_of_an_expired_session_stay_hidden(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that outlived their session are not those of the next session with the ID."""
    from redis_sessions._core.protocol.call import Call

    keys = cache.create("s")._keys
    cache.session("s").part("old").append(user("a"))
    cache._context.executor.run(Call(("DEL", keys.session, keys.messages), keys, int))
    session = cache.create("s")
    assert session.parts().items == []
    assert session.part("old").history() == []
    session.part("new").append(user("b"))
    assert [one.name for one in session.parts().items] == ["new"]


def test_part_obeys_lease_and_status(cache: SessionCache) -> None:
    """A lease of another worker and an end of the session refuse an append to a part."""
    session = cache.create("s")
    part = session.part("p")
    with session.lease() as lease:
        lease.session.part("p").append(user("a"))
        held = lease.session.part("p")
        with pytest.raises(SessionLocked):
            cache.session("s").part("p")._session._executor.run(
                parts.append(
                    session._keys, "", "", "p", [user("b")], session._counter, batch_id=None, ids=None,
                    bounds=cache._context.bounds,
                )
            )  # fmt: skip
    with pytest.raises(LeaseLost):
        held.append(user("c"))
    session.complete()
    with pytest.raises(SessionNotActive):
        part.append(user("d"))
    assert part.replace(1, user("redacted"))
    assert texts(part.history()) == ["redacted"]


def test_bounds_of_parts(url: str, namespace: str) -> None:
    """A part too many, a message too many and a byte too many are refused, and write nothing."""
    bounds = {"parts": 2, "part_messages": 5, "parts_bytes": 1000}
    with SessionCache.from_url(url, namespace=namespace, bounds=bounds, max_message_bytes=600) as cache:
        session = cache.create("s")
        session.part("a").append(user("1"), user("2"))
        session.part("b").append(user("3"))
        with pytest.raises(BoundExceeded, match="parts "):
            session.part("c").append(user("4"))
        with pytest.raises(BoundExceeded, match="part_messages"):
            session.part("a").append(user("4"), user("5"), user("6"))
        with pytest.raises(BoundExceeded, match="parts_bytes"):
            session.part("a").append(user("x" * 500), user("x" * 500))
        with pytest.raises(MessageTooLarge):
            session.part("a").append(user("x" * 700))
        assert session.part("a").delete()
        session.part("c").append(user("4"), user("5"), user("6"), user("7"))
        assert [one.name for one in session.parts().items] == ["b", "c"]


@pytest.mark.parametrize("name", ["", "x" * 513, "a\n", None, 5])
def test_bad_name_is_refused(name: object) -> None:
    """A part has a name of 1 to 512 printable characters."""
    with SessionCache.from_url("fake://") as cache:
        session = cache.create("s")
        with pytest.raises(InvalidInput, match="name"):
            session.part(name)  # type: ignore[arg-type]
        assert session.part("x" * 512).append(user("a"), ids=["x" * 128]).count == 1


def test_bad_ids_are_refused() -> None:
    """IDs are as many as messages, without white space, and none begins as those of the library do."""
    with SessionCache.from_url("fake://") as cache:
        part = cache.create("s").part("p")
        for ids in (["a", "b"], [], "a", ["~a"], [""], ["a b"], [5]):
            with pytest.raises(InvalidInput, match="ids"):
                part.append(user("a"), ids=ids)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="messages"):
            part.append()
        assert part.info() is None


def test_append_new_leaves_out_known_ids(cache: SessionCache) -> None:
    """Messages of a session are stored once for their IDs, whatever came since."""
    session = cache.create("s", max_messages=10)
    first = session.append_new(user("a"), user("b"), ids=["a", "b"])
    assert (first.first_seq, first.last_seq, first.left_out, first.rev) == (1, 2, 0, 1)
    for number in range(70):
        session.append(user(str(number)))
    found = session.append_new(user("b"), user("c"), user("c"), user("t"), ids=["b", "c", "c", None])
    assert (found.left_out, found.count) == (2, 10)
    assert texts(session.history(2)) == ["c", "t"]
    none = session.append_new(user("a"), ids=["a"])
    assert (none.first_seq, none.last_seq, none.left_out, none.rev) == (0, 0, 1, found.rev)
    again = session.append_new(user("x"), ids=[None], batch_id="job")
    assert session.append_new(user("x"), ids=[None], batch_id="job").first_seq == again.first_seq
    assert session.parts().items == []
    assert session.part("p").append(user("a"), ids=["a"]).left_out == 0


def test_parts_outlive_what_their_session_may_live(server: Server, namespace: str) -> None:
    """Parts live a month longer than their session, also after writes that are none of theirs."""
    with SessionCache.from_url(server.url, namespace=namespace, ttl=60) as cache:
        session = cache.create("a")
        session.part("p").append(user("a"))
        keys, client = (session._keys.parts, session._keys.part_names), server.client
        assert all(0 < client.pttl(key) - LEDGER_EXTRA_TTL_MS <= 60_000 for key in keys)
        session.patch(ttl="90d")
        await_true(lambda: all(client.pttl(key) > 90 * 24 * 3600 * 1000 for key in keys), seconds=10)
        session.patch(ttl=None)
        await_true(lambda: all(client.pttl(key) == -1 for key in keys), seconds=10)
    server.client.flushall()


def test_append_extends_the_life_of_its_session(cache: SessionCache) -> None:
    """An append to a part, and to that of a child, extends the lives of the session and of its ancestors."""
    root = cache.create("root", ttl=100)
    child = cache.session(root.spawn("worker", mode="session").session_key or "")
    for session in (root, child):
        cache._context.executor.run(Call(("PEXPIRE", session._keys.session, 5000), session._keys, int))
    child.part("p").append(user("a"))
    for session in (root, child):
        left = cache._context.executor.run(Call(("PTTL", session._keys.session), session._keys, int, writes=False))
        assert left > 90_000


def test_append_new_puts_the_inbox_of_a_dead_holder_first(cache: SessionCache) -> None:
    """Messages that a dead holder did not receive come before the new ones."""
    session = cache.create("s")
    lease = session.lease(ttl=0.3).acquire()
    stop_renewing(lease)
    elsewhere(lambda: cache.session("s").send(user("waits")))
    await_true(lambda: takes_appends(session), seconds=5)
    assert texts(session.history()) == ["waits", "new"]
    assert elsewhere(lambda: session.append_new(user("new"), ids=["a"])).left_out == 1


def takes_appends(session: Session) -> bool:
    """Append a message. Return whether no lease refused it."""
    try:
        elsewhere(lambda: session.append_new(user("new"), ids=["a"]))
    except SessionLocked:
        return False
    return True


def test_append_new_keeps_to_limits(cache: SessionCache) -> None:
    """A limit refuses the append, and ends the session with `end_session`. A refused ID stays new."""
    session = cache.create("s", max_entries=1)
    session.append_new(user("a"), ids=["a"])
    with pytest.raises(LimitExceeded):
        session.append_new(user("b"), ids=["b"])
    session.patch(max_entries=5)
    assert session.append_new(user("b"), ids=["b"]).left_out == 0
    ending = cache.create("t", max_entries=1, limit_action="end_session")
    ending.append_new(user("a"), ids=["a"])
    with pytest.raises(LimitExceeded):
        ending.append_new(user("b"), ids=["b"])
    assert ending.info().status == "completed"
