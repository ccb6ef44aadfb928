"""The inbox: messages that are sent while another worker holds the lease wait in order, and are received once."""

from __future__ import annotations

from functools import partial

import pytest

from redis_sessions import (
    InvalidInput,
    LimitExceeded,
    Message,
    MessageTooLarge,
    OperationConflict,
    SessionCache,
    SessionNotActive,
)
from redis_sessions._core.commands import inbox
from tests.leases.dead_holders import let_run_out, stop_renewing
from tests.support.lease_waiters import X, elsewhere


def texts(messages: list[Message]) -> list[str]:
    """Return the contents of messages."""
    return [str(message.content) for message in messages]


def test_sent_messages_wait_in_inbox_for_holder(cache: SessionCache) -> None:
    """A sent message waits until the holder receives the inbox, in order and with its batch ID."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        session.append({"role": "user", "content": "1"})
        results = [elsewhere(partial(other.send, f"s{n}", batch_id=f"b{n}")) for n in range(3)]
        assert [(result.seq, result.waiting) for result in results] == [(None, 1), (None, 2), (None, 3)]
        assert session.info().inbox_size == 3
        session.append({"role": "assistant", "content": "2"})
        received = lease.receive()
        assert texts(received) == ["s0", "s1", "s2"]
        assert [(message.seq, message.batch_id) for message in received] == [(3, "b0"), (4, "b1"), (5, "b2")]
        assert lease.receive() == []
        session.append({"role": "assistant", "content": "3"})
    assert texts(session.history()) == ["1", "2", "s0", "s1", "s2", "3"]
    info = session.info()
    assert (info.inbox_size, info.user_messages, info.last_seq) == (0, 4, 6)


def test_release_moves_inbox_into_transcript(cache: SessionCache) -> None:
    """A release moves the rest of the inbox into the transcript in the same step."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        for number in range(5):
            elsewhere(partial(other.send, str(number)))
        assert lease.release() == 5
    assert texts(session.history()) == list("01234")


def test_send_without_other_holder_is_an_append(cache: SessionCache) -> None:
    """A send appends a user message when no other worker holds the lease."""
    session, other = cache.create("a"), cache.session("a")
    assert session.send("1").seq == 1
    with session.lease(ttl=5):
        elsewhere(lambda: other.send("later"))
        assert session.send({"role": "assistant", "content": "2"}).seq == 2
    assert texts(session.history()) == ["1", "2", "later"]


def test_repeated_send_returns_first_result(cache: SessionCache) -> None:
    """A send with a known batch ID returns the first result, even when the message has left the inbox."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        first = elsewhere(lambda: other.send("x", batch_id="b"))
        again = elsewhere(lambda: other.send("x", batch_id="b"))
        assert (first.duplicate, again.duplicate, again.seq, again.waiting) == (False, True, None, 1)
        lease.receive()
        assert elsewhere(lambda: other.send("x", batch_id="b")).duplicate
    assert other.send("y", batch_id="c").seq == 2
    assert other.send("y", batch_id="c").duplicate
    assert texts(session.history()) == ["x", "y"]


def test_inbox_of_expired_lease_precedes_next_send(cache: SessionCache) -> None:
    """The inbox of an expired lease enters the transcript before the next sent message."""
    session, other = cache.create("a"), cache.session("a")
    lease = session.lease(ttl=60)
    elsewhere(lease.acquire)
    other.send("1")
    other.send("2")
    let_run_out(lease)
    assert other.send("3").seq == 3
    assert texts(session.history()) == ["1", "2", "3"]


def test_next_holder_receives_inbox_of_dead_holder(cache: SessionCache) -> None:
    """The next holder receives the inbox that a dead holder left, exactly once."""
    session, other = cache.create("a"), cache.session("a")
    lease = session.lease(ttl=0.5)
    elsewhere(lease.acquire)
    stop_renewing(lease)
    other.send("1")
    with session.lease(ttl=5) as lease:
        assert texts(lease.receive()) == ["1"]


def test_send_to_full_inbox_is_refused(cache: SessionCache) -> None:
    """A send to a full inbox raises LimitExceeded until the holder receives the inbox."""
    session, other = cache.create("a", max_inbox=2), cache.session("a")
    with session.lease(ttl=5) as lease:
        for _ in range(2):
            elsewhere(lambda: other.send("x"))
        with pytest.raises(LimitExceeded, match="inbox: 3, at most 2"):
            elsewhere(lambda: other.send("x"))
        lease.receive()
        elsewhere(lambda: other.send("x"))
    assert session.info().count == 3


def test_inbox_beyond_limit_stays_in_inbox(cache: SessionCache) -> None:
    """Messages that a limit refuses stay in the inbox, and the release succeeds without them."""
    session, other = cache.create("a", max_entries=2), cache.session("a")
    with session.lease(ttl=5) as lease:
        for _ in range(3):
            elsewhere(lambda: other.send("x"))
        with pytest.raises(LimitExceeded, match="entries"):
            lease.receive()
        assert session.info().inbox_size == 3
        assert lease.release() == 0
    assert (session.info().inbox_size, session.info().count, session.info().lease) == (3, 0, None)


def test_inbox_larger_than_cap_leaves_newest_messages(cache: SessionCache) -> None:
    """An inbox larger than the cap is received whole, and its newest messages are retained."""
    session, other = cache.create("a", max_messages=2), cache.session("a")
    with session.lease(ttl=5) as lease:
        for number in range(5):
            elsewhere(partial(other.send, str(number)))
        assert texts(lease.receive()) == list("01234")
    assert texts(session.history()) == ["3", "4"]
    assert session.info().dropped == 3


def test_invalid_send_is_refused(cache: SessionCache) -> None:
    """A send of a large or pinned message, or to a paused session, is refused and leaves the inbox empty."""
    session, other = cache.create("a", max_message_bytes=100), cache.session("a")
    with session.lease(ttl=5):
        with pytest.raises(MessageTooLarge):
            elsewhere(lambda: other.send("x" * 200))
        with pytest.raises(InvalidInput, match="pinned"):
            elsewhere(lambda: other.send(Message("user", "x", pinned=True)))
        session.pause()
        with pytest.raises(SessionNotActive):
            elsewhere(lambda: other.send("x"))
        session.resume()
    assert session.info().inbox_size == 0


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "time_out"])
def test_end_moves_inbox_into_transcript_first(cache: SessionCache, end: str) -> None:
    """An end moves the inbox into the transcript, and later sends are refused."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        elsewhere(lambda: other.send("x"))
        getattr(session, end)()
        with pytest.raises(SessionNotActive):
            lease.receive()
        with pytest.raises(SessionNotActive):
            elsewhere(lambda: other.send("y"))
    info = session.info()
    assert (info.inbox_size, info.count, info.user_messages) == (0, 1, 1)
    assert texts(session.history()) == ["x"]


def test_pause_leaves_inbox_to_holder(cache: SessionCache) -> None:
    """A pause leaves the inbox as it is, and the holder receives the messages after the resume."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        elsewhere(lambda: other.send("x"))
        session.pause()
        session.resume()
        assert texts(lease.receive()) == ["x"]


def test_append_after_expired_lease_follows_inbox(cache: SessionCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append after an expired lease lands behind its inbox, and a refused append leaves the inbox."""
    monkeypatch.setattr(cache._context.run_queues, "watch_inbox", lambda *_: None)  # else the sender brings it in
    session, other = cache.create("a", max_message_bytes=100), cache.session("a")
    lease = session.lease(ttl=60)
    elsewhere(lease.acquire)
    other.send("1")
    other.send("2")
    let_run_out(lease)
    with pytest.raises(MessageTooLarge):
        other.append({"role": "user", "content": "x" * 200})
    assert session.info().inbox_size == 2
    result = other.append({"role": "user", "content": "3"}, {"role": "user", "content": "4"}, batch_id="b")
    assert (result.first_seq, result.last_seq, result.count) == (3, 4, 4)
    assert other.append({"role": "user", "content": "3"}, {"role": "user", "content": "4"}, batch_id="b").first_seq == 3
    assert texts(session.history()) == list("1234")


def test_send_to_inbox_does_not_change_rev(cache: SessionCache) -> None:
    """A message in the inbox does not change the revision that the holder compares."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5):
        rev = session.append(X).rev
        elsewhere(lambda: other.send("x"))
        session.append(X, expected_rev=rev)


def test_repeated_drain_returns_no_other_messages(cache: SessionCache) -> None:
    """A repeated drain returns nothing when the cap dropped its messages, and never the holder's own messages."""
    session, other = cache.create("a", max_messages=2), cache.session("a")
    with session.lease(ttl=5) as lease:
        elsewhere(lambda: other.send("1"))
        call = inbox.drain(session._keys, "", lease._require().token)
        assert texts(cache._executor.run(call).messages) == ["1"]
        session.append(X, X, X)
        assert cache._executor.run(call).messages == []


def test_inbox_beyond_limit_does_not_block_appends(cache: SessionCache) -> None:
    """A limit that refuses the inbox of an expired lease is applied to each later append alone."""
    session, other = cache.create("a", max_entries=2), cache.session("a")
    lease = session.lease(ttl=60)
    elsewhere(lease.acquire)
    for _ in range(3):
        other.send("x")
    let_run_out(lease)
    assert [other.append(X).last_seq for _ in range(2)] == [1, 2]
    with pytest.raises(LimitExceeded):
        other.append(X)


def test_append_with_batch_id_of_waiting_send_is_refused(cache: SessionCache) -> None:
    """An append with the batch ID of a waiting message raises OperationConflict and writes nothing."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5):
        elsewhere(lambda: other.send("x", batch_id="job-1"))
        with pytest.raises(OperationConflict, match="was used for 'send' already"):
            session.append(X, batch_id="job-1")
    assert session.info().count == 1
