# Generated from ../_async/session.py by tools/mirror.py; edit that file.
"""A handle on one session: its messages, its state, its life."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar, Unpack

from pydantic import BaseModel

from .._core import descriptions, messages, sessions, watching
from .._core.calls import Call
from .._core.keys import SessionKeys
from .._core.units import Duration, milliseconds, whole
from .._core.watching import Progress
from ..errors import LeaseLost, RevisionConflict, SessionRegressed
from ..models.events import SessionEvent
from ..models.limits import LimitCheck
from ..models.messages import Message
from ..models.results import AppendResult, SendResult
from ..models.sessions import SessionInfo, Status
from ..settings import Description
from . import held, io, transfer
from .home import Home
from .leases import Lease
from .loops import Loops
from .state import State, Variables
from .watching import watch

T = TypeVar("T")


class Session(Loops):
    """One session, by its id. Making one costs nothing; each method is one atomic round trip unless it says otherwise.

    A handle from `create` or `open` knows which life of the session it belongs to, one from `session(id)` learns it with
    the first append; from then on it refuses a session that was deleted and created again (SessionReplaced). Every method
    raises SessionNotFound when the session is gone.
    """

    def __init__(self, home: Home, keys: SessionKeys, life: str, *, under: Lease | None = None) -> None:
        super().__init__(home, keys, life)
        self._address = (id(home.calls), keys.session)
        self._lease = under
        self.state = State(keys, self._run, self._writer)
        """Named JSON values and pydantic models."""
        self.variables = Variables(keys, self._run, self._writer)
        """Named texts."""

    def _writer(self) -> tuple[str, str]:
        """The life that this handle knows, and the lease it writes under."""
        return self._life, held.token_of(self)

    def _run(self, call: Call[T]) -> T:
        try:
            return self._calls.run(call)
        except LeaseLost:
            held.lose(self)
            raise

    def _under(self, lease: Lease) -> Session:
        return Session(self._home, self._keys, self._life, under=lease)

    # -- messages ------------------------------------------------------------------------------------------------

    def append(
        self,
        *batch: Message | dict[str, Any] | BaseModel,
        batch_id: str | None = None,
        expected_rev: int | None = None,
    ) -> AppendResult:
        """Appends messages in order: all or none, each exactly once for a `batch_id`, within the session's limits.

        A batch id among the session's last 64 returns its first result and writes nothing, so repeating is safe; one is
        made when none is given. The cap then drops the oldest messages, by the session's policy.

        Raises SessionNotActive, RevisionConflict (`expected_rev`), LimitExceeded, MessageTooLarge, InvalidInput (no JSON),
        SessionLocked, LeaseLost, SessionRegressed (a failover lost what this handle was told), OutcomeUnknown (no answer;
        carries the batch id).
        """
        call = messages.append(
            self._keys,
            *self._writer(),
            batch,
            self._count,
            batch_id=batch_id,
            expected_rev=expected_rev,
            seen=self._seen,
        )
        try:
            result, self._life = self._calls.run(call)
        except LeaseLost:
            held.lose(self)
            raise
        if result.last_seq > self._seen:
            self._seen = result.last_seq
        return result

    def send(self, message: str | Message | dict[str, Any], *, batch_id: str | None = None) -> SendResult:
        """Sends one message; a text becomes a user message. Never waits, and never comes between a holder's messages.

        While another holds the lease it waits in the session's inbox, in order; else it is appended, behind what still waits
        there. Exactly once for a `batch_id`. Raises SessionNotActive, MessageTooLarge, LimitExceeded (also when `max_inbox`
        messages wait), OutcomeUnknown.
        """
        one = Message("user", message) if isinstance(message, str) else message
        result, self._life = self._run(messages.send(self._keys, *self._writer(), one, self._count, batch_id))
        self._seen = max(self._seen, result.seq or 0)
        return result

    def lease(self, ttl: Duration = 30.0, wait: Duration = 10.0, *, owner: str | None = None) -> Lease:
        """The exclusive right to write this session, as `with session.lease() as lease:`. Nothing is sent yet.

        `ttl` (0.1 s to a day) is how long it outlives a holder that dies; it is renewed while it is held. `wait` is how long
        to stand in line for it; 0 not to wait. `owner` is what others are told who holds it: host and process by default.
        """
        return Lease(self, ttl, wait, owner)

    def retry_on_conflict(self, function: Callable[[SessionInfo], T], *, attempts: int = 10) -> T:
        """Calls `function` with what `info()` says, again when its write was refused because the session had moved on.

        The function writes with `expected_rev=info.rev`. Raises RevisionConflict after so many attempts; between two it
        waits a few random milliseconds.
        """
        for attempt in range(1, whole(attempts, "attempts", least=1, most=1000) + 1):
            try:
                return function(self.info())
            except RevisionConflict:
                if attempt == attempts:
                    raise
                io.sleep(random.uniform(0, min(0.002 * 2**attempt, 0.2)))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def pin(self, seq: int, *, expected_rev: int | None = None) -> int:
        """Keeps a message whatever the cap drops; at most half of the cap may be pinned. Returns the rev.

        Raises MessageNotFound, LimitExceeded.
        """
        return self._run(messages.pin(self._keys, *self._writer(), seq, True, expected_rev=expected_rev))

    def unpin(self, seq: int, *, expected_rev: int | None = None) -> int:
        """Ends a pin; a message that only the pin kept is dropped. Returns the rev. Raises MessageNotFound."""
        return self._run(messages.pin(self._keys, *self._writer(), seq, False, expected_rev=expected_rev))

    def clear(self, *, expected_rev: int | None = None) -> int:
        """Removes all messages and starts the counts again; seqs go on, system prompt and state stay. Returns the rev."""
        return self._run(messages.clear(self._keys, *self._writer(), expected_rev=expected_rev))

    def watch(
        self, after_seq: int | None = 0, *, after_change: int = 0, timeout: Duration | None = None
    ) -> Iterator[SessionEvent]:
        """What happens, as it happens: messages and status changes in order, each once, from those after `after_seq` on.

        None begins with what comes from now on. It goes on over disconnects and failovers, as long as a call is retried, and
        what it missed is read; what the cap dropped unseen is a `gap`. It ends after the session's end, when the session is
        gone, or when nothing came for `timeout` seconds. To resume, give the last event's `seq` and `change`. A watcher
        that is slow holds nobody up. Raises SessionNotFound, SessionRegressed, StoreUnavailable.
        """
        seq = None if after_seq is None else whole(after_seq, "after_seq")
        seconds = None if timeout is None else milliseconds(timeout, "timeout") / 1000
        progress = Progress(self.id, seq, whole(after_change, "after_change"), self._life)
        return watch(self._home.watches, self, progress, seconds)

    def publish(self, data: Any) -> None:
        """Tells those who watch now something that is not stored: JSON of 64 KiB at most. Raises SessionNotFound."""
        self._calls.run(watching.publish(self._keys, self._life, data))

    # -- the session itself --------------------------------------------------------------------------------------

    def info(self) -> SessionInfo:
        """Everything about the session but its messages and state, as of one moment."""
        info = self._calls.run(sessions.info(self._keys, self._life))
        if info.last_seq < self._seen:
            raise SessionRegressed(session_id=self.id, known=info.last_seq, seen=self._seen)
        return info

    def check_limits(self) -> LimitCheck:
        """The first of turns, entries and duration that is at or over its limit; else ok."""
        return (self.info()).check_limits()

    def patch(
        self, *, expected_rev: int | None = None, remove_metadata: tuple[str, ...] = (), **fields: Unpack[Description]
    ) -> int:
        """Replaces what is given: name, type, tags, user_id, agent_id, system_prompt; merges metadata key by key.

        The updated time moves. Returns the rev.
        """
        sets = descriptions.describe(self._count, **fields)
        removed = [f"meta.{descriptions.checked_text(key, 'remove_metadata')}" for key in remove_metadata]
        rev, _ = self._calls.run(sessions.patch(self._keys, *self._writer(), sets, removed, expected_rev=expected_rev))
        return rev

    def touch(self, ttl: Duration | None = None) -> timedelta | None:
        """Extends the session's idle life, to `ttl` from now or its own; never shortens it, never past max_lifetime.

        Changes nothing else. Returns the life left, None for a persistent session.
        """
        return self._calls.run(sessions.touch(self._keys, self._life, ttl))

    def pause(self, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """Active to paused: takes no messages until `resume`. Returns the rev."""
        return self._status("paused", reason, None, expected_rev)

    def resume(self, *, expected_rev: int | None = None) -> int:
        """Paused to active. Returns the rev."""
        return self._status("active", None, None, expected_rev)

    def complete(self, result: Any = None, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """Ends the session as completed, with a result (JSON); a child's goes to its parent as a message. Returns the rev.

        Like every end it is final: ending it the same way again changes nothing, another way raises InvalidTransition.
        """
        return self._status("completed", reason, result, expected_rev)

    def fail(self, *, reason: str | None = None, result: Any = None, expected_rev: int | None = None) -> int:
        """Ends the session as failed. Returns the rev."""
        return self._status("failed", reason, result, expected_rev)

    def cancel(self, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """Ends the session as cancelled, and all below it: none of them writes or spawns from then on. Returns the rev.

        One round trip, and one for each 400 below it, to mark them. An order, like pause, resume, time_out and delete: it
        needs no lease. Under one that is lost it is refused.
        """
        return self._status("cancelled", reason, None, expected_rev)

    def time_out(self, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """Ends the session as timed_out. Returns the rev."""
        return self._status("timed_out", reason, None, expected_rev)

    def _status(self, wanted: Status, reason: str | None, result: Any, expected_rev: int | None) -> int:
        call = sessions.status(self._keys, *self._writer(), wanted, reason, result, expected_rev=expected_rev)
        rev, left = self._run(call)
        if left:
            self._home.queues.sweep_tree(self._keys, left)
        if self._keys.ancestors and wanted not in ("active", "paused"):
            self._home.queues.forget(self._keys)
        return rev

    def delete(self) -> bool:
        """Deletes the session with everything it owns, and all that are below it; says whether it was there.

        One round trip, atomic; those below it are cancelled at once and go first, 400 a round trip.
        """
        was_there, number, left = self._run(sessions.delete(self._keys, *self._writer()))
        if left:
            self._home.queues.sweep_tree(self._keys, left, number)
            self._run(sessions.delete(self._keys, *self._writer()))
        if self._keys.ancestors:
            self._home.queues.forget(self._keys)
        return was_there

    def export(self, *, tree: bool = True) -> Iterator[str]:
        """The lines of an export (JSON Lines, without newlines): this session, with `tree` all below it, too, as it is stored.

        `cache.import_sessions` puts it in place elsewhere. Each session is as of one moment, and so is who is in the tree and
        who has ended; a pin that moves meanwhile may be where it was or where it is. Nothing is locked: what changes is read
        again, five times at the most. One round trip for each 1,000 messages, of which no more are held, or 4 MB. Raises
        SessionNotFound, SessionChanged.
        """
        return transfer.export(self._home, self._keys, self._life, tree)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"
