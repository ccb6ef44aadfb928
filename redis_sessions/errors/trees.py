"""Errors about trees, runs and loops."""

from __future__ import annotations

from .base import SessionsError


class SpawnRefused(SessionsError):
    """A spawn was refused. Raised by `SpawnResult.raise_if_refused`."""

    template = "no child was spawned: {message}"
    reason: str
    """The reason of the SpawnResult."""
    message: str


class JoinTimeout(SessionsError, TimeoutError):
    """Fewer children than wanted ended in time."""

    template = "session {session_id!r}: {detail}. Call join() again, or look at children()"
    session_id: str
    ended: list[str]
    """IDs of the children that ended."""
    waiting: list[str]
    """IDs of the children that are active."""
    detail: str


class ReplyTimeout(SessionsError, TimeoutError):
    """No assistant message came in time. The sent message stays sent."""

    template = "session {session_id!r}: no reply above seq {seq} within {waited:g} s. The sent message stays sent"
    session_id: str
    seq: int
    """The highest seq then."""
    waited: float
    """Seconds that the caller waited."""


class LoopNotFound(SessionsError):
    """The session has no loop with this ID."""

    reply = ("loop",)
    template = "session {session_id!r} has no loop {loop!r}"
    session_id: str
    loop: str


class LoopConflict(SessionsError):
    """The loop exists already, or its status does not allow the change."""

    reply = ("loop", "status", "wanted")
    template = "loop {loop!r} of session {session_id!r} is {status} and cannot become {wanted}"
    session_id: str
    loop: str
    status: str
    wanted: str
