"""A clock of fake servers that a test advances."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar
from weakref import WeakSet

from .._async.api.cache import AsyncSessionCache
from .._durations import Duration, milliseconds
from .._sync.api.cache import SessionCache
from ..errors import InvalidInput

C = TypeVar("C", SessionCache, AsyncSessionCache)
_caches: WeakSet[Any] = WeakSet()
"""The caches that `advance` wakes."""


def watch_cache(cache: C) -> C:
    """Have `advance` wake what waits in a cache. Return the cache."""
    _caches.add(cache)
    return cache


class FakeClock:
    """The clock of all fake servers of the process. It runs as the system's clock does, and `advance` moves it on."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def time(self) -> float:
        """Return the time of the fake servers, in seconds since the epoch."""
        return time.time() + self._ahead_ms / 1000

    def advance(self, duration: Duration) -> None:
        """Move the clock on, as if all processes had been silent for this time.

        TTLs, leases, delays, deadlines of runs and the times of inactivity follow at once. Waiting calls of a cache of
        `fake_cache`, `fake_async_cache` or the fixtures ask their server again: workers get delayed work, and end runs whose
        time is over. Time limits of waits in the client, such as `timeout`, are not moved.

        Args:
            duration: more than 0.

        Raises:
            InvalidInput: the duration is not valid.
        """
        self._ahead_ms += milliseconds(duration, "duration")
        for cache in list(_caches):
            for parts in cache._context.parts.all():
                parts.hub.wake_all()


class _ShiftedTime(ModuleType):
    """The module `time`, as modules of fakeredis see it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__("time")
        self.time = clock.time

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@contextmanager
def fake_clock() -> Iterator[FakeClock]:
    """Yield a clock for all fake servers of the process. The clock of the system counts again after the block.

    Make the fake caches inside the block. Needs the extra `fake`.

    Raises:
        InvalidInput: another block is open, or fakeredis is not installed.
    """
    _import_fakeredis()
    clock = FakeClock()
    shifted = _ShiftedTime(clock)
    modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "fakeredis"]
    if any(isinstance(getattr(module, "time", None), _ShiftedTime) for module in modules):
        raise InvalidInput(name="fake_clock", detail="is open already: the process has one clock for its fake servers")
    patched = [module for module in modules if getattr(module, "time", None) is time]
    for module in patched:
        module.time = shifted  # type: ignore[attr-defined]
    try:
        yield clock
    finally:
        for module in patched:
            module.time = time  # type: ignore[attr-defined]


def _import_fakeredis() -> None:
    try:
        import fakeredis  # noqa: F401
    except ImportError:
        raise InvalidInput(
            name="fake_clock", detail="needs fakeredis, which is not installed: pip install 'redis-sessions[fake]'"
        ) from None
