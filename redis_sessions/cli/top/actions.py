"""The actions of `top --allow-actions` on a session, and the question before each."""

from __future__ import annotations

from ..._sync.api.cache import SessionCache
from ...errors import LeaseLost, SessionsError
from ..app import count_of, describe_error
from .state import Action

_QUESTIONS = {
    "cancel": "Cancel this session and all its descendants? The server then refuses their writes.",
    "retry": "Retry its run or turn? A worker of its agent gets the work again.",
    "pause": "Pause this session? It takes no messages until it is resumed.",
    "resume": "Resume this session? It takes messages again.",
    "release": "Release its lease by force? The server then refuses the writes of its holder.",
    "delete": "Delete this session with everything it owns, and all its descendants?",
}
_REASON = "redis-sessions top"


def question_of(action: Action) -> str:
    """Return the question to ask before an action. The screen shows the ID of the session above it."""
    return _QUESTIONS[action.kind]


def perform(cache: SessionCache, action: Action) -> str:
    """Do what the user agreed to. Return what was done, or the error."""
    try:
        return _perform(cache, action)
    except LeaseLost:
        return f"the lease of {action.session_id} is free, or another holder has it by now"
    except SessionsError as problem:
        return f"error {describe_error(problem)}"


def _perform(cache: SessionCache, action: Action) -> str:
    session = cache.open(action.session_id)
    if action.kind == "cancel":
        session.cancel(reason=_REASON)
    elif action.kind == "retry":
        session.retry()
        cache._context.auditor.record("retry", session_id=session.id)
    elif action.kind == "pause":
        session.pause(reason=_REASON)
        cache._context.auditor.record("pause", session_id=session.id, reason=_REASON)
    elif action.kind == "resume":
        session.resume()
        cache._context.auditor.record("resume", session_id=session.id)
    elif action.kind == "release":
        if action.fence is None:
            return f"not released: {session.id} had no holder when it was read"
        moved = session.lease().release(force=True, fence=action.fence)
        return f"released: {session.id}; {count_of(moved, 'message')} moved from the inbox to the transcript"
    else:
        session.delete()
    done = {"cancel": "cancelled", "retry": "retried", "pause": "paused", "resume": "resumed", "delete": "deleted"}
    return f"{done[action.kind]}: {session.id}"
