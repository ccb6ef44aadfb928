# Generated from _async/services/history.py by tools/mirror.py; edit that file.
"""Read a session's messages page by page."""

from __future__ import annotations

from ..._core.commands import messages
from ..._core.protocol.call import Call
from ..._core.protocol.keys import SessionKeys
from ...errors import SessionRegressed
from ...models.messages import Message
from ..transport.executor import Executor


def read_page(
    executor: Executor,
    keys: SessionKeys,
    incarnation: str,
    *,
    limit: int,
    after: int = 0,
    below: int = 0,
    kinds: str = "",
    budget: int | str = "",
    extend: bool = False,
    seen: int = 0,
) -> messages.Page:
    """Return one page of the newest messages of a range, oldest first. One round trip.

    Args:
        limit: messages of the page, or -1 for no bound.
        after: only messages with a seq above it.
        below: only messages with a seq below it, or 0.
        kinds: kind letters to select, or '' for all kinds.
        budget: tokens of the page. 'own' for the session's `max_tokens`, '' for no bound.
        extend: extend the session's idle life.
        seen: the highest seq that this handle was told. SessionRegressed when the server knows less.
    """
    call: Call[messages.Page]
    if kinds:
        call = messages.read_filtered(
            keys, incarnation, kinds=kinds, limit=limit, after=after, below=below, budget=budget
        )
    else:
        call = messages.read(keys, incarnation, limit=limit, after=after, below=below, extend=extend)
    page = executor.run(call)
    if page.last_seq < seen:
        raise SessionRegressed(session_id=keys.id, known=page.last_seq, seen=seen)
    return page


def read_history(
    executor: Executor,
    keys: SessionKeys,
    incarnation: str,
    limit: int | None = None,
    *,
    after: int = 0,
    below: int = 0,
    kinds: str = "",
    extend: bool = False,
    seen: int = 0,
) -> list[Message]:
    """Return the newest `limit` messages of a range, oldest first. One round trip for each 1,000 messages."""
    found: list[Message] = []
    if limit == 0 or below == 1:
        return found
    while True:
        size = messages.PAGE if limit is None else min(limit - len(found), messages.PAGE)
        page = read_page(
            executor, keys, incarnation, limit=size, after=after, below=below, kinds=kinds, extend=extend, seen=seen
        )
        found = page.messages + found
        if not page.below or len(found) == limit:
            return found
        below = page.below
