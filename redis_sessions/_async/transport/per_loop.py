"""One object for each event loop. `_sync` has the same names for threads, which share one object, by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from ..._fork import run_in_child
from ...errors import InvalidInput

T = TypeVar("T")
_inherited: list[Any] = []
"""Objects of the event loops of a parent process. Their end would change the loops that the parent process runs."""


class PerLoop(Generic[T]):
    """Makes an object at the first use in an event loop, and forgets the objects of loops that were closed."""

    def __init__(self, make: Callable[[], T]) -> None:
        """Make the first object at once, so that wrong settings raise here."""
        self._make = make
        self._is_closed = False
        self._by_loop: dict[Any, T] = {}
        self._lock = threading.Lock()
        self._spare: T | None = make()
        run_in_child(self._reset)

    def _reset(self) -> None:
        _inherited.append((self._by_loop, self._spare))
        self._by_loop = {}
        self._lock = threading.Lock()
        self._spare = None

    @property
    def current(self) -> T:
        """The object of the running event loop. Without a running loop it is some object. Raises InvalidInput once closed."""
        found = self._by_loop.get(asyncio._get_running_loop())
        return self._find() if found is None else found

    def _find(self) -> T:
        loop = asyncio._get_running_loop()
        with self._lock:
            if loop is None and self._by_loop:
                return next(iter(self._by_loop.values()))
            found = self._spare or self._make()
            if loop is None:
                self._spare = found
                return found
            if self._is_closed:
                raise InvalidInput(name="cache", detail="the cache is closed")
            self._spare = None
            kept = {one: object for one, object in self._by_loop.items() if not one.is_closed()}
            self._by_loop = {**kept, loop: found}
        return found

    @property
    def is_used(self) -> bool:
        """True if the running event loop has an object."""
        return asyncio._get_running_loop() in self._by_loop

    def all(self) -> list[T]:
        """Return the objects of all event loops."""
        with self._lock:
            return list(self._by_loop.values())

    def close(self) -> list[T]:
        """Refuse the loops that come from now on. Return all objects."""
        with self._lock:
            self._is_closed = True
            return list(self._by_loop.values())
