"""Server-sent events: the events of a watch as `text/event-stream`, for any ASGI server and framework. For asyncio.

`stream_session` and `stream_sessions` return an `EventStream`, an asynchronous iterator of bytes. `EventStreamResponse` is an
ASGI application for one request: it reads `Last-Event-ID`, answers bad requests, and ends when the client disconnects.

A stream sends, for each event of the watch, `id` (from which a client that reconnects goes on), `event` (the kind), and `data`
(`event.to_dict()` as JSON). A heartbeat is a comment. The last event is `end`, with the reason.
"""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import aclosing
from typing import Any, Literal, TypeAlias

from ._async.api.cache import AsyncSessionCache
from ._async.api.session import AsyncSession
from ._async.services.watch import AsyncWatch
from ._core.commands.watch_pace import Stoppable
from ._core.commands.watch_progress import parse_cursor, parse_positions
from ._durations import Duration, milliseconds
from .errors import (
    InvalidInput,
    SessionNotFound,
    SessionRegressed,
    SessionReplaced,
    SessionsError,
    StoreUnavailable,
)
from .models.events import SessionEvent, WatchEnd

StreamEnd: TypeAlias = WatchEnd | Literal["regressed", "unavailable", "failed"]
"""The reason of an `end` event: why the watch ended, or the error that ended it.

- regressed: a failover lost messages that were sent. The client goes on from what is left when it reconnects.
- unavailable: the server did not answer for `retry_for`. The client goes on when it reconnects.
- failed: another error, which is logged, such as a message that cannot be decoded. A client that reconnects goes on behind the
  last event, so the stream ends in the same way until the cause is gone.
"""
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

STREAM_HEADERS: Mapping[str, str] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}
"""The headers of a response that sends an `EventStream`. The last one keeps nginx from collecting events."""
FINISHED = "end"
"""The ID of an `end` event behind which nothing can come. A request with it as `Last-Event-ID` has nothing to wait for."""
_OPTIONS = frozenset(["timeout", "heartbeat", "stop", "retry", "after_seq", "watch"])
"""Arguments that the application gives, and not the client."""
_MAX_ID_BYTES = 4096
_MAX_POSITIONS = 50
"""Sessions that the ID of an event of many sessions names: those with the newest events."""
_log = logging.getLogger("redis_sessions")


class EventStream:
    """The events of a watch as bytes of `text/event-stream`, for the body of a streaming response.

    A stream that is dropped, or whose task is cancelled, ends its watch.
    """

    def __init__(self, blocks: AsyncGenerator[bytes, None], check: Callable[[], Awaitable[object]]) -> None:
        self._blocks = blocks
        self._check = check

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._blocks)

    async def check(self) -> None:
        """Raise SessionNotFound or SessionReplaced if there is nothing to watch, so that a response can say so.

        Cost: one round trip, none for the sessions of a user or an agent.
        """
        await self._check()

    async def aclose(self) -> None:
        """End the stream and its watch now."""
        await self._blocks.aclose()


def stream_session(
    session: AsyncSession,
    last_event_id: str | None = None,
    *,
    after_seq: int | None = 0,
    timeout: Duration | None = None,
    heartbeat: Duration | None = "15s",
    stop: Stoppable | None = None,
    retry: Duration = "2s",
) -> EventStream:
    """Return the events of a session as a stream. Nothing is sent to the server before the first block is read.

    Args:
        session: the session.
        last_event_id: the `Last-Event-ID` of a client that reconnects. The stream goes on behind that event.
        after_seq: where the stream begins without `last_event_id`, as in `session.watch`.
        timeout: end the stream when nothing happens for this time.
        heartbeat: send a comment after each such time in which nothing happened, 0.1 s to a day, so that proxies keep the
            connection and a client that is gone is noticed. None for no comments.
        stop: end the stream within 0.25 s after this event is set, for example when the process shuts down.
        retry: how long a browser waits before it reconnects.

    Raises:
        InvalidInput: an argument is not valid, such as a `last_event_id` that was cut.
    """
    retry_ms = milliseconds(retry, "retry")
    begin: dict[str, Any] = {"after_seq": after_seq}
    if last_event_id is not None:
        parse_cursor(last_event_id, "last_event_id")
        begin = {"cursor": last_event_id}
    watch = session.watch(**begin, timeout=timeout, heartbeat=heartbeat, stop=stop)

    async def opened() -> AsyncWatch:
        return watch

    return EventStream(_blocks(opened, lambda event: event.cursor, retry_ms), session.info)


def stream_sessions(
    cache: AsyncSessionCache,
    last_event_id: str | None = None,
    *,
    user_id: str | None = None,
    agent_id: str | None = None,
    tree: str | None = None,
    timeout: Duration | None = None,
    heartbeat: Duration | None = "15s",
    stop: Stoppable | None = None,
    retry: Duration = "2s",
) -> EventStream:
    """Return the events of all sessions of a user, an agent or a tree as a stream, as `cache.watch` has them.

    The ID of an event names the places of the 50 sessions with the newest events. A client that reconnects goes on there, and
    in other sessions with what comes from then on. A place in a session that does not belong to the user, the agent or the tree
    is passed over.

    Args:
        user_id, agent_id, tree: exactly one of them, as in `cache.watch`.
        last_event_id, timeout, heartbeat, stop, retry: as in `stream_session`.

    Raises:
        InvalidInput: an argument is not valid.
    """
    retry_ms = milliseconds(retry, "retry")
    positions = {} if last_event_id is None else _parse_positions(last_event_id)
    which = {"user_id": user_id, "agent_id": agent_id, "tree": tree}
    options: dict[str, Any] = {"timeout": timeout, "heartbeat": heartbeat, "stop": stop, **which}
    cache.watch(**options)  # refuses what is not valid, and sends nothing

    async def opened() -> AsyncWatch:
        members = await _members(cache, list(positions), which)
        return cache.watch(**options, after={id: positions[id] for id in members})

    async def check() -> None:
        if tree is not None:
            await cache.session(tree).info()

    def event_id(event: SessionEvent) -> str:
        positions.pop(event.session_id, None)
        if event.kind != "deleted":
            positions[event.session_id] = event.cursor
        return _format_positions(positions)

    return EventStream(_blocks(opened, event_id, retry_ms), check)


class EventStreamResponse:
    """An ASGI application that answers one request with a stream. An endpoint of Starlette can return it as its response.

    - 200 with the stream. It ends when the client disconnects, and then leaves nothing behind.
    - 204 when the client has got all: a browser then stops to reconnect.
    - 400 for a `Last-Event-ID` or an ID that is not valid, 404 for a session that does not exist, 503 when the server does not
      answer, each with one line of text.
    """

    def __init__(self, open: Callable[[str | None], EventStream]) -> None:
        """Keep how to open the stream.

        Args:
            open: called with the `Last-Event-ID` of the request, or None. Returns the stream. Its InvalidInput for an option of
                the stream, such as `heartbeat`, is raised, because it is not the client's.
        """
        self._open = open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise InvalidInput(name="scope", detail=f"must be that of an http request, got {scope['type']!r}")
        last_event_id = _header(scope, b"last-event-id")
        if last_event_id == FINISHED:
            await _answer(send, 204)
            return
        try:
            stream = self._open(last_event_id)
            await stream.check()
        except InvalidInput as problem:
            if problem.name in _OPTIONS:
                raise
            await _answer(send, 400, str(problem))
        except (SessionNotFound, SessionReplaced) as problem:
            await _answer(send, 404, str(problem))
        except StoreUnavailable as problem:
            _log.warning("a stream of events could not begin: %s", problem)
            await _answer(send, 503, "the session store does not answer")
        else:
            await _send_stream(stream, receive, send)


def encode_event(event: SessionEvent, id: str | None = None) -> bytes:
    """Return an event as a block of `text/event-stream`. A heartbeat is a comment.

    Args:
        id: the ID of the event. Default: its cursor.
    """
    if event.kind == "heartbeat":
        return b": heartbeat\n\n"
    return _block(event.kind, event.to_dict(), event.cursor if id is None else id)


async def _blocks(
    open: Callable[[], Awaitable[AsyncWatch]], event_id: Callable[[SessionEvent], str], retry_ms: int
) -> AsyncGenerator[bytes, None]:
    yield f"retry: {retry_ms}\n\n".encode()
    reason: StreamEnd | None = None
    id: str | None = None
    try:
        async with aclosing(await open()) as watch:
            async for event in watch:
                yield encode_event(event) if event.kind == "heartbeat" else encode_event(event, event_id(event))
            reason = watch.end_reason
    except (SessionNotFound, SessionReplaced):
        reason = "deleted"
    except SessionRegressed as problem:
        reason, id = "regressed", f"{problem.known}-0"
    except StoreUnavailable:
        reason = "unavailable"
    except SessionsError as problem:
        _log.error("a stream of events ends, because a session cannot be read: %s", problem)
        reason = "failed"
    yield _block("end", {"reason": reason}, FINISHED if reason in ("ended", "deleted") else id)


def _block(kind: str, data: Any, id: str | None) -> bytes:
    """Return a block. JSON has no line breaks, and a character that UTF-8 does not have becomes an escape of JSON."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = "" if id is None else f"id: {id}\n"
    return f"{head}event: {kind}\ndata: {text}\n\n".encode(errors="backslashreplace")


async def _send_stream(stream: EventStream, receive: Receive, send: Send) -> None:
    """Send a stream until it ends or the client disconnects."""
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await send({"type": "http.response.start", "status": 200, "headers": _headers(STREAM_HEADERS)})
        while True:
            coming = asyncio.ensure_future(stream.__anext__())
            try:
                await asyncio.wait((coming, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not coming.done():
                    coming.cancel()
                    await asyncio.wait((coming,))
            if coming.cancelled():
                return
            try:
                block = coming.result()
            except StopAsyncIteration:
                break
            await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except OSError:  # a server may say in this way that the client is gone
        return
    finally:
        gone.cancel()
        await stream.aclose()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Send, status: int, text: str = "") -> None:
    headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"} if text else {}
    await send({"type": "http.response.start", "status": status, "headers": _headers(headers)})
    await send({"type": "http.response.body", "body": text.encode(errors="backslashreplace"), "more_body": False})


def _headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _header(scope: Scope, name: bytes) -> str | None:
    found = [value for key, value in scope["headers"] if key.lower() == name]
    return found[0].decode("latin-1") if found and found[0] else None


async def _members(cache: AsyncSessionCache, ids: list[str], which: Mapping[str, str | None]) -> list[str]:
    """Return those of some sessions that may be watched, because they belong to the user, the agent or the tree."""
    tree = which["tree"]
    if tree is not None and ids:  # a session names the root of the whole tree, and `tree` can be below that root
        stored = {one.id for one in await cache.session(tree).children(recursive=True) if one.is_stored}
        return [id for id in ids if id == tree or id in stored]
    found = await asyncio.gather(*[_is_member(cache.session(id), which) for id in ids])
    return [id for id, is_member in zip(ids, found, strict=True) if is_member]


async def _is_member(session: AsyncSession, which: Mapping[str, str | None]) -> bool:
    """Return whether a session belongs to the user or the agent."""
    try:
        info = await session.info()
    except SessionNotFound:
        return False
    return (info.user_id, info.agent_id)[which["user_id"] is None] == (which["user_id"] or which["agent_id"])


def _format_positions(positions: dict[str, str]) -> str:
    """Return the ID of an event of many sessions. Positions that it has no room for are removed, oldest first."""
    while True:
        text = urlsafe_b64encode(json.dumps(positions, separators=(",", ":")).encode()).decode().rstrip("=")
        if len(positions) <= _MAX_POSITIONS and (len(text) <= _MAX_ID_BYTES or len(positions) <= 1):
            return text
        del positions[next(iter(positions))]


def _parse_positions(id: str) -> dict[str, str]:
    """Return the cursors by session of an ID of many sessions. Raises InvalidInput."""
    detail = "must be the ID of an event of this stream"
    if len(id) > 2 * _MAX_ID_BYTES:
        raise InvalidInput(name="last_event_id", detail=f"{detail}, got {len(id)} characters")
    try:
        found = json.loads(urlsafe_b64decode(id + "=" * (-len(id) % 4)))
        parse_positions(found)
        if len(found) <= _MAX_POSITIONS and all(isinstance(cursor, str) for cursor in found.values()):
            return dict(found)
    except (ValueError, AttributeError, TypeError, RecursionError):  # InvalidInput is a ValueError
        pass
    raise InvalidInput(name="last_event_id", detail=f"{detail}, got {id[:40]!r}")
