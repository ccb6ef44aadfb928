# Generated from _async/services/history.py by tools/mirror.py; edit that file.
"""Read a session's messages page by page."""

from __future__ import annotations

from ..._core.commands import messages, turn_places
from ..._core.commands.window_blocks import AbandonedCalls, Arrangement, SystemMessages
from ..._core.commands.windows import Selection, Start, without_tools
from ..._core.protocol.call import Call
from ..._core.protocol.codec import counted
from ..._core.protocol.keys import SessionKeys
from ...errors import ConcurrentModification, SessionRegressed
from ...models.formats import MessageFormat, format_named, recognise
from ...models.messages import Message
from ...models.turns import Turn
from ...models.windows import Window
from ...settings import TokenCounter
from ..transport.executor import Executor

_MAX_ATTEMPTS = 5
"""The maximum number of times that a history is read because edits came between its pages."""
_MAX_WINDOW_PAGES = 256


def read_page(
    executor: Executor,
    keys: SessionKeys,
    incarnation: str,
    *,
    limit: int,
    after: int = 0,
    below: int = 0,
    kinds: str = "",
    extend: bool = False,
    seen: int = 0,
    skip_damaged: bool = False,
) -> messages.Page:
    """Return one page of the newest messages of a range, oldest first. One round trip.

    Args:
        limit: messages of the page, 0 or more.
        after: only messages with a seq above it.
        below: only messages with a seq below it, or 0.
        kinds: kind letters to select, or '' for all kinds.
        extend: extend the session's idle life.
        seen: the highest seq that the server acknowledged to this handle. SessionRegressed when the server knows less.
        skip_damaged: leave out damaged messages. Else they raise InvalidState.
    """
    call: Call[messages.Page]
    if kinds:
        call = messages.read_filtered(
            keys, incarnation, kinds=kinds, limit=limit, after=after, below=below, skip_damaged=skip_damaged
        )
    else:
        call = messages.read(
            keys, incarnation, limit=limit, after=after, below=below, extend=extend, skip_damaged=skip_damaged
        )
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
    extend: bool = False,
    seen: int = 0,
    skip_damaged: bool = False,
) -> list[Message]:
    """Return the newest `limit` messages of a range, oldest first. One round trip for each 1,000 messages.

    A whole history, without a limit, a range or `skip_damaged`, is of one moment. Raises ConcurrentModification when messages
    were edited between its pages in each of 5 attempts.
    """
    if limit == 0 or below == 1:
        return []
    is_part = limit is not None or after > 0 or below > 0 or skip_damaged
    for _ in range(_MAX_ATTEMPTS):
        found: list[Message] = []
        upper, pages = below, 0
        while True:
            size = messages.PAGE if limit is None else min(limit - len(found), messages.PAGE)
            page = read_page(
                executor, keys, incarnation, limit=size, after=after, below=upper, extend=extend, seen=seen,
                skip_damaged=skip_damaged,
            )  # fmt: skip
            found, pages = page.messages + found, pages + 1
            if not page.below or len(found) == limit:
                break
            upper = page.below
        if pages == 1 or is_part:
            return found
        whole = _as_of_one_moment(executor, keys, incarnation, found, page)
        if whole is not None:
            return whole
    raise ConcurrentModification(session_id=keys.id, tries=_MAX_ATTEMPTS)


def _as_of_one_moment(
    executor: Executor, keys: SessionKeys, incarnation: str, found: list[Message], page: messages.Page
) -> list[Message] | None:
    """Bring a whole history that was read in several pages up to the moment of the last page.

    Return None when messages were edited in between, so that it must be read again.
    """
    while page.last_seq > found[-1].seq:
        newer = read_page(executor, keys, incarnation, limit=messages.PAGE, after=found[-1].seq)
        if newer.below:
            newer = newer._replace(messages=read_history(executor, keys, incarnation, after=found[-1].seq))
        found, page = found + newer.messages, newer
        if not newer.messages:
            break
    if len(found) != page.retained:  # the cap dropped messages between the pages
        older = read_page(executor, keys, incarnation, limit=messages.PAGE, below=page.head)
        found = older.messages + [message for message in found if message.seq >= page.head]
    return found if len(found) == page.retained else None


def read_text_history(
    executor: Executor,
    keys: SessionKeys,
    incarnation: str,
    limit: int | None,
    *,
    kinds: str,
    after: int,
    below: int,
    include_tools: bool,
    seen: int,
    skip_damaged: bool,
) -> list[Message]:
    """Return the newest messages of some kinds, oldest first. Without tools, messages that have nothing else do not count."""
    found: list[Message] = []
    while limit is None or len(found) < limit:
        size = messages.PAGE if limit is None else limit - len(found)
        page = read_page(
            executor,
            keys,
            incarnation,
            limit=size,
            after=after,
            below=below,
            kinds=kinds,
            seen=seen,
            skip_damaged=skip_damaged,
        )
        kept = page.messages if include_tools else [without_tools(one) for one in page.messages]
        found = [one for one in kept if one is not None] + found
        if not page.below:
            break
        below = page.below
    return found


def read_turn(executor: Executor, keys: SessionKeys, incarnation: str, number: int) -> Turn | None:
    """Return one turn by its number, 0 for the last. One round trip, more for a turn far back, or of more than 1 MB."""
    place = executor.run(turn_places.find_turn(keys, incarnation, number))
    while place.number == -1:
        place = executor.run(turn_places.find_turn(keys, incarnation, number, place))
    if not place.number:
        return None
    listed = [*place.messages]
    if not listed:
        listed = read_history(executor, keys, incarnation, after=place.first - 1, below=place.behind)
        listed = [one for one in listed if one.seq >= place.first]
    return Turn(place.number, listed)


def read_window(
    executor: Executor,
    keys: SessionKeys,
    incarnation: str,
    *,
    max_tokens: int | None,
    counter: TokenCounter | None,
    start: Start | None,
    system: SystemMessages,
    abandoned: AbandonedCalls,
    format: str | None,
    seen: int,
) -> Window:
    """Return the window for a model call. One round trip, and more while a needed call lies further back."""

    def tokens_of(message: Message) -> int:
        return message.tokens or 0 if counter is None else counted(counter, message.payload)

    newest_first: list[Message] = []
    below = 0
    user_message: Message | None = None
    for _ in range(_MAX_WINDOW_PAGES):
        budget = max_tokens if counter is None else 2**53
        page = executor.run(messages.read_window(keys, incarnation, budget=budget, below=below, format=format))
        if below == 0:
            first, user_message = page, page.user_message
            if page.last_seq < seen:
                raise SessionRegressed(session_id=keys.id, known=page.last_seq, seen=seen)
        newest_first += page.newest_first
        limit = first.max_tokens if max_tokens is None else max_tokens
        selection = Selection(
            Arrangement(reversed(newest_first), system=system, abandoned=abandoned),
            limit,
            _prompt_tokens(first, counter),
            tokens_of,
        )
        chosen = first.format or _format_of(newest_first)
        begins_with_user = (start or ("user" if chosen.starts_with_user else "any")) == "user"
        older = [*newest_first, *([user_message] if user_message is not None else [])]
        oldest = newest_first[-1] if newest_first else None
        if not page.below or selection.is_complete(oldest, older if begins_with_user else None):
            break
        below = page.below
    selection.truncated = selection.truncated or bool(page.below)
    if begins_with_user:
        selection.begin_with_user(older)
    return selection.window(chosen, first.system_prompt)


def _prompt_tokens(page: messages.WindowPage, counter: TokenCounter | None) -> int:
    if page.system_prompt is None or counter is None:
        return page.prompt_tokens
    return counted(counter, {"role": "system", "content": page.system_prompt})


def _format_of(newest_first: list[Message]) -> MessageFormat:
    """Return the format of the newest message with a format of its own."""
    for message in newest_first:
        format, _ = recognise(message.payload)
        if format is not None:
            return format
    return format_named("plain")
