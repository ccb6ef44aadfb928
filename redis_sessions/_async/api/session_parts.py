"""Methods on the parts of a session, and appends of messages that have IDs."""

from __future__ import annotations

from collections.abc import Sequence

from ..._core.commands import new_messages, parts
from ..._core.commands.messages import MessageLike
from ...errors import LimitExceeded
from ...models.pages import Page
from ...models.parts import PartInfo
from ...models.results import AppendNewResult
from .part import AsyncPart
from .session_base import AsyncSessionBase


class AsyncSessionParts(AsyncSessionBase):
    """The parts of one session."""

    def part(self, name: str) -> AsyncPart:
        """Return a handle on a part, whether it exists or not. No round trip.

        Args:
            name: 1 to 512 printable characters.
        """
        return AsyncPart(self, name)

    async def parts(self, prefix: str = "", limit: int = 50, cursor: str | None = None) -> Page[PartInfo]:
        """Return a page of the session's parts, ascending by name.

        Args:
            prefix: only parts whose names begin with it.
            limit: parts of the page, 1 to 1,000.
            cursor: the cursor of the page before.

        Cost: one round trip. The cost does not grow with the number of parts.
        """
        return await self._executor.run(parts.list_page(self._keys, self._incarnation, prefix, limit, cursor))

    async def append_new(
        self,
        *batch: MessageLike,
        ids: Sequence[str | None],
        batch_id: str | None = None,
        expected_rev: int | None = None,
    ) -> AppendNewResult:
        """Append messages that have IDs of their own, and leave out those whose ID the session had before.

        The rest is appended in order: all or none. An ID stays known when its message leaves the session.

        Args:
            *batch: messages, as `append` takes them.
            ids: an ID for each message, 1 to 128 characters, or None for a message without one, which is always new.
            batch_id: an ID among the session's last 64 operations returns its first result and writes nothing.
            expected_rev: refuse the append unless the session has this revision.

        Returns:
            The place of what was stored, and the number of messages that were left out.

        Raises:
            BoundExceeded: the session would have more IDs than the bound `part_messages` says.
            SessionsError: as for `append`.

        Cost: one round trip, atomic. The cost does not grow with the length of the session.
        """
        incarnation, lease = self._guard()
        call = new_messages.append_new(
            self._keys, incarnation, lease, batch, self._counter, ids=ids, batch_id=batch_id, expected_rev=expected_rev,
            seen=self._seen, knows_format=self._knows_format, bounds=self._context.bounds,
        )  # fmt: skip
        try:
            result, incarnation = await self._run(call)
        except LimitExceeded as problem:
            await self._context.run_queues.finish_limit_end(self._keys, self._incarnation, problem)
            raise
        self._learn(incarnation, result.last_seq, knows_format=call.arguments["format"] != "")
        return result
