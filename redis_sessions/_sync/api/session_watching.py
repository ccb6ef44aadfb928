# Generated from _async/api/session_watching.py by tools/mirror.py; edit that file.
"""Methods by which watchers follow one session."""

from __future__ import annotations

from typing import Any

from ..._core.commands import deltas, watch_progress
from ..._core.commands.watch_pace import Stoppable, WatchPace
from ..._core.commands.watch_progress import WatchPosition, WatchProgress
from ..._durations import Duration, whole
from ...errors import InvalidInput
from ..services.watch import Watch
from ..services.watcher import watch
from .session_base import SessionBase


class SessionWatching(SessionBase):
    """The watches of one session, and what is published to them."""

    def watch(
        self,
        after_seq: int | None = 0,
        *,
        after_change: int = 0,
        cursor: str | None = None,
        timeout: Duration | None = None,
        heartbeat: Duration | None = None,
        stop: Stoppable | None = None,
    ) -> Watch:
        """Yield the events of the session as they happen: messages, edits and status changes in order, each once.

        The watch goes on over disconnects and failovers, as long as a call is retried. The watch reads the events that it
        missed. Messages that the cap dropped unseen are a `gap`. The watch ends after an event that `is_final`, after a silence
        of `timeout`, or when it is stopped. Its `end_reason` says why. A slow watcher delays no other. To resume, give the
        `cursor` of the last event.

        Args:
            after_seq: begin with the message after this one. None to begin with the next event from now on.
            after_change: begin with the status change after this one.
            cursor: the cursor of an event, in place of `after_seq` and `after_change`.
            timeout: end the watch when nothing happens for this time. Default: never.
            heartbeat: yield a `heartbeat` event after each such time in which nothing happened, 0.1 s to a day. Default: none.
            stop: end the watch within 0.25 s after this event is set.

        Raises:
            InvalidInput: an argument is not valid.
            SessionNotFound: the session does not exist.
            SessionRegressed: a failover lost messages that were yielded.
            StoreUnavailable: the server did not answer for `retry_for`.
        """
        begin = WatchPosition(
            None if after_seq is None else whole(after_seq, "after_seq"), whole(after_change, "after_change")
        )
        if cursor is not None:
            if begin != (0, 0, 0, 0):
                raise InvalidInput(name="cursor", detail="and after_seq or after_change exclude each other")
            begin = watch_progress.parse_cursor(cursor)
        progress = WatchProgress(self.id, begin, self._incarnation)
        return watch(self._context.watcher, self._keys, progress, WatchPace(timeout, heartbeat, stop))

    def publish(self, data: Any, *, restart: bool = False) -> None:
        """Tell the watchers a delta: a part of the answer that is being made.

        All deltas since the last message are one answer. The server keeps the deltas for watchers that connect, or connect again,
        until the next message is appended, and at most 10 minutes after the last delta. The bound `deltas_bytes` says how many
        are kept. Deltas are not part of the transcript, of exports or of copies, and do not change the revision.

        Args:
            data: a JSON value of at most 64 KiB.
            restart: begin the answer again, because the attempt before failed: its deltas are void. The event has the number 1.

        Raises:
            InvalidInput: the data is not a JSON value, or too large.
            LimitExceeded: all watchers together would get more than 2 MB.
            SessionNotFound, SessionReplaced: the session is gone.
            StoreUnavailable: the server did not answer for `retry_for`. The delta may have arrived.

        Cost: one round trip.
        """
        self._context.note_deltas(self._keys.session)
        self._executor.run(deltas.publish(self._keys, self._incarnation, data, restart, self._context.bounds))
