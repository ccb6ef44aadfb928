# Generated from ../_async/transcript.py by tools/mirror.py; edit that file.
"""What a handle reads of its session: history, windows for a model call, turns."""

from __future__ import annotations

from .._core import messages, sessions
from .._core.calls import Call
from .._core.codec import TokenCounter
from .._core.keys import SessionKeys
from .._core.units import whole
from ..errors import SessionRegressed
from ..models.messages import Message
from ..models.turns import Turn
from .home import Home


class Transcript:
    """The messages of one session, as they are read."""

    def __init__(self, home: Home, keys: SessionKeys, life: str) -> None:
        self._home = home
        self._calls = home.calls
        self._keys = keys
        self._life = life
        self._count = home.count
        self._seen = 0

    @property
    def id(self) -> str:
        """The session's id."""
        return self._keys.id

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
                self._keys, self._life, limit=size, after=after, below=below, slide=self._home.touch_on_read
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
        info = self._calls.run(sessions.info(self._keys, self._life))
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


def _prompt(text: str | None) -> list[Message]:
    return [] if text is None else [Message("system", text)]
