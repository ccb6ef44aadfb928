"""Streams that are resumed at another process than the one that runs the MCP session.

The session manager of the SDK knows the MCP sessions of its own process, and answers 404 for any other one. This app stands
between the authorization and the session manager. It lets the session manager answer first. Only for a client that reconnects
to an unknown MCP session it follows the stream in the event store.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from mcp.server.streamable_http import LAST_EVENT_ID_HEADER, MCP_SESSION_ID_HEADER, check_accept_headers
from mcp.server.transport_security import TransportSecurityMiddleware
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp.types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter
from mcp.types.version import is_version_at_least
from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .calling_transport import principal_of
from .event_ids import EventPosition, StoredEvent, Stream, parse_event_id

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

_PRIMED_SINCE = "2025-11-25"
"""The first protocol version whose clients read an event without data."""


class StoredStreams(Protocol):
    """The streams of an event store."""

    async def has_stream(self, stream: Stream) -> bool:
        """Return whether a stream is stored."""

    def follow(self, last: EventPosition) -> AsyncGenerator[StoredEvent, None]:
        """Yield the events behind a place, as they are stored."""

    async def delete_streams(self, owner: Stream) -> None:
        """Delete all streams of an MCP session."""


class ResumptionApp:
    """The ASGI app of a session manager, which also resumes streams of other processes."""

    def __init__(self, app: ASGIApp, store: StoredStreams, manager: StreamableHTTPSessionManager) -> None:
        self._app = app
        self._store = store
        self._manager = manager
        self._security = TransportSecurityMiddleware(manager.security_settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the session manager answer a request, or resume a stream of another process."""
        request = Request(scope, receive)
        session_id = request.headers.get(MCP_SESSION_ID_HEADER, "")
        owner = Stream(session_id, principal_of(scope.get("user")), "")
        last = parse_event_id(request.headers.get(LAST_EVENT_ID_HEADER, ""))
        answer = _Answer(send)
        if request.method == "DELETE" and session_id:
            await self._app(scope, receive, answer.pass_on)
            if answer.status == 200:
                await self._store.delete_streams(owner)
        elif request.method == "GET" and last is not None and last.stream == owner._replace(id=last.stream.id):
            await self._app(scope, receive, answer.pass_on_unless_404)
            if answer.status == 404:
                await self._resume(last, request, send)
        else:
            await self._app(scope, receive, send)

    async def _resume(self, last: EventPosition, request: Request, send: Send) -> None:
        """Follow the stream in the event store, from an event to the response, or until the client is gone."""
        refusal: Any = await self._security.validate_request(request, is_post=False)
        if refusal is None and not check_accept_headers(request)[1]:
            refusal = _error(406, "Not Acceptable: Client must accept text/event-stream")
        if refusal is None and not await self._store.has_stream(last.stream):
            refusal = _error(404, "Session not found")
        if refusal is None:
            headers = {"Cache-Control": "no-cache, no-transform", MCP_SESSION_ID_HEADER: last.stream.session}
            refusal = EventSourceResponse(self._events(last, request), headers=headers)
        await refusal(request.scope, request.receive, send)

    async def _events(self, last: EventPosition, request: Request) -> AsyncIterator[dict[str, Any]]:
        """Yield the server-sent events behind a place, and what other processes add to the stream."""
        if is_version_at_least(request.headers.get(MCP_PROTOCOL_VERSION_HEADER, ""), _PRIMED_SINCE):
            retry = self._manager.retry_interval
            yield {"id": last.format(secrets.token_hex(4)), "data": "", **({} if retry is None else {"retry": retry})}
        async with aclosing(self._store.follow(last)) as events:
            async for event in events:
                if event.text is None:
                    continue
                yield {"event": "message", "id": event.place.format(), "data": event.text}
                if isinstance(jsonrpc_message_adapter.validate_json(event.text), JSONRPCResponse | JSONRPCError):
                    return


class _Answer:
    """The status of a response, and the response itself unless it is held back."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def pass_on_unless_404(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        if self.status != 404:
            await self._send(message)


def _error(status: int, text: str) -> JSONResponse:
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": text}}
    return JSONResponse(body, status_code=status)
