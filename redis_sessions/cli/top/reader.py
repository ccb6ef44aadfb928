"""Read the fleet, and the session or tree on the screen, in a thread: keys and resizes work while no server answers."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from ..._sync.api.cache import SessionCache
from ...errors import SessionNotFound, SessionsError, StoreUnavailable
from ...models.fleet import Fleet
from ...models.messages import Message
from ...models.sessions import SessionInfo
from ...models.trees import ChildInfo
from ..connect import reason_of
from .actions import perform
from .state import Action, View

MAX_MESSAGES = 50
"""The newest messages of a session that its view shows."""


class FleetSource(Protocol):
    """A monitor that reads a fleet, part by part."""

    def read(self) -> Fleet:
        """Return the fleet after one more step."""
        ...


class SessionDetail(NamedTuple):
    """A session, for its view."""

    info: SessionInfo
    messages: list[Message]


class TreeDetail(NamedTuple):
    """A tree, for its view."""

    info: SessionInfo
    descendants: list[ChildInfo]


Detail = SessionDetail | TreeDetail | str
"""A session or tree that the view shows, or the reason why there is nothing."""


class Sight(NamedTuple):
    """The last read. A failure keeps the figures of the read before."""

    fleet: Fleet | None = None
    view: View = View("fleet")
    detail: Detail | None = None
    problem: str = ""
    """The reason why the last read failed, or ''."""
    failing_since: float | None = None
    """The time at which reads began to fail, by `time.time`."""
    error: Exception | None = None
    """An error of this program."""


class Reader:
    """Reads until it is closed."""

    def __init__(self, cache: SessionCache, source: FleetSource, pause: float) -> None:
        self._cache, self._source, self._pause = cache, source, pause
        self._view = View("fleet")
        self._wake, self._is_closed = threading.Event(), False
        self.sight = Sight()
        """The last sight. It is replaced, never changed."""
        self.reading_since: float | None = None
        """The time at which the read that is under way began, by `time.time`."""
        self.messages: SimpleQueue[str] = SimpleQueue()
        """The outcomes of actions."""
        threading.Thread(target=self._run, name="top", daemon=True).start()

    def show(self, view: View) -> None:
        """Read what another view shows, as soon as possible."""
        if view != self._view:
            self._view = view
            self._wake.set()

    def act(self, action: Action) -> None:
        """Do something in a thread of its own, then read again."""
        threading.Thread(target=self._act, args=(action,), daemon=True).start()

    def close(self) -> None:
        """End the thread. A read that is under way ends by itself."""
        self._is_closed = True
        self._wake.set()

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.clear()
            self.reading_since = time.time()
            self.sight = self._read(self.sight, self._view)
            self.reading_since = None
            self._wake.wait(self._pause)

    def _read(self, before: Sight, view: View) -> Sight:
        try:
            fleet = self._source.read()
            return Sight(fleet, view, self._detail(view))
        except StoreUnavailable as problem:
            text = f"no answer from {problem.where}: {reason_of(problem)}"
        except SessionsError as problem:
            text = str(problem)
        except Exception as problem:
            return before._replace(error=problem)
        since = before.failing_since or self.reading_since
        return before._replace(problem=text, failing_since=since)

    def _detail(self, view: View) -> Detail | None:
        try:
            if view.kind == "session":
                session = self._cache.session(view.id)
                return SessionDetail(session.info(), session.history(MAX_MESSAGES, skip_damaged=True))
            if view.kind == "tree":
                session = self._cache.session(view.id)
                info = session.info()
                root = info if info.root_id is None else self._cache.session(info.root_id).info()
                return TreeDetail(root, self._cache.session(root.id).children(recursive=True))
        except SessionNotFound as problem:
            return str(problem)
        return None

    def _act(self, action: Action) -> None:
        self.messages.put(perform(self._cache, action))
        self._wake.set()
