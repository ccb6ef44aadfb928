"""Exports and imports of transcripts with gaps, kept messages, groups, open calls and summaries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from redis_sessions import Session, SessionCache
from tests.support.exports import X, stored_session

FUNCTION = {"name": "find", "arguments": "{}"}


def calls(*ids: str) -> dict[str, Any]:
    """Return an assistant message that makes calls with the given IDs."""
    made = [{"id": id, "type": "function", "function": FUNCTION} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(id: str) -> dict[str, Any]:
    """Return the result of a call."""
    return {"role": "tool", "tool_call_id": id, "content": f"result of {id}"}


def reply(text: str) -> dict[str, Any]:
    """Return an assistant message with a text."""
    return {"role": "assistant", "content": text}


def with_gaps(session: Session) -> None:
    """Leave gaps between and behind the messages."""
    for _ in range(3):
        session.append(X, reply("a"), X)
        session.pop()
        session.pop()


def with_kept_messages(session: Session) -> None:
    """Let the cap move a pinned group and the task to the hash."""
    session.append(X, calls("p1"), result("p1"), reply("done"))
    session.pin(2)
    session.append(X, *[reply(str(n)) for n in range(12)])


def with_open_calls(session: Session) -> None:
    """Leave two calls open, one of which has a result, and one abandoned call with a late result."""
    session.append(X, calls("old"))
    session.abandon_calls()
    session.append(result("old"), X, calls("c1", "c2", "c3"), result("c2"), X)


def with_summary(session: Session) -> None:
    """Compact the oldest messages, then let the cap move the summary to the hash."""
    session.append(X, calls("s1"), result("s1"), X, reply("b"))
    session.compact(3, "They looked.")
    session.append(*[reply(str(n)) for n in range(12)])


def with_bound_item(session: Session) -> None:
    """End with a reasoning item that binds the next item."""
    session.append(X, {"id": "rs_1", "type": "reasoning", "summary": []})


def with_everything(session: Session) -> None:
    """Have a pinned message, a summary, gaps and open calls in one transcript."""
    with_summary(session)
    session.pin(session.history()[-3].seq)
    with_gaps(session)
    with_open_calls(session)


SHAPES = [with_gaps, with_kept_messages, with_open_calls, with_summary, with_bound_item, with_everything]


WRITES: list[Callable[[Session], Any]] = [
    lambda session: session.append(result("c1"), result("c3"), result("s1")),
    lambda session: session.pop(),
    lambda session: session.append(X, calls("n1"), result("n1"), reply("n")),
    lambda session: session.abandon_calls(),
    lambda session: session.replace(reply("other"), after_seq=session.history()[-2].seq),
    lambda session: session.append(*[X] * 9),
]
"""Writes that go on with a transcript."""


def seen(session: Session) -> list[tuple[Any, ...]]:
    """Return what readers see of each message."""
    return [(m.id, m.type, m.facts, m.pinned, m.continues_group, m.tokens, m.payload) for m in session.history()]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_imported_transcript_goes_on_like_its_source(
    cache: SessionCache, other: SessionCache, client: Any, shape: Any
) -> None:
    """An imported transcript equals its source, and every later write has the same effect in both."""
    source = cache.create("root", max_messages=8)
    shape(source)
    lines = list(source.export())
    assert other.import_sessions(lines).imported == 1
    assert stored_session(client, other.namespace, "root") == stored_session(client, cache.namespace, "root")
    imported = other.open("root")
    for write in WRITES:
        write(source)
        write(imported)
        assert seen(imported) == seen(source)
        assert list(imported.context(10_000)) == list(source.context(10_000))
        one, two = source.info(), imported.info()
        assert (one.count, one.tokens, one.turns) == (two.count, two.tokens, two.turns)  # bytes depend on batch IDs


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_transcript_of_many_pages_is_exported_with_its_seqs(
    cache: SessionCache, other: SessionCache, monkeypatch: pytest.MonkeyPatch, shape: Any
) -> None:
    """An export in pages of one or two messages has all messages in order, over every gap."""
    from redis_sessions._core.transfer import import_staging

    source = cache.create("root", max_messages=8)
    shape(source)
    for page in (1, 2):
        monkeypatch.setattr(import_staging, "PAGE", page)
        other.import_sessions(source.export(), on_conflict="replace")
        assert seen(other.open("root")) == seen(source)


def test_format_and_reports_are_imported(cache: SessionCache, other: SessionCache) -> None:
    """An imported session knows its message format, and a child reports its end in the way that its spawn chose."""
    source = cache.create("root", format="anthropic")
    source.append({"role": "user", "content": [{"type": "text", "text": "go"}]})
    use = {"type": "tool_use", "id": "toolu_1", "name": "ask", "input": {}}
    source.append({"role": "assistant", "content": [use]})
    by = {"tool_call_id": "toolu_1", "tool_name": "ask"}
    child = source.spawn("a", task="find it", report="tool_result", spawned_by=by).raise_if_refused()
    assert child.session_key is not None
    other.import_sessions(source.export())
    for session in (source, other.open("root")):
        assert session.context(1000).format == "anthropic"
    for one in (cache, other):
        one.session(child.session_key).complete("found")
    kinds = [[(m.type, m.facts) for m in one.session("root").history()][-1] for one in (cache, other)]
    assert kinds[0] == kinds[1]
    assert kinds[0][0] == "tool_message"
    assert kinds[0][1][:1] == "-"


def test_import_of_vendor_messages_fills_an_empty_session(cache: SessionCache) -> None:
    """An import of messages takes leading system messages as the prompt, and keeps groups of calls."""
    session = cache.create("root")
    system = [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}]
    placed = session.import_messages([*system, X, calls("c1"), result("c1"), reply("done")], batch_id="import")
    assert (placed.first_seq, placed.last_seq) == (1, 4)
    assert session.import_messages([X], batch_id="import").last_seq == 4
    assert session.info().system_prompt == "Be brief.\n\nBe kind."
    assert session.context(1000).format == "openai_chat"
    assert [message.continues_group for message in session.history()] == [False, False, True, False]
