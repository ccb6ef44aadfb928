"""The state of the screen: views, the selection, the filter, the question. Keys change it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rich.text import Text

ViewKind = Literal["fleet", "session", "tree", "workers", "worker", "help"]
ActionKind = Literal["cancel", "retry", "pause", "resume", "release", "delete"]
SORTS = ("updated", "wait", "held", "inbox", "attempt", "spend", "deadline")
"""The orders of sessions. Each begins with the largest, and `deadline` with the next one."""
_ACTION_KEYS = "crpxd"
_MOVES = {"up": -1, "k": -1, "down": 1, "j": 1}


class View(NamedTuple):
    """A view of the screen: the fleet, or one session, tree or worker by its ID."""

    kind: ViewKind
    id: str = ""


class Action(NamedTuple):
    """Something to do with a session, once the user agrees."""

    kind: ActionKind
    session_id: str
    fence: int | None = None
    """The fence of the lease that the user saw. Another lease is not released."""


class Row(NamedTuple):
    """A line of the body of a view."""

    draw: Callable[[], Text]
    """Return the line. Only what is on the screen is drawn."""
    key: str = ""
    """The thing that the row is about. The selection stays on it when rows come and go. '' for a row that cannot be selected."""
    opens: View | None = None
    """The view that Enter opens."""
    session_id: str | None = None
    """The session that actions are for."""
    status: str | None = None
    """Its status."""
    about: Callable[[], tuple[str, ...]] = tuple
    """Return up to three lines that are shown below the body while the row is selected."""
    is_heading: bool = False
    """True for a line that stays on the screen above its section."""
    fence: int | None = None
    """The fence of the session's lease."""


@dataclass(slots=True)
class Place:
    """The place in a view: the row that it is scrolled to, and the selected row."""

    key: str = ""
    at: int = 0
    first: int = 0


@dataclass(slots=True)
class State:
    """The state of the screen."""

    allows_actions: bool = False
    views: list[View] = field(default_factory=lambda: [View("fleet")])
    places: dict[View, Place] = field(default_factory=dict)
    sort: str = SORTS[0]
    filter: str = ""
    is_typing: bool = False
    question: Action | None = None
    message: str = ""
    is_over: bool = False

    @property
    def view(self) -> View:
        """The view on the screen."""
        return self.views[-1]

    @property
    def place(self) -> Place:
        """Its place."""
        return self.places.setdefault(self.view, Place())

    def selected(self, rows: Sequence[Row]) -> Row | None:
        """Return the selected row, and move the selection to the nearest row if its own is gone."""
        place = self.place
        if place.at < len(rows) and place.key and rows[place.at].key == place.key:
            return rows[place.at]
        found = next((at for at, row in enumerate(rows) if row.key and row.key == place.key), None)
        if found is None:
            able = [at for at, row in enumerate(rows) if row.key]
            if not able:
                return None
            found = min(able, key=lambda at: abs(at - place.at))
        place.at, place.key = found, rows[found].key
        return rows[found]

    def press(self, key: str, rows: Sequence[Row], page: int) -> Action | None:
        """Take a key. Return an action to which the user agreed."""
        self.message = ""
        if self.question is not None:
            return self._answer(key)
        if self.is_typing:
            self._type(key)
            self.places[self.view] = Place()
        elif key == "q" and self.view.kind == "fleet":
            self.is_over = True
        elif key in ("escape", "left", "backspace", "q"):
            self._go_back()
        elif key == "enter" or key == "right":
            row = self.selected(rows)
            self._open(row.opens if row is not None else None)
        elif not self._move(key, rows, page):
            self._command(key, rows)
        return None

    def _answer(self, key: str) -> Action | None:
        asked, self.question = self.question, None
        if key in ("y", "Y"):
            return asked
        self.message = "nothing was done"
        return None

    def _type(self, key: str) -> None:
        if key in ("enter", "escape"):
            self.is_typing = False
            self.filter = "" if key == "escape" else self.filter
        elif key == "backspace":
            self.filter = self.filter[:-1]
        elif len(key) == 1:
            self.filter += key

    def _go_back(self) -> None:
        if len(self.views) > 1:
            self.views.pop()
        else:
            self.filter = ""

    def _open(self, view: View | None) -> None:
        if view is None or view == self.view:
            return
        if view in self.views:  # a circle of views would make the way back long
            del self.views[self.views.index(view) :]
        self.views.append(view)

    def _move(self, key: str, rows: Sequence[Row], page: int) -> bool:
        able = [at for at, row in enumerate(rows) if row.key]
        if not able or self.selected(rows) is None:
            return False
        now = able.index(self.place.at)
        if key in _MOVES:
            to = now + _MOVES[key]
        elif key in ("page up", "page down"):
            goal = self.place.at + (page if key == "page down" else -page)
            to = min(range(len(able)), key=lambda at: abs(able[at] - goal))
        elif key in ("home", "g", "end", "G"):
            to = 0 if key in ("home", "g") else len(able) - 1
        elif key in ("tab", "back tab"):
            to = self._next_section(rows, able, now, forward=key == "tab")
        else:
            return False
        to = min(max(to, 0), len(able) - 1)
        self.place.at, self.place.key = able[to], rows[able[to]].key
        return True

    def _next_section(self, rows: Sequence[Row], able: list[int], now: int, *, forward: bool) -> int:
        """Return the position of the first row of the next section, or of the section before."""
        heads = [at for at, row in enumerate(rows) if row.is_heading]
        starts = sorted({next((i for i, one in enumerate(able) if one > head), 0) for head in heads}) or [0]
        if forward:
            return next((one for one in starts if one > now), starts[0])
        return next((one for one in reversed(starts) if one < now), starts[-1])

    def _command(self, key: str, rows: Sequence[Row]) -> None:
        row = self.selected(rows)
        session = row.session_id if row is not None and row.session_id else None
        if self.view.kind in ("session", "tree") and session is None:
            session = self.view.id
        if key == "?":
            self._open(View("help"))
        elif key == "w":
            self._open(View("workers"))
        elif key == "/":
            self.views, self.is_typing = self.views[:1], True
        elif key == "s":
            self.sort = SORTS[(SORTS.index(self.sort) + 1) % len(SORTS)]
            self.message = f"sorted by {self.sort}"
            first = next((at for at, one in enumerate(rows) if one.key.startswith("session ")), None)
            if first is not None:
                self.place.at, self.place.key = first, ""
        elif key == "t" and session is not None:
            self._open(View("tree", session))
        elif key in _ACTION_KEYS and key:
            self._ask(key, session, row)
        elif key == "t":
            self.message = "select a session first"

    def _ask(self, key: str, session: str | None, row: Row | None) -> None:
        if not self.allows_actions:
            self.message = "actions need the option --allow-actions"
        elif session is None:
            self.message = "select a session first"
        else:
            status, fence = (None, None) if row is None else (row.status, row.fence)
            kinds: dict[str, ActionKind] = {
                "c": "cancel", "r": "retry", "p": "resume" if status == "paused" else "pause", "x": "release", "d": "delete",
            }  # fmt: skip
            self.question = Action(kinds[key], session, fence)
