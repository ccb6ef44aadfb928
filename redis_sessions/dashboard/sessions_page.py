"""The page of sessions: filters, search, and pages."""

from __future__ import annotations

from typing import Any, get_args
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..errors import InvalidInput
from ..models.sessions import Status
from ..models.summaries import SessionSummary
from ..settings import Filters
from .board import Board, Page, Query, query_of, root_of

_ROWS = 50
_SCANNED_PAGES = 10
"""Pages of `_SCAN` sessions that one request reads for a status or a search."""
_SCAN = 200
_STATUSES: tuple[str, ...] = get_args(Status)
_NAMES = ("q", "status", "agent", "user", "label", "tag", "cursor")


async def find_one(board: Board, request: Request) -> Response | None:
    """Return the way to the session whose whole ID was searched, or None."""
    query = query_of(request)
    sought = query.get("q", "").strip()
    if not sought or query.get("cursor") or not await _exists(board, sought):
        return None
    return RedirectResponse(f"{root_of(request)}/session?id={quote(sought, safe='')}", 303)


async def _exists(board: Board, id: str) -> bool:
    try:
        return await board.cache.get(id) is not None
    except InvalidInput:
        return False  # no session has such an ID, but the text can be a part of one


async def load_sessions(board: Board, query: Query) -> dict[str, Any]:
    """Return a page of sessions that match the filters."""
    filters = _filters(query)
    status, sought = query.get("status", ""), query.get("q", "").strip()
    if status and status not in _STATUSES:
        raise InvalidInput(name="status", detail=f"must be one of {', '.join(_STATUSES)}, got {status[:60]!r}")
    if status == "active":
        filters["active_only"] = True
    is_scan = bool(sought) or status not in ("", "active")
    rows: list[SessionSummary] = []
    cursor, scanned = query.get("cursor"), 0
    for _ in range(_SCANNED_PAGES if is_scan else 1):
        page = await board.cache.list(_SCAN if is_scan else _ROWS, cursor, **filters)
        cursor, scanned = page.cursor, scanned + len(page.items)
        rows += [one for one in page.items if _matches(one, status, sought)]
        if cursor is None or len(rows) >= _ROWS:
            break
    kept = {name: query[name] for name in _NAMES if query.get(name) and name != "cursor"}
    return {
        "rows": rows, "cursor": cursor, "scanned": scanned, "is_scan": is_scan,
        "sought": sought, "next_query": urlencode({**kept, "cursor": cursor}) if cursor else "",
        "first_query": urlencode(kept) if query.get("cursor") else None, "statuses": _STATUSES,
        "chosen": {name: query.get(name, "") for name in _NAMES}, "has_filter": bool(kept),
    }  # fmt: skip


def _filters(query: Query) -> Filters:
    filters: Filters = {}
    if agent := query.get("agent"):
        filters["agent_id"] = agent
    if user := query.get("user"):
        filters["user_id"] = user
    if label := query.get("label"):
        filters["label"] = label
    if tag := query.get("tag"):
        filters["tags"] = [tag]
    return filters


def _matches(one: SessionSummary, status: str, sought: str) -> bool:
    if status and one.status != status:
        return False
    if not sought:
        return True
    begin, dots, end = sought.partition("…")
    if dots:  # an ID as the tables of this dashboard shorten it
        return one.id.startswith(begin) and one.id.endswith(end)
    return sought in one.id or sought in (one.label or "") or sought in (one.name or "")


def _extras(query: Query) -> dict[str, Any]:
    return {"STATUSES": _STATUSES}


SESSIONS = Page(
    "sessions", lambda query: "Sessions", ("sessions",), load_sessions, "sessions", "sessions.html", _extras
)
