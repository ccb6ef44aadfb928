"""Follow many sessions at once: those of a user, of an agent, or of a tree, also those that are created later."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping

from ..._core.commands import trees
from ..._core.commands.list_query import query
from ..._core.commands.watch_pace import WatchPace
from ..._core.commands.watch_progress import WatchPosition, WatchProgress
from ..._core.protocol.keys import session_keys
from ...errors import InvalidInput, SessionNotFound
from ...models.events import SessionEvent
from ...models.trees import OPEN_STATUSES
from ..transport import tasks
from .context import CacheContext
from .listing import SessionLister
from .tree_members import list_members
from .watch import AsyncWatch
from .watcher import WatchNotice, WatchTarget

_SEARCH_SECONDS = 1.0
"""The pause between two searches for new sessions."""
_LATE_US = 20_000_000
"""The maximum delay between a session's creation and its index entry, and the maximum difference between servers' clocks."""
MAX_WATCHED = 1000


class MemberSource(ABC):
    """Finds the sessions that are watched."""

    is_over = False
    """True if no session can join any more."""

    @abstractmethod
    async def first(self) -> list[str]:
        """Return the IDs of the sessions that exist and have not ended. It may stop after `MAX_WATCHED`."""

    @abstractmethod
    async def joined(self, limit: int) -> list[str]:
        """Return up to `limit` session IDs that joined since the last call, oldest first. The others come with a later call."""

    @abstractmethod
    def forget(self, id: str) -> None:
        """Take note that a session is gone, so that another session with this ID can join."""


class TreeMembers(MemberSource):
    """The root of a tree and all sessions below it."""

    def __init__(self, context: CacheContext, root: str) -> None:
        self._context = context
        self._root = session_keys(context.namespace, root)
        self._known: set[str] = set()

    async def first(self) -> list[str]:
        members = await self._members()
        self._known = {self._root.id, *[member.id for member in members]}
        return [self._root.id, *[member.id for member in members if member.status in OPEN_STATUSES]]

    async def joined(self, limit: int) -> list[str]:
        try:
            members = await self._members()
        except SessionNotFound:  # and with the root all sessions below it
            self.is_over = True
            return []
        found = [member.id for member in members if member.id not in self._known][:limit]
        self._known.update(found)
        return found

    def forget(self, id: str) -> None:
        """Do nothing: a child's ID is not used twice, and a root that is created again has another tree."""

    async def _members(self) -> list[trees.Member]:
        return (await list_members(self._context.executor, self._root, "", recursive=True)).members


class ListedMembers(MemberSource):
    """The sessions of a user or an agent, by the indexes."""

    def __init__(self, lister: SessionLister, user_id: str | None, agent_id: str | None) -> None:
        self._lister = lister
        self._query = query(user_id=user_id, agent_id=agent_id, order="created", limit=200)
        self._since_us = 0
        self._known: dict[str, int] = {}

    async def first(self) -> list[str]:
        self._since_us = await self._lister.server_time() - _LATE_US
        async for row in self._lister.rows(self._query):
            if row.created_us < self._since_us:
                break
            self._known[row.summary.id] = row.created_us
        found: dict[str, int] = {}
        async for row in self._lister.rows(self._query._replace(active_only=True, statuses=OPEN_STATUSES)):
            found[row.summary.id] = row.created_us
            if len(found) > MAX_WATCHED:
                break
        self._known |= found
        return [*found]

    async def joined(self, limit: int) -> list[str]:
        if limit <= 0:
            return []
        now_us, found = await self._lister.server_time(), []
        async for row in self._lister.rows(self._query):
            if row.created_us < self._since_us:
                break
            if row.summary.id not in self._known:
                found.append(row)
        oldest = found[::-1][:limit]
        self._known |= {row.summary.id: row.created_us for row in oldest}
        if len(oldest) == len(found):
            self._since_us = max(self._since_us, now_us - _LATE_US)
            self._known = {id: created for id, created in self._known.items() if created >= self._since_us}
        return [row.summary.id for row in oldest]

    def forget(self, id: str) -> None:
        self._known.pop(id, None)


def watch_many(
    context: CacheContext, source: MemberSource, after: Mapping[str, WatchPosition], pace: WatchPace
) -> AsyncWatch:
    """Return a watch of all sessions of a source, until none is left that can change, or the pace ends the watch."""
    return AsyncWatch(_watch_many(context, source, after, pace), lambda: pace.end_reason if pace.is_over else "deleted")


async def _watch_many(
    context: CacheContext, source: MemberSource, after: Mapping[str, WatchPosition], pace: WatchPace
) -> AsyncGenerator[SessionEvent, None]:
    queue: tasks.Queue[WatchNotice] = tasks.Queue()
    targets: dict[str, WatchTarget] = {}
    try:
        searched = time.monotonic()
        ids = list(dict.fromkeys([*await source.first(), *after]))
        if len(ids) > MAX_WATCHED:
            raise InvalidInput(
                name="watch", detail=f"must cover at most {MAX_WATCHED} active sessions, and there are more"
            )
        begins = dict.fromkeys(ids, WatchPosition(None))
        begins |= after
        while True:
            for id in ids:
                keys = session_keys(context.namespace, id)
                targets[id] = WatchTarget(keys, WatchProgress(id, begins.pop(id, WatchPosition())), is_alone=False)
                await context.watcher.join(keys, queue)
                async for event in context.watcher.begin_one_of_many(targets[id]):
                    if pace.is_stopped:
                        return
                    yield event
                    pace.note_event()
            pause = pace.pause(max(searched + _SEARCH_SECONDS - time.monotonic(), 0))
            async for event in context.watcher.follow(targets, queue, pause):
                if pace.is_stopped:
                    return
                yield event
                pace.note_event()
                if event.kind == "deleted":
                    source.forget(event.session_id)
            for id in [id for id, target in targets.items() if target.progress.is_over]:
                await context.watcher.leave(targets.pop(id).keys, queue)
            if pace.is_over or (source.is_over and not targets):
                return
            if pace.takes_heartbeat():
                yield SessionEvent("heartbeat", "", 0, 0)
            ids = []
            if time.monotonic() - searched >= _SEARCH_SECONDS:
                searched = time.monotonic()
                ids = [id for id in await source.joined(MAX_WATCHED - len(targets)) if id not in targets]
    finally:
        for target in targets.values():
            await context.watcher.leave(target.keys, queue)
