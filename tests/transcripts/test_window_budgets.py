"""The facts of windows whose budget nothing fits, or everything."""

from __future__ import annotations

from typing import Any

import pytest

from redis_sessions import Message, SessionCache


def user(text: str) -> dict[str, Any]:
    """Return a user message."""
    return {"role": "user", "content": text}


@pytest.mark.parametrize("is_cleared", [False, True])
def test_prompt_above_the_budget_alone_is_the_window(cache: SessionCache, is_cleared: bool) -> None:
    """A session without messages has a window with its prompt, also when the prompt exceeds the budget."""
    session = cache.create(system_prompt="Be brief. " * 4000)
    if is_cleared:
        session.append(user("a"))
        session.clear()
    window = session.context()
    assert [message.role for message in window] == ["system"]
    assert (window.truncated, window.over_budget, window.tokens > 8192) == (False, True, True)


def test_window_with_all_messages_is_not_truncated(cache: SessionCache) -> None:
    """A window that exceeds its budget and has all messages is over budget, and nothing was left out."""
    session = cache.create(max_messages=2)
    session.append(user("Where is my bag? " * 9))
    window = session.context(3)
    assert (len(window), window.truncated, window.over_budget) == (1, False, True)
    session.append(user("b"))
    window = session.context(1)
    assert (len(window), window.truncated, window.over_budget) == (1, True, False)
    session.pin(1)
    session.append(user("c"))  # now the hash has the oldest message
    assert [message.seq for message in session.history()] == [1, 3]
    assert [session.context(budget).truncated for budget in (0, 1, 100)] == [True, True, False]
    session.pop()
    assert not session.context(1).truncated
    session.append(Message("user", "d", tokens=100))
    assert session.context(1).truncated
