# Generated from _async/services/registered_names.py by tools/mirror.py; edit that file.
"""The names that a process registered in an index."""

from __future__ import annotations

import time

_MAX_NAMES = 10_000
_ROOM_SECONDS = 60.0
"""The time between two searches for names that hold nothing. Each looks at all names of the index."""


class RegisteredNames:
    """Remembers for some time which names this process registered, so that it registers each about once in that time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._registered_at: dict[str, float] = {}
        self._next_search = 0.0

    def __contains__(self, name: str) -> bool:
        return time.monotonic() - self._registered_at.get(name, -self._seconds) < self._seconds

    def add(self, *names: str) -> None:
        """Remember names that are registered now. When there are too many, all others are forgotten."""
        if len(self._registered_at) + len(names) > _MAX_NAMES:
            self._registered_at.clear()
        self._registered_at.update(dict.fromkeys(names, time.monotonic()))

    def may_make_room(self) -> bool:
        """Return whether to search a full index for names that hold nothing: once a minute, because each may hold something."""
        if time.monotonic() < self._next_search:
            return False
        self._next_search = time.monotonic() + _ROOM_SECONDS
        return True

    def discard(self, name: str) -> None:
        """Forget a name, because it may have left the index."""
        self._registered_at.pop(name, None)
