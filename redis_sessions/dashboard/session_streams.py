"""The stream of an open session page: facts after each read of the fleet, and messages as they are appended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from datetime import datetime
from typing import Any

from ..errors import SessionNotFound, SessionsError, StoreUnavailable
from ..models.events import SessionEvent
from ..models.messages import Message
from .board import Board, Query
from .session_page import FACTS, load_transcript, session_of
from .streams import BEAT, event
from .transcript import items_of

_log = logging.getLogger("redis_sessions.dashboard")
_GATHER = 0.2
"""Seconds for which messages are gathered, so that a fast session makes few events."""
_MAX_GATHERED = 50
_PROGRESS_SHOWN = 4000
_RESTART = 2.0
"""Seconds after which a watch that failed begins again."""


async def stream_session(board: Board, query: Query, root: str) -> AsyncIterator[str]:
    """Yield the facts of a session when they change, and its messages as they are appended."""
    events: asyncio.Queue[str] = asyncio.Queue(_MAX_GATHERED)
    producers = [_follow_facts(board, query, root, events)]
    if not query.get("before"):
        producers.append(_Follower(board, query, root, events).run())
    tasks = [asyncio.create_task(_produce(one, events)) for one in producers]
    try:
        async with board.poller.viewing():
            yield "retry: 2000\n\n"
            while not board.poller.is_closed:
                try:
                    text = await asyncio.wait_for(events.get(), BEAT)
                except TimeoutError:
                    text = event("beat", board.poller.tick)
                if not text:
                    return
                yield text
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _produce(producer: Coroutine[Any, Any, None], events: asyncio.Queue[str]) -> None:
    """Run a producer. An error that no one expected ends the stream, because a page with only the other part looks live."""
    try:
        await producer
    except Exception:
        _log.exception("the stream of a session page failed")
        await events.put("")


async def _follow_facts(board: Board, query: Query, root: str, events: asyncio.Queue[str]) -> None:
    """Put the facts of the session into the queue after each read of the fleet, if they changed."""
    sent: dict[str, str] = {}
    while not board.poller.is_closed:
        tick = board.poller.tick
        try:
            parts = await board.render_parts(FACTS, query, root)
        except SessionNotFound:
            await events.put(event("parts", {"facts": board.render_part("gone", {"root": root}), "progress": ""}))
            await events.put(event("end", "gone"))
            return
        except SessionsError:
            parts = board.render_store(root)
        changed = {name: str(html) for name, html in parts.items() if sent.get(name) != html}
        sent |= changed
        if changed:
            await events.put(event("parts", changed))
        await board.poller.changed(tick, BEAT)
    await events.put(event("beat", board.poller.tick))  # wakes the stream, so that it ends at once


class _Follower:
    """Follows the transcript of a session, and renders what is new."""

    def __init__(self, board: Board, query: Query, root: str, events: asyncio.Queue[str]) -> None:
        self._board = board
        self._query = query
        self._root = root
        self._events = events
        self._session = session_of(board, query)
        self._seq = 0
        self._cursor: str | None = None
        self._read_at: datetime | None = None
        self._is_stale = True
        self._pending: list[Message] = []
        self._progress = ""

    async def run(self) -> None:
        """Follow the session until it is gone. Begin again after an error of the store, and behind a damaged message."""
        while True:
            try:
                if not await self._follow():
                    return
            except StoreUnavailable:
                pass  # another part of the page says so
            except SessionsError:
                self._is_stale = True
            await asyncio.sleep(_RESTART)

    async def _follow(self) -> bool:
        """Follow the session until its watch ends. Return whether it still exists."""
        if self._is_stale:
            await self._show_all()
        where: dict[str, Any] = {"after_seq": self._seq} if self._cursor is None else {"cursor": self._cursor}
        watch = self._session.watch(heartbeat=_GATHER, **where)
        try:
            async for one in watch:
                if one.kind == "deleted":
                    return False
                await self._take(one)
                if self._is_stale:
                    return True
        except SessionNotFound:
            return False
        finally:
            await self._flush()
        return True

    async def _take(self, one: SessionEvent) -> None:
        if one.kind == "heartbeat":
            await self._flush()
            return
        if one.kind in ("edit", "gap", "regressed"):
            self._is_stale = one.at is None or self._read_at is None or one.at > self._read_at
        if one.kind == "message" and one.message is not None:
            self._pending.append(one.message)
            self._progress = ""
        if one.kind == "delta":
            before = "" if one.number == 1 else self._progress  # an answer that begins again, or is sent again
            self._progress = (before + _text_of_delta(one.data))[-_PROGRESS_SHOWN:]
            await self._events.put(
                event("parts", {"progress": self._board.render_part("progress", {"text": self._progress})})
            )
        if one.is_stored:
            self._cursor = one.cursor
        if len(self._pending) >= _MAX_GATHERED:
            await self._flush()

    async def _flush(self) -> None:
        """Put the messages that were gathered into the queue, as one event."""
        if not self._pending:
            return
        messages, self._pending = self._pending, []
        values = {
            "items": items_of(messages), "root": self._root, "session_id": self._session.id, "now": self._board.now(),
        }  # fmt: skip
        await self._events.put(event("parts", {"progress": ""}))
        await self._events.put(event("messages", self._board.render_part("messages", values)))

    async def _show_all(self) -> None:
        """Put the whole transcript, as far as the page shows it, into the queue."""
        info = await self._session.info()
        values = await load_transcript(self._board, self._query, None)
        self._seq = max([info.last_seq, *(one.seq for one in values["items"])])
        self._cursor, self._read_at, self._is_stale = None, info.read_at, False
        html = self._board.render_part("transcript", {**values, "root": self._root, "now": self._board.now()})
        await self._events.put(event("parts", {"transcript": html, "progress": ""}))


def _text_of_delta(data: Any) -> str:
    """Return the text of what a caller published while an answer is in progress. '' for other values."""
    if isinstance(data, str):
        return data
    found = (
        next((data[key] for key in ("text", "delta", "content") if key in data), "") if isinstance(data, dict) else ""
    )
    return found if isinstance(found, str) else ""
