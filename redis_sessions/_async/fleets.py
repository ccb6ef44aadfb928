"""Follows many sessions at once: those of a user, of an agent, of a tree; also those that come while it does."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping

from .._core import queries, trees
from .._core.keys import session_keys
from .._core.watching import Progress
from ..errors import InvalidInput
from ..models.events import SessionEvent
from . import background
from .home import Home
from .listing import Listing
from .transcript import AsyncTranscript
from .watching import Said

_OPEN = ("active", "paused")
_FOUND = 1.0  # seconds between two looks for new sessions
MOST = 1000


class Finder(ABC):
    """Who belongs to what is watched."""

    @abstractmethod
    async def first(self) -> list[str]:
        """Those that are there, and may do something yet."""

    @abstractmethod
    async def others(self, known: set[str]) -> list[str]:
        """Those that came since."""


class Tree(Finder):
    """A root and all below it."""

    def __init__(self, home: Home, root: str) -> None:
        self._home = home
        self._root = session_keys(home.namespace, root)
        self._before: set[str] = set()

    async def first(self) -> list[str]:
        members = await self._members()
        self._before = {member.id for member in members if member.status not in _OPEN}
        return [self._root.id, *[member.id for member in members if member.id not in self._before]]

    async def others(self, known: set[str]) -> list[str]:
        before = known | self._before
        return [member.id for member in await self._members() if member.id not in before]

    async def _members(self) -> list[trees.Member]:
        return (await self._home.calls.run(trees.members(self._root, "", below=True))).members


class Listed(Finder):
    """Sessions that an index has: of a user, or an agent."""

    def __init__(self, sessions: Listing, user: str | None, agent: str | None) -> None:
        self._sessions = sessions
        self._user, self._agent = user, agent
        self._before: set[str] = set()

    async def first(self) -> list[str]:
        newest = await self._sessions.page(queries.query(user=self._user, agent=self._agent, order="created"), None)
        asked = queries.query(user=self._user, agent=self._agent, active_only=True, limit=200)
        found = [one.id async for one in self._sessions.every(asked._replace(statuses=_OPEN))]
        self._before = {one.id for one in newest.items} - set(found)
        return found

    async def others(self, known: set[str]) -> list[str]:
        asked = queries.query(user=self._user, agent=self._agent, order="created")
        found: list[str] = []
        cursor: str | None = None
        while True:
            page = await self._sessions.page(asked, cursor)
            new = [one.id for one in page.items if one.id not in known and one.id not in self._before]
            found += new
            cursor = page.cursor
            if cursor is None or len(new) < len(page.items) or len(found) >= MOST:
                return found


async def watch_all(
    home: Home, finder: Finder, after: Mapping[str, int | tuple[int, int]], seconds: float | None
) -> AsyncIterator[SessionEvent]:
    """What happens in all that are found, until nothing comes for so long."""
    mailbox: background.Mailbox[Said] = background.Mailbox()
    watched: dict[str, tuple[AsyncTranscript, Progress]] = {}
    known: set[str] = set()
    try:
        heard = looked = time.monotonic()
        ids = list(dict.fromkeys([*await finder.first(), *after]))
        begins: dict[str, tuple[int | None, int]] = dict.fromkeys(ids, (None, 0))
        begins |= {id: place if isinstance(place, tuple) else (place, 0) for id, place in after.items()}
        while True:
            for id in ids:
                if len(watched) >= MOST:
                    raise InvalidInput(name="watch", detail=f"these are more than {MOST} sessions that are active")
                known.add(id)
                session = AsyncTranscript(home, session_keys(home.namespace, id), "")
                watched[id] = (session, Progress(id, *begins.pop(id, (0, 0))))
                await home.watches.join(session._keys, mailbox)
                async for event in home.watches.begin_one_of_many(*watched[id]):
                    yield event
                    heard = time.monotonic()
            async for event in home.watches.follow(watched, mailbox, max(looked + _FOUND - time.monotonic(), 0)):
                yield event
                heard = time.monotonic()
                if event.kind == "deleted":
                    known.discard(event.session_id)  # another may come by that name
            for id in [id for id, (_, progress) in watched.items() if progress.is_over]:
                await home.watches.leave(watched.pop(id)[0]._keys, mailbox)
            if seconds is not None and time.monotonic() - heard >= seconds:
                return
            ids = []
            if time.monotonic() - looked >= _FOUND:
                looked = time.monotonic()
                ids = await finder.others(known)
    finally:
        for session, _ in watched.values():
            await home.watches.leave(session._keys, mailbox)
