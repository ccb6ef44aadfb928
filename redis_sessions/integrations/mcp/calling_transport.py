"""The MCP session whose transport calls the event store.

A transport names a stream by the ID of a request, such as '1', or by '_GET_stream'. These names are unique in one MCP session
only, and one event store serves all MCP sessions of a process. The transport does not tell the event store its session, so the
session is read from the transport that awaits the call. Without it, a client could be sent events of another client.
"""

from __future__ import annotations

import hashlib
import json
import sys

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, authorization_context
from mcp.server.streamable_http import StreamableHTTPServerTransport

from .event_ids import Stream

_MAX_FRAMES = 16
"""The frames that are searched: the event store, stores that wrap it, and the transport."""


def calling_transport() -> StreamableHTTPServerTransport | None:
    """Return the transport that awaits this call. None if no transport does."""
    frame = sys._getframe(1)
    for _ in range(_MAX_FRAMES):
        caller = frame.f_locals.get("self")
        if isinstance(caller, StreamableHTTPServerTransport):
            return caller
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def stream_of(transport: StreamableHTTPServerTransport | None, stream_id: str) -> Stream:
    """Return the stream with an ID in the MCP session of a transport."""
    if transport is None:
        return Stream("", "", stream_id)
    return Stream(transport.mcp_session_id or "", principal_of(auth_context_var.get()), stream_id)


def principal_of(user: object) -> str:
    """Return the digest of a credential: client, issuer and subject. '' without authorization."""
    if not isinstance(user, AuthenticatedUser):
        return ""
    known = json.dumps(authorization_context(user), sort_keys=True)
    return hashlib.sha256(known.encode()).hexdigest()[:16]
