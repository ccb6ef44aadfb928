# Generated from ../_async/session.py by tools/mirror.py; edit that file.
"""A handle on one session: its messages, its state, its life."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Unpack

from pydantic import BaseModel

from .._core import messages, sessions
from .._core.calls import Call
from .._core.codec import TokenCounter
from .._core.keys import SessionKeys
from .._core.units import Duration, whole
from ..errors import SessionRegressed
from ..models.limits import LimitCheck
from ..models.messages import Message
from ..models.results import AppendResult
from ..models.sessions import SessionInfo, Status
from ..models.turns import Turn
from ..settings import Description
from .calls import Calls
from .state import State, Variables


class Session:
    """One session, by its id. Making one costs nothing; each method is one atomic round trip unless it says otherwise.

    A handle from `create` or `open` knows which life of the session it belongs to, one from `session(id)` learns it with
    the first append; from then on it refuses a session that was deleted and created again (SessionReplaced). Every method
    raises SessionNotFound when the session is gone.
    """

    def __init__(
        self, calls: Calls, keys: SessionKeys, life: str, count: TokenCounter, *, touch_on_read: bool = False
    ) -> None:
        self._calls = calls
        self._keys = keys
        self._life = life
        self._count = count
        self._touch_on_read = touch_on_read
        self._seen = 0
        self.state = State(keys, calls.run, self._known_life)
        """Named JSON values and pydantic models."""
        self.variables = Variables(keys, calls.run, self._known_life)
        """Named texts."""

    @property
    def id(self) -> str:
        """The session's id."""
        return self._keys.id

    def _known_life(self) -> str:
        return self._life

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
        SessionRegressed (a failover lost what this handle was told), OutcomeUnknown (no answer; carries the batch id).
        """
        call = messages.append(
            self._keys,
            self._life,
            batch,
            self._count,
            batch_id=batch_id,
            expected_rev=expected_rev,
            seen=self._seen,
        )
        result, self._life = self._calls.run(call)
        if result.last_seq > self._seen:
            self._seen = result.last_seq
        return result

    def send(self, message: str | Message | dict[str, Any], *, batch_id: str | None = None) -> AppendResult:
        """Appends one message; a text becomes a user message. Refused unless the session is active."""
        one = Message("user", message) if isinstance(message, str) else message
        return self.append(one, batch_id=batch_id)

    def history(
        self,
        limit: int | None = None,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        role: str | None = None,
        include_tools: bool = True,
    ) -> list[Message]:
        """The newest `limit` messages above `after_seq` and below `before_seq`, oldest first; all of them without a limit.

        `role` is system, user, assistant, tool, or an entry type such as tool_call. Tool messages that are left out do not
        count against the limit. One round trip for each 1,000 messages. The system prompt is not among them: `info()`
        has it, `context()` puts it first.
        """
        whole(after_seq, "after_seq")
        wanted = None if limit is None else whole(limit, "limit")
        below = 0 if before_seq is None else whole(before_seq, "before_seq", least=1)
        kinds = messages.kinds_of(role, include_tools) if role is not None or not include_tools else ""
        found: list[Message] = []
        if wanted == 0 or below == 1:
            return found
        while True:
            size = messages.PAGE if wanted is None else min(wanted - len(found), messages.PAGE)
            page = self._page(kinds, size, after_seq, below)
            found = page.messages + found
            if not page.below or len(found) == wanted:
                return found
            below = page.below

    def _page(self, kinds: str, size: int, after: int, below: int, budget: int | str = "") -> messages.Page:
        call: Call[messages.Page]
        if kinds:
            call = messages.select(
                self._keys, self._life, kinds=kinds, limit=size, after=after, below=below, budget=budget
            )
        else:
            call = messages.read(
                self._keys, self._life, limit=size, after=after, below=below, slide=self._touch_on_read
            )
        seen = self._seen
        page = self._calls.run(call)
        if page.last_seq < seen:
            raise SessionRegressed(session_id=self.id, known=page.last_seq, seen=seen)
        return page

    def context(self, max_tokens: int | None = None, *, counter: TokenCounter | None = None) -> list[Message]:
        """The window for a model call: the system prompt, then the newest messages that fit, in order.

        The prompt is paid for first and always there. The first message that does not fit ends the window; system messages
        are never part of it. Without `max_tokens` the session's own setting holds. Tokens are what the writer counted; a
        `counter` counts them here instead, reading back page by page.
        """
        if max_tokens is not None:
            whole(max_tokens, "max_tokens")
        kinds = messages.kinds_of(None, True).replace("s", "").replace("v", "").replace("e", "")
        if counter is not None:
            return self._counted(max_tokens, counter, kinds)
        budget = "own" if max_tokens is None else max_tokens
        page = self._page(kinds, -1, 0, 0, budget)
        return [*_prompt(page.system_prompt), *page.messages]

    def _counted(self, max_tokens: int | None, counter: TokenCounter, kinds: str) -> list[Message]:
        info = self.info()
        prompt = next(iter(_prompt(info.system_prompt)), None)
        budget = info.max_tokens if max_tokens is None else max_tokens
        newest_first: list[Message] = []
        below = 0
        while True:
            page = self._page(kinds, 200, 0, below)
            newest_first += reversed(page.messages)
            window = messages.fitting(prompt, newest_first, budget, counter)
            if not page.below or len(window) - (prompt is not None) < len(newest_first):
                return window
            below = page.below

    def turn(self, number: int) -> Turn | None:
        """A turn by its number, from 1; None when there is none or the cap dropped its user message."""
        if whole(number, "number") == 0:
            return None
        return self._calls.run(messages.turn(self._keys, self._life, number))

    def last_turn(self) -> Turn | None:
        """The turn that the last user message opened; None before the first."""
        return self._calls.run(messages.turn(self._keys, self._life, 0))

    def pin(self, seq: int, *, expected_rev: int | None = None) -> int:
        """Keeps a message whatever the cap drops; at most half of the cap may be pinned. Returns the rev.

        Raises MessageNotFound, LimitExceeded.
        """
        return self._calls.run(messages.pin(self._keys, self._life, seq, True, expected_rev=expected_rev))

    def unpin(self, seq: int, *, expected_rev: int | None = None) -> int:
        """Ends a pin; a message that only the pin kept is dropped. Returns the rev. Raises MessageNotFound."""
        return self._calls.run(messages.pin(self._keys, self._life, seq, False, expected_rev=expected_rev))

    def clear(self, *, expected_rev: int | None = None) -> int:
        """Removes all messages and starts the counts again; seqs go on, system prompt and state stay. Returns the rev."""
        return self._calls.run(messages.clear(self._keys, self._life, expected_rev=expected_rev))

    # -- the session itself --------------------------------------------------------------------------------------

    def info(self) -> SessionInfo:
        """Everything about the session but its messages and state, as of one moment."""
        return self._calls.run(sessions.info(self._keys, self._life))

    def check_limits(self) -> LimitCheck:
        """The first of turns, entries and duration that is at or over its limit; else ok."""
        return (self.info()).check_limits()

    def patch(
        self, *, expected_rev: int | None = None, remove_metadata: tuple[str, ...] = (), **fields: Unpack[Description]
    ) -> int:
        """Replaces what is given: name, type, tags, user_id, agent_id, system_prompt; merges metadata key by key.

        The updated time moves. Returns the rev.
        """
        sets = sessions.describe(self._count, **fields)
        removed = [f"meta.{sessions.checked_text(key, 'remove_metadata')}" for key in remove_metadata]
        rev, _ = self._calls.run(sessions.patch(self._keys, self._life, sets, removed, expected_rev=expected_rev))
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
        """Ends the session as completed, with a result (JSON). Returns the rev.

        Like every end it is final: ending it the same way again changes nothing, another way raises InvalidTransition.
        """
        return self._status("completed", reason, result, expected_rev)

    def fail(self, *, reason: str | None = None, result: Any = None, expected_rev: int | None = None) -> int:
        """Ends the session as failed. Returns the rev."""
        return self._status("failed", reason, result, expected_rev)

    def cancel(self, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """Ends the session as cancelled. Returns the rev."""
        return self._status("cancelled", reason, None, expected_rev)

    def time_out(self, *, reason: str | None = None, expected_rev: int | None = None) -> int:
        """Ends the session as timed_out. Returns the rev."""
        return self._status("timed_out", reason, None, expected_rev)

    def _status(self, wanted: Status, reason: str | None, result: Any, expected_rev: int | None) -> int:
        call = sessions.status(self._keys, self._life, wanted, reason, result, expected_rev=expected_rev)
        return self._calls.run(call)

    def delete(self) -> bool:
        """Deletes the session with everything it owns; says whether it was there."""
        return self._calls.run(sessions.delete(self._keys, self._life))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id!r})"


def _prompt(text: str | None) -> list[Message]:
    return [] if text is None else [Message("system", text)]
