"""The renewals of leases: each runs in a thread of its own. `_async` has the same names for asyncio, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..._core.protocol.call import Call
from . import tasks
from .executor import Executor

T = TypeVar("T")
later = tasks.later


class LeaseLoop:
    """Nothing: a thread needs no event loop."""

    is_closed = False

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function."""
        function(*arguments)


class RenewalConnections:
    """The connections of the cache, which all threads share."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def run(self, call: Call[T]) -> T:
        """Return the result of a call."""
        return self._executor.run(call)

    def check_loop(self, home: LeaseLoop, ttl_ms: int) -> None:
        """Do nothing, because no event loop can be blocked."""

    def close(self) -> None:
        """Do nothing, because the cache closes its connections."""
