# Generated from _async/api/session_status.py by tools/mirror.py; edit that file.
"""Methods on a session's status: its pause, its resume, its end, and the retry of what failed."""

from __future__ import annotations

from typing import Any

from ..._core.commands import sessions
from ..._core.protocol.work import Work
from ...errors import LimitExceeded
from ...models.sessions import Status
from ...models.trees import OPEN_STATUSES
from ..services.tree_room import make_room
from .session_base import SessionBase


class SessionStatus(SessionBase):
    """A session with its status."""

    def pause(self, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """Pause an active session: it takes no messages until `resume`. Return the new revision."""
        return self._set_status("paused", reason, None, expected_rev)

    def resume(self, *, expected_rev: int | None = None) -> int:
        """Make a paused session active again. Return the new revision.

        Messages that came during the pause, such as results of children, enter the transcript.

        Cost: two round trips.
        """
        return self._set_status("active", None, None, expected_rev)

    def complete(self, result: Any = None, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """End the session as completed. The result of a child goes to its parent as a message.

        An end is final: the same end again changes nothing, and another one raises InvalidTransition.

        Args:
            result: a JSON value, or a pydantic model.
            reason: why it ends.
            expected_rev: refuse the end unless the session has this revision.

        Returns:
            The new revision.

        Raises:
            InvalidTransition: the session ended otherwise before.
            MessageTooLarge: the result exceeds the parent's `max_message_bytes`.
        """
        return self._set_status("completed", reason, result, expected_rev)

    def fail(self, *, reason: str | None = None, result: Any = None, expected_rev: int | None = None) -> int:
        """End the session as failed. Return the new revision. See `complete`."""
        return self._set_status("failed", reason, result, expected_rev)

    def cancel(self, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """End the session as cancelled, and all sessions below it: from then on none of them writes or spawns.

        `pause`, `resume`, `cancel`, `time_out` and `delete` do not need the lease. Inside a block whose lease was lost they raise
        LeaseLost.

        Returns:
            The new revision.

        Cost: one round trip. With sessions below it two more, and one for each 50 of them.
        """
        return self._set_status("cancelled", reason, None, expected_rev)

    def time_out(self, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """End the session as timed_out. Return the new revision."""
        return self._set_status("timed_out", reason, None, expected_rev)

    def _set_status(self, status: Status, reason: str | None, result: Any, expected_rev: int | None) -> int:
        call = sessions.set_status(
            self._keys, *self._guard(), status, reason, result, self._context.bounds, expected_rev=expected_rev
        )
        change = self._run(call)
        queues = self._context.run_queues
        if change.has_cancelled_members:
            queues.finalize_members(self._keys)
        if status == "active":
            queues.advance(self._keys)  # what came while the session was paused
        elif change.wakes_parent:
            queues.spawn(queues.advance_parent, self._keys)
        if status not in OPEN_STATUSES:
            self._end_of_work()
        if status == "cancelled":
            self._context.auditor.record("cancel", session_id=self.id, reason=reason)
        return change.rev

    def _end_of_work(self) -> None:
        self._context.run_queues.remove_ended(self._keys)

    def retry(self) -> None:
        """Make a run that failed or timed out, or a turn that failed, available to workers again, with new attempts.

        The session of a run becomes active again. The parent has the message of the failure, and gets the next result as another
        message.

        Raises:
            InvalidTransition: the run is completed or cancelled.
            SessionNotActive: the parent has ended, or the tree was cancelled.
            InvalidInput: the run has not ended, the session has no run and no turn that failed, or another active session of the
                tree has its label.
            LimitExceeded: the tree has `max_active` active sessions, or the parent has `max_children`.

        Cost: two round trips. The change is atomic. A refusal for room costs two more to find sessions that are gone.
        """
        context, limits = self._context, self._context.settings.tree_limits
        try:
            context.run_queues.retry(self._keys, self._incarnation, limits)
        except LimitExceeded as problem:
            parent, *ancestors = self._keys.ancestors  # the session of a run has a parent
            if not make_room(context, context.run_queues.keys_of(Work(parent, tuple(ancestors))), problem.limit):
                raise
            context.run_queues.retry(self._keys, self._incarnation, limits)
