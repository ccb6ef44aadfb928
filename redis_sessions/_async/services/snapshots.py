"""Read sessions with their state and messages, as of one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ..._core.commands import messages, shared, snapshots
from ..._core.commands.snapshots import SnapshotPage
from ..._core.protocol.call import Call
from ..._core.protocol.keys import SessionKeys
from ...errors import ConcurrentModification, SessionNotFound, SessionRegressed, SessionsError
from ...models.messages import Message
from ...models.snapshots import Snapshot
from .context import CacheContext

_MAX_ATTEMPTS = 5
"""The maximum number of times that a session is read because edits came between its pages."""


class SnapshotRequest(NamedTuple):
    """The part of a session that is read."""

    keys: SessionKeys
    incarnation: str = ""
    limit: int | None = None
    after: int = 0
    seen: int = 0
    """The highest seq that the server acknowledged to the handle. SessionRegressed when the server knows less."""


async def load_sessions(
    context: CacheContext, wanted: Sequence[SnapshotRequest], scopes: Sequence[str]
) -> list[Snapshot | SessionsError]:
    """Return the snapshots of sessions, with errors as values. One round trip for each page of a session.

    The first pages of all sessions, and the values of all scopes, are read in one round trip to each node.
    """
    reads = [shared.get_all(context.scopes.keys_of(scope), context.chain) for scope in dict.fromkeys(scopes)]
    calls: list[Call[Any]] = [_first_page(context, one) for one in wanted]
    results = await context.executor.run_many([*calls, *reads])
    firsts, values = results[: len(wanted)], results[len(wanted) :]
    waiting = [one for one, first in zip(wanted, firsts, strict=True) if getattr(first, "outbox", "")]
    for one in waiting:
        with suppress(SessionsError):  # the session can be read in any case
            await context.scopes.apply_waiting(one.keys, one.incarnation)
    if waiting and reads:
        values = await context.executor.run_many(reads)
    for value in values:
        if isinstance(value, SessionsError):
            raise value
    named: dict[str, Any] = dict(zip(dict.fromkeys(scopes), values, strict=True))
    found: list[Snapshot | SessionsError] = []
    for one, first in zip(wanted, firsts, strict=True):
        try:
            found.append(first if isinstance(first, SessionsError) else await _complete(context, one, first, named))
        except SessionsError as problem:
            found.append(problem.with_traceback(None))
    return found


async def load_session(context: CacheContext, wanted: SnapshotRequest, scopes: Sequence[str]) -> Snapshot:
    """Return the snapshot of one session."""
    (found,) = await load_sessions(context, [wanted], scopes)
    if isinstance(found, SessionsError):
        raise found
    return found


async def load_if_there(
    context: CacheContext, wanted: Sequence[SnapshotRequest], scopes: Sequence[str]
) -> list[Snapshot | None]:
    """Return the snapshots of sessions, None for a session that does not exist."""
    found: list[Snapshot | None] = []
    for one in await load_sessions(context, wanted, scopes):
        if isinstance(one, SessionNotFound):
            found.append(None)
        elif isinstance(one, SessionsError):
            raise one
        else:
            found.append(one)
    return found


def _size(wanted: SnapshotRequest, found: int) -> int:
    return messages.PAGE if wanted.limit is None else min(wanted.limit - found, messages.PAGE)


def _first_page(
    context: CacheContext, wanted: SnapshotRequest, after: int = 0, size: int | None = None
) -> Call[SnapshotPage]:
    return snapshots.load(
        wanted.keys, wanted.incarnation, limit=_size(wanted, 0) if size is None else size,
        after=max(wanted.after, after), extend=context.touch_on_read,
    )  # fmt: skip


async def _complete(
    context: CacheContext, wanted: SnapshotRequest, first: SnapshotPage, values: Mapping[str, Mapping[str, Any]]
) -> Snapshot:
    """Return the snapshot that begins with a page. Its pages are read again when edits came between them."""
    for attempt in range(_MAX_ATTEMPTS):
        if attempt:
            first = await context.executor.run(_first_page(context, wanted))
        if first.page.last_seq < wanted.seen:
            raise SessionRegressed(session_id=wanted.keys.id, known=first.page.last_seq, seen=wanted.seen)
        found = await _read_pages(context, wanted, first)
        if found is not None:
            newest, listed = found
            assert newest.info is not None
            return Snapshot(newest.info, newest.state, listed, values)
    raise ConcurrentModification(session_id=wanted.keys.id, tries=_MAX_ATTEMPTS)


async def _read_pages(
    context: CacheContext, wanted: SnapshotRequest, first: SnapshotPage
) -> tuple[SnapshotPage, list[Message]] | None:
    """Return the page with the fields, and all messages as of its moment. None when an edit came between the pages."""
    page, found = first, first.page.messages
    is_trimmed = False
    while page.page.below and (wanted.limit is None or len(found) < wanted.limit):
        page = await _older_page(context, wanted, page.page.below, _size(wanted, len(found)))
        if page.change != first.change:
            return None
        is_trimmed = is_trimmed or page.dropped != first.dropped
        found = page.page.messages + found
    return await _at_last_moment(context, wanted, first.change, found) if is_trimmed else (first, found)


async def _at_last_moment(
    context: CacheContext, wanted: SnapshotRequest, change: int, found: list[Message]
) -> tuple[SnapshotPage, list[Message]] | None:
    """Bring messages up to a later moment, because the cap dropped some between the pages."""
    last = await context.executor.run(
        _first_page(context, wanted, found[-1].seq if found else 0, messages.PAGE)
    )  # fmt: skip
    if last.change != change or last.page.below:
        return None
    head = last.page.head
    listed = [one for one in found if one.seq >= head] + last.page.messages
    if len(listed) != last.page.retained and any(one.seq < head for one in found):
        kept = await _older_page(context, wanted, head, messages.PAGE)
        if (kept.change, kept.dropped) != (last.change, last.dropped) or kept.page.below:
            return None
        listed = kept.page.messages + listed
    return last, listed if wanted.limit is None else listed[max(len(listed) - wanted.limit, 0) :]


async def _older_page(context: CacheContext, wanted: SnapshotRequest, below: int, size: int) -> SnapshotPage:
    call = snapshots.load(
        wanted.keys, wanted.incarnation, limit=size, after=wanted.after, below=below, with_fields=False
    )  # fmt: skip
    return await context.executor.run(call)
