"""The part of the quarantine that belongs to a forgotten user."""

from __future__ import annotations

from itertools import count

from ..._core.commands import quarantine
from ..._core.commands.quarantine import Quarantined
from ..._core.protocol.keys import QuarantineKeys, quarantine_index
from .context import CacheContext
from .mistyped_keys import run_all, run_or_default


class UserQuarantine:
    """The data that repairs moved out of the way of a user's sessions."""

    def __init__(self, context: CacheContext, user: str) -> None:
        self._context = context
        self._executor = context.executor
        self._user = user
        self.removed = 0
        """The number of keys that were deleted."""
        self._moved: dict[str, set[QuarantineKeys]] = {}

    async def forget_own(self) -> None:
        """Delete what a repair moved out of the way: the sessions of the user, and their values."""
        entries = await self._list_quarantined()
        owned = [one for one in entries if one.kind in ("session", "values")]
        found = await run_all(self._executor, [quarantine.read_user(one) for one in owned])
        users = {one.keys: user for one, user in zip(owned, found, strict=True) if user}
        for entry in entries:
            if users.get(entry.keys, self._user) == self._user:  # an ID can have been another user's before
                self._moved.setdefault(entry.id, set()).add(entry.keys)
        await self._delete({keys for keys, user in users.items() if user == self._user})
        await self.forget_of(f"user {self._user}")
        for keys in self._moved.get(self._user, ()):  # a session or an agent of that name can be another user's
            if await run_or_default(self._executor, quarantine.is_channel(keys), False):
                self.removed += await self._executor.run(quarantine.delete_values(keys))

    async def _list_quarantined(self) -> list[Quarantined]:
        index, found = quarantine_index(self._context.namespace), list[Quarantined]()
        for first in count(0, quarantine.PAGE):
            keys = await self._executor.run(quarantine.list_keys(index, first))
            found += quarantine.entries_of(self._context.namespace, keys)
            if len(keys) < quarantine.PAGE:
                break
        return found

    async def forget_of(self, id: str) -> None:
        """Delete what was moved of a session, an index or a queue, unless it belonged to another user."""
        await self._delete(self._moved.pop(id, set()))

    async def _delete(self, moved: set[QuarantineKeys]) -> None:
        index = quarantine_index(self._context.namespace)
        self.removed += sum(await run_all(self._executor, [quarantine.delete(keys) for keys in moved]))
        await run_all(self._executor, [quarantine.leave(index, keys) for keys in moved])
