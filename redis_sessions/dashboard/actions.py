"""The actions: a page that asks, a form that proves where it came from, and a record of who did what."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from .._async.api.session import AsyncSession
from ..models.audit import AuditAction, AuditRecord
from ..models.leases import LeaseInfo
from ..models.sessions import SessionInfo
from .action_names import ACTIONS, Action
from .board import Board, query_of, root_of
from .gate import client_of
from .login import read_form
from .session_page import session_of
from .text import show_hidden

_log = logging.getLogger("redis_sessions.dashboard.audit")
_actor: ContextVar[str] = ContextVar("redis_sessions_dashboard_actor")
_MAX_REASON = 500


def audited(cache: Any) -> Callable[[AuditRecord], Any]:
    """Return the audit hook of the dashboard: it names the person, logs a line, and calls the hook of the cache."""
    hook = cache._options.get("audit")

    def record(order: AuditRecord) -> Any:
        order = order.model_copy(update={"actor": _actor.get(order.actor)})
        facts = {"session": order.session_id, "reason": order.reason, **order.details}
        described = "".join(f" {name}={value}" for name, value in facts.items() if value is not None)
        line = f"audit: {order.action} by {order.actor} in {order.namespace}:{described}"
        _log.info("%s", show_hidden(line).replace("\n", "\\n"))
        return None if hook is None else hook(order)

    return record


class Actions:
    """The pages that act on a session."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/action/{name}", self.ask, methods=["GET"], name="ask"),
            Route("/action/{name}", self.act, methods=["POST"], name="act"),
        ]

    async def ask(self, request: Request) -> Response:
        """Return the page that says what would happen, with the form that does it."""
        action, session = self._find(request), session_of(self._board, query_of(request))
        info = await session.info()
        _check_offered(action, info)
        descendants = len(await session.children(recursive=True))
        return self._board.respond(
            request, "confirm.html", title=f"{action.title}?", action=action, info=info, descendants=descendants,
            here="sessions", purpose=_purpose(action, info),
        )  # fmt: skip

    async def act(self, request: Request) -> Response:
        """Do what the form says, record who did it, and go back to the session."""
        action, query = self._find(request), query_of(request)
        session = session_of(self._board, query)
        info = await session.info()
        form = await read_form(self._board, request, _purpose(action, info))
        _check_offered(action, info)
        reason = form.get("reason", "").strip()[:_MAX_REASON] or None
        actor = request.scope.get("state", {}).get("caller") or "dashboard"
        token = _actor.set(f"{actor} at {client_of(request.scope)}"[:128])
        try:
            await self._do(action, self._board.cache.session(info.id, incarnation=info.incarnation), info.lease, reason)
        finally:
            _actor.reset(token)
        self._board.forget_rendered()
        root = root_of(request)
        if action.name == "delete":
            return self._board.respond(
                request, "done.html", title="Deleted", text=f"Session {info.id} was deleted.", here="sessions"
            )
        return RedirectResponse(f"{root}/session?id={quote(info.id, safe='')}&done={action.name}", 303)

    def _find(self, request: Request) -> Action:
        if not self._board.allow_actions:
            detail = "This dashboard is read-only. Start it with --allow-actions, or give allow_actions=True, to act."
            raise HTTPException(403, detail)
        action = ACTIONS.get(request.path_params["name"])
        if action is None:
            raise HTTPException(404, "There is no such action.")
        return action

    async def _do(self, action: Action, session: AsyncSession, lease: LeaseInfo | None, reason: str | None) -> None:
        match action.name:
            case "cancel":
                await session.cancel(reason=reason)
            case "delete":
                await session.delete()
            case "release":
                await session.lease().release(force=True, fence=lease.fence if lease else None)
            case "request_cancel":
                await session.request_cancel(reason=reason)
                await self._record("request_cancel", session, reason)
            case "pause":
                await session.pause(reason=reason)
                await self._record("pause", session, reason)
            case "resume":
                await session.resume()
                await self._record("resume", session, reason)
            case "retry":
                await session.retry()
                await self._record("retry", session, reason)

    async def _record(self, action: AuditAction, session: AsyncSession, reason: str | None) -> None:
        await self._board.cache._context.auditor.record(action, session_id=session.id, reason=reason)


def _purpose(action: Action, info: SessionInfo) -> str:
    """Return the text that a form is bound to: the action, and the session or lease that the person saw."""
    fence = info.lease.fence if action.name == "release" and info.lease else ""
    return f"{action.name} {info.id} {info.incarnation} {fence}"


def _check_offered(action: Action, info: SessionInfo) -> None:
    if not action.is_offered(info):
        state = f"is {info.status}" + ("" if info.lease else ", and no worker holds its lease")
        raise HTTPException(
            409, f"{action.title} is not possible: session {info.id} {state}. Look at the session again."
        )
