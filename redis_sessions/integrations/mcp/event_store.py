"""The event store of the MCP Python SDK."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, get_args

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage, jsonrpc_message_adapter
from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from ... import AsyncSessionCache, SessionCache
from ..._core.commands.session_fields import checked_choice
from ..._durations import Duration
from ...errors import InvalidInput, SessionNotFound, SessionsError
from ...models.messages import Message
from .._shared import Caches, text_of, valid_text
from .calling_transport import calling_transport, stream_of
from .event_ids import EventPosition, StoredEvent, Stream, parse_event_id
from .handover import Handovers
from .resumption import ResumptionApp

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_log = logging.getLogger("redis_sessions.mcp")
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
        cache: SessionCache | AsyncSessionCache | None = None,
        client: Any = None,
        namespace: str | None = None,
        ttl: Duration | None = 3600.0,
        max_messages: int | None = 1000,
        max_message_bytes: int = 1024 * 1024,
        on_failure: OnFailure = "continue",
    ) -> None:
        """Make an event store. Nothing is sent yet.

        Args:
            url: the server, such as redis://localhost. Exactly one of `url`, `cache` and `client` is given.
            cache: a cache of either kind, whose connection settings and codecs count. The event store does not close it.
            client: a client of redis or redis.asyncio, whose connection settings are copied.
            namespace: the namespace of the sessions. Default: that of the cache, else "sessions".
            ttl: how long a stream outlives its last event. Default an hour, None for ever.
            max_messages: the newest events of one stream that are kept, priming events included. Default 1,000, None for all.
            max_message_bytes: the largest event, 1 to 64 MiB. Default 1 MiB.
            on_failure: `continue` logs an event that could not be stored, and the client gets the event without an ID. `raise`
                raises the error, which ends the MCP session, because the transport does not handle it.

        Raises:
            InvalidInput: an argument is not valid.
        """
        self._caches = Caches(
            url=url, cache=cache, client=client, namespace=namespace, ttl=ttl, max_messages=max_messages,
            max_message_bytes=max_message_bytes, cap_policy="oldest",
        )  # fmt: skip
        self._handovers = Handovers()
        self._on_failure = checked_choice(on_failure, "on_failure", get_args(OnFailure))

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Store an event of a stream, exactly once. Return the event ID, '' if the event could not be stored.

        Args:
            stream_id: the ID of the stream in the MCP session of the caller, any text.
            message: the JSON-RPC message. None for a priming event: a place from which a client can resume.

        Raises:
            InvalidInput: an argument is not valid, or the event store is closed.
            Exception: the event could not be stored, and `on_failure` is `raise`.

        Cost: one round trip.
        """
        transport = calling_transport()
        stream = stream_of(transport, text_of(stream_id, "stream_id"))
        try:
            if message is None:
                return (await self._append(stream, None)).format()
            async with self._handovers.storing(transport, stream):
                return (await self._append(stream, _text_of(message))).format()
        except InvalidInput:
            raise
        except Exception as problem:  # whatever it is, it would end the MCP session
            if self._on_failure == "raise":
                raise
            _log.warning(
                "the event of stream %.100r is not stored, so no client can resume after it: %s", stream_id, problem
            )
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
        transport = calling_transport()
        last = parse_event_id(last_event_id)
        if last is None or last.stream != stream_of(transport, last.stream.id):
            _log.info("nothing to replay: the event ID %.100r is unknown, or is that of another client", last_event_id)
            return None
        async with self._handovers.replaying(transport, last.stream):
            events = await self._events_after(last)
            for event in events or []:
                if event.text is not None:
                    message = jsonrpc_message_adapter.validate_json(event.text)
                    await send_callback(EventMessage(message, event.place.format()))
        return None if events is None else last.stream.id

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
        return await self._caches.asynchronous.get(stream.stored_id) is not None

    async def follow(self, last: EventPosition) -> AsyncGenerator[StoredEvent, None]:
        """Yield the events behind a place, priming events included, as they are stored. End when the stream is gone."""
        events = await self._events_after(last) or []
        for event in events:
            yield event
        place = events[-1].place if events else last
        session = self._caches.asynchronous.session(last.stream.stored_id)
        async with aclosing(session.watch(place.seq)) as changes:  # type: ignore[type-var]
            async for change in changes:
                if change.message is not None:
                    yield _stored_event(last.stream, change.message)

    async def delete_streams(self, owner: Stream) -> None:
        """Delete all streams of an MCP session. What cannot be deleted expires."""
        try:
            async for one in self._caches.asynchronous.iter_sessions(user=owner.owner, order="created"):
                await self._caches.asynchronous.delete(one.id)
        except SessionsError as problem:
            _log.warning("streams of a client that is gone are not deleted, and will expire: %s", problem)

    async def close(self) -> None:
        """Close the connections. A cache that was given stays open."""
        await self._caches.aclose()

    async def _append(self, stream: Stream, text: str | None) -> EventPosition:
        nonce = secrets.token_hex(6)
        payload = {"type": "system_event", "data": text}
        session = self._caches.asynchronous.ensure(stream.stored_id, user_id=stream.owner)
        done = await session.append(Message("system_event", payload=payload, tokens=0), batch_id=nonce)
        return EventPosition(stream, done.last_seq, nonce)

    async def _events_after(self, last: EventPosition) -> list[StoredEvent] | None:
        """Return the events behind a place. None if the place is unknown."""
        events = await self._events_from(last.stream, last.seq)
        if events and events[0].place == last:
            return events[1:]
        if events and events[0].place.seq > last.seq:
            lost = events[0].place.seq - last.seq - 1
            if lost:
                _log.warning("a client of stream %.100r lost %d events: max_messages is too low", last.stream.id, lost)
            return events
        if not last.stream.session:
            return None
        # The stream was silent for `ttl`, so all of its events are new to its client.
        return await self._events_from(last.stream, 1)

    async def _events_from(self, stream: Stream, seq: int) -> list[StoredEvent]:
        session = self._caches.asynchronous.session(stream.stored_id)
        try:
            return [_stored_event(stream, one) for one in await session.history(after_seq=seq - 1, skip_damaged=True)]
        except SessionNotFound:
            return []


def _stored_event(stream: Stream, message: Message) -> StoredEvent:
    return StoredEvent(EventPosition(stream, message.seq, message.batch_id), message.payload.get("data"))


def _text_of(message: JSONRPCMessage) -> str:
    """Return a message as the transport writes it, with U+FFFD for what UTF-8 cannot encode. Raises InvalidInput."""
    if not isinstance(message, BaseModel):
        raise InvalidInput(name="message", detail=f"must be a JSON-RPC message or None, got a {type(message).__name__}")
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True)
    except PydanticSerializationError:
        return valid_text(
            json.dumps(message.model_dump(mode="json", by_alias=True, exclude_unset=True), ensure_ascii=False)
        )
