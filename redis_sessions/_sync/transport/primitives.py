"""The differences between threads and asyncio, under the same names on both sides. Written by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from concurrent.futures import Future
from copy import copy
from typing import Any, Generic, TypeVar
from weakref import ref

from ..._core.protocol.transport_errors import ConnectFailed, TimeOver
from ...errors import InvalidInput

T = TypeVar("T")
_MISSING: Any = object()
Lock = threading.Lock
ReentrantLock = threading.RLock
sleep = time.sleep

ASYNC = False
Lines = Iterable[str | bytes]


class MappingAccess(MutableMapping[str, Any]):
    """A mutable mapping over `get`, `put`, `delete`, `all` and `clear`. Each operation is one round trip.

    `pop`, `popitem` and `setdefault` are two round trips, between which others may write: they are not atomic.
    """

    get: Any  # the subclasses have these two, with other arguments than a mapping
    clear: Any

    def __getitem__(self, name: str) -> Any:
        missing = object()
        value = self.get(name, missing)
        if value is missing:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        self.put(name, value)  # type: ignore[attr-defined]

    def __delitem__(self, name: str) -> None:
        if not self.delete(name):  # type: ignore[attr-defined]
            raise KeyError(name)

    def pop(self, name: str, default: Any = _MISSING) -> Any:
        """Remove a value and return it, or return the default when there is none, also when another caller removed it first.

        Two round trips. A value that another caller stores between them is removed, and the one before it is returned.
        """
        value = self.get(name, _MISSING)
        if value is not _MISSING and self.delete(name):  # type: ignore[attr-defined]
            return value
        if default is _MISSING:
            raise KeyError(name)
        return default

    def __contains__(self, name: object) -> bool:
        missing = object()
        return isinstance(name, str) and self.get(name, missing) is not missing

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.all())  # type: ignore[attr-defined]

    def keys(self) -> Any:
        """Return the names of one moment."""
        return self.all().keys()  # type: ignore[attr-defined]

    def values(self) -> Any:
        """Return the values of one moment."""
        return self.all().values()  # type: ignore[attr-defined]

    def items(self) -> Any:
        """Return the names and values of one moment."""
        return self.all().items()  # type: ignore[attr-defined]

    def update(self, *args: Any, **values: Any) -> None:
        """Replace several values in one atomic round trip."""
        self.patch(dict(*args, **values))  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]


def each(lines: Lines) -> Lines:
    """Return an iterable of lines. Raises InvalidInput for text, which is one line and not many."""
    if isinstance(lines, str | bytes) or not isinstance(lines, Iterable):
        raise InvalidInput(
            name="lines", detail=f"must be an iterable of lines, such as an open file, got a {type(lines).__name__}"
        )
    return lines


def wait_future(future: Future[T], timeout: float) -> T:
    """Return the result of a function that runs in a thread. Raises its error, or TimeoutError after some seconds."""
    try:
        return future.result(timeout)
    except TimeoutError:
        future.cancel()
        raise TimeoutError(f"no answer for {timeout:.1f} s") from None


def run_blocking(function: Callable[[], None]) -> None:
    """Run a function that blocks."""
    function()


class SharedAttempt(Generic[T]):
    """An attempt that all callers of the moment share, with its result or its failure."""

    def __init__(self, timeout: float) -> None:
        """`timeout`: not used, because the first caller's thread makes the attempt, in the caller's own time."""
        self._lock = threading.Lock()
        self._running: ref[_Attempt[T]] | None = None
        """Weak, because a signal handler may have ended the thread's attempt between any two steps."""

    def join(self, function: Callable[[float], T], due: float) -> T:
        """Return the result of the attempt that runs, or of a new one. Raises its error, or ConnectFailed after `due`.

        Args:
            function: makes the attempt. Its argument is the time at which the attempt must be over.
            due: how long this caller waits, by `time.monotonic`.
        """
        attempt = _Attempt[T]()
        try:
            with self._lock:
                running = self._running() if self._running is not None else None
                if running is None:
                    running, self._running = attempt, ref(attempt)
            if running is not attempt:
                return running.wait(due)
            attempt.result = function(due)
            return attempt.result
        except Exception as problem:
            attempt.problem = copy(problem)
            raise
        finally:
            with self._lock:
                if self._running is not None and self._running() is attempt:
                    self._running = None
            attempt.is_over.set()


class _Attempt(Generic[T]):
    """An attempt that one thread makes and others wait for."""

    result: T

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.problem: Exception = ConnectFailed("the attempt to connect was interrupted")

    def wait(self, due: float) -> T:
        if not self.is_over.wait(max(due - time.monotonic(), 0)):
            raise TimeOver("the time was over before a connection could be made")
        if not hasattr(self, "result"):
            raise copy(self.problem)  # the error itself would hold the variables of all callers
        return self.result
