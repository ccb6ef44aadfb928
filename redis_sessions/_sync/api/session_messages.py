# Generated from _async/api/session_messages.py by tools/mirror.py; edit that file.
"""Methods that read a session's transcript: history, the window for a model call, turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ..._arguments import check_function
from ..._core.commands import messages
from ..._core.commands.session_fields import checked_choice
from ..._core.commands.shared import checked_scopes
from ..._core.commands.window_blocks import AbandonedCalls, SystemMessages
from ..._core.commands.windows import Start
from ..._durations import whole
from ...models.messages import Message
from ...models.snapshots import Snapshot
from ...models.turns import Turn
from ...models.windows import Window
from ...settings import TokenCounter
from ..services.history import read_history, read_page, read_text_history, read_turn, read_window
from ..services.snapshots import SnapshotRequest, load_session
from .session_base import SessionBase


class SessionMessages(SessionBase):
    """The transcript of one session, as it is read."""

    def history(
        self,
        limit: int | None = None,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        role: str | None = None,
        include_tools: bool = True,
        skip_damaged: bool = False,
    ) -> list[Message]:
        """Return the newest messages of a range, oldest first.

        The system prompt is not part of the history: `info()` has it, and `context()` puts it first.

        Args:
            limit: the number of messages, 0 or more. Default: all retained messages.
            after_seq: only messages with a higher seq.
            before_seq: only messages with a lower seq.
            role: system, user, assistant, tool, or an entry type such as tool_call.
            include_tools: False leaves out calls and results, and keeps the text next to them. Messages without text do not
                count against `limit`.
            skip_damaged: True leaves out messages that cannot be decoded, for example because another program wrote them.

        Raises:
            SessionNotFound, SessionReplaced: the session is gone.
            SessionRegressed: a failover lost messages that the server acknowledged to this handle.
            InvalidInput: an argument is out of its bounds.
            InvalidState: a message is damaged. The error names its seq.
            ConcurrentModification: edits came between the pages of the history, again and again.

        Cost: one round trip for each 1,000 messages or 1 MiB.
        """
        size = None if limit is None else whole(limit, "limit")
        after = whole(after_seq, "after_seq")
        below = 0 if before_seq is None else whole(before_seq, "before_seq", minimum=1)
        if role is not None or not include_tools:
            kinds = messages.kinds_of(role, include_tools)
            if not kinds:  # a role of tools, without tools
                read_page(self._executor, self._keys, self._incarnation, limit=0, seen=self._seen)
                return []
            return read_text_history(
                self._executor, self._keys, self._incarnation, size, kinds=kinds,
                after=after, below=below, include_tools=include_tools, seen=self._seen,
                skip_damaged=skip_damaged,
            )  # fmt: skip
        return read_history(
            self._executor, self._keys, self._incarnation, size, after=after, below=below,
            extend=self._context.touch_on_read, seen=self._seen, skip_damaged=skip_damaged,
        )  # fmt: skip

    def load(self, limit: int | None = None, *, after_seq: int = 0, shared: Sequence[str] = ()) -> Snapshot:
        """Return the session as of one moment: the results of `info`, `state.all` and `history`, in one round trip.

        Args:
            limit: the number of messages, 0 or more. Default: all retained messages.
            after_seq: only messages with a higher seq.
            shared: scopes of `cache.shared` whose values are read in the same round trip, as of a moment of their own.

        Writes of scopes that another process appended and could not apply are applied first, so `shared` has them.

        Raises:
            SessionNotFound, SessionReplaced: the session is gone.
            SessionRegressed: a failover lost messages that the server acknowledged to this handle.
            InvalidInput: an argument is out of its bounds.
            InvalidState: a message or a value is damaged. The error names its seq or its name.
            ConcurrentModification: edits came between the pages of the messages, again and again.

        Cost: one round trip for each 1,000 messages or 1 MiB. In a cluster one to each node that holds a scope.
        """
        size = None if limit is None else whole(limit, "limit")
        wanted = SnapshotRequest(self._keys, self._incarnation, size, whole(after_seq, "after_seq"), self._seen)
        return load_session(self._context, wanted, checked_scopes(shared))

    def context(
        self,
        max_tokens: int | None = None,
        *,
        start: Start | None = None,
        system: SystemMessages = "omit",
        abandoned: AbandonedCalls = "omit",
        counter: TokenCounter | None = None,
        format: str | None = None,
    ) -> Window:
        """Return the window for a model call: the system prompt, then the newest messages that fit, valid for the vendor.

        Tool calls and their results are one group, with the reasoning items that they need. A group is in the window as a whole.
        Results stand directly behind their call, and messages that others appended between them stand behind the results. Late
        results, and calls without a result, are left out. The newest group is part of the window even if it exceeds the budget.

        Args:
            max_tokens: the budget. Default: the session's `max_tokens`. The system prompt counts first.
            start: user: begin with a user message, and put the newest user message first if no other fits. any: begin with any
                group. Default: user for Anthropic, Bedrock and Gemini, which demand it, else any.
            system: keep or omit the system messages of the transcript.
            abandoned: omit a call that has no result, or answer the call with a synthetic result.
            counter: counts the tokens of each message here. Default: the counts that the writers stored.
            format: the message format that the window is for. Default: the session's.

        Returns:
            A list of messages with `tokens`, `truncated`, `over_budget`, `system`, and `payloads` for the API.

        Raises:
            SessionNotFound, SessionReplaced: the session is gone.
            SessionRegressed: a failover lost messages that the server acknowledged to this handle.
            InvalidInput: an argument is not valid.

        Cost: one round trip, more for windows above 1 MiB, or if the call of the newest result lies outside of the budget.
        """
        if max_tokens is not None:
            whole(max_tokens, "max_tokens")
        if counter is not None:
            check_function(counter, "counter")
        for value, name, words in (
            (start or "any", "start", get_args(Start)),
            (system, "system", get_args(SystemMessages)),
            (abandoned, "abandoned", get_args(AbandonedCalls)),
        ):
            checked_choice(value, name, words)
        return read_window(
            self._executor, self._keys, self._incarnation, max_tokens=max_tokens, counter=counter, start=start,
            system=system, abandoned=abandoned, format=format, seen=self._seen,
        )  # fmt: skip

    def turn(self, number: int) -> Turn | None:
        """Return a turn by its number, from 1. None when the turn does not exist, or the cap dropped its user message.

        Cost: one round trip, more for a turn that is far back, or has more than 1 MB.
        """
        if whole(number, "number") == 0:
            return None
        return read_turn(self._executor, self._keys, self._incarnation, number)

    def last_turn(self) -> Turn | None:
        """Return the turn that the last user message opened. None before the first user message.

        Cost: one round trip, more for a turn of more than 3,000 messages or 1 MB.
        """
        return read_turn(self._executor, self._keys, self._incarnation, 0)
