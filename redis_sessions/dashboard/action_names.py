"""The actions of the dashboard: when each is offered, and what it does, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..models.sessions import SessionInfo
from ..models.trees import OPEN_STATUSES


class Action(NamedTuple):
    """An action on one session."""

    name: str
    title: str
    effect: str
    """The sentence of the confirmation page."""
    done: str
    """The sentence after it."""
    is_offered: Callable[[SessionInfo], bool]
    takes_reason: bool = False
    is_dangerous: bool = False


def _has_failed_run(info: SessionInfo) -> bool:
    """Return whether a session ended with a run that workers could claim. Only such a session becomes active again."""
    return info.status in ("failed", "timed_out") and info.max_attempts is not None and info.answered_by is None


ACTIONS = {
    one.name: one
    for one in (
        Action(
            "request_cancel", "Request cancel",
            "The session and all sessions below it are asked to stop. Their handlers decide when.",
            "was asked to stop", lambda info: info.status in OPEN_STATUSES, takes_reason=True,
        ),
        Action(
            "cancel", "Cancel session",
            "The session and all sessions below it end as cancelled. From then on the server refuses their writes and spawns."
            " A cancelled session cannot be resumed.",
            "was cancelled", lambda info: info.status in OPEN_STATUSES, takes_reason=True, is_dangerous=True,
        ),
        Action(
            "release", "Release lease",
            "The lease is taken from its holder. The server refuses what the holder still writes, the messages of the inbox"
            " enter the transcript, and the next waiter gets the lease.",
            "has a free lease", lambda info: info.lease is not None, is_dangerous=True,
        ),
        Action(
            "retry", "Retry",
            "The run or turn that failed becomes available to workers again, with new attempts.",
            "waits for a worker", lambda info: info.work == "failed" or _has_failed_run(info),
        ),
        Action(
            "pause", "Pause", "The session takes no messages until it is resumed.", "is paused",
            lambda info: info.status == "active", takes_reason=True,
        ),
        Action(
            "resume", "Resume", "The session takes messages again. Messages that waited during the pause enter the transcript.",
            "was resumed", lambda info: info.status == "paused",
        ),
        Action(
            "delete", "Delete session",
            "The session is deleted with everything it owns, and all sessions below it. This cannot be undone.",
            "was deleted", lambda info: True, is_dangerous=True,
        ),
    )
}  # fmt: skip


def offered_actions(info: SessionInfo) -> list[Action]:
    """Return the actions that make sense for a session as it is."""
    return [one for one in ACTIONS.values() if one.is_offered(info)]
