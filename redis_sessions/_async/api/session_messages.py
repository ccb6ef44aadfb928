"""Methods that read a session's transcript: history, the window for a model call, turns."""

from __future__ import annotations

from ..._core.commands import messages, sessions
from ..._durations import whole
from ...models.messages import Message
from ...models.turns import Turn
from ...settings import TokenCounter
from ..services.history import read_history, read_page
from .session_base import AsyncSessionBase


class AsyncSessionMessages(AsyncSessionBase):
    """The transcript of one session, as it is read."""

    async def history(
        self,
        limit: int | None = None,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        role: str | None = None,
        include_tools: bool = True,
    ) -> list[Message]:
        """Return the newest messages of a range, oldest first.

        The system prompt is not part of the history: `info()` has it, and `context()` puts it first.

        Args:
            limit: the number of messages, 0 or more. Default: all retained messages.
            after_seq: only messages with a higher seq.
            before_seq: only messages with a lower seq.
            role: system, user, assistant, tool, or an entry type such as tool_call.
            include_tools: False leaves tool messages out. They do not count against `limit`.

        Raises:
            SessionNotFound, SessionReplaced: the session is gone.
            SessionRegressed: a failover lost messages that this handle was told.
            InvalidInput: an argument is out of its bounds.

        Cost: one round trip for each 1,000 messages.
        """
        return await read_history(
            self._executor,
            self._keys,
            self._incarnation,
            None if limit is None else whole(limit, "limit"),
            after=whole(after_seq, "after_seq"),
            below=0 if before_seq is None else whole(before_seq, "before_seq", minimum=1),
            kinds=messages.kinds_of(role, include_tools) if role is not None or not include_tools else "",
            extend=self._context.touch_on_read,
            seen=self._seen,
        )

    async def context(self, max_tokens: int | None = None, *, counter: TokenCounter | None = None) -> list[Message]:
        """Return the window for a model call: the system prompt, then the newest messages that fit, in order.

        The system prompt counts first and is always part of the window. The first message that does not fit ends the
        window. System messages of the transcript are never part of the window.

        Args:
            max_tokens: the budget. Default: the session's `max_tokens`.
            counter: counts the tokens of each message here. Default: the counts that the writers stored.

        Cost: one round trip. With a `counter`, two and one more for each 200 messages.
        """
        if max_tokens is not None:
            whole(max_tokens, "max_tokens")
        kinds = messages.WINDOW_KINDS
        if counter is not None:
            return await self._counted_window(max_tokens, counter, kinds)
        page = await read_page(
            self._executor, self._keys, self._incarnation, limit=-1, kinds=kinds, seen=self._seen,
            budget="own" if max_tokens is None else max_tokens,
        )  # fmt: skip
        return [*_prompt_message(page.system_prompt), *page.messages]

    async def _counted_window(self, max_tokens: int | None, counter: TokenCounter, kinds: str) -> list[Message]:
        info = await self._executor.run(sessions.info(self._keys, self._incarnation))
        prompt = next(iter(_prompt_message(info.system_prompt)), None)
        budget = info.max_tokens if max_tokens is None else max_tokens
        newest_first: list[Message] = []
        below = 0
        while True:
            page = await read_page(
                self._executor, self._keys, self._incarnation, limit=200, kinds=kinds, below=below, seen=self._seen
            )
            newest_first += reversed(page.messages)
            window = messages.fit_window(prompt, newest_first, budget, counter)
            if not page.below or len(window) - (prompt is not None) < len(newest_first):
                return window
            below = page.below

    async def turn(self, number: int) -> Turn | None:
        """Return a turn by its number, from 1. None when the turn does not exist, or the cap dropped its user message.

        Cost: one round trip.
        """
        if whole(number, "number") == 0:
            return None
        return await self._executor.run(messages.turn(self._keys, self._incarnation, number))

    async def last_turn(self) -> Turn | None:
        """Return the turn that the last user message opened. None before the first user message.

        Cost: one round trip.
        """
        return await self._executor.run(messages.turn(self._keys, self._incarnation, 0))


def _prompt_message(text: str | None) -> list[Message]:
    return [] if text is None else [Message("system", text)]
