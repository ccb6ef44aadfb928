"""Pops of a newest message that the caller knows."""

from __future__ import annotations

import pytest

from redis_sessions import InvalidInput, Message, SessionCache

A, B, C = ({"role": "user", "content": text} for text in "abc")


def test_newest_message_that_is_known_is_popped(cache: SessionCache) -> None:
    """The newest message is removed as it was read, and a repeated pop with the batch ID returns the message again."""
    session = cache.create("a")
    session.append(A, B)
    newest = session.history()[-1]
    assert session.pop(newest=newest, batch_id="p") == [newest]
    assert session.pop(newest=newest, batch_id="p") == [newest]
    assert [one.payload for one in session.history()] == [A]


def test_newest_message_that_was_appended_is_popped(cache: SessionCache) -> None:
    """A message that the caller appended is known by the seq and the batch ID of the result."""
    session = cache.create("a")
    result = session.append(A)
    known = Message(payload=A)
    known.seq, known.batch_id = result.last_seq, result.batch_id
    assert [one.payload for one in cache.session("a").pop(newest=known)] == [A]
    assert session.history() == []


def test_another_newest_message_is_popped_instead(cache: SessionCache) -> None:
    """A message that is not the newest one any more stays, and the newest one is removed."""
    session = cache.create("a")
    session.append(A)
    known = session.history()[-1]
    session.append(B)
    assert [one.payload for one in session.pop(newest=known)] == [B]
    session.clear()
    assert session.pop(newest=known) == []


def test_message_of_another_incarnation_is_not_popped(cache: SessionCache) -> None:
    """A message with the seq of a known one, in a session that was created again, is popped as itself."""
    cache.create("a").append(A)
    known = cache.session("a").history()[-1]
    cache.delete("a")
    cache.create("a").append(C)
    assert [one.payload for one in cache.session("a").pop(newest=known)] == [C]


def test_group_with_a_known_newest_is_refused(cache: SessionCache) -> None:
    """A group is read first, so that `newest` makes no sense with it."""
    session = cache.create("a")
    session.append(A)
    with pytest.raises(InvalidInput, match="newest"):
        session.pop(group=True, newest=session.history()[-1])
