"""Long inboxes: they enter the transcript in parts, in order and once, also when the client dies between two parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import pytest

from redis_sessions import LimitExceeded, Session, SessionCache, SessionEvent
from redis_sessions._core.commands import inbox, leases
from redis_sessions._core.protocol.call import Call
from redis_sessions._core.protocol.transport_errors import ConnectionLost
from redis_sessions._sync.transport import executor
from tests.leases.dead_holders import let_run_out
from tests.support.lease_waiters import X, elsewhere
from tests.support.servers import await_true
from tests.trees.children import spawn_child
from tests.worst_cases.test_parts import after_part

SIZE = 450_000
"""Characters of a message, three of which fill a part."""
COUNT = 4
"""Messages that fill an inbox and take two parts."""
LEFT = 1
"""Messages of the second part."""


class Died(BaseException):
    """The client is gone."""


@contextmanager
def dying_after_first_part(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the client die when a script asks for a repetition."""

    def die(*arguments: Any) -> bool:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(executor, "prepare_next_part", die)
        with pytest.raises(Died):
            yield


def fill(session: Session) -> None:
    """Send as many messages as fill the inbox, while another worker holds the lease."""
    for number in range(COUNT):
        elsewhere(partial(session.send, {"role": "user", "content": "x" * SIZE, "n": number}))
    assert session.info().inbox_size == COUNT


def numbers(messages: Any) -> list[Any]:
    """Return the number of each message, None for one that was not in the inbox."""
    return [(one.payload or {}).get("n") for one in messages]


def lock(session: Session) -> Any:
    """Let another thread hold the lease of a session, and fill the inbox. Return the lease."""
    lease = session.lease(ttl=30)
    elsewhere(lease.acquire)
    fill(session)
    return lease


def locked(cache: SessionCache, **options: Any) -> tuple[Session, Any]:
    """Return a session with a long inbox, and the lease that another thread holds."""
    session = cache.create(**options)
    return session, lock(session)


def test_receive_returns_all_parts_in_order(cache: SessionCache) -> None:
    """The holder gets all messages with one call, and the inbox is empty then."""
    session, lease = locked(cache)
    received = elsewhere(lease.receive)
    assert numbers(received) == [*range(COUNT)]
    assert [message.seq for message in received] == [*range(1, COUNT + 1)]
    assert session.info().inbox_size == 0
    assert elsewhere(lease.receive) == []


def test_repeated_part_is_the_same_part(cache: SessionCache) -> None:
    """A part whose reply was lost is returned again, and the next part has the rest."""
    session, lease = locked(cache)
    call = inbox.drain(session._keys, "", lease._held.token)
    first, again = (cache._executor.run(call) for _ in range(2))
    assert numbers(first.messages) == numbers(again.messages) == [*range(COUNT - LEFT)]
    assert first.has_more
    assert again.has_more
    rest = cache._executor.run(inbox.drain(session._keys, "", lease._held.token))
    assert (numbers(rest.messages), rest.has_more) == ([COUNT - 1], False)
    assert numbers(session.history()) == [*range(COUNT)]


def test_received_parts_are_returned_before_a_limit_refuses_the_next(cache: SessionCache) -> None:
    """A limit that refuses the second part leaves it in the inbox, and the first part is not lost for the holder."""
    session, lease = locked(cache, max_entries=COUNT - LEFT)
    assert numbers(elsewhere(lease.receive)) == [*range(COUNT - LEFT)]
    with pytest.raises(LimitExceeded):
        elsewhere(lease.receive)
    assert session.info().inbox_size == LEFT
    assert elsewhere(lease.release) == 0
    assert session.info().inbox_size == LEFT


def test_release_moves_all_parts_before_the_lease_is_free(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that dies between two parts of a release still holds the lease, and the release can be repeated."""
    session, lease = locked(cache)
    with dying_after_first_part(monkeypatch):
        elsewhere(lease.release)
    assert lease.info() is not None
    assert session.info().inbox_size == LEFT
    released = cache._executor.run(leases.release(session._keys, "", lease._held.token))
    assert released.taken == LEFT
    assert lease.info() is None
    assert numbers(session.history()) == [*range(COUNT)]


def test_release_counts_messages_of_all_parts(cache: SessionCache) -> None:
    """The result of a release is the number of messages that left the inbox."""
    session, lease = locked(cache)
    assert elsewhere(lease.release) == COUNT
    assert session.info().last_seq == COUNT


@pytest.mark.parametrize("write", ["append", "append_new", "send"])
def test_write_after_dead_holder_comes_behind_all_parts(cache: SessionCache, write: str) -> None:
    """The messages that a dead holder did not receive come first, and the write is made once."""
    session, lease = locked(cache)
    let_run_out(lease)
    if write == "append_new":
        session.append_new(X, ids=["own"])
        session.append_new(X, ids=["own"])
    else:
        first = getattr(session, write)(X, batch_id="own")
        again = getattr(session, write)(X, batch_id="own")
        assert (first.duplicate, again.duplicate) == (False, True)
    assert numbers(session.history()) == [*range(COUNT), None]
    assert session.info().inbox_size == 0


def test_writer_that_dies_between_parts_leaves_the_rest_in_order(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The messages of the inbox are neither lost nor doubled, and the write that was not made can be repeated."""
    session, lease = locked(cache)
    let_run_out(lease)
    with dying_after_first_part(monkeypatch):
        session.append(X, batch_id="own")
    assert numbers(session.history()) == [*range(COUNT - LEFT)]
    session.append(X, batch_id="own")
    assert numbers(session.history()) == [*range(COUNT), None]


ENDS: dict[str, Callable[[Session], Any]] = {
    "cancel": lambda session: session.cancel(),
    "time_out": lambda session: session.time_out(),
    "complete": lambda session: session.complete("r"),
}


@pytest.mark.parametrize("end", ENDS)
def test_end_moves_all_parts(cache: SessionCache, end: str) -> None:
    """The messages of the inbox are in the transcript of a session that has ended, and the revision is that of the end."""
    session, lease = locked(cache)
    if end == "complete":
        let_run_out(lease)
    rev = ENDS[end](session)
    info = session.info()
    assert (info.inbox_size, info.rev) == (0, rev)
    assert numbers(session.history()) == [*range(COUNT)]


def test_end_that_stops_between_parts_is_no_end_and_can_be_repeated(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session ends with the last part, so the end can be made again."""
    session, _ = locked(cache)
    with dying_after_first_part(monkeypatch):
        session.cancel()
    info = session.info()
    assert (info.status, info.inbox_size) == ("active", LEFT)
    session.cancel()
    info = session.info()
    assert (info.status, info.inbox_size) == ("cancelled", 0)
    assert numbers(session.history()) == [*range(COUNT)]


@pytest.mark.parametrize("end", ENDS)
def test_watcher_hears_of_the_end_behind_all_parts(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """A watcher that is as quick as the parts gets every message of the inbox, and then the end."""
    session, lease = locked(cache)
    if end == "complete":
        let_run_out(lease)
    heard: list[SessionEvent] = []
    watch = session.watch(after_seq=0, timeout=60)
    parts = after_part(monkeypatch, "sessions/set_status", lambda: heard.extend(islice(watch, COUNT - LEFT)))
    ENDS[end](session)
    assert len(parts) >= 2
    heard.extend(watch)
    assert numbers(event.message for event in heard if event.message) == [*range(COUNT)]
    assert [event.kind for event in heard][-1] == "status"
    assert watch.end_reason == "ended"


def test_cancelled_tree_moves_long_inboxes_of_members(cache: SessionCache) -> None:
    """Each cancelled member gets its whole inbox, and the tree forgets the cancellation at the end."""
    root = cache.create()
    children = [spawn_child(root) for _ in range(3)]
    for child in children[:2]:
        lock(child)
    root.cancel()
    for child in children:
        info = child.info()
        assert (info.status, info.inbox_size) == ("cancelled", 0)
    assert [numbers(child.history()) for child in children] == [[*range(COUNT)], [*range(COUNT)], []]
    assert {one.status for one in root.children()} == {"cancelled"}


def test_result_of_child_comes_behind_a_long_inbox(cache: SessionCache) -> None:
    """A result that meets a long inbox waits behind it, and enters the transcript once."""
    root = cache.create()
    child = spawn_child(root)
    lease = lock(root)
    let_run_out(lease)
    child.complete("done")
    await_true(lambda: root.info().inbox_size == 0)
    assert numbers(root.history()) == [*range(COUNT), None]
    assert root.history()[-1].content == "[a completed] done"


LOST: dict[str, Callable[[Session, Any], Any]] = {
    "inbox/drain": lambda session, lease: elsewhere(lease.receive),
    "leases/release": lambda session, lease: elsewhere(lease.release),
    "sessions/set_status": lambda session, lease: session.cancel(),
}


@pytest.mark.parametrize("script", LOST)
def test_lost_reply_of_a_part_moves_each_message_once(
    cache: SessionCache, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """The call goes on behind the part whose reply was lost."""
    session, lease = locked(cache)

    def lose() -> None:
        raise ConnectionLost("the reply is lost")

    parts = after_part(monkeypatch, script, lose)
    result = LOST[script](session, lease)
    assert len(parts) >= 2
    assert numbers(session.history()) == [*range(COUNT)]
    assert session.info().inbox_size == 0
    if script == "inbox/drain":
        assert numbers(result) == [*range(COUNT)]


@pytest.mark.parametrize("way", ["receive", "release"])
def test_results_of_children_enter_in_parts(cache: SessionCache, way: str) -> None:
    """An inbox of results alone takes parts, too, and the room of senders is theirs."""
    root = cache.create()
    children = [spawn_child(root) for _ in range(5)]
    lease = root.lease(ttl=30)
    elsewhere(lease.acquire)
    for child in children:
        child.complete("r" * 250_000)
    elsewhere(partial(root.send, {"role": "user", "content": "last", "n": 0}))
    assert root.info().inbox_size == 6
    moved = elsewhere(getattr(lease, way))
    assert (len(moved) if way == "receive" else moved) == 6
    listed = root.history()
    assert numbers(listed) == [*[None] * 5, 0]
    assert len({message.batch_id for message in listed}) == 6
    fields = root._executor.run(Call(("HKEYS", root._keys.session), root._keys, list, writes=False))
    assert not [name for name in fields if name.startswith(b"inbox")]
