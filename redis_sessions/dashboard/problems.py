"""The page of a request that failed: one message, and what to do."""

from __future__ import annotations

import logging

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ..errors import (
    AccessDenied,
    CodecMissing,
    DecryptionError,
    InvalidInput,
    InvalidState,
    OutcomeUnknown,
    SchemaMismatch,
    SessionDamaged,
    SessionNotFound,
    SessionsError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from .board import Board

_log = logging.getLogger("redis_sessions.dashboard")
STORE_ERRORS = (AccessDenied, OutcomeUnknown, SchemaMismatch, StoreError, StoreFull, StoreUnavailable)
_TITLES = {
    400: "This cannot be shown",
    403: "Not allowed",
    404: "Not found",
    405: "Not allowed",
    409: "Refused",
    422: "This cannot be shown",
}


def show_problem(board: Board, request: Request, problem: Exception) -> HTMLResponse:
    """Return the page of an error. Of an error that no one expected it names the class only, and logs the rest."""
    status, detail, advice = _described(board, problem)
    title = _TITLES.get(status, "The store does not serve" if status == 503 else "The dashboard failed")
    return board.respond(request, "problem.html", status, title=title, detail=detail, advice=advice)


def _described(board: Board, problem: Exception) -> tuple[int, str, str]:
    if isinstance(problem, HTTPException):
        return problem.status_code, str(problem.detail), "Choose a page above."
    if isinstance(problem, SessionNotFound):
        place = f"namespace {board.cache.namespace} on {board.cache.where}"
        return (
            404,
            str(problem),
            f"It was deleted, has expired, or is in another namespace. This dashboard shows {place}.",
        )
    if isinstance(problem, InvalidInput) and not isinstance(problem, InvalidState):
        return 400, str(problem), "Correct the address, or choose a page above."
    if isinstance(problem, STORE_ERRORS):
        return 503, str(problem), "Reload the page when the server serves again. The health page shows when that is."
    if isinstance(problem, CodecMissing | DecryptionError):
        advice = "Start the dashboard with the codecs and keys of the sessions (REDIS_SESSIONS_CODECS, or those of the cache)."
        return 422, str(problem), advice
    if isinstance(problem, InvalidState | SessionDamaged):
        return 422, str(problem), "The command redis-sessions doctor --repair moves damaged data to a quarantine."
    if isinstance(problem, SessionsError):
        return 409, str(problem), "Look at the session again, because it may have changed."
    _log.error("the page failed", exc_info=problem)
    return (
        500,
        f"An error that was not expected ({type(problem).__name__}).",
        "The log of the dashboard has the details.",
    )
