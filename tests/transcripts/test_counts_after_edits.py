"""Counts of pinned messages, messages and turns after edits: they agree with the transcript, so an export can be imported."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import Session, SessionCache

Payload = dict[str, Any]


def user(text: str) -> Payload:
    """Return a user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Payload:
    """Return an assistant message."""
    return {"role": "assistant", "content": text}


def call(*ids: str) -> Payload:
    """Return an assistant message that makes tool calls."""
    calls = [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def check_import(cache: SessionCache, session: Session) -> None:
    """Check that an import takes the export of a session, and that nothing changes."""
    before = session.history(), session.context().payloads
    cache.import_sessions(list(session.export()), on_conflict="replace")
    assert (session.history(), session.context().payloads) == before


@pytest.mark.parametrize("abandoned", [["a"], ["a", "b"]])
def test_abandoned_calls_pin_no_further_messages(cache: SessionCache, abandoned: list[str]) -> None:
    """A group whose pin ended at half of the cap stays as it is when its calls are given up, and can be unpinned."""
    session = cache.create("a", max_messages=6)
    session.append(call("a", "b"))
    session.pin(1)
    for number in range(4):
        session.append(assistant(str(number)))
    pinned = [message.pinned for message in session.history()]
    assert pinned == [True, True, True, True, False]
    session.abandon_calls(abandoned)
    assert [message.pinned for message in session.history()] == pinned
    check_import(cache, cache.session("a"))


def test_fork_at_message_before_dropped_ones_counts_its_own_messages(cache: SessionCache) -> None:
    """A fork up to the task, which stays when the cap drops what follows, has one user message and an open turn."""
    session = cache.create(max_messages=4)
    session.append(user("task"), *[assistant(str(number)) for number in range(5)])
    fork = session.fork(up_to_seq=1)
    info = fork.info()
    assert (info.count, info.user_messages, info.assistant_messages, info.turns) == (1, 1, 0, 0)
    check_import(cache, cache.session(fork.id))
    fork.append(assistant("again"))
    assert fork.info().turns == 1


def test_replacement_behind_task_counts_no_dropped_messages(cache: SessionCache) -> None:
    """A replacement behind the task does not count messages that the cap dropped between the two."""
    session = cache.create(max_messages=4)
    session.append(user("task"), *[assistant(str(number)) for number in range(5)])
    session.replace(assistant("again"), after_seq=1)
    info = session.info()
    assert (info.count, info.user_messages, info.assistant_messages, info.turns) == (2, 1, 1, 1)
    check_import(cache, cache.session(session.id))
