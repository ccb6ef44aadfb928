"""One object for all threads. `_async` has the same names for event loops, which have one object each, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Makes an object, which all threads share."""

    is_used = True

    def __init__(self, make: Callable[[], T]) -> None:
        self.current = make()

    def all(self) -> list[T]:
        """Return the object."""
        return [self.current]

    def close(self) -> list[T]:
        """Return all objects."""
        return [self.current]
