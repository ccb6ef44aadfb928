"""The names that a process registered in an index."""

from __future__ import annotations

import time

_MAX_NAMES = 10_000


class RegisteredNames:
    """Remembers for some time which names this process registered, so that it registers each about once in that time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._registered_at: dict[str, float] = {}

    def __contains__(self, name: str) -> bool:
        return time.monotonic() - self._registered_at.get(name, -self._seconds) < self._seconds

    def add(self, *names: str) -> None:
        """Remember names that are registered now. When there are too many, all others are forgotten."""
        if len(self._registered_at) + len(names) > _MAX_NAMES:
            self._registered_at.clear()
        self._registered_at.update(dict.fromkeys(names, time.monotonic()))

    def discard(self, name: str) -> None:
        """Forget a name, because it may have left the index."""
        self._registered_at.pop(name, None)
