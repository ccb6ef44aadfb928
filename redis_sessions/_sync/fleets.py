# Generated from ../_async/fleets.py by tools/mirror.py; edit that file.
"""Follows many sessions at once: those of a user, of an agent, of a tree; also those that come while it does."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping

from .._core import queries, trees
from .._core.keys import session_keys
from .._core.watching import Progress
from ..errors import InvalidInput, SessionNotFound
from ..models.events import SessionEvent
from . import background
from .home import Home
from .listing import Listing
from .transcript import Transcript
from .watching import Said

_OPEN = ("active", "paused")
_FOUND = 1.0  # seconds between two looks for new sessions
_LATE = 20_000_000  # microseconds by which a session may be listed late, or a clock be behind
MOST = 1000


class Finder(ABC):
    """Who belongs to what is watched."""

    is_over = False
    """Whether nobody can come any more."""

    @abstractmethod
    def first(self) -> list[str]:
        """Those that are there, and may do something yet; more than `MOST` are not told."""

    @abstractmethod
    def others(self, room: int) -> list[str]:
        """Those that came since, the oldest first, so many at most; what there is no room for is told another time."""

    @abstractmethod
    def forget(self, id: str) -> None:
        """It is gone: another may come by that name."""


class Tree(Finder):
    """A root and all below it."""

    def __init__(self, home: Home, root: str) -> None:
        self._home = home
        self._root = session_keys(home.namespace, root)
        self._told: set[str] = set()

    def first(self) -> list[str]:
        members = self._members()
        self._told = {self._root.id, *[member.id for member in members]}
        return [self._root.id, *[member.id for member in members if member.status in _OPEN]]

    def others(self, room: int) -> list[str]:
        try:
            members = self._members()
        except SessionNotFound:  # and with it all that were below
            self.is_over = True
            return []
        found = [member.id for member in members if member.id not in self._told][:room]
        self._told.update(found)
        return found

    def forget(self, id: str) -> None:
        """None comes again: a child's name is its own, and a root that is created again has another tree."""

    def _members(self) -> list[trees.Member]:
        return (self._home.calls.run(trees.members(self._root, "", below=True))).members


class Listed(Finder):
    """Sessions that an index has: of a user, or an agent."""

    def __init__(self, sessions: Listing, user: str | None, agent: str | None) -> None:
        self._sessions = sessions
        self._asked = queries.query(user=user, agent=agent, order="created", limit=200)
        self._since = 0
        self._told: dict[str, int] = {}

    def first(self) -> list[str]:
        self._since = self._sessions.now() - _LATE
        for row in self._sessions.rows(self._asked):
            if row.created < self._since:
                break
            self._told[row.summary.id] = row.created
        found: dict[str, int] = {}
        for row in self._sessions.rows(self._asked._replace(active_only=True, statuses=_OPEN)):
            found[row.summary.id] = row.created
            if len(found) > MOST:
                break
        self._told |= found
        return [*found]

    def others(self, room: int) -> list[str]:
        """A page of the newest, in most cases, for it ends at what is older than the last look."""
        now, found = self._sessions.now(), []
        for row in self._sessions.rows(self._asked):
            if row.created < self._since:
                break
            if row.summary.id not in self._told:
                found.append(row)
        some = found[::-1][:room]
        self._told |= {row.summary.id: row.created for row in some}
        if len(some) == len(found):
            self._since = max(self._since, now - _LATE)
            self._told = {id: created for id, created in self._told.items() if created >= self._since}
        return [row.summary.id for row in some]

    def forget(self, id: str) -> None:
        self._told.pop(id, None)


def watch_all(
    home: Home, finder: Finder, after: Mapping[str, tuple[int, int]], seconds: float | None
) -> Iterator[SessionEvent]:
    """What happens in all that are found, until nothing comes for so long."""
    mailbox: background.Mailbox[Said] = background.Mailbox()
    watched: dict[str, tuple[Transcript, Progress]] = {}
    try:
        heard = looked = time.monotonic()
        ids = list(dict.fromkeys([*finder.first(), *after]))
        if len(ids) > MOST:
            raise InvalidInput(name="watch", detail=f"these are more than {MOST} sessions that are active")
        begins: dict[str, tuple[int | None, int]] = dict.fromkeys(ids, (None, 0))
        begins |= after
        while True:
            for id in ids:
                session = Transcript(home, session_keys(home.namespace, id), "")
                watched[id] = (session, Progress(id, *begins.pop(id, (0, 0))))
                home.watches.join(session._keys, mailbox)
                for event in home.watches.begin_one_of_many(*watched[id]):
                    yield event
                    heard = time.monotonic()
            for event in home.watches.follow(watched, mailbox, max(looked + _FOUND - time.monotonic(), 0)):
                yield event
                heard = time.monotonic()
                if event.kind == "deleted":
                    finder.forget(event.session_id)
            for id in [id for id, (_, progress) in watched.items() if progress.is_over]:
                home.watches.leave(watched.pop(id)[0]._keys, mailbox)
            if (seconds is not None and time.monotonic() - heard >= seconds) or (finder.is_over and not watched):
                return
            ids = []
            if time.monotonic() - looked >= _FOUND:
                looked = time.monotonic()
                ids = [id for id in finder.others(MOST - len(watched)) if id not in watched]
    finally:
        for session, _ in watched.values():
            home.watches.leave(session._keys, mailbox)
