"""The event store of the MCP Python SDK."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, get_args

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage, jsonrpc_message_adapter
from pydantic import BaseModel

from ..._async.api.cache import AsyncSessionCache
from ..._core.commands.session_fields import checked_choice
from ..._durations import Duration
from ...errors import InvalidInput, SessionNotFound, SessionReplaced, SessionsError
from ...models.messages import Message
from ...settings import SessionSettings
from .._shared import open_cache
from .calling_transport import calling_stream
from .event_ids import EventPosition, Stream, parse_event_id
from .resumption import ResumptionApp

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_log = logging.getLogger("redis_sessions.mcp")
_resumed: ContextVar[EventPosition | None] = ContextVar("redis_sessions_mcp_resumed", default=None)
"""The last event that this task has replayed to a client."""
OnFailure = Literal["continue", "raise"]


class RedisSessionsEventStore(EventStore):
    """Events of MCP streams, for any number of server processes: each stream is one session of redis_sessions.

    An event ID names its stream, so any process can replay the stream. A client is sent events of its own MCP session only. One
    event store serves all MCP sessions, event loops and threads of a process.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        cache: AsyncSessionCache | None = None,
        client: Any = None,
        namespace: str = "sessions",
        ttl: Duration | None = 3600.0,
        max_messages: int | None = 1000,
        max_message_bytes: int = 1024 * 1024,
        on_failure: OnFailure = "continue",
    ) -> None:
        """Make an event store. Nothing is sent yet.

        Args:
            url: the server, such as redis://localhost. Exactly one of `url`, `cache` and `client` is given.
            cache: an AsyncSessionCache. The event store does not close it.
            client: a redis.asyncio client, whose connection settings are copied.
            namespace: the namespace of the sessions. Not together with `cache`.
            ttl: how long a stream outlives its last event. Default an hour, None for ever.
            max_messages: the newest events of one stream that are kept, priming events included. Default 1,000, None for all.
            max_message_bytes: the largest event, 1 to 64 MiB. Default 1 MiB.
            on_failure: `continue` logs an event that could not be stored, and the client gets the event without an ID. `raise`
                raises the error, which ends the MCP session, because the transport does not handle it.

        Raises:
            InvalidInput: an argument is not valid.
        """
        self._cache = open_cache(url=url, cache=cache, client=client, namespace=namespace)
        self._options = {
            "ttl": ttl,
            "max_messages": max_messages,
            "max_message_bytes": max_message_bytes,
            "cap_policy": "oldest",
        }
        SessionSettings.of(self._options)
        self._on_failure = checked_choice(on_failure, "on_failure", get_args(OnFailure))

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Store an event of a stream, exactly once. Return the event ID, '' if the event could not be stored.

        Args:
            stream_id: the ID of the stream in the MCP session of the caller, any text.
            message: the JSON-RPC message. None for a priming event: a place from which a client can resume.

        Raises:
            InvalidInput: an argument is not valid, or the cache is closed.
            SessionsError: with `on_failure="raise"`, the event could not be stored.

        Cost: one round trip. None for the priming event of a stream that this task has just replayed.
        """
        stream = calling_stream(_checked_stream_id(stream_id))
        replayed = _resumed.get()
        if message is None and replayed is not None and replayed.stream == stream:
            return replayed.format(secrets.token_hex(4))
        try:
            return (await self._append(stream, message)).format()
        except InvalidInput:
            raise
        except SessionsError as problem:
            if self._on_failure == "raise":
                raise
            _log.warning("the event of stream %r is not stored, so no client can resume after it: %s", stream_id, problem)
            return ""

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send the events of a stream that came after an event, oldest first, without priming events.

        Args:
            last_event_id: the ID of the last event that the client received.
            send_callback: called with each event.

        Returns:
            The ID of the stream. None if the event ID is unknown, or is that of another MCP session: then nothing is sent.

        Raises:
            StoreUnavailable: the server did not answer.

        Cost: one round trip for each 1,000 events or 1 MiB.
        """
        last = parse_event_id(last_event_id)
        if last is None or last.stream != calling_stream(last.stream.id):
            _log.info("nothing to replay: the event ID %.100r is unknown, or is that of another client", last_event_id)
            return None
        is_live = bool(last.stream.session)
        position = last
        try:
            events = await self._events_after(last)
        except SessionNotFound:
            if not is_live:
                return None
            events = await self._events_since_expiry(last.stream)
        for position, text in events:
            if text is not None:
                await send_callback(EventMessage(jsonrpc_message_adapter.validate_json(text), position.format()))
        if is_live:
            _resumed.set(position)
        return last.stream.id

    def attach(self, manager: StreamableHTTPSessionManager) -> None:
        """Let a server also resume the streams of MCP sessions that other processes run.

        Without this call, the SDK answers 404 when a client reconnects to another process. Call it once for each session
        manager, before the server starts. When a client ends its MCP session, its streams are deleted.

        Args:
            manager: the session manager of the server, such as `MCPServer.session_manager`.
        """
        manager.asgi_app = ResumptionApp(manager.asgi_app, self, manager)  # type: ignore[assignment]

    async def has_stream(self, stream: Stream) -> bool:
        """Return whether a stream is stored. One round trip."""
        return await self._cache.get(stream.stored_id) is not None

    async def follow(self, last: EventPosition) -> AsyncIterator[tuple[EventPosition, str]]:
        """Yield the events behind a place, each with its place, as they are stored. End when the stream is gone."""
        try:
            async for event in self._watch(last.stream, last.incarnation, last.seq):
                yield event
        except SessionReplaced:
            async for event in self._watch(last.stream, None, 0):
                yield event

    async def delete_streams(self, owner: Stream) -> None:
        """Delete all streams of an MCP session."""
        async for one in self._cache.iter_sessions(user=owner.owner):
            await self._cache.delete(one.id)

    async def close(self) -> None:
        """Close the connections. A cache that was given stays open."""
        await self._cache.close()

    async def _append(self, stream: Stream, message: JSONRPCMessage | None) -> EventPosition:
        session = self._cache.ensure(stream.stored_id, user_id=stream.owner, **self._options)
        event = None if message is None else event_text(message)
        done = await session.append(Message("system_event", payload={"type": "system_event", "data": event}, tokens=0))
        assert session.incarnation is not None  # an append learns it
        return EventPosition(stream, session.incarnation, done.last_seq)

    async def _events_after(self, last: EventPosition) -> list[tuple[EventPosition, str | None]]:
        """Return the events behind a place, each with its place. Raises SessionNotFound when the stream has expired."""
        session = self._cache.session(last.stream.stored_id, incarnation=last.incarnation)
        found = await session.history(after_seq=last.seq, skip_damaged=True)
        lost = found[0].seq - last.seq - 1 if found else 0
        if lost:
            _log.warning("%d events of stream %r are lost to a client: max_messages is too low", lost, last.stream.id)
        return _placed(last.stream, found)

    async def _events_since_expiry(self, stream: Stream) -> list[tuple[EventPosition, str | None]]:
        """Return all events of a stream that was silent for `ttl`. If it was begun again, all of them are new to the client."""
        try:
            return _placed(stream, await self._cache.session(stream.stored_id).history(skip_damaged=True))
        except SessionNotFound:
            return []

    async def _watch(
        self, stream: Stream, incarnation: str | None, after_seq: int
    ) -> AsyncIterator[tuple[EventPosition, str]]:
        session = self._cache.session(stream.stored_id, incarnation=incarnation)
        async with aclosing(session.watch(after_seq)) as events:  # type: ignore[type-var]
            async for event in events:
                text = None if event.message is None else event.message.payload.get("data")
                if event.message is not None and text is not None:
                    yield position_of(stream, event.message), text


def _placed(stream: Stream, messages: Sequence[Message]) -> list[tuple[EventPosition, str | None]]:
    return [(position_of(stream, one), one.payload.get("data")) for one in messages]


def event_text(message: JSONRPCMessage) -> str:
    """Return a message as the transport writes it. Raises InvalidInput."""
    if not isinstance(message, BaseModel):
        raise InvalidInput(name="message", detail=f"must be a JSON-RPC message or None, got a {type(message).__name__}")
    return message.model_dump_json(by_alias=True, exclude_unset=True)


def position_of(stream: Stream, message: Message) -> EventPosition:
    """Return the place of a stored event."""
    return EventPosition(stream, message.id.partition("-")[0], message.seq)


def _checked_stream_id(stream_id: str) -> str:
    if not isinstance(stream_id, str) or not stream_id:
        raise InvalidInput(name="stream_id", detail=f"must be text of at least one character, got {stream_id!r}")
    return stream_id
