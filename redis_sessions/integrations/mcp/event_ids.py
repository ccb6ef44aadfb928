"""Event IDs: the texts by which any process finds the stream of an event again."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

from ..._core.protocol.composed_ids import compose_id
from ...errors import InvalidInput

_EVENT_ID = re.compile(r"([1-9][0-9]{0,14})\.([0-9a-f]{12})\.([A-Za-z0-9_-]+)(?:\.[0-9a-f]{8})?")
_MAX_LENGTH = 16_384
"""The longest event ID that is read. An HTTP server refuses longer headers."""


class Stream(NamedTuple):
    """One stream of events of one client."""

    session: str
    """The ID of the client's MCP session. '' for a call that comes from no transport."""
    principal: str
    """The digest of the credential that opened the MCP session. '' without authorization."""
    id: str
    """The ID of the stream, as the transport has it: unique in its MCP session only."""

    @property
    def stored_id(self) -> str:
        """The ID of the redis_sessions session that holds the events of the stream."""
        return _composed("mcp", *self)

    @property
    def owner(self) -> str:
        """The user of the stored session: the same for all streams of one MCP session."""
        return _composed("mcp", self.session, self.principal)


class EventPosition(NamedTuple):
    """The place of an event in its stream."""

    stream: Stream
    seq: int
    """The seq of the event. Events with a higher seq came after it."""
    nonce: str
    """12 hex digits, the batch ID of the event, because a stream that expired counts from 1 again."""

    def format(self, suffix: str = "") -> str:
        """Return the event ID: printable ASCII without white space. A suffix of 8 hex digits makes another ID of the place."""
        token = urlsafe_b64encode(json.dumps(self.stream, separators=(",", ":")).encode()).decode().rstrip("=")
        return f"{self.seq}.{self.nonce}.{token}" + (f".{suffix}" if suffix else "")


class StoredEvent(NamedTuple):
    """An event of a stream as it is stored."""

    place: EventPosition
    """The place of the event."""
    text: str | None
    """The JSON-RPC message. None for a priming event."""


def parse_event_id(text: str) -> EventPosition | None:
    """Return the place that an event ID names. None for a text that is not an event ID of this module."""
    found = _EVENT_ID.fullmatch(text) if isinstance(text, str) and len(text) <= _MAX_LENGTH else None
    stream = None if found is None else _parse_token(found[3])
    return None if found is None or stream is None else EventPosition(stream, int(found[1]), found[2])


def _parse_token(token: str) -> Stream | None:
    try:
        parts = json.loads(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, RecursionError):
        return None
    if isinstance(parts, list) and len(parts) == 3 and all(isinstance(one, str) for one in parts):
        return Stream(*parts)
    return None


def _composed(*parts: str) -> str:
    """Return the ID of some parts. Long parts become a digest, because an ID has at most 256 characters."""
    try:
        return compose_id(*parts)
    except InvalidInput:
        return compose_id(parts[0], "sha256:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest())
