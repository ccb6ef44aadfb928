"""Sessions as lists show them: metadata, inbox, last message."""

from __future__ import annotations

from typing import Any

from redis_sessions import SessionCache, SessionSummary
from tests.support.lease_waiters import elsewhere


def summary_of(cache: SessionCache, id: str) -> SessionSummary:
    """Return the entry of a session in the list of all sessions."""
    return next(found for found in cache.list().items if found.id == id)


def test_summary_of_empty_session_has_no_last_message(cache: SessionCache) -> None:
    """The summary of a session without messages has no last message, no metadata and an empty inbox."""
    cache.create("a")
    summary = summary_of(cache, "a")
    assert (summary.last_message, summary.metadata, summary.inbox_size) == (None, {}, 0)


def test_summary_has_last_message(cache: SessionCache) -> None:
    """The summary of a session has seq, time, role and text of its last message."""
    session = cache.create("a")
    session.append({"role": "user", "content": "question"}, {"role": "assistant", "content": "answer ✓"})
    last = summary_of(cache, "a").last_message
    assert last is not None
    assert (last.seq, last.role, last.text) == (2, "assistant", "answer ✓")
    assert last.at == session.history()[-1].timestamp
    session.append({"role": "user", "content": [{"type": "text", "text": "part"}]})
    last = summary_of(cache, "a").last_message
    assert last is not None
    assert (last.seq, last.role, last.text) == (3, "user", session.history()[-1].text)


def test_last_message_over_4_kib_is_shown_by_its_time(cache: SessionCache) -> None:
    """The summary has only seq and time of a last message that is larger than 4 KiB as stored."""
    session = cache.create("a")
    session.append({"role": "user", "content": "x" * 3900})
    last = summary_of(cache, "a").last_message
    assert last is not None
    assert (last.role, last.text) == ("user", "x" * 3900)
    session.append({"role": "user", "content": "x" * 4096})
    last = summary_of(cache, "a").last_message
    assert last is not None
    assert (last.seq, last.role, last.text) == (2, None, None)
    assert last.at == session.history()[-1].timestamp


def test_summary_after_clear_has_no_last_message(cache: SessionCache) -> None:
    """A clear removes the last message from the summary."""
    session = cache.create("a")
    session.append({"role": "user", "content": "x"})
    session.clear()
    summary = summary_of(cache, "a")
    assert (summary.last_message, summary.last_seq, summary.count) == (None, 1, 0)


def test_summary_has_metadata(cache: SessionCache) -> None:
    """The summary of a session has its metadata of any JSON, also after a patch."""
    metadata: dict[str, Any] = {"active_seed_id": "s1", "deep": {"a": [1, None]}, "project_id": 5}
    session = cache.create("a", metadata=metadata)
    cache.create("b")
    summary = summary_of(cache, "a")
    assert summary.metadata == metadata
    assert (summary.active_seed_id, summary.active_persona_id, summary.project_id) == ("s1", None, None)
    session.patch(metadata={"more": True}, remove_metadata=["deep", "project_id"])
    assert summary_of(cache, "a").metadata == {"active_seed_id": "s1", "more": True}
    cache.session("b").patch(metadata={"late": 1})
    assert summary_of(cache, "b").metadata == {"late": 1}


def test_summary_has_inbox_size_and_holder(cache: SessionCache) -> None:
    """The summary of a session has the size of its inbox and the name of its holder, until the release."""
    session = cache.create("a")
    with session.lease(ttl=5, owner="worker-7"):
        for number in range(3):
            elsewhere(lambda number=number: cache.session("a").send(str(number)))  # type: ignore[misc]
        summary = summary_of(cache, "a")
        assert (summary.inbox_size, summary.holder, summary.last_message) == (3, "worker-7", None)
    summary = summary_of(cache, "a")
    assert (summary.inbox_size, summary.holder, summary.count) == (0, None, 3)
    assert summary.last_message is not None
    assert summary.last_message.text == "2"
