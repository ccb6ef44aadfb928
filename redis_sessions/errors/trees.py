"""What trees and loops refuse."""

from __future__ import annotations

from .base import SessionsError


class SpawnRefused(SessionsError):
    """A spawn was refused, and the caller wanted an exception (`raise_if_refused`). `reason` is the result's."""

    template = "no child was spawned: {message}"
    reason: str
    message: str


class JoinTimeout(SessionsError, TimeoutError):
    """Fewer children than wanted had ended when the time was over. `ended` and `waiting` are their ids."""

    template = "session {session_id!r}: {detail}; join() again, or look at children()"
    session_id: str
    ended: list[str]
    waiting: list[str]
    detail: str


class ReplyTimeout(SessionsError, TimeoutError):
    """No assistant message came in time. `seq` is the last that was there."""

    template = "session {session_id!r}: no reply above seq {seq} within {waited:g} s; what was sent stays sent"
    session_id: str
    seq: int
    waited: float


class LoopNotFound(SessionsError):
    """The session has no loop of this id."""

    code = "NO_LOOP"
    reply = ("loop",)
    template = "session {session_id!r} has no loop {loop!r}"
    session_id: str
    loop: str


class LoopConflict(SessionsError):
    """A loop is in use, or cannot become what was wanted: pending, running, then completed, rejected or aborted for good."""

    code = "LOOP"
    reply = ("loop", "status", "wanted")
    template = "loop {loop!r} of session {session_id!r} is {status} and cannot become {wanted}"
    session_id: str
    loop: str
    status: str
    wanted: str
