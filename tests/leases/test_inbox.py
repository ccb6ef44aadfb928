"""The inbox: what is sent while another holds the lease waits its turn, in order, exactly once."""

from __future__ import annotations

import time
from functools import partial

import pytest

from redis_sessions import InvalidInput, LimitExceeded, Message, MessageTooLarge, SessionCache, SessionNotActive
from redis_sessions._core import messages
from tests.leases.line import X, elsewhere


def texts(messages: list[Message]) -> list[str]:
    return [str(message.content) for message in messages]


def test_what_is_sent_waits_for_the_holder(cache: SessionCache) -> None:
    """Never between its messages; received in order, where the holder wants it, with its ids kept."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        session.append({"role": "user", "content": "1"})
        results = [elsewhere(partial(other.send, f"s{n}", batch_id=f"b{n}")) for n in range(3)]
        assert [(result.seq, result.waiting) for result in results] == [(None, 1), (None, 2), (None, 3)]
        assert session.info().inbox == 3
        session.append({"role": "assistant", "content": "2"})
        received = lease.receive()
        assert texts(received) == ["s0", "s1", "s2"]
        assert [(message.seq, message.batch_id) for message in received] == [(3, "b0"), (4, "b1"), (5, "b2")]
        assert lease.receive() == []
        session.append({"role": "assistant", "content": "3"})
    assert texts(session.history()) == ["1", "2", "s0", "s1", "s2", "3"]
    info = session.info()
    assert (info.inbox, info.user_messages, info.last_seq) == (0, 4, 6)


def test_release_takes_the_rest_in(cache: SessionCache) -> None:
    """In the same step; the next holder finds it in the transcript."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        for number in range(5):
            elsewhere(partial(other.send, str(number)))
        assert lease.release() == 5
    assert texts(session.history()) == list("01234")


def test_without_a_lease_a_send_is_an_append(cache: SessionCache) -> None:
    """The holder's own too; a text becomes a user message."""
    session, other = cache.create("a"), cache.session("a")
    assert session.send("1").seq == 1
    with session.lease(ttl=5):
        elsewhere(lambda: other.send("later"))
        assert session.send({"role": "assistant", "content": "2"}).seq == 2
    assert texts(session.history()) == ["1", "2", "later"]


def test_a_send_is_made_once_for_a_batch_id(cache: SessionCache) -> None:
    """It answers what it answered then, also when the message has moved on into the transcript."""
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


def test_what_a_dead_holder_left_comes_before_what_is_sent_next(cache: SessionCache) -> None:
    """Order is kept when the lease ran out and nobody released it."""
    session, other = cache.create("a"), cache.session("a")
    lease = session.lease(ttl=0.1)
    elsewhere(lease.acquire)
    lease._stop_renewing()
    other.send("1")
    other.send("2")
    time.sleep(0.15)
    assert other.send("3").seq == 3
    assert texts(session.history()) == ["1", "2", "3"]


def test_the_next_holder_receives_what_is_left(cache: SessionCache) -> None:
    """Exactly once, whoever held it before."""
    session, other = cache.create("a"), cache.session("a")
    lease = session.lease(ttl=0.1)
    elsewhere(lease.acquire)
    lease._stop_renewing()
    other.send("1")
    with session.lease(ttl=5) as lease:
        assert texts(lease.receive()) == ["1"]


def test_the_inbox_is_bounded(cache: SessionCache) -> None:
    """`max_inbox`; the refusal says so, and goes when there is room."""
    session, other = cache.create("a", max_inbox=2), cache.session("a")
    with session.lease(ttl=5) as lease:
        for _ in range(2):
            elsewhere(lambda: other.send("x"))
        with pytest.raises(LimitExceeded, match="inbox: 3, at most 2"):
            elsewhere(lambda: other.send("x"))
        lease.receive()
        elsewhere(lambda: other.send("x"))
    assert session.info().count == 3


def test_limits_hold_for_what_is_received(cache: SessionCache) -> None:
    """What a limit refuses stays in the inbox; the release goes on without it."""
    session, other = cache.create("a", max_entries=2), cache.session("a")
    with session.lease(ttl=5) as lease:
        for _ in range(3):
            elsewhere(lambda: other.send("x"))
        with pytest.raises(LimitExceeded, match="entries"):
            lease.receive()
        assert session.info().inbox == 3
        assert lease.release() == 0
    assert (session.info().inbox, session.info().count, session.info().lease) == (3, 0, None)


def test_the_cap_holds_for_what_is_received(cache: SessionCache) -> None:
    """An inbox larger than the cap leaves the newest."""
    session, other = cache.create("a", max_messages=2), cache.session("a")
    with session.lease(ttl=5) as lease:
        for number in range(5):
            elsewhere(partial(other.send, str(number)))
        assert texts(lease.receive()) == list("01234")
    assert texts(session.history()) == ["3", "4"]
    assert session.info().dropped == 3


def test_bad_sends_are_refused(cache: SessionCache) -> None:
    """Too large, pinned, to a paused session: nothing waits."""
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
    assert session.info().inbox == 0


@pytest.mark.parametrize("end", ["complete", "fail", "cancel", "time_out"])
def test_an_end_takes_the_inbox_in_first(cache: SessionCache, end: str) -> None:
    """What was sent before is in the transcript; nothing can be sent after."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        elsewhere(lambda: other.send("x"))
        getattr(session, end)()
        with pytest.raises(SessionNotActive):
            lease.receive()
        with pytest.raises(SessionNotActive):
            elsewhere(lambda: other.send("y"))
    info = session.info()
    assert (info.inbox, info.count, info.user_messages) == (0, 1, 1)
    assert texts(session.history()) == ["x"]


def test_a_pause_leaves_the_inbox_to_the_holder(cache: SessionCache) -> None:
    """And so does what follows, until it is resumed."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5) as lease:
        elsewhere(lambda: other.send("x"))
        session.pause()
        session.resume()
        assert texts(lease.receive()) == ["x"]


def test_an_append_after_a_dead_holder_comes_behind_its_inbox(cache: SessionCache) -> None:
    """Its result says where it is itself; refused, it leaves the inbox as it was."""
    session, other = cache.create("a", max_message_bytes=100), cache.session("a")
    lease = session.lease(ttl=0.1)
    elsewhere(lease.acquire)
    lease._stop_renewing()
    other.send("1")
    other.send("2")
    time.sleep(0.15)
    with pytest.raises(MessageTooLarge):
        other.append({"role": "user", "content": "x" * 200})
    assert session.info().inbox == 2
    result = other.append({"role": "user", "content": "3"}, {"role": "user", "content": "4"}, batch_id="b")
    assert (result.first_seq, result.last_seq, result.count) == (3, 4, 4)
    assert other.append({"role": "user", "content": "3"}, {"role": "user", "content": "4"}, batch_id="b").first_seq == 3
    assert texts(session.history()) == list("1234")


def test_sends_leave_the_rev_to_the_holder(cache: SessionCache) -> None:
    """A message in the inbox changes nothing that the holder compares."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5):
        rev = session.append(X).rev
        elsewhere(lambda: other.send("x"))
        session.append(X, expected_rev=rev)


def test_a_repeated_receive_gives_nothing_else(cache: SessionCache) -> None:
    """When the cap dropped meanwhile what it took in, that is gone; never the holder's own messages."""
    session, other = cache.create("a", max_messages=2), cache.session("a")
    with session.lease(ttl=5) as lease:
        elsewhere(lambda: other.send("1"))
        call = messages.receive(session._keys, "", lease._token)
        assert texts(cache._calls.run(call)) == ["1"]
        session.append(X, X, X)
        assert cache._calls.run(call) == []


def test_a_limit_that_refuses_a_dead_holders_inbox_lets_others_write(cache: SessionCache) -> None:
    """It stays where it is; the append is held to the limit for itself."""
    session, other = cache.create("a", max_entries=2), cache.session("a")
    lease = session.lease(ttl=0.1)
    elsewhere(lease.acquire)
    lease._stop_renewing()
    for _ in range(3):
        other.send("x")
    time.sleep(0.15)
    assert [other.append(X).last_seq for _ in range(2)] == [1, 2]
    with pytest.raises(LimitExceeded):
        other.append(X)


def test_a_batch_id_that_was_sent_is_no_appends(cache: SessionCache) -> None:
    """Said plainly; nothing is written."""
    session, other = cache.create("a"), cache.session("a")
    with session.lease(ttl=5):
        elsewhere(lambda: other.send("x", batch_id="job-1"))
        with pytest.raises(InvalidInput, match="was used for a message that waits"):
            session.append(X, batch_id="job-1")
    assert session.info().count == 1
