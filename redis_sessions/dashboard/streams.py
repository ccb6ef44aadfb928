"""The streams of server-sent events that keep open pages current."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from ..errors import SessionNotFound, SessionsError
from .board import Board, Page, Query

BEAT = 5.0
"""Seconds after which a stream says that it lives."""
_HEADERS = {"X-Accel-Buffering": "no"}
"""A proxy that holds back a stream would make the page look frozen."""


def event(name: str, data: Any) -> str:
    """Return one server-sent event. Its data is one line of JSON."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def respond_stream(stream: AsyncIterator[str]) -> StreamingResponse:
    """Return the response that a stream is."""
    return StreamingResponse(stream, media_type="text/event-stream", headers=_HEADERS)


async def stream_parts(board: Board, page: Page, query: Query, root: str) -> AsyncIterator[str]:
    """Yield the parts of a page that changed, after each read of the fleet."""
    sent: dict[str, str] = {}
    poller = board.poller
    async with poller.viewing():
        yield "retry: 2000\n\n"
        tick = -1
        while not poller.is_closed:
            try:
                parts: Mapping[str, str] = await board.render_parts(page, query, root)
            except SessionNotFound:
                yield event("parts", {page.parts[0]: board.render_part("gone", {"root": root})})
                yield event("end", "gone")
                return
            except SessionsError:
                parts = board.render_store(root)
            changed = {name: str(html) for name, html in parts.items() if sent.get(name) != html}
            sent |= changed
            yield event("parts", changed) if changed else event("beat", poller.tick)
            tick = await poller.changed(poller.tick if tick < 0 else tick, BEAT)
